//! What becomes of a running process manager.

use ordain::{App, MemoryStore};
use ordain_testkit::running;

use crate::signals::*;

async fn send(app: &App, signalled: Signalled) {
    let signal = "s".to_owned();
    app.dispatch(Signal { signal, signalled }).await.unwrap();
}

#[tokio::test]
async fn a_process_manager_is_idle_when_its_commands_are_settled() {
    let app = App::builder(MemoryStore::new())
        .aggregate::<Sender>()
        .aggregate::<Ledger>()
        .process_manager::<Probe>()
        .start()
        .await
        .unwrap();
    for round in 0..20 {
        let id = round.to_string();
        send(&app, start(&id, [text("one"), text("two")])).await;
        running(&app).wait_until_idle(["probe"]).await;
        let head = app.store().head().await.unwrap();
        assert_eq!(head.get(), (round + 1) * 3);
    }
    let aside = [Act::Answer(Answer::DeadLetter), text("reject this")];
    send(&app, start("aside", aside)).await;
    let idle = running(&app).allow_dead_letters();
    idle.wait_until_idle(["probe"]).await;
    let unsettled = app.processes("probe").unsettled(10).await.unwrap();
    assert_eq!(unsettled, ["aside"]);
    app.shutdown().await.unwrap();
}
