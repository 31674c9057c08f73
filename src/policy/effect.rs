//! What the machine answers: what is to be done, in order.

use crate::watch::{Reason, RunId, Seq, State, Version};

/// What is to be done. Performed in order by the watch's task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an effect that is not performed is a lost run or a lost signal"]
pub enum Effect {
    /// Ask for a slot among the daemon's `max_processes`; answered by [`Input::Slot`](super::Input::Slot).
    /// At most one request is open at a time.
    Acquire,
    /// Give back the slot, or the place in the queue for one: nothing is to be run now.
    Release,
    /// Start the action in the slot. Its end, also a failed start, comes back as
    /// [`Input::Ended`](super::Input::Ended).
    Start {
        /// The state that it is given.
        state: State,
        /// Why.
        reason: Reason,
        /// 1, 2, …
        attempt: u32,
        /// How many updates it stands for. A run that repeats another (retry, recovery) stands for the
        /// same ones; a trigger that serves no update stands for 0.
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
    ///
    /// Each observed state gets exactly one of this and its first [`Effect::Start`], but the one that an
    /// adopted run already has. A retry, a recovery, a trigger or a resume may start it (again) later.
    Skip {
        /// Its order.
        seq: Seq,
        /// Why.
        why: SkipReason,
    },
    /// The state was given to a run that succeeded. Orders never fall here, also where parallel runs
    /// end out of order.
    Applied {
        /// The state's order.
        seq: Seq,
        /// Its version.
        version: Version,
    },
    /// The last retry failed under `on_failure = "stop"`: to be remembered across restarts.
    Stopped,
    /// The stop was ended by an order: to be forgotten.
    Revived,
    /// The pause ended by itself or by an order: to be forgotten.
    Resumed,
    /// The answer to a [`Control`](super::Control).
    Answer(Answer),
    /// Nothing is live any more after Retire or Stop. Nothing but a late `Release`, `Skip` or `Answer`
    /// follows.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// `run_on_load` says so, or the ledger knows it as applied.
    OnLoad,
    /// `run_mode = "discard"` and the action was running.
    Discarded,
    /// A newer state took its place before it could start; it counts in `TWITCHER_COALESCED`.
    Superseded,
    /// The key is gone and `on_delete = "ignore"`, or it was never there.
    Absent,
    /// The watch is being retired or the daemon stops.
    Retiring,
}

/// What became of an operator's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// It is being done.
    Accepted,
    /// It is not.
    Refused(Refusal),
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Trigger: the watch is paused.
    Paused,
    /// Trigger: the watch is stopped.
    Stopped,
    /// The watch is being retired or the daemon stops.
    Retiring,
    /// Trigger: the store has not shown a state yet.
    NoState,
    /// Trigger: the key does not exist and `on_delete = "ignore"`.
    Absent,
    /// Trigger: the action runs and `run_mode = "discard"`.
    Running,
    /// Resume: neither paused nor stopped.
    NothingToResume,
}
