//! The summary of a run, as a table.

use std::fmt;

use ordain::Command;

use crate::audit::Audit;
use crate::books::Books;
use crate::domain::{RequestTransfer, decimal, grouped};
use crate::tally::{Commands, Tally};

/// The summary of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What became of the commands.
    pub tally: Tally,
    /// What the bank holds.
    pub books: Books,
    /// What the log says of transfers, and whether the read models say the same.
    pub audit: Audit,
}

impl Report {
    /// Whether every line was a command.
    pub fn is_well_formed(&self) -> bool {
        self.tally.malformed == 0
    }

    /// Whether the money adds up.
    pub fn is_balanced(&self) -> bool {
        self.books.are_balanced() && self.audit.is_clean()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tally,
            books,
            audit,
        } = self;
        lines(f, tally)?;
        commands(f, tally)?;
        rejections(f, tally)?;
        accounts(f, books)?;
        largest(f, books)?;
        money(f, books)?;
        transfers(f, audit)?;
        read_models(f, audit)
    }
}

fn lines(f: &mut fmt::Formatter<'_>, tally: &Tally) -> fmt::Result {
    writeln!(f, "{:<24}{:>12}", "Lines", count(tally.lines))?;
    writeln!(f, "  {:<22}{:>12}", "sent twice", count(tally.repeated))?;
    writeln!(f, "  {:<22}{:>12}", "malformed", count(tally.malformed))
}

fn commands(f: &mut fmt::Formatter<'_>, tally: &Tally) -> fmt::Result {
    writeln!(
        f,
        "\n{:<24}{:>12}{:>12}{:>20}",
        "Commands", "done", "rejected", "amount"
    )?;
    for (name, commands) in tally.by_name() {
        // Most days have none.
        if name == RequestTransfer::NAME && commands == Commands::default() {
            continue;
        }
        let (done, rejected) = (count(commands.done), count(commands.rejected));
        let amount = match commands.cents {
            0 => String::new(),
            cents => decimal(cents),
        };
        let row = format!("  {name:<22}{done:>12}{rejected:>12}{amount:>20}");
        writeln!(f, "{}", row.trim_end())?;
    }
    let total = tally.total();
    let (done, rejected) = (count(total.done), count(total.rejected));
    writeln!(f, "  {:<22}{done:>12}{rejected:>12}", "all")
}

fn rejections(f: &mut fmt::Formatter<'_>, tally: &Tally) -> fmt::Result {
    writeln!(
        f,
        "\n{:<24}{:>12}",
        "Rejections",
        count(tally.total().rejected)
    )?;
    for (reason, number) in &tally.rejections {
        writeln!(f, "  {reason:<22}{:>12}", count(*number))?;
    }
    Ok(())
}

fn accounts(f: &mut fmt::Formatter<'_>, books: &Books) -> fmt::Result {
    let total = count(books.open + books.closed);
    writeln!(f, "\n{:<24}{total:>12}", "Accounts")?;
    writeln!(f, "  {:<22}{:>12}", "open", count(books.open))?;
    writeln!(f, "  {:<22}{:>12}", "closed", count(books.closed))?;
    writeln!(f, "  {:<22}{:>12}", "events", count(books.events))
}

fn largest(f: &mut fmt::Formatter<'_>, books: &Books) -> fmt::Result {
    writeln!(f, "\nLargest balances")?;
    for line in &books.largest {
        let (id, balance) = (line.id.to_string(), line.balance);
        writeln!(f, "  {id:<12}{:<34}{balance:>20}", line.owner)?;
    }
    Ok(())
}

fn money(f: &mut fmt::Formatter<'_>, books: &Books) -> fmt::Result {
    let row = |name: &str, cents| format!("  {name:<46}{:>20}", decimal(cents));
    writeln!(f, "\nMoney")?;
    writeln!(f, "{}", row("deposits", books.deposits))?;
    writeln!(f, "{}", row("- withdrawals", books.withdrawals))?;
    writeln!(f, "{}", row("= sum over accounts", books.balances))?;
    if books.are_balanced() {
        return writeln!(f, "  the books are balanced");
    }
    let missing = books.deposits - books.withdrawals - books.balances;
    let missing = decimal(missing);
    writeln!(
        f,
        "  THE BOOKS ARE NOT BALANCED: the accounts miss {missing}"
    )
}

fn transfers(f: &mut fmt::Formatter<'_>, audit: &Audit) -> fmt::Result {
    let row = |name: &str, number| format!("  {name:<22}{:>12}", count(number));
    writeln!(f, "\n{:<24}{:>12}", "Transfers", count(audit.requested))?;
    let moved = decimal(audit.moved);
    writeln!(f, "{}{moved:>32}", row("completed", audit.completed))?;
    writeln!(f, "{}", row("failed", audit.failed))?;
    writeln!(f, "{}", row("under way", audit.under_way()))
}

fn read_models(f: &mut fmt::Formatter<'_>, audit: &Audit) -> fmt::Result {
    writeln!(f, "\nRead models")?;
    writeln!(f, "  {:<22}{:>12}", "balances", count(audit.balances))?;
    let row = |name: &str, cents| format!("  {name:<46}{:>20}", decimal(cents));
    writeln!(f, "{}", row("daily statements: in", audit.statement_in))?;
    writeln!(f, "{}", row("daily statements: out", audit.statement_out))?;
    if audit.is_clean() {
        return writeln!(f, "  every one is what a replay of the log says");
    }
    for problem in &audit.problems {
        writeln!(f, "  WRONG: {problem}")?;
    }
    Ok(())
}

fn count(number: u64) -> String {
    grouped(number.into())
}
