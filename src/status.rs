//! What is shown of a running daemon: the values of `status --json` and `history --json`, and nothing else.
//!
//! Field names are the contract's; fields may be added, none is renamed.

use serde::{Deserialize, Serialize};

use crate::watch::RunRecord;

/// `twitcher status --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon itself.
    pub daemon: DaemonStatus,
    /// Every store that a watch uses.
    pub stores: Vec<StoreStatus>,
    /// Every watch file.
    pub files: Vec<FileStatus>,
    /// Every watch, by name.
    pub watches: Vec<WatchStatus>,
}

/// The daemon itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The host's name as configured.
    pub host: String,
    /// When it started.
    pub started: jiff::Timestamp,
    /// What it cannot do at the moment, in words: a ledger that cannot be written, a directory not watched.
    #[serde(default)]
    pub complaints: Vec<String>,
}

/// How a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreState {
    /// Connected and served.
    Connected,
    /// Not yet connected.
    Connecting,
    /// The last try failed.
    Down,
}

impl StoreState {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Connecting => "connecting",
            Self::Down => "down",
        }
    }
}

/// One store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Its name.
    pub name: String,
    /// Its URL; without secrets.
    pub url: String,
    /// How it is.
    pub state: StoreState,
    /// Since when.
    pub since: jiff::Timestamp,
    /// Why it is not connected.
    pub error: Option<String>,
    /// How often it was connected anew.
    #[serde(default)]
    pub reconnects: u64,
}

/// How a watch file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// Its watches are what it says.
    Loaded,
    /// It has problems; what it said before still holds.
    Broken,
    /// It may not be trusted or read.
    Refused,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Its path.
    pub path: String,
    /// How it is.
    pub state: FileState,
    /// One line each.
    pub problems: Vec<String>,
}

/// What a watch is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchState {
    /// Nothing to do.
    Idle,
    /// An update came; waiting for quiet.
    Settling,
    /// Waiting for this host's turn.
    Splaying,
    /// Ready to start; waiting for `min_interval`, `max_processes` or a running action of a former definition.
    Waiting,
    /// The action runs.
    Running,
    /// The last run failed; waiting for the next try.
    Retrying,
    /// The last retry failed: nothing runs until the key changes or an operator asks.
    Failed,
    /// Paused by an operator.
    Paused,
    /// Stopped after its last retry.
    Stopped,
    /// The store has not shown it yet, or refuses to.
    Unreachable,
    /// `enabled = false`.
    Disabled,
}

impl WatchState {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Settling => "settling",
            Self::Splaying => "splaying",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Unreachable => "unreachable",
            Self::Disabled => "disabled",
        }
    }
}

/// One watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own of a documented format")]
pub struct WatchStatus {
    /// Its name.
    pub name: String,
    /// What its file says of it.
    #[serde(default)]
    pub description: String,
    /// The file that defines it.
    pub file: String,
    /// The store.
    pub store: String,
    /// The key as configured.
    pub key: String,
    /// `data`, `children` or `tree`.
    pub watch_type: String,
    /// What it is doing.
    pub state: WatchState,
    /// The newest version seen; null before the first, and while the key does not exist.
    pub version: Option<String>,
    /// The version that was last applied.
    pub applied: Option<String>,
    /// The newest state of the key was given to a run that succeeded, and the store still proves it the newest.
    pub converged: bool,
    /// The last retry failed, and nothing runs by itself until the key changes.
    #[serde(default)]
    pub gave_up: bool,
    /// The store does not prove the state of the key now.
    #[serde(default)]
    pub unreachable: bool,
    /// How long ago the store proved what this watch knows; null before the first time.
    pub verified_seconds: Option<f64>,
    /// Why the store does not show it.
    #[serde(default)]
    pub error: Option<String>,
    /// What is run, as the watch file says it.
    #[serde(default)]
    pub action: String,
    /// The account that it runs as.
    #[serde(default)]
    pub user: String,
    /// When the failed run is repeated.
    #[serde(default)]
    pub next_retry: Option<jiff::Timestamp>,
    /// When the pause ends by itself.
    #[serde(default)]
    pub paused_until: Option<jiff::Timestamp>,
    /// What runs now.
    pub running: Vec<RunningStatus>,
    /// How many runs ended.
    pub runs: u64,
    /// How many of them did not succeed.
    pub failures: u64,
    /// Ended runs since the daemon started, by outcome.
    #[serde(default)]
    pub outcomes: std::collections::BTreeMap<String, u64>,
    /// The last run that ended.
    pub last: Option<RunRecord>,
    /// When the last run that succeeded ended.
    #[serde(default)]
    pub last_success: Option<jiff::Timestamp>,
    /// A run is ready and waits for its mutex or for one of `max_processes`.
    #[serde(default)]
    pub waiting_for_slot: bool,
}

/// A run that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningStatus {
    /// Its id.
    pub run: String,
    /// Its leader's process.
    pub pid: i32,
    /// When it began.
    pub started: jiff::Timestamp,
    /// The version that it was given.
    pub version: String,
}

/// `twitcher history --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The watch.
    pub watch: String,
    /// Oldest first.
    pub runs: Vec<RunRecord>,
}

/// `twitcher explain --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The watch.
    pub watch: String,
    /// Sentences, the most important first.
    pub because: Vec<String>,
}

/// `twitcher reload --json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Watches that are new.
    pub added: Vec<String>,
    /// Watches that mean something else now.
    pub changed: Vec<String>,
    /// Watches that are gone.
    pub removed: Vec<String>,
    /// How many are as they were.
    pub unchanged: usize,
    /// Settings that changed, and what that means (`max_processes` holds at once, `state_dir` at the next start).
    pub settings: Vec<String>,
    /// Every problem, as <file:line:column> with its line and a hint.
    pub problems: Vec<String>,
    /// What is loaded and does less than it says.
    #[serde(default)]
    pub warnings: Vec<String>,
}
