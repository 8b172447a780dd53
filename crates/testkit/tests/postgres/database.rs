use ordain_testkit::postgres::{Connection, Database};

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let (one, other) = tokio::join!(Database::create(), Database::create());
    assert_ne!(one.url(), other.url());
    let sql = "CREATE TABLE t (n int); INSERT INTO t VALUES (7)";
    one.execute(sql).await.unwrap();
    assert_eq!(one.value("SELECT n FROM t").await.unwrap().unwrap(), "7");
    let missing = other.query("SELECT n FROM t").await.unwrap_err();
    assert_eq!(missing.sql_state(), Some("42P01"));
}

#[tokio::test]
async fn databases_are_alike() {
    let database = Database::create().await;
    let sql = "SELECT pg_encoding_to_char(encoding), datcollate, datctype, current_database() \
               FROM pg_database WHERE datname = current_database()";
    let [encoding, collate, ctype, name] = &database.query(sql).await.unwrap()[0][..] else {
        panic!("there are four columns");
    };
    let expected = Some("C".to_owned());
    assert_eq!(encoding.as_deref(), Some("UTF8"));
    assert_eq!((collate, ctype), (&expected, &expected));
    assert_eq!(name.as_deref(), Some(&*database.name()));
    let durable = "SELECT current_setting('fsync') || current_setting('full_page_writes')";
    assert_eq!(database.value(durable).await.unwrap().unwrap(), "onon");
}

#[tokio::test]
async fn another_role_has_a_url_as_well() {
    let database = Database::create().await;
    let role = database.name();
    let sql = format!("CREATE ROLE {role} LOGIN PASSWORD 'a b/c'");
    database.execute(&sql).await.unwrap();
    let connection = Connection::open(&database.url_as(&role, "a b/c")).await;
    let name = connection.unwrap().value("SELECT current_user").await;
    assert_eq!(name.unwrap(), Some(role));
}

#[tokio::test]
async fn a_value_is_that_of_one_row() {
    let database = Database::create().await;
    let connection = database.connect().await.unwrap();
    assert_eq!(connection.value("SELECT NULL").await.unwrap(), None);
    connection.value("SELECT WHERE false").await.unwrap_err();
    connection.value("VALUES (1), (2)").await.unwrap_err();
}

#[tokio::test]
async fn tls_is_refused_in_plain_words() {
    for mode in ["require", "verify-full"] {
        let url = format!("postgres://127.0.0.1/x?sslmode={mode}");
        let error = Connection::open(&url).await.unwrap_err();
        assert!(error.to_string().contains("asks for TLS"), "{error}");
    }
}
