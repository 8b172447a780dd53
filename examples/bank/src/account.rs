//! Prints what is known about an account.

use std::io::{self, Write};

use bank::Bank;
use bank::domain::{Account, AccountEvent, Money};
use futures::stream::TryStreamExt;
use ordain::HistoryEvent;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::cli::Which;
use crate::{Ending, Failure};

pub(crate) async fn show(which: &Which) -> Result<Ending, Failure> {
    let bank = Bank::open_existing(&which.store).await?;
    let loaded = bank.app().load::<Account>(&which.account).await;
    let _ = bank.close().await;
    let account = loaded?;
    let state = if account.is_closed() {
        "closed"
    } else {
        "open"
    };
    let mut out = io::stdout().lock();
    writeln!(out, "Account  {}", which.account)?;
    writeln!(out, "Owner    {}", account.owner())?;
    writeln!(out, "State    {state}")?;
    writeln!(out, "Balance  {}", account.balance())?;
    writeln!(out, "Events   {}", account.version.get())?;
    Ok(Ending::Fine)
}

pub(crate) async fn history(which: &Which) -> Result<Ending, Failure> {
    let bank = Bank::open_existing(&which.store).await?;
    let printed = print_history(&bank, which).await;
    let _ = bank.close().await;
    printed
}

async fn print_history(bank: &Bank, which: &Which) -> Result<Ending, Failure> {
    let mut events = bank.app().history::<Account>(&which.account);
    let mut account = Account::default();
    let mut out = io::stdout().lock();
    let mut is_first = true;
    while let Some(event) = events.try_next().await? {
        if std::mem::take(&mut is_first) {
            write_heading(&mut out)?;
        }
        ordain::Aggregate::apply(&mut account, &event.event);
        write_event(&mut out, &event, account.balance())?;
    }
    Ok(Ending::Fine)
}

fn write_heading(out: &mut impl Write) -> io::Result<()> {
    let (amount, balance) = ("amount", "balance");
    writeln!(
        out,
        "{:>7}  {:<19}  {:<16}{amount:>16}{balance:>18}",
        "version", "recorded (UTC)", "event"
    )
}

fn write_event(
    out: &mut impl Write,
    event: &HistoryEvent<AccountEvent>,
    balance: Money,
) -> Result<(), Failure> {
    let (name, amount) = describe(&event.event);
    let (version, at) = (
        event.recorded.version.get(),
        time(event.recorded.recorded_at)?,
    );
    writeln!(
        out,
        "{version:>7}  {at}  {name:<16}{amount:>16}{balance:>18}"
    )?;
    Ok(())
}

fn describe(event: &AccountEvent) -> (&'static str, String) {
    match event {
        AccountEvent::AccountOpened(_) => ("opened", String::new()),
        AccountEvent::MoneyDeposited(event) => ("deposited", event.amount.to_string()),
        AccountEvent::MoneyWithdrawn(event) => ("withdrawn", format!("-{}", event.amount)),
        AccountEvent::AccountClosed(_) => ("closed", String::new()),
        AccountEvent::MoneyReserved(event) => ("reserved", event.amount.to_string()),
        AccountEvent::MoneyReceived(event) => ("received", event.amount.to_string()),
        AccountEvent::ReservationConfirmed(event) => ("sent", format!("-{}", event.amount)),
        AccountEvent::ReservationReleased(event) => ("released", event.amount.to_string()),
    }
}

fn time(at: OffsetDateTime) -> Result<String, time::error::Format> {
    at.format(format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second]"
    ))
}
