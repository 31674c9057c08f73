//! The terms of a `[watch.fleet]` table: how many hosts act at once, which first, and when a rollout stops.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as duration_text;
use serde::{Deserialize, Serialize};

use super::HostGlobs;

/// A number of hosts, or a part of the live members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Spelled", into = "Spelled")]
pub enum Share {
    /// At least 1.
    Count(u32),
    /// 1 to 100.
    Percent(u8),
}

impl Share {
    /// This many of `base` hosts, rounded down, at least 1: sizes and limits.
    pub fn at_most(self, base: u32) -> u32 {
        match self {
            Self::Count(count) => count.max(1),
            Self::Percent(percent) => percent_of(percent, base, 0).max(1),
        }
    }

    /// This many of `base` hosts, rounded up, at least 1: failures.
    pub fn at_least(self, base: u32) -> u32 {
        match self {
            Self::Count(count) => count.max(1),
            Self::Percent(percent) => percent_of(percent, base, 99).max(1),
        }
    }
}

fn percent_of(percent: u8, base: u32, round: u64) -> u32 {
    let hosts = (u64::from(base) * u64::from(percent) + round) / 100;
    u32::try_from(hosts).unwrap_or(u32::MAX)
}

/// A share, or a word, as it stands in a file or a record.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Spelled {
    Count(u32),
    Text(String),
}

const WANTED: &str = "a share is a number of hosts such as 5, or a percentage from \"1%\" to \"100%\"";

impl TryFrom<Spelled> for Share {
    type Error = &'static str;

    fn try_from(spelled: Spelled) -> Result<Self, &'static str> {
        match spelled {
            Spelled::Count(0) => Err(WANTED),
            Spelled::Count(count) => Ok(Self::Count(count)),
            Spelled::Text(text) => text
                .strip_suffix('%')
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok())
                .filter(|percent| (1..=100).contains(percent))
                .map(Self::Percent)
                .ok_or(WANTED),
        }
    }
}

impl From<Share> for Spelled {
    fn from(share: Share) -> Self {
        match share {
            Share::Count(count) => Self::Count(count),
            Share::Percent(percent) => Self::Text(format!("{percent}%")),
        }
    }
}

macro_rules! share_or_word {
    ($(#[$doc:meta])* $name:ident, $word:ident, $text:literal, $word_doc:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "Spelled", into = "Spelled")]
        pub enum $name {
            /// This many.
            Share(Share),
            #[doc = $word_doc]
            $word,
        }

        impl TryFrom<Spelled> for $name {
            type Error = &'static str;

            fn try_from(spelled: Spelled) -> Result<Self, &'static str> {
                match spelled {
                    Spelled::Text(text) if text == $text => Ok(Self::$word),
                    Spelled::Text(_) | Spelled::Count(_) => Share::try_from(spelled).map(Self::Share),
                }
            }
        }

        impl From<$name> for Spelled {
            fn from(value: $name) -> Self {
                match value {
                    $name::Share(share) => share.into(),
                    $name::$word => Self::Text($text.to_owned()),
                }
            }
        }
    };
}

share_or_word!(
    /// How many permits there are at once.
    MaxParallel, Unlimited, "unlimited", "No permits at all: members act at once and only report."
);
share_or_word!(
    /// How many failed or lost hosts stop a rollout.
    StopOnFailures, Never, "never", "None does."
);

/// The terms of one host: its `[watch.fleet]` with every default applied.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// Permits at once.
    pub max_parallel: MaxParallel,
    /// Hosts that go first.
    #[serde(default)]
    pub canary: HostGlobs,
    /// Hosts in all that may have a version before the next wave opens; rising. The last wave is implied.
    #[serde(default)]
    pub waves: Vec<Share>,
    /// Nothing new starts for this long after a wave is complete.
    #[serde(with = "duration_text")]
    pub soak: Duration,
    /// A permit is kept for this long after success.
    #[serde(with = "duration_text")]
    pub hold: Duration,
    /// A permit without success for this long is a failure.
    #[serde(with = "duration_text")]
    pub deadline: Duration,
    /// This many failures stop a rollout.
    pub stop_on_failures: StopOnFailures,
}

impl Default for Terms {
    /// Those of an empty table: one host at a time, stop at the first failure.
    fn default() -> Self {
        Self {
            max_parallel: MaxParallel::Share(Share::Count(1)),
            canary: HostGlobs::default(),
            waves: Vec::new(),
            soak: Duration::ZERO,
            hold: Duration::ZERO,
            deadline: Duration::from_mins(10),
            stop_on_failures: StopOnFailures::Share(Share::Count(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_down_and_failures_up_and_neither_is_nothing() {
        for (percent, base, down, up) in
            [(10, 0, 1, 1), (10, 9, 1, 1), (10, 19, 1, 2), (10, 20, 2, 2), (100, 7, 7, 7), (1, 1000, 10, 10)]
        {
            assert_eq!(Share::Percent(percent).at_most(base), down, "{percent}% of {base}");
            assert_eq!(Share::Percent(percent).at_least(base), up, "{percent}% of {base}");
        }
        assert_eq!(Share::Percent(100).at_most(u32::MAX), u32::MAX);
    }

    #[test]
    fn shares_are_spelled_as_in_the_file() {
        let read = |text: &str| serde_json::from_str::<MaxParallel>(text).ok();
        for (text, value) in [
            ("5", MaxParallel::Share(Share::Count(5))),
            ("\"10%\"", MaxParallel::Share(Share::Percent(10))),
            ("\"unlimited\"", MaxParallel::Unlimited),
        ] {
            assert_eq!(read(text), Some(value));
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
        }
        for wrong in
            ["0", "-1", "1.5", "\"0%\"", "\"101%\"", "\"+1%\"", "\"%\"", "\"5\"", "\"never\"", "null"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
