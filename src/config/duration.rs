//! The only grammar of durations, in files and on the command line: `"250ms"`, `"30s"`, `"1h30m"`, `"1d"`.

use std::time::Duration;

/// The longest duration in a file. More is a typo, and timers must not overflow.
pub(crate) const LONGEST: Duration = Duration::from_hours(366 * 24);

/// Units from the largest to the smallest, with their nanoseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Text or a number that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDuration {
    #[error("a duration is numbers with the units `d`, `h`, `m`, `s`, `ms`, for example `30s` or `1h30m`")]
    Unit,
    #[error("the units of a duration go from large to small, each at most once, as in `1d12h` or `1h30m`")]
    Order,
    #[error("only the last number of a duration may have a fraction")]
    Fraction,
    #[error("a duration without a unit is written without quotes and counts seconds")]
    NoUnit,
    #[error("a duration must not be negative")]
    Negative,
    #[error("a duration is at most a year")]
    TooLong,
}

/// Parses a duration in quotes, at most [`LONGEST`].
pub(crate) fn from_text(text: &str) -> Result<Duration, InvalidDuration> {
    bounded(parse(text.trim())?)
}

/// Parses a number of seconds, at most [`LONGEST`].
pub(crate) fn from_seconds(seconds: f64) -> Result<Duration, InvalidDuration> {
    bounded(seconds_of(seconds)?)
}

/// Parses a duration on the command line: of any length; a number without a unit counts seconds.
pub(crate) fn typed(text: &str) -> Result<Duration, InvalidDuration> {
    match text.strip_prefix('+').unwrap_or(text).parse::<f64>() {
        Ok(seconds) => seconds_of(seconds),
        Err(_) => parse(text.strip_prefix('+').unwrap_or(text)),
    }
}

fn bounded(duration: Duration) -> Result<Duration, InvalidDuration> {
    if duration <= LONGEST { Ok(duration) } else { Err(InvalidDuration::TooLong) }
}

fn seconds_of(seconds: f64) -> Result<Duration, InvalidDuration> {
    if seconds < 0.0 {
        return Err(InvalidDuration::Negative);
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| InvalidDuration::TooLong)
}

fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    if text.starts_with('-') {
        return Err(InvalidDuration::Negative);
    }
    let (mut rest, mut units, mut sum) = (text, &UNITS[..], Duration::ZERO);
    let mut fraction = false;
    while !rest.is_empty() {
        if fraction {
            return Err(InvalidDuration::Fraction);
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        if unit.is_empty() && behind.is_empty() && !number.is_empty() {
            return Err(InvalidDuration::NoUnit);
        }
        let &(_, nanoseconds) =
            UNITS.iter().find(|(known, _)| *known == unit).ok_or(InvalidDuration::Unit)?;
        let at = units.iter().position(|(known, _)| *known == unit).ok_or(InvalidDuration::Order)?;
        units = &units[at + 1..];
        fraction = number.contains('.');
        let part = part(number, nanoseconds)?;
        sum = sum.checked_add(part).ok_or(InvalidDuration::TooLong)?;
        rest = behind.trim_start();
    }
    if units.len() == UNITS.len() { Err(InvalidDuration::Unit) } else { Ok(sum) }
}

/// A number of units; exact if the number is whole.
fn part(number: &str, nanoseconds: u64) -> Result<Duration, InvalidDuration> {
    if number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty() {
        let number: u64 = number.parse().map_err(|_| InvalidDuration::TooLong)?;
        let product = u128::from(number) * u128::from(nanoseconds);
        return u64::try_from(product / 1_000_000_000)
            .map(|seconds| Duration::new(seconds, u32::try_from(product % 1_000_000_000).unwrap_or(0)))
            .map_err(|_| InvalidDuration::TooLong);
    }
    let number: f64 = number.parse().map_err(|_| InvalidDuration::Unit)?;
    seconds_of(number * Duration::from_nanos(nanoseconds).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_exactly() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("1m 1.5s", 61_500),
            ("1.5s", 1500),
            (" 1 s ", 1000),
            ("0s", 0),
            ("8784h", 366 * 24 * 3_600_000),
            ("5000000000ms", 5_000_000_000),
        ] {
            assert_eq!(from_text(text), Ok(Duration::from_millis(milliseconds)), "{text}");
            assert_eq!(typed(text.trim()), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(from_seconds(0.25), Ok(Duration::from_millis(250)));
        // Only on the command line: a number without a unit, and any length.
        for (text, seconds) in [("5", 5.0), ("1.5", 1.5), ("+5s", 5.0), ("400d", 34_560_000.0)] {
            assert_eq!(typed(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        use InvalidDuration as E;
        for (text, wrong) in [
            ("", E::Unit),
            ("s", E::Unit),
            ("5 apples", E::Unit),
            ("30m1h", E::Order),
            ("1h1h", E::Order),
            ("1.5h30m", E::Fraction),
            ("1h30", E::NoUnit),
            ("1..5s", E::Unit),
            ("30", E::NoUnit),
            ("-1s", E::Negative),
            ("8785h", E::TooLong),
            ("99999999999999999999s", E::TooLong),
        ] {
            assert_eq!(from_text(text), Err(wrong), "{text:?}");
        }
        for wrong in ["", "x", "1e", "1x", "-1", "-1s", "nan", "inf"] {
            assert!(typed(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(from_seconds(-1.0), Err(E::Negative));
        for endless in [f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(from_seconds(endless), Err(E::TooLong));
        }
    }

    proptest! {
        /// What version 0.1.0 accepts, one number with one unit, keeps its meaning.
        #[test]
        fn one_number_and_unit_is_read_as_ever(number in 0u32..8000, unit in 0usize..5) {
            let (unit, nanoseconds) = UNITS[unit];
            let expected = Duration::from_nanos(nanoseconds) * number;
            prop_assert_eq!(typed(&format!("{number}{unit}")), Ok(expected));
        }

        #[test]
        fn nothing_panics(text in "[0-9.dhms +-]{0,12}") {
            let _ = (from_text(&text), typed(&text));
        }
    }
}
