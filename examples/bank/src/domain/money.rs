//! Amounts of money.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of money in its smallest unit (cents), never negative; a plain number in JSON.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct Money(i64);

/// The amount is below zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an amount cannot be negative, and {0} is")]
pub struct NegativeAmount(i64);

impl Money {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// The amount in its smallest unit.
    pub const fn cents(self) -> i64 {
        self.0
    }

    /// Whether there is none.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum; `None` beyond what can be counted.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference; `None` if `other` is more.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        (other <= self).then(|| Self(self.0 - other.0))
    }

    /// The sum; the largest amount if it is beyond that.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference; zero if `other` is more.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        self.checked_sub(other).unwrap_or_default()
    }
}

impl From<u32> for Money {
    fn from(cents: u32) -> Self {
        Self(cents.into())
    }
}

impl TryFrom<i64> for Money {
    type Error = NegativeAmount;

    fn try_from(cents: i64) -> Result<Self, NegativeAmount> {
        if cents < 0 {
            return Err(NegativeAmount(cents));
        }
        Ok(Self(cents))
    }
}

impl From<Money> for i64 {
    fn from(money: Money) -> Self {
        money.0
    }
}

/// Writes `1,234.56`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&decimal(self.0.into()))
    }
}

/// A sum of cents as `1,234.56`.
pub(crate) fn decimal(cents: i128) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", grouped(cents / 100), cents % 100)
}

/// A number with a comma before every three digits.
pub(crate) fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn money_is_written_for_people() {
        let written = |cents: u32| Money::from(cents).to_string();
        assert_eq!(written(0), "0.00");
        assert_eq!(written(7), "0.07");
        assert_eq!(written(99_999), "999.99");
        assert_eq!(written(100_000), "1,000.00");
        assert_eq!(written(123_456_789), "1,234,567.89");
    }

    #[test]
    fn money_is_a_plain_number_in_json_and_never_negative() {
        assert_eq!(serde_json::to_string(&Money::from(12)).unwrap(), "12");
        assert_eq!(serde_json::from_str::<Money>("12").unwrap(), 12.into());
        for wrong in ["-1", "1.5", "\"12\"", "9223372036854775808"] {
            assert!(serde_json::from_str::<Money>(wrong).is_err(), "{wrong}");
        }
    }
}
