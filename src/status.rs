//! The status of a running daemon: the values of `status --json` and `history --json`.
//!
//! Field names are part of the contract; fields may be added, none is renamed.

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
    /// What it cannot do at present, in words: a ledger that cannot be written, a directory that cannot be watched.
    #[serde(default)]
    pub complaints: Vec<String>,
}

/// The state of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreState {
    /// Connected.
    Connected,
    /// Not yet connected.
    Connecting,
    /// The last attempt failed.
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
    /// Its URL, without secrets.
    pub url: String,
    /// How it is.
    pub state: StoreState,
    /// Since when.
    pub since: jiff::Timestamp,
    /// Why it is not connected.
    pub error: Option<String>,
    /// How often it was reconnected.
    #[serde(default)]
    pub reconnects: u64,
}

/// The state of a watch file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// Its watches are in effect.
    Loaded,
    /// It has problems; its last valid version stays in effect.
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
    /// Its watches that are not loaded, because `twitcher.conf` has errors in what they depend on.
    #[serde(default)]
    pub not_loaded: Vec<String>,
}

/// How a watch stands in its fleet's group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FleetStatus {
    /// The group.
    pub group: String,
    /// `none`, `asked`, `granted`, `claiming`, `held`, `hold` or `lost`.
    pub permit: String,
    /// The host's state in the group.
    pub state: String,
    /// What keeps it from acting, where that is not the group's turn.
    pub why: Option<String>,
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
    /// The last run failed; waiting for the next attempt.
    Retrying,
    /// The last retry failed: nothing runs until the key changes or an operator asks.
    Failed,
    /// Paused by an operator.
    Paused,
    /// Stopped after its last retry.
    Stopped,
    /// The guard holds the newest state back.
    Held,
    /// The store has not shown it yet, or refuses to.
    Unreachable,
    /// `enabled = false`.
    Disabled,
}

impl WatchState {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Self; 12] = [
        Self::Idle,
        Self::Settling,
        Self::Splaying,
        Self::Waiting,
        Self::Running,
        Self::Retrying,
        Self::Failed,
        Self::Paused,
        Self::Stopped,
        Self::Held,
        Self::Unreachable,
        Self::Disabled,
    ];

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
            Self::Held => "held",
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
    /// Its state.
    pub state: WatchState,
    /// The newest version seen; null before the first, and while the key does not exist.
    pub version: Option<String>,
    /// The version that was last applied.
    pub applied: Option<String>,
    /// The newest state of the key was given to a run that succeeded, and the store still proves it the newest.
    pub converged: bool,
    /// The guard holds the newest state back.
    #[serde(default)]
    pub held: bool,
    /// The last retry failed, and nothing runs by itself until the key changes.
    #[serde(default)]
    pub gave_up: bool,
    /// The store does not prove the state of the key at present.
    #[serde(default)]
    pub unreachable: bool,
    /// How long ago the state was last verified; null before the first time.
    pub verified_seconds: Option<f64>,
    /// Why the store does not show it.
    #[serde(default)]
    pub error: Option<String>,
    /// Why the state is held, or why `max_shrink` cannot judge yet.
    #[serde(default)]
    pub guard: Option<String>,
    /// Why the daemon cannot start the action or `validate` at present, for want of a resource of its own.
    #[serde(default)]
    pub prevented: Option<String>,
    /// What is run, as the watch file says it.
    #[serde(default)]
    pub action: String,
    /// The account that it runs as.
    #[serde(default)]
    pub user: String,
    /// When the failed run is retried.
    #[serde(default)]
    pub next_retry: Option<jiff::Timestamp>,
    /// When the pause ends by itself.
    #[serde(default)]
    pub paused_until: Option<jiff::Timestamp>,
    /// What runs now.
    pub running: Vec<RunningStatus>,
    /// Number of runs that ended.
    pub runs: u64,
    /// Number of them that failed.
    pub failures: u64,
    /// Ended runs since the daemon started, by outcome.
    #[serde(default)]
    pub outcomes: std::collections::BTreeMap<String, u64>,
    /// The last run that ended.
    pub last: Option<RunRecord>,
    /// When the last run that succeeded ended.
    #[serde(default)]
    pub last_success: Option<jiff::Timestamp>,
    /// A run is ready and waits for its mutex or for a slot of `max_processes`.
    #[serde(default)]
    pub waiting_for_slot: bool,
    /// How it stands in its fleet's group.
    #[serde(default)]
    pub fleet: Option<FleetStatus>,
}

/// A live run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningStatus {
    /// Its id.
    pub run: String,
    /// Its leader's process.
    pub pid: i32,
    /// When it began.
    pub started: jiff::Timestamp,
    /// The version of its state.
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
    /// Watches whose meaning changed.
    pub changed: Vec<String>,
    /// Watches that were removed.
    pub removed: Vec<String>,
    /// Number of unchanged watches.
    pub unchanged: usize,
    /// Settings that changed, and their effect (`max_processes` at once, `state_dir` at the next start).
    pub settings: Vec<String>,
    /// Every problem, as <file:line:column> with its line and a hint.
    pub problems: Vec<String>,
    /// Loaded files that do less than they say.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// It is what a reload would do; nothing was changed.
    #[serde(default)]
    pub dry_run: bool,
}

/// `twitcher trigger --dry-run`: the run that would be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The watch.
    pub watch: String,
    /// Why the run would not be started now.
    pub refused: Option<String>,
    /// How old the state is that it would be given, where the key was not read.
    pub verified_seconds: Option<u64>,
    /// The user's name and number.
    pub user: String,
    /// The group's number.
    pub group: u32,
    /// The supplementary groups' numbers; null: those of the daemon.
    pub groups: Option<Vec<u32>>,
    /// The directory.
    pub directory: String,
    /// The file mode creation mask.
    pub umask: u32,
    /// The niceness; null: that of the daemon.
    pub nice: Option<i32>,
    /// The limits, as `nofile = 1024`.
    pub limits: Vec<String>,
    /// The environment, as `NAME=value`.
    pub environment: Vec<String>,
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// `validate` and its arguments, which judges the state before; empty: there is none, or it has judged it.
    #[serde(default)]
    pub validate: Vec<String>,
    /// Standard input as base64; null: `/dev/null`.
    pub input: Option<String>,
}

/// `1 watch`, `2 watches`. An integer that is not negative.
pub fn counted<N: TryInto<u64> + std::fmt::Display + Copy>(count: N, one: &str, many: &str) -> String {
    let word = if matches!(count.try_into(), Ok(1)) { one } else { many };
    format!("{count} {word}")
}
