//! What the machine is told.

use std::time::Instant;

use super::permit::Grant;
use crate::watch::{PermitId, Reason, RunId, State, Verdict, Version};

/// What is already settled when a machine begins, so that a first state can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Baseline {
    /// Nothing is known: the first state is judged by `run_on_load`.
    Unknown,
    /// The first state was applied already (by the ledger): it runs under `run_on_load = true` only.
    Applied,
    /// The first state was not applied, and something before it was: it runs unless `run_on_load = false`.
    Changed,
    /// A run was cut short when the daemon ended: whatever the first state is, it runs, as a recovery.
    Interrupted,
    /// The same target was watched until now under another definition, which had not yet dealt with this
    /// first state: it runs even under `run_on_load = false`.
    Pending,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "no watch needs permits yet, so nothing is heard of one"))]
pub enum Input {
    /// The store shows a state. The first one is judged by the baseline, given with it.
    ///
    /// A state whose order is not above that of the newest is ignored.
    State {
        /// What is there now; its order is higher than that of any state before.
        state: State,
        /// How many updates it stands for, at least 1.
        updates: u64,
        /// What is known about the first state of this machine; ignored for later ones.
        baseline: Baseline,
    },
    /// A slot to run in was granted (the machine had asked with [`Effect::Acquire`](super::Effect::Acquire)).
    Slot,
    /// The fleet grants a permit (the machine had asked with [`Effect::Ask`](super::Effect::Ask)), or one whose claim
    /// it refused can be claimed again.
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
    /// A run ended, or could not be started. Its slot is free again: whoever performs effects gives it back.
    Ended(RunEnd),
    /// Time passed; nothing else happened.
    Wakeup,
    /// Somebody asked for something; answered by exactly one [`Effect::Answer`](super::Effect::Answer).
    Control(Control),
    /// The definition was changed or removed: start nothing more, let live runs finish.
    Retire {
        /// When TERM goes to a run that has no `timeout` of its own, if ever.
        deadline: Option<Instant>,
    },
    /// The daemon stops: start nothing more; live runs may finish until `deadline`, then their timeout
    /// sequence. Said again with an earlier deadline, that one counts.
    Stop {
        /// When TERM goes to what still runs.
        deadline: Instant,
    },
}

/// A run's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// Which run.
    pub run: RunId,
    /// What its end means.
    pub verdict: Verdict,
}

/// What an operator asks of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Run now with the current state.
    Trigger,
    /// Start nothing, until then or until resumed.
    Pause {
        /// When it resumes by itself.
        until: Option<Instant>,
    },
    /// Go on, and apply the newest state if it was not applied.
    Resume,
}

/// A pause that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pause {
    /// When it ends by itself; `None`: by [`Control::Resume`] only.
    pub until: Option<Instant>,
}

/// How a watch stood when the daemon ended, by the ledger.
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
    /// The version of the state that it was given, where the ledger knows.
    pub version: Option<Version>,
    /// Why it was started.
    pub reason: Reason,
    /// 1, 2, …
    pub attempt: u32,
    /// How many updates it stands for.
    pub coalesced: u64,
    /// When it began: its `timeout` counts from there.
    pub started: Instant,
    /// The permit under which it was started. The order in it is not known yet.
    pub permit: Option<Grant>,
}
