//! What the read models hold.

use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

/// An account as it stands. Amounts are cents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Balance {
    /// Which.
    pub account: String,
    /// Whose.
    pub owner: String,
    /// The money in it.
    pub balance: i64,
    /// The part of it that transfers reserve.
    pub reserved: i64,
    /// Whether it is closed.
    pub closed: bool,
    /// The version of the account that this shows.
    pub version: i64,
}

/// An account on a day on which money moved. Amounts are cents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct StatementDay {
    /// Which account.
    pub account: String,
    /// Which day, as `2026-01-31`, in UTC.
    pub day: String,
    /// What was in it before.
    pub opening: i64,
    /// What came in.
    pub money_in: i64,
    /// What went out.
    pub money_out: i64,
}

impl Balance {
    /// What can be spent.
    pub fn available(&self) -> i64 {
        self.balance - self.reserved
    }
}

impl StatementDay {
    /// What was in it after the day.
    pub fn closing(&self) -> i64 {
        self.opening + self.money_in - self.money_out
    }

    /// A day on which nothing has moved yet, after this one.
    #[must_use]
    pub fn followed_by(&self, day: String) -> Self {
        Self {
            account: self.account.clone(),
            day,
            opening: self.closing(),
            money_in: 0,
            money_out: 0,
        }
    }
}

/// The day of a time, in UTC.
pub(crate) fn day_of(at: OffsetDateTime) -> String {
    let (year, month, day) = at.to_offset(time::UtcOffset::UTC).to_calendar_date();
    format!("{year:04}-{:02}-{day:02}", u8::from(month))
}

/// Whether the text is a day.
pub(crate) fn is_day(text: &str) -> bool {
    time::Date::parse(text, format_description!("[year]-[month]-[day]")).is_ok()
}
