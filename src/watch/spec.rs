//! A watch as its file means it: every default applied, every name resolved.
//!
//! Two definitions that are equal here mean the same, however they were written (promise P7).

use std::sync::Arc;
use std::time::Duration;

use super::{Action, SignalNumber, Surroundings, Target, WatchName};

/// The whole definition of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSpec {
    /// Unique name.
    pub name: WatchName,
    /// Text for people.
    pub description: String,
    /// What is watched.
    pub target: Target,
    /// What is run.
    pub action: Action,
    /// As whom and where. Shared with the watches that say the same.
    pub surroundings: Arc<Surroundings>,
    /// Whether the state is written on standard input.
    pub pipe_stdin: bool,
    /// How it is written there.
    pub format: Format,
    /// Where output goes.
    pub output: Output,
    /// After this long without proof of life the target is read again; above zero.
    pub verify_interval: Duration,
    /// When it is run. Shared likewise.
    pub policy: Arc<PolicySpec>,
}

impl WatchSpec {
    /// Whether the two differ in nothing but the text for people.
    pub fn means_the_same_as(&self, other: &Self) -> bool {
        let Self {
            name,
            description: _,
            target,
            action,
            surroundings,
            pipe_stdin,
            format,
            output,
            verify_interval,
            policy,
        } = self;
        (name, target, action, surroundings)
            == (&other.name, &other.target, &other.action, &other.surroundings)
            && (pipe_stdin, format, output) == (&other.pipe_stdin, &other.format, &other.output)
            && (verify_interval, policy) == (&other.verify_interval, &other.policy)
    }
}

/// All that the policy machine decides by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicySpec {
    /// What the first state does.
    pub run_on_load: RunOnLoad,
    /// What an update does while the action runs.
    pub run_mode: RunMode,
    /// Whether a deletion runs the action.
    pub on_delete: OnDelete,
    /// Sent to the running process when an update arrives (queue).
    pub notify_signal: Option<SignalNumber>,
    /// TERM after this long.
    pub timeout: Option<Duration>,
    /// KILL this long after TERM.
    pub kill_after: Duration,
    /// Quiet time to wait for.
    pub settle: Duration,
    /// At most this long in all.
    pub settle_max: Duration,
    /// The wait before a start, already drawn for this host and watch out of 0..=splay.
    pub splay: Duration,
    /// Starts are at least this far apart.
    pub min_interval: Duration,
    /// How often a failed run is repeated.
    pub retries: Retries,
    /// First delay before a retry; doubles.
    pub retry_delay: Duration,
    /// Longest delay before a retry.
    pub retry_delay_max: Duration,
    /// What happens after the last retry.
    pub on_failure: OnFailure,
    /// Exit codes that mean success. Never empty.
    pub success_codes: Vec<i32>,
}

/// What the first state after loading does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunOnLoad {
    /// It runs the action.
    Always,
    /// It is only taken note of.
    Never,
    /// It runs the action unless the ledger says that this state was applied.
    Changed,
}

/// What an update does while the action runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunMode {
    /// Once more afterwards, with the newest state.
    Queue,
    /// Nothing.
    Discard,
    /// A run of its own beside it, at most so many at once; more wait in order.
    Parallel {
        /// `max_parallel`, at least 1.
        max: u32,
    },
    /// The run is ended and the newest state started.
    Restart,
}

/// What the deletion of a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDelete {
    /// Nothing.
    Ignore,
    /// It runs the action with empty input.
    Run,
}

/// How often a failed run is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retries {
    /// So many times.
    AtMost(u32),
    /// Until it works or a newer state comes.
    Unlimited,
}

/// What happens after the last retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFailure {
    /// The watch goes on with the next state.
    Keep,
    /// It starts nothing until its definition changes or it is resumed.
    Stop,
}

/// How a state is written on standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the formats")]
pub enum Format {
    Raw,
    Lines,
    Json,
    Yaml,
    Toml,
}

/// Where an action's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// To the log, line by line.
    Log,
    /// Nowhere.
    Null,
    /// To twitcher's own standard output and error, untouched.
    Inherit,
}
