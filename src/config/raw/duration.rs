//! Durations as people write them: `"250ms"`, `"30s"`, `"5m"`, `"2h"`, or a number of seconds.

use std::time::Duration;

/// Longer than that is a slip of the pen, and timers must not overflow.
pub(crate) const LONGEST: Duration = Duration::from_hours(366 * 24);

/// A text or number that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDuration {
    #[error("a duration is a number and one of `ms`, `s`, `m`, `h`")]
    Unit,
    #[error("a duration without a unit is written without quotes and counts seconds")]
    NoUnit,
    #[error("a duration is not negative")]
    Negative,
    #[error("a duration is at most a year")]
    TooLong,
}

/// Reads a duration in quotes.
pub(crate) fn from_text(text: &str) -> Result<Duration, InvalidDuration> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(InvalidDuration::Negative);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds_of_one = match unit.trim_start() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" if !number.is_empty() => return Err(InvalidDuration::NoUnit),
        _ => return Err(InvalidDuration::Unit),
    };
    if let Ok(whole) = number.parse::<u64>() {
        let of_one = Duration::from_secs_f64(seconds_of_one);
        let times = u32::try_from(whole).map_err(|_| InvalidDuration::TooLong)?;
        return of_one.checked_mul(times).filter(|long| *long <= LONGEST).ok_or(InvalidDuration::TooLong);
    }
    let number: f64 = number.parse().map_err(|_| InvalidDuration::Unit)?;
    from_seconds(number * seconds_of_one)
}

/// Reads a number of seconds.
pub(crate) fn from_seconds(seconds: f64) -> Result<Duration, InvalidDuration> {
    if seconds < 0.0 {
        return Err(InvalidDuration::Negative);
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|long| *long <= LONGEST).ok_or(InvalidDuration::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_exactly() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1.5s", 1500),
            (" 1 s ", 1000),
            ("0s", 0),
            ("8784h", 366 * 24 * 3_600_000),
        ] {
            assert_eq!(from_text(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(from_seconds(0.25), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        use InvalidDuration as E;
        for (text, wrong) in [
            ("", E::Unit),
            ("s", E::Unit),
            ("5 apples", E::Unit),
            ("1h30m", E::Unit),
            ("1..5s", E::Unit),
            ("30", E::NoUnit),
            ("-1s", E::Negative),
            ("8785h", E::TooLong),
            ("99999999999999999999s", E::TooLong),
            ("5000000000ms", E::TooLong),
        ] {
            assert_eq!(from_text(text), Err(wrong), "{text:?}");
        }
        assert_eq!(from_seconds(-1.0), Err(E::Negative));
        for endless in [f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(from_seconds(endless), Err(E::TooLong));
        }
    }
}
