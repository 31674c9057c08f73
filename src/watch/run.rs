//! One run of an action: its id, its reason, its process, and its record after the end.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The unique id of a run, `LEDGER-START-N`: the ledger that it belongs to, the daemon's start and a counter.
///
/// The first part lets a restarted daemon recognise its own actions in `/proc`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub Arc<str>);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a run was started: `TWITCHER_REASON`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The watch was loaded.
    #[serde(rename = "load")]
    Load,
    /// The state changed.
    #[serde(rename = "change")]
    Change,
    /// The key was deleted.
    #[serde(rename = "delete")]
    Delete,
    /// The previous run failed.
    #[serde(rename = "retry")]
    Retry,
    /// An operator asked for it.
    #[serde(rename = "trigger")]
    Trigger,
    /// A run was interrupted, or its end was not seen, because the daemon was not running.
    #[serde(rename = "recovery")]
    Recovery,
}

impl Reason {
    /// The word that the action and the history show.
    pub fn word(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Change => "change",
            Self::Delete => "delete",
            Self::Retry => "retry",
            Self::Trigger => "trigger",
            Self::Recovery => "recovery",
        }
    }
}

/// Identifies a process unmistakably, even if its pid is reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id; also its group and session.
    pub pid: i32,
    /// Start time in clock ticks since boot: field 22 of `/proc/PID/stat`, proc(5).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Arc<str>,
    /// Inode of its output pipe, so that a later daemon can keep draining it.
    #[serde(default)]
    pub output_pipe: Option<u64>,
    /// The same for standard error. A run of a version before 0.3.0 has one pipe for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors_pipe: Option<u64>,
}

/// An ended run, as `history` shows it and the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its id.
    pub run: RunId,
    /// Why it was started.
    pub reason: Reason,
    /// The version of the state that it was given.
    pub version: String,
    /// 1 for the first attempt, rising with every retry.
    pub attempt: u32,
    /// How many updates it stood for.
    pub coalesced: u64,
    /// When it started.
    pub started: jiff::Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// [`Outcome::word`](super::Outcome::word).
    pub outcome: String,
    /// The exit code, if any.
    pub exit_code: Option<i32>,
    /// The number of the signal that ended it, if any.
    pub signal: Option<i32>,
    /// The last lines that it wrote; for a run that did not start, the reason.
    pub output: String,
}

/// What lists of runs show of each output, in bytes.
const SHORT_OUTPUT: usize = 1024;

impl RunRecord {
    /// When it ended; `None` where that is no time that can be written, as a damaged record may have it.
    pub fn ended(&self) -> Option<jiff::Timestamp> {
        let took = jiff::SignedDuration::try_from_secs_f64(self.seconds).ok()?;
        self.started.checked_add(took).ok()
    }

    /// The record with the last lines of its output, at most 1 KiB; begins with `…` where a line was cut.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let start = self.output.ceil_char_boundary(self.output.len().saturating_sub(SHORT_OUTPUT));
        if start > 0 {
            let end = self.output.split_off(start);
            self.output = match end.split_once('\n') {
                Some((_, lines)) => lines.to_owned(),
                None => format!("…{end}"),
            };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_output_is_the_last_lines_of_a_long_one() {
        let shortened = |output: &str| {
            let record = RunRecord {
                run: RunId("r".into()),
                reason: Reason::Load,
                version: "1".to_owned(),
                attempt: 1,
                coalesced: 1,
                started: jiff::Timestamp::UNIX_EPOCH,
                seconds: 0.0,
                outcome: "succeeded".to_owned(),
                exit_code: Some(0),
                signal: None,
                output: output.to_owned(),
            };
            record.shortened().output
        };
        assert_eq!(shortened("a\nb"), "a\nb");
        let lines = "four\n".repeat(1000) + "last";
        assert!(shortened(&lines).starts_with("four\nfour") && shortened(&lines).ends_with("\nlast"));
        assert!((1015..=1024).contains(&shortened(&lines).len()));
        assert_eq!(shortened(&"é".repeat(2000)), format!("…{}", "é".repeat(512)));
    }
}
