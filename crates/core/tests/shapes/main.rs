//! The account in its two shapes: a struct per command and event, and two enums.
//!
//! The lines of both files are counted, and the first one stands in the README of the workspace.
#![expect(clippy::unwrap_used, reason = "it is all test")]

#[allow(unreachable_pub, reason = "it reads as a module of the user's")]
mod enum_shape;
#[allow(unreachable_pub, reason = "it reads as a module of the user's")]
mod struct_shape;

use ordain::{Aggregate, App, CommandOf, MemoryStore};

#[tokio::test]
async fn the_struct_shape_is_an_account() {
    use struct_shape::{Account, AccountError, Deposit, OpenAccount, Withdraw};
    let (account, owner) = (ann(), "Ann".to_owned());
    let open = OpenAccount { account, owner };
    let (account, amount) = (ann(), 10);
    let deposit = Deposit { account, amount };
    let withdraw = |amount| Withdraw {
        account: ann(),
        amount,
    };
    let too_little = AccountError::InsufficientFunds { balance: 6 };
    let app = run::<Account, _, _, _>(open, deposit, withdraw, too_little).await;
    let loaded = app.load::<Account>(&ann()).await.unwrap();
    assert_eq!((&*loaded.owner, loaded.balance), ("Ann", 6));
}

#[tokio::test]
async fn the_enum_shape_is_an_account() {
    use enum_shape::{Account, AccountCommand, AccountError};
    let (account, owner) = (ann(), "Ann".to_owned());
    let open = AccountCommand::OpenAccount { account, owner };
    let (account, amount) = (ann(), 10);
    let deposit = AccountCommand::Deposit { account, amount };
    let withdraw = |amount| AccountCommand::Withdraw {
        account: ann(),
        amount,
    };
    let too_little = AccountError::InsufficientFunds { balance: 6 };
    let app = run::<Account, _, _, _>(open, deposit, withdraw, too_little).await;
    let loaded = app.load::<Account>(&ann()).await.unwrap();
    assert_eq!((&*loaded.owner, loaded.balance), ("Ann", 6));
}

fn ann() -> String {
    "ann".to_owned()
}

/// Opens an account, deposits 10, withdraws 4, and fails to withdraw 7 of the 6 that are left.
async fn run<A, O, D, W>(
    open: O,
    deposit: D,
    withdraw: impl Fn(u64) -> W,
    too_little: A::Error,
) -> App
where
    A: Aggregate<Error: PartialEq>,
    O: CommandOf<A> + Clone,
    D: CommandOf<A> + Clone,
    W: CommandOf<A>,
{
    let builder = App::builder(MemoryStore::new()).aggregate::<A>();
    let app = builder.start().await.unwrap();
    let early = app.dispatch_to::<A>(deposit.clone()).await.unwrap_err();
    assert!(early.is_not_found());
    app.dispatch_to::<A>(open.clone()).await.unwrap();
    let again = app.dispatch_to::<A>(open).await.unwrap_err();
    assert!(again.is_already_exists());
    app.dispatch_to::<A>(deposit).await.unwrap();
    app.dispatch_to::<A>(withdraw(4)).await.unwrap();
    let overdrawn = app.dispatch_to::<A>(withdraw(7)).await.unwrap_err();
    assert_eq!(overdrawn.rejection(), Some(&too_little));
    app
}
