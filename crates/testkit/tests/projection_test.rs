//! The test of a projection: what passes, and what the failures say.

mod money;

use money::{Balances, deposited, failure};
use ordain::MemoryStore;
use ordain_testkit::ProjectionTest;

fn balance(store: &MemoryStore, account: &str) -> Option<u64> {
    store.read_models().get(Balances::NAME, account)
}

#[tokio::test]
async fn events_are_projected_and_looked_at() {
    ProjectionTest::on(MemoryStore::new(), Balances::default())
        .await
        .twice()
        .stream("account-ann")
        .given(deposited(1))
        .given(deposited(2))
        .stream("account-bob")
        .given(deposited(5))
        .then(async |store| {
            assert_eq!(balance(&store, "ann"), Some(3));
            assert_eq!(balance(&store, "bob"), Some(5));
        })
        .await
        .given(deposited(6))
        .then(async |store| assert_eq!(balance(&store, "bob"), Some(11)))
        .await
        .reset()
        .await
        .then(async |store| assert_eq!(balance(&store, "bob"), None))
        .await;
}

#[tokio::test]
async fn what_cannot_be_projected_leaves_nothing_behind() {
    ProjectionTest::on(MemoryStore::new(), Balances::default())
        .await
        .given(deposited(1))
        .given(deposited(13))
        .then_error("13 cannot be written on a receipt")
        .await
        .then(async |store| assert_eq!(balance(&store, "1"), None))
        .await;
}

#[tokio::test]
async fn failures_say_what_is_wrong() {
    let on = |balances| ProjectionTest::on(MemoryStore::new(), balances);
    let new = || on(Balances::default());

    let text = failure(async { new().await.given(deposited(13)).then(async |_| ()).await }).await;
    assert!(
        text.starts_with("`MoneyDeposited` at position 1 could not be projected: 13 cannot"),
        "{text}"
    );
    assert!(text.contains("projection_test.rs:"), "{text}");

    let text = failure(async { new().await.given(deposited(1)).then_error("no").await }).await;
    assert!(
        text.starts_with("`balances`: expected the error \"no\", but it took in all"),
        "{text}"
    );
    let text = failure(async { new().await.given(deposited(13)).then_error("no").await }).await;
    assert!(
        text.starts_with("`balances`: expected the error \"no\", but it says \"13 cannot"),
        "{text}"
    );

    let balances = Balances {
        has_no_tables: true,
        ..Balances::default()
    };
    let text = failure(on(balances)).await;
    assert!(
        text.starts_with("`setup` of `balances` failed at a second start: the table is there"),
        "{text}"
    );
}

#[tokio::test]
async fn a_table_that_a_reset_forgets_is_found() {
    let forgetful = || Balances {
        is_forgetful: true,
        ..Balances::default()
    };
    let one_deposit = async |test: ProjectionTest<_, _>| {
        test.given(deposited(1))
            .then(async |store| assert_eq!(balance(&store, "1"), Some(1)))
            .await
    };
    let test = ProjectionTest::on(MemoryStore::new(), forgetful()).await;
    one_deposit(test).await;
    let test = ProjectionTest::on(MemoryStore::new(), forgetful()).await;
    let text = failure(one_deposit(test.twice())).await;
    assert!(
        text.starts_with(
            "after a reset and the same events anew, the read model of `balances` is another"
        ),
        "{text}"
    );
}
