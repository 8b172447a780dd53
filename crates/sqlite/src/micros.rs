//! Times as microseconds since 1970.

use std::time::Duration;

use time::OffsetDateTime;

const NANOS: i128 = 1_000;

/// The microsecond that the time lies in.
pub(crate) fn floor(time: OffsetDateTime) -> i64 {
    saturate(time.unix_timestamp_nanos().div_euclid(NANOS))
}

/// The first microsecond that does not lie before the time.
pub(crate) fn ceil(time: OffsetDateTime) -> i64 {
    saturate((time.unix_timestamp_nanos() + NANOS - 1).div_euclid(NANOS))
}

/// The time; what no time can be is 1970.
pub(crate) fn to_time(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * NANOS)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// How many microseconds pass in this time.
pub(crate) fn of(duration: Duration) -> i64 {
    duration.as_micros().try_into().unwrap_or(i64::MAX)
}

fn saturate(micros: i128) -> i64 {
    micros.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_towards_the_past() {
        let at = |nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap();
        assert_eq!((floor(at(1_999)), ceil(at(1_999))), (1, 2));
        assert_eq!((floor(at(2_000)), ceil(at(2_000))), (2, 2));
        assert_eq!((floor(at(-1)), ceil(at(-1))), (-1, 0));
        assert_eq!(to_time(-1), at(-1_000));
    }
}
