//! A transfer between two wallets, end to end.

use std::sync::Arc;
use std::time::Duration;

use ordain::prelude::*;
use ordain::store::SubscriptionStore;
use ordain::{
    App, AppBuilder, CommandAction, CommandFailure, EventContext, ProcessContext, ProcessOptions,
    Reaction, Route, TimerContext,
};
use serde::{Deserialize, Serialize};

use super::super::SubscriptionFixture;
use super::super::apps::config;
use super::super::read_side::Timed;
use super::support::{LONG, quick, shut_down, start, until};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct OpenWallet {
    #[command(id)]
    wallet: String,
    funds: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct Reserve {
    #[command(id)]
    wallet: String,
    transfer: String,
    amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct Credit {
    #[command(id)]
    wallet: String,
    transfer: String,
    amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct Release {
    #[command(id)]
    wallet: String,
    amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct WalletOpened {
    funds: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Reserved {
    transfer: String,
    amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Credited {
    transfer: String,
    amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Released {
    amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum WalletError {
    #[error("there are {funds} only")]
    InsufficientFunds { funds: u64 },
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(
    category = "wallet",
    commands(OpenWallet, Reserve, Credit, Release),
    events(WalletOpened, Reserved, Credited, Released),
    created_by(OpenWallet),
    error = WalletError
)]
struct Wallet {
    funds: u64,
}

impl Execute<OpenWallet> for Wallet {
    fn execute(&self, command: &OpenWallet) -> Decision<Self> {
        let funds = command.funds;
        Ok(WalletOpened { funds }.into())
    }
}

impl Execute<Reserve> for Wallet {
    fn execute(&self, command: &Reserve) -> Decision<Self> {
        let (funds, amount) = (self.funds, command.amount);
        if amount > funds {
            return Err(WalletError::InsufficientFunds { funds });
        }
        let transfer = command.transfer.clone();
        Ok(Reserved { transfer, amount }.into())
    }
}

impl Execute<Credit> for Wallet {
    fn execute(&self, command: &Credit) -> Decision<Self> {
        let (transfer, amount) = (command.transfer.clone(), command.amount);
        // A bank elsewhere, which confirms later, if ever.
        let is_here = !transfer.starts_with("elsewhere");
        Ok(is_here.then_some(Credited { transfer, amount }).into())
    }
}

impl Execute<Release> for Wallet {
    fn execute(&self, command: &Release) -> Decision<Self> {
        let amount = command.amount;
        Ok(Released { amount }.into())
    }
}

impl Apply<WalletOpened> for Wallet {
    fn apply(&mut self, event: &WalletOpened) {
        self.funds = event.funds;
    }
}

impl Apply<Reserved> for Wallet {
    fn apply(&mut self, event: &Reserved) {
        self.funds -= event.amount;
    }
}

impl Apply<Credited> for Wallet {
    fn apply(&mut self, event: &Credited) {
        self.funds += event.amount;
    }
}

impl Apply<Released> for Wallet {
    fn apply(&mut self, event: &Released) {
        self.funds += event.amount;
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct RequestTransfer {
    #[command(id)]
    transfer: String,
    from: String,
    to: String,
    amount: u64,
    within: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct CompleteTransfer {
    #[command(id)]
    transfer: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct FailTransfer {
    #[command(id)]
    transfer: String,
    reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct TransferRequested {
    from: String,
    to: String,
    amount: u64,
    /// It is undone if it takes longer.
    within: Duration,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct TransferCompleted {}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct TransferFailed {
    reason: String,
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(
    category = "transfer",
    commands(RequestTransfer, CompleteTransfer, FailTransfer),
    events(TransferRequested, TransferCompleted, TransferFailed),
    created_by(RequestTransfer)
)]
struct Transfer {
    outcome: Option<String>,
}

impl Execute<RequestTransfer> for Transfer {
    fn execute(&self, command: &RequestTransfer) -> Decision<Self> {
        let RequestTransfer {
            transfer: _,
            from,
            to,
            amount,
            within,
        } = command.clone();
        let requested = TransferRequested {
            from,
            to,
            amount,
            within,
        };
        Ok(requested.into())
    }
}

impl Execute<CompleteTransfer> for Transfer {
    fn execute(&self, _: &CompleteTransfer) -> Decision<Self> {
        Ok(TransferCompleted {}.into())
    }
}

impl Execute<FailTransfer> for Transfer {
    fn execute(&self, command: &FailTransfer) -> Decision<Self> {
        let reason = command.reason.clone();
        Ok(TransferFailed { reason }.into())
    }
}

impl Apply<TransferRequested> for Transfer {
    fn apply(&mut self, _: &TransferRequested) {}
}

impl Apply<TransferCompleted> for Transfer {
    fn apply(&mut self, _: &TransferCompleted) {
        self.outcome = Some("completed".into());
    }
}

impl Apply<TransferFailed> for Transfer {
    fn apply(&mut self, event: &TransferFailed) {
        self.outcome = Some(event.reason.clone());
    }
}

/// Reserves, credits, and completes; or releases what it has reserved, and fails.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "transfers",
    id = String,
    events(TransferRequested, Reserved, Credited, TransferCompleted, TransferFailed),
    timer = GiveUp,
    options = options,
    on_command_failure = Transfers::compensate
)]
struct Transfers {
    from: String,
    to: String,
    amount: u64,
    is_reserved: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct GiveUp {
    transfer: String,
}

fn options() -> ProcessOptions {
    let options = quick();
    let subscription = options.subscription.clone().outage_after(u32::MAX);
    options.subscription(subscription)
}

impl Transfers {
    fn undo(&self, transfer: &str, reason: &str) -> Reaction<Self> {
        let undone = match self.is_reserved {
            true => Reaction::dispatch(Release {
                wallet: self.from.clone(),
                amount: self.amount,
            }),
            false => Reaction::none(),
        };
        undone.cancel_timer("give up").and_dispatch(FailTransfer {
            transfer: transfer.to_owned(),
            reason: reason.to_owned(),
        })
    }

    fn compensate(&self, failure: &CommandFailure) -> CommandAction<Self> {
        let transfer = &failure.instance;
        if let Some(WalletError::InsufficientFunds { .. }) = failure.rejection() {
            return CommandAction::Replace(self.undo(transfer, "too little money"));
        }
        if failure.error.is_not_found() {
            return CommandAction::Replace(self.undo(transfer, "no such wallet"));
        }
        failure.default_action()
    }
}

impl Process<TransferRequested> for Transfers {
    fn route(_: &TransferRequested, context: &EventContext) -> Route<String> {
        Route::start(context.id()).strict()
    }

    fn handle(&self, event: &TransferRequested, context: &ProcessContext) -> Reaction<Self> {
        let transfer = context.instance().to_owned();
        Reaction::dispatch(Reserve {
            wallet: event.from.clone(),
            transfer: transfer.clone(),
            amount: event.amount,
        })
        .timer("give up", event.within, GiveUp { transfer })
    }

    fn apply(&mut self, event: &TransferRequested) {
        self.from.clone_from(&event.from);
        self.to.clone_from(&event.to);
        self.amount = event.amount;
    }
}

impl Process<Reserved> for Transfers {
    fn route(event: &Reserved, _: &EventContext) -> Route<String> {
        Route::continue_with(event.transfer.as_str())
    }

    fn handle(&self, event: &Reserved, context: &ProcessContext) -> Reaction<Self> {
        Reaction::dispatch(Credit {
            wallet: self.to.clone(),
            transfer: context.instance().to_owned(),
            amount: event.amount,
        })
    }

    fn apply(&mut self, event: &Reserved) {
        self.is_reserved = event.amount > 0;
    }
}

impl Process<Credited> for Transfers {
    fn route(event: &Credited, _: &EventContext) -> Route<String> {
        Route::continue_with(event.transfer.as_str())
    }

    fn handle(&self, _: &Credited, context: &ProcessContext) -> Reaction<Self> {
        let transfer = context.instance().to_owned();
        Reaction::dispatch(CompleteTransfer { transfer }).cancel_timer("give up")
    }
}

impl Process<TransferCompleted> for Transfers {
    fn route(_: &TransferCompleted, context: &EventContext) -> Route<String> {
        Route::stop(context.id())
    }
}

impl Process<TransferFailed> for Transfers {
    fn route(_: &TransferFailed, context: &EventContext) -> Route<String> {
        Route::stop(context.id())
    }
}

impl OnTimer<GiveUp> for Transfers {
    fn on_timer(&self, timer: &GiveUp, _: &TimerContext) -> Reaction<Self> {
        self.undo(&timer.transfer, "it took too long")
    }
}

fn on<S: SubscriptionStore + Clone>(store: &S) -> AppBuilder<S> {
    App::builder(store.clone())
        .aggregate::<Wallet>()
        .aggregate::<Transfer>()
        .process_manager::<Transfers>()
        .config(config(LONG))
}

fn transfer(transfer: &str, from: &str, to: &str, amount: u64) -> RequestTransfer {
    RequestTransfer {
        transfer: transfer.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        amount,
        within: LONG,
    }
}

async fn request(app: &App, request: RequestTransfer) {
    let requested = app.dispatch(request).await;
    requested.expect("a transfer can be requested");
}

async fn outcome(app: &App, transfer: &str) -> String {
    until("the transfer ends", async || {
        let transfer = app.load::<Transfer>(&transfer.to_owned()).await;
        transfer.expect("it was requested").outcome.clone()
    })
    .await
}

async fn funds(app: &App, wallet: &str) -> u64 {
    let wallet = app.load::<Wallet>(&wallet.to_owned()).await;
    wallet.expect("it was opened").funds
}

async fn open(app: &App, wallet: &str, funds: u64) {
    let wallet = wallet.to_owned();
    let opened = app.dispatch(OpenWallet { wallet, funds }).await;
    opened.expect("a wallet can be opened");
}

/// A transfer reserves, credits and completes, and its process ends.
pub async fn a_transfer_completes<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    open(&app, "ann", 100).await;
    open(&app, "bob", 0).await;
    request(&app, transfer("t", "ann", "bob", 60)).await;
    assert_eq!(outcome(&app, "t").await, "completed");
    assert_eq!(
        (funds(&app, "ann").await, funds(&app, "bob").await),
        (40, 60)
    );
    until("its process ends", async || {
        let process = app.processes(Transfers::NAME).get("t").await;
        let process = process.expect("instances can be read");
        process.filter(|process| process.finished)
    })
    .await;
    shut_down(app).await;
}

/// A transfer that is refused, or has no target, is undone as far as it has come.
pub async fn a_transfer_that_is_refused_or_has_no_target_is_undone<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    open(&app, "ann", 100).await;
    request(&app, transfer("t", "ann", "bob", 200)).await;
    assert_eq!(outcome(&app, "t").await, "too little money");
    request(&app, transfer("u", "ann", "nobody", 50)).await;
    assert_eq!(outcome(&app, "u").await, "no such wallet");
    assert_eq!(funds(&app, "ann").await, 100);
    shut_down(app).await;
}

/// A transfer whose target does not answer in time is undone.
pub async fn a_transfer_that_takes_too_long_is_undone<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let timed = Timed::open(&**fixture).await;
    let app = start(on(&timed.store)).await;
    open(&app, "ann", 100).await;
    open(&app, "bob", 0).await;
    let within = timed.moment();
    let elsewhere = transfer("elsewhere", "ann", "bob", 60);
    request(
        &app,
        RequestTransfer {
            within,
            ..elsewhere
        },
    )
    .await;
    timed.pass();
    assert_eq!(outcome(&app, "elsewhere").await, "it took too long");
    assert_eq!(
        (funds(&app, "ann").await, funds(&app, "bob").await),
        (100, 0)
    );
    shut_down(app).await;
}

/// Many transfers between the same wallets lose no money and make none.
pub async fn many_transfers_lose_no_money<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let wallets = ["a", "b", "c", "d"];
    for wallet in wallets {
        open(&app, wallet, 1_000).await;
    }
    for index in 0..200_usize {
        let (from, to) = (wallets[index % 4], wallets[(index * 7 + 1) % 4]);
        let amount = (index as u64 * 37) % 400;
        request(&app, transfer(&index.to_string(), from, to, amount)).await;
    }
    for index in 0..200 {
        outcome(&app, &index.to_string()).await;
    }
    let mut total = 0;
    for wallet in wallets {
        total += funds(&app, wallet).await;
    }
    assert_eq!(total, 4_000);
    shut_down(app).await;
}
