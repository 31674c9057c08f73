//! What the machine is told and what it answers.

use std::time::Instant;

use crate::watch::{Reason, RunId, State, Verdict};

/// What is already settled when a machine begins, so that a first state can be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
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
pub enum Input {
    /// The store shows a state. The first one is judged by the baseline, given with it.
    State {
        /// What is there now; its order is higher than that of any state before.
        state: State,
        /// How many updates it stands for, at least 1.
        updates: u64,
        /// What is known about the first state of this machine; ignored for later ones.
        baseline: Baseline,
    },
    /// A slot to run in was granted (the machine had asked with [`Effect::Acquire`]).
    Slot,
    /// A run ended, or could not be started.
    Ended(Ended),
    /// Time passed; nothing else happened.
    Wakeup,
    /// Somebody asked for something.
    Control(Control),
    /// The definition was changed or removed: start nothing more, let live runs finish.
    Retire,
    /// The daemon stops: start nothing more; live runs may finish until `deadline`, then their timeout sequence.
    Stop {
        /// When TERM goes to what still runs.
        deadline: Instant,
    },
}

/// A run's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
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

/// What is to be done. Performed in order by the watch's task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an effect that is not performed is a lost run or a lost signal"]
pub enum Effect {
    /// Ask for a slot among the daemon's `max_processes`; answered by [`Input::Slot`].
    Acquire,
    /// Give back the slot, or the place in the queue for one: nothing is to be run any more.
    Release,
    /// Start the action in the slot. Its end, also a failed start, comes back as [`Input::Ended`].
    Start {
        /// The state that it is given.
        state: State,
        /// Why.
        reason: Reason,
        /// 1, 2, …
        attempt: u32,
        /// How many updates it stands for.
        coalesced: u64,
        /// Which run it becomes; drawn by the machine from the caller's source of ids.
        run: RunId,
    },
    /// Send a signal to a live run.
    Signal {
        /// Which run.
        run: RunId,
        /// What.
        sent: Sent,
    },
    /// A state will not be run by itself, and why.
    Skip {
        /// Its order.
        order: crate::watch::Order,
        /// Why.
        why: SkipReason,
    },
    /// The state was given to a run that succeeded.
    Applied {
        /// The state's order.
        order: crate::watch::Order,
        /// Its version.
        version: crate::watch::Version,
    },
    /// The last retry failed under `on_failure = "stop"`: to be remembered across restarts.
    Stopped,
    /// The pause ended by itself or by an order.
    Resumed,
    /// Nothing is live any more after Retire or Stop. The machine's last effect.
    Drained,
}

/// A signal as the machine means it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// The watch's `notify_signal`, to the leader.
    Notify,
    /// TERM to the group.
    Term,
    /// KILL to the group.
    Kill,
}

/// Why a state was not run by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// `run_on_load` says so, or the ledger knows it as applied.
    OnLoad,
    /// `run_mode = "discard"` and the action was running.
    Discarded,
    /// A newer state took its place before it could start; it counts in `TWITCHER_COALESCED`.
    Superseded,
    /// The key is gone and `on_delete = "ignore"`, or it was never there.
    Absent,
    /// The watch is paused; the newest state is kept.
    Paused,
    /// The watch is stopped; the newest state is kept.
    Stopped,
    /// The watch is being retired or the daemon stops.
    Retiring,
}
