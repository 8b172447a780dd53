use std::pin::pin;
use std::time::Duration;

use ordain_testkit::postgres::{Server, ServerOptions, Stop};
use tokio::time::timeout;

use crate::support::eventually;

#[tokio::test]
async fn what_was_written_is_there_after_a_stop() {
    let options = ServerOptions::new().setting("application_name", "it's");
    let server = Server::start(options).await.unwrap();
    let database = server.create_database("kept").await.unwrap();
    database.execute("CREATE TABLE t ()").await.unwrap();

    server.stop(Stop::Fast).await.unwrap();
    database.query("SELECT FROM t").await.unwrap_err();
    server.start_again().await.unwrap();
    assert_eq!(database.query("SELECT FROM t").await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_killed_server_recovers() {
    let server = Server::start(ServerOptions::new()).await.unwrap();
    let database = server.create_database("recovered").await.unwrap();
    database.execute("CREATE TABLE t ()").await.unwrap();
    let connection = database.connect().await.unwrap();

    server.kill().await.unwrap();
    connection.query("SELECT FROM t").await.unwrap_err();
    let port = server.port();
    server.start_again().await.unwrap();
    assert_eq!(server.port(), port);
    assert_eq!(database.query("SELECT FROM t").await.unwrap().len(), 0);
    assert!(server.log().contains("not properly shut down"));
}

#[tokio::test]
async fn a_frozen_server_answers_when_it_thaws() {
    let server = Server::start(ServerOptions::new()).await.unwrap();
    let connection = server.database("postgres").connect().await.unwrap();
    server.freeze().await.unwrap();
    let mut answer = pin!(connection.value("SELECT 7"));
    let patience = Duration::from_millis(100);
    timeout(patience, &mut answer).await.unwrap_err();
    server.thaw().await.unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), "7");
}

#[tokio::test]
async fn a_frozen_server_ends_with_its_value() {
    let server = Server::start(ServerOptions::new()).await.unwrap();
    server.freeze().await.unwrap();
    let folder = server.data_directory();
    drop(server);
    eventually("its folder is gone", || !folder.exists()).await;
}

#[tokio::test]
async fn a_standby_follows_and_takes_over() {
    let primary = Server::start(ServerOptions::new()).await.unwrap();
    let written = primary.create_database("both").await.unwrap();
    let standby = primary.standby().await.unwrap();
    assert_ne!(standby.port(), primary.port());
    written.execute("CREATE TABLE t ()").await.unwrap();
    let read = standby.database("both");
    read.execute("INSERT INTO t DEFAULT VALUES")
        .await
        .unwrap_err();
    let is_there = "SELECT to_regclass('t') IS NOT NULL";
    while read.value(is_there).await.unwrap().unwrap() != "t" {}

    primary.stop(Stop::Immediate).await.unwrap();
    standby.promote().await.unwrap();
    read.execute("INSERT INTO t DEFAULT VALUES").await.unwrap();
}

#[tokio::test]
async fn a_restored_copy_goes_its_own_way() {
    let server = Server::start(ServerOptions::new()).await.unwrap();
    let original = server.create_database("restored").await.unwrap();
    original
        .execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let copied = server.restored_copy().await.unwrap();
    original.execute("INSERT INTO t VALUES (2)").await.unwrap();
    let copy = copied.database("restored");
    copy.execute("INSERT INTO t VALUES (3)").await.unwrap();
    let all = "SELECT string_agg(n::text, ',' ORDER BY n) FROM t";
    assert_eq!(copy.value(all).await.unwrap().unwrap(), "1,3");
    assert_eq!(original.value(all).await.unwrap().unwrap(), "1,2");
}

#[tokio::test]
async fn what_does_not_start_says_why() {
    let options = ServerOptions::new().setting("shared_buffers", "much");
    let error = Server::start(options).await.unwrap_err().to_string();
    assert!(
        error.contains("invalid value for parameter \"shared_buffers\""),
        "{error}"
    );
}
