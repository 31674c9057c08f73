//! Signals as users write them: `"HUP"`, `"SIGHUP"` or `1`.

use std::str::FromStr;

use nix::sys::signal::Signal;

use crate::watch::SignalNumber;

/// Parses a signal's name, with or without `SIG`, in any case.
pub(super) fn from_name(text: &str) -> Option<SignalNumber> {
    let name = text.trim().to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    Signal::from_str(&format!("SIG{name}")).ok().map(|signal| SignalNumber(signal as i32))
}

/// Parses a number: those of signal(7) without 32 and 33, which the C library reserves.
pub(super) fn from_number(number: i64) -> Option<SignalNumber> {
    match number {
        1..=31 | 34..=64 => i32::try_from(number).ok().map(SignalNumber),
        _ => None,
    }
}

/// The names, for suggestions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    Signal::iterator().map(|signal| signal.as_str().trim_start_matches("SIG"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_or_a_number() {
        for text in ["HUP", "SIGHUP", "sighup", " hup "] {
            assert_eq!(from_name(text), Some(SignalNumber(1)), "{text}");
        }
        assert_eq!(from_name("USR1"), Some(SignalNumber(10)));
        for text in ["", "SIG", "BANANA", "SIGSIGHUP", "1"] {
            assert_eq!(from_name(text), None, "{text}");
        }
        for (number, good) in [
            (1, true),
            (31, true),
            (32, false),
            (33, false),
            (64, true),
            (65, false),
            (0, false),
            (-1, false),
        ] {
            assert_eq!(from_number(number).is_some(), good, "{number}");
        }
    }
}
