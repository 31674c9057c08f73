//! One run of an action: its id, its reason, its process, and its record once it ended.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The unique id of a run, `LEDGER-START-N`: the ledger that it belongs to, the daemon's start and a count.
///
/// The first part lets a daemon recognise its own actions in `/proc` after it was killed.
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
    /// The run before it failed.
    #[serde(rename = "retry")]
    Retry,
    /// Somebody asked for it.
    #[serde(rename = "trigger")]
    Trigger,
    /// A run was cut short, or its end was not seen, because the daemon was not there.
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

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id; also its group and session.
    pub pid: i32,
    /// Start time in clock ticks since boot: field 22 of `/proc/PID/stat`, proc(5).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Arc<str>,
    /// Inode of the pipe that its output goes into, so that a later daemon can go on draining it.
    #[serde(default)]
    pub output_pipe: Option<u64>,
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
    /// 1 for the first try, rising with every retry.
    pub attempt: u32,
    /// How many updates it stood for.
    pub coalesced: u64,
    /// When it began.
    pub started: jiff::Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// [`Outcome::word`](super::Outcome::word).
    pub outcome: String,
    /// The exit code, if any.
    pub exit_code: Option<i32>,
    /// The number of the signal that ended it, if any.
    pub signal: Option<i32>,
    /// The last lines that it wrote; for a run that did not start, why.
    pub output: String,
}

impl RunRecord {
    /// When it ended; `None` where that is no time that can be written, as a damaged record may have it.
    pub fn ended(&self) -> Option<jiff::Timestamp> {
        let took = jiff::SignedDuration::try_from_secs_f64(self.seconds).ok()?;
        self.started.checked_add(took).ok()
    }
}
