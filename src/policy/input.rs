//! The machine's inputs.

use std::time::Instant;

use super::permit::Grant;
use crate::watch::{PermitId, Reason, RunId, Seq, State, Verdict, Version};

/// What is known when a machine starts, for judging the first state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Baseline {
    /// Nothing is known: the first state is judged by `run_on_load`.
    Unknown,
    /// The ledger records the first state as applied: it runs only under `run_on_load = true`.
    Applied,
    /// The first state was not applied, and something before it was: it runs unless `run_on_load = false`.
    Changed,
    /// The last retry with the first state failed under this same definition: like `Changed`, but under
    /// `run_on_load = false` the watch is shown as given up.
    GaveUp,
    /// A run was interrupted when the daemon ended: any first state runs, as a recovery.
    Interrupted,
    /// The same target was watched until now under another definition, which had not yet applied this first state: it runs even
    /// under `run_on_load = false`.
    Pending,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The store shows a state. The first one is judged by the baseline, given with it.
    ///
    /// A state whose sequence number is not above that of the newest is ignored.
    State {
        /// The state; its sequence number is higher than any before.
        state: State,
        /// How many updates it stands for, at least 1.
        updates: u64,
        /// What is known about the first state of this machine. Of a later one it only counts that it has the
        /// content that was last applied ([`Baseline::Applied`]), and only after one that was held.
        baseline: Baseline,
    },
    /// A slot was granted (the machine had requested it with [`Effect::Acquire`](super::Effect::Acquire)).
    Slot,
    /// The fleet grants a permit (the machine had asked with [`PermitEffect::Ask`](super::PermitEffect::Ask)), or one
    /// whose claim it refused can be claimed again.
    Permit(Grant),
    /// The store has confirmed the claim: a start may happen until then.
    Claimed {
        /// Which.
        permit: PermitId,
        /// A start at this moment or later needs another claim.
        fresh_until: Instant,
    },
    /// The store has refused the claim: nothing starts now.
    Refused(PermitId),
    /// The permit is gone: what runs under it goes on, and nothing more starts under it.
    PermitLost(PermitId),
    /// The store does not answer the claim that is under way.
    Offline,
    /// `validate` has judged the state of an [`Effect::Validate`](super::Effect::Validate).
    Validated {
        /// Its sequence number.
        seq: Seq,
        /// It exited 0.
        valid: bool,
    },
    /// A run ended, or could not be started. Its slot is free again: whoever performs effects gives it back.
    Ended(RunEnd),
    /// The daemon could not start the run of the last [`Effect::Start`](super::Effect::Start) for want of a resource of
    /// its own. That is no run: what was to be started waits again. Its slot is free again.
    Prevented(RunId),
    /// Time passed; nothing else happened.
    Wakeup,
    /// An operator's request; answered by exactly one [`Effect::Answer`](super::Effect::Answer).
    Control(Control),
    /// The definition was changed or removed: start nothing more, let live runs finish.
    Retire {
        /// When a run without its own `timeout` gets TERM, if ever.
        deadline: Option<Instant>,
    },
    /// The daemon is stopping: start nothing more; live runs may finish until `deadline`, then their timeout sequence begins. A
    /// second one with an earlier deadline replaces it.
    Stop {
        /// When live runs get TERM.
        deadline: Instant,
    },
}

/// A run's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// Which run.
    pub run: RunId,
    /// Its verdict.
    pub verdict: Verdict,
}

/// An operator's request to a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Run now with the current state.
    Trigger(Permission),
    /// Start nothing until then or until resumed.
    Pause {
        /// When it resumes by itself.
        until: Option<Instant>,
    },
    /// Resume, and apply the newest state if it was not applied.
    Resume,
    /// Let the state through that the guard holds back.
    Release,
}

/// Whether a triggered run needs a permit of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Like any other run of the watch.
    Needed,
    /// It starts without one. A newer state that supersedes it before the start needs none either; one after it does.
    Waived,
}

/// A pause in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pause {
    /// When it ends by itself; `None`: by [`Control::Resume`] only.
    pub until: Option<Instant>,
}

/// How the watch was suspended when the daemon ended, by the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Suspension {
    /// Paused by an operator.
    pub paused: Option<Pause>,
    /// Stopped by `on_failure = "stop"`, under this same definition.
    pub stopped: bool,
}

/// A run of a former daemon that is still alive (promise P3). It holds no slot of this daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Which.
    pub run: RunId,
    /// The version of its state, if the ledger knows it.
    pub version: Option<Version>,
    /// Why it was started.
    pub reason: Reason,
    /// 1, 2, …
    pub attempt: u32,
    /// How many updates it stands for.
    pub coalesced: u64,
    /// When it started: its `timeout` counts from there.
    pub started: Instant,
    /// The permit under which it was started. The order in it is not known yet.
    pub permit: Option<Grant>,
}
