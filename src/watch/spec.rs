//! A watch file's meaning: every default applied, every name resolved.
//!
//! Two definitions that are equal here mean the same, however they were written (promise P7).

use std::sync::Arc;
use std::time::Duration;

use super::words::choice;
use super::{
    Action, FleetSpec, Machine, MutexName, SignalNumber, Surroundings, Target, WatchName, WatchType,
};

/// The whole definition of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSpec {
    /// Unique name.
    pub name: WatchName,
    /// Text for people.
    pub description: String,
    /// Whether it is active; a disabled watch is known and shown.
    pub enabled: bool,
    /// The target.
    pub target: Target,
    /// The action.
    pub action: Action,
    /// The attributes of its process. Shared among watches with equal ones.
    pub surroundings: Arc<Surroundings>,
    /// Whether the state is written on standard input.
    pub pipe_stdin: bool,
    /// The format of the state.
    pub format: Format,
    /// Where output goes.
    pub output: Output,
    /// After this long without proof of life the target is read again; above zero.
    pub verify_interval: Duration,
    /// The longest wait before a start; [`PolicySpec::splay`] is drawn from it.
    pub splay: Duration,
    /// At most one run at a time among all watches of this machine with the same mutex.
    pub mutex: Option<MutexName>,
    /// How it takes part in a fleet. Boxed: most watches take no part.
    pub fleet: Option<Box<FleetSpec>>,
    /// Judges a state before it is applied: unless it exits 0 the state is held. Boxed: most watches have none.
    pub validate: Option<Box<Action>>,
    /// Run once when the last retry of a state failed, or a guard holds it back. Boxed: most watches have none.
    pub on_give_up: Option<Box<Action>>,
    /// Where it runs, for the environment of the action. Shared by all watches.
    pub machine: Arc<Machine>,
    /// When it is run. Shared among watches with equal policies.
    pub policy: Arc<PolicySpec>,
}

impl WatchSpec {
    /// Whether the two differ at most in the machine's variables, which are not part of the definition.
    pub fn is_defined_as(&self, other: &Self) -> bool {
        (&self.description, &self.fleet) == (&other.description, &other.fleet)
            && self.means_the_same_as(other)
    }

    /// Whether the two differ in nothing but the text for people, the machine and the terms of the fleet: a live
    /// watch takes these over.
    pub fn means_the_same_as(&self, other: &Self) -> bool {
        let Self {
            name,
            description: _,
            enabled,
            target,
            action,
            surroundings,
            pipe_stdin,
            format,
            output,
            verify_interval,
            splay,
            mutex,
            fleet,
            validate,
            on_give_up,
            machine: _,
            policy,
        } = self;
        // Whether runs need permits is no hot term: what is under way was begun under the other rule.
        let part = |fleet: &Option<Box<FleetSpec>>| {
            fleet.as_ref().map(|fleet| (fleet.group.clone(), fleet.needs_permits()))
        };
        (name, target, action, surroundings)
            == (&other.name, &other.target, &other.action, &other.surroundings)
            && (pipe_stdin, format, output) == (&other.pipe_stdin, &other.format, &other.output)
            && (verify_interval, splay, policy) == (&other.verify_interval, &other.splay, &other.policy)
            && (enabled, mutex) == (&other.enabled, &other.mutex)
            && (validate, on_give_up) == (&other.validate, &other.on_give_up)
            && part(fleet) == part(&other.fleet)
    }
}

/// The default `verify_interval`.
pub const VERIFY_INTERVAL: Duration = Duration::from_mins(5);

/// The policy machine's settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicySpec {
    /// What the first state does.
    pub run_on_load: RunOnLoad,
    /// What an update does while the action runs.
    pub run_mode: RunMode,
    /// What the deletion of the key does.
    pub on_delete: OnDelete,
    /// Sent to the running process when an update arrives (queue).
    pub notify_signal: Option<SignalNumber>,
    /// SIGTERM after this long.
    pub timeout: Option<Duration>,
    /// SIGKILL this long after SIGTERM.
    pub kill_after: Duration,
    /// `settle`: an update waits until none has come for this long.
    pub settle: Duration,
    /// `settle_max`: the longest that settling may delay an update.
    pub settle_max: Duration,
    /// The wait before a start, already drawn for this host and watch from 0..=splay.
    pub splay: Duration,
    /// Minimum time between two starts.
    pub min_interval: Duration,
    /// How often a failed run is retried.
    pub retries: Retries,
    /// Delay before the first retry; it doubles.
    pub retry_delay: Duration,
    /// Longest delay before a retry.
    pub retry_delay_max: Duration,
    /// What happens after the last retry.
    pub on_failure: OnFailure,
    /// Exit codes that mean success. Sorted, never empty.
    pub success_codes: Vec<i32>,
    /// What holds a state back.
    pub guard: Guard,
}

/// What holds a state back, so that no store that was emptied by mistake empties everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Guard {
    /// A state with fewer entries is held.
    pub min_entries: u64,
    /// A state with more than this many percent fewer entries than the last applied one is held; below 100.
    pub max_shrink: Option<u8>,
    /// Which states are given to `validate`.
    pub validate: Validate,
}

/// Which states the program `validate` judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Validate {
    /// None: there is no such program.
    #[default]
    Nothing,
    /// Values. A key that does not exist has none to be judged.
    Values,
    /// Every one: children and trees may be empty.
    Everything,
}

impl Guard {
    /// Whether it holds anything back.
    pub fn is_on(self) -> bool {
        self.counts() || self.validate != Validate::Nothing
    }

