use ordain_testkit::postgres::{Connection, Database, PgBouncer, PoolMode};

#[tokio::test]
async fn transactions_share_a_connection() {
    let database = Database::create().await;
    let settings = [("default_pool_size", "1")];
    let bouncer = PgBouncer::start(&database, PoolMode::Transaction, &settings);
    let bouncer = bouncer.await.unwrap();
    let url = bouncer.url(&database.name());
    let one = Connection::open(&url).await.unwrap();
    let other = Connection::open(&url).await.unwrap();
    let process = "SELECT pg_backend_pid()";
    let used = one.value(process).await.unwrap();
    assert_eq!(other.value(process).await.unwrap(), used);
}

#[tokio::test]
async fn it_ends_with_its_value() {
    let database = Database::create().await;
    let bouncer = PgBouncer::start(&database, PoolMode::Session, &[]);
    let bouncer = bouncer.await.unwrap();
    let connection = Connection::open(&bouncer.url(&database.name()))
        .await
        .unwrap();
    drop(bouncer);
    while connection.query("SELECT").await.is_ok() {}
}
