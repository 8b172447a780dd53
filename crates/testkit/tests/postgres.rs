//! Throwaway servers of PostgreSQL.

use ordain_testkit::postgres::{Database, Server, ServerOptions, Stop};

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let (one, other) = tokio::join!(Database::create(), Database::create());
    assert_ne!(one.url(), other.url());
    one.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        .await
        .unwrap();
    assert_eq!(one.value("SELECT n FROM t").await.unwrap().unwrap(), "7");
    let missing = other.query("SELECT n FROM t").await.unwrap_err();
    assert_eq!(missing.sql_state(), Some("42P01"));
}

#[tokio::test]
async fn what_was_written_is_there_after_a_stop() {
    let options = ServerOptions::new().setting("synchronous_commit", "off");
    let server = Server::start(options).await.unwrap();
    let database = server.create_database("kept").await.unwrap();
    database.execute("CREATE TABLE t ()").await.unwrap();
    let setting = database.value("SHOW synchronous_commit").await.unwrap();
    assert_eq!(setting.unwrap(), "off");

    server.stop(Stop::Fast).await.unwrap();
    database.query("SELECT FROM t").await.unwrap_err();
    server.start_again().await.unwrap();
    assert_eq!(database.query("SELECT FROM t").await.unwrap().len(), 0);
}