    /// Whether it judges a state, which may be that the key does not exist.
    pub fn judges(self, absent: bool) -> bool {
        self.counts() || self.validates(absent)
    }

    /// Whether it gives such a state to `validate`.
    pub fn validates(self, absent: bool) -> bool {
        match self.validate {
            Validate::Nothing => false,
            Validate::Values => !absent,
            Validate::Everything => true,
        }
    }

    fn counts(self) -> bool {
        let Self { min_entries, max_shrink, validate: _ } = self;
        min_entries > 0 || max_shrink.is_some()
    }
}

impl Default for PolicySpec {
    /// The policy of a watch without any of these fields.
    fn default() -> Self {
        let retry_delay = Duration::from_secs(5);
        Self {
            run_on_load: RunOnLoad::Always,
            run_mode: RunMode::Queue,
            on_delete: OnDelete::Ignore,
            notify_signal: None,
            timeout: None,
            kill_after: Duration::from_secs(5),
            settle: Duration::ZERO,
            settle_max: Self::settle_max_of(Duration::ZERO),
            splay: Duration::ZERO,
            min_interval: Duration::ZERO,
            retries: Retries::AtMost(3),
            retry_delay,
            retry_delay_max: Self::retry_delay_max_of(retry_delay),
            on_failure: OnFailure::Keep,
            success_codes: vec![0],
            guard: Guard::default(),
        }
    }
}

impl PolicySpec {
    /// `settle_max` of a watch that writes only `settle`: 10 times as long.
    pub fn settle_max_of(settle: Duration) -> Duration {
        settle.saturating_mul(10)
    }

    /// `retry_delay_max` of a watch that writes only `retry_delay`: 5 minutes, or `retry_delay` if that is longer.
    pub fn retry_delay_max_of(retry_delay: Duration) -> Duration {
        Duration::from_mins(5).max(retry_delay)
    }
}

/// What the first state after loading does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunOnLoad {
    /// `true`: it runs the action.
    Always,
    /// `false`: it runs nothing; only later states do.
    Never,
    /// `"changed"`: it runs the action unless the ledger records this state as applied.
    Changed,
}

/// What an update does while the action runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunMode {
    /// One more run afterwards, with the newest state.
    Queue,
    /// Nothing.
    Discard,
    /// A run of its own beside the others, at most `most` at once; more updates wait in order.
    Parallel {
        /// `max_parallel`, at least 1.
        max: u32,
    },
    /// The run is ended, and one with the newest state started.
    Restart,
}

impl RunMode {
    /// The default `max_parallel`.
    pub const MAX_PARALLEL: u32 = 16;

    /// Its name.
    pub const fn name(self) -> RunModeName {
        match self {
            Self::Queue => RunModeName::Queue,
            Self::Discard => RunModeName::Discard,
            Self::Parallel { max: _ } => RunModeName::Parallel,
            Self::Restart => RunModeName::Restart,
        }
    }
}

choice! {
    /// The name of a [`RunMode`]: what an update does while the action runs.
    pub enum RunModeName {
        Queue = "queue": "run once more afterwards, with the newest state",
        Discard = "discard": "nothing: an update that comes while the action runs is dropped",
        Parallel = "parallel": "run beside it, once for every update",
        Restart = "restart": "end it (TERM, then KILL) and start again with the newest state",
    }
}

choice! {
    /// What the deletion of a key does.
    pub enum OnDelete {
        Ignore = "ignore": "deletion runs nothing",
        Run = "run": "deletion runs the action with empty input and TWITCHER_REASON=delete",
    }
}

/// How often a failed run is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retries {
    /// This many times.
    AtMost(u32),
    /// Until it succeeds or a newer state arrives.
    Unlimited,
}

choice! {
    /// What happens after the last retry.
    pub enum OnFailure {
        Keep = "keep": "the watch goes on with the next state",
        Stop = "stop": "nothing starts until the definition changes or `twitcher resume`",
    }
}

choice! {
    /// How a state is written on standard input.
    pub enum Format {
        Raw = "raw": "a value as it is, byte for byte; children and tree as with lines",
        Lines = "lines": "a value with a newline at its end, one name a line (children), or PATH=VALUE a line (tree)",
        Json = "json": "a string (data), an array (children) or nested objects (tree)",
        Yaml = "yaml": "the same shape as YAML",
        Toml = "toml": "the same shape as TOML, where a value is called value, and children are called children",
    }
}

impl Format {
    /// The default format of a watch. Every format can hold every state; see
    /// [`document::render`](crate::tree::document::render).
    pub const fn default_for(watch_type: WatchType) -> Self {
        match watch_type {
            WatchType::Data => Self::Raw,
            WatchType::Children => Self::Lines,
            WatchType::Tree => Self::Json,
        }
    }
}

choice! {
    /// Where an action's output goes, as a watch file can choose.
    pub enum LogOutput {
        Log = "log": "to the log, line by line",
        Null = "null": "nowhere",
    }
}

/// Where an action's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// To the log, line by line.
    Log,
    /// Nowhere.
    Null,
    /// To twitcher's own standard output and error, unchanged. No watch file can choose this.
    Inherit,
    /// The same, and the terminal as standard input, in the foreground. No watch file can ask for it.
    Terminal,
}

impl Output {
    /// The word in a watch file, if there is one.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Log => LogOutput::Log.word(),
            Self::Null => LogOutput::Null.word(),
            Self::Inherit => "inherit",
            Self::Terminal => "terminal",
        }
    }
}

impl From<LogOutput> for Output {
    fn from(output: LogOutput) -> Self {
        match output {
            LogOutput::Log => Self::Log,
            LogOutput::Null => Self::Null,
        }
    }
}
