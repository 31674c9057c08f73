//! Effects: what the machine requests from its task, in order.

use crate::watch::{Reason, RunId, Seq, State, Version};

/// One effect. The watch's task performs effects in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an effect that is not performed is a lost run or a lost signal"]
pub enum Effect {
    /// Request a slot among the daemon's `max_processes`; answered by [`Input::Slot`](super::Input::Slot). At most one request
    /// is open at a time.
    Acquire,
    /// Give back the slot, or withdraw the request: there is nothing to start now.
    Release,
    /// Start the action in the slot. Its end, also a failed start, comes back as
    /// [`Input::Ended`](super::Input::Ended).
    Start {
        /// Its state.
        state: State,
        /// Its reason.
        reason: Reason,
        /// 1, 2, …
        attempt: u32,
        /// How many updates it covers. A repetition of a run (retry, recovery) covers the same ones; a trigger that serves no
        /// update covers 0.
        coalesced: u64,
        /// The id of the new run, drawn from the caller's [`Entropy`](super::Entropy).
        run: RunId,
    },
    /// Send a signal to a live run.
    Signal {
        /// Which run.
        run: RunId,
        /// Which signal.
        sent: Sent,
    },
    /// No run starts for this state unless something else causes one.
    ///
    /// Each observed state gets exactly one `Skip` or one first [`Effect::Start`], except the state of an adopted run. A retry,
    /// a recovery, a trigger or a resume may still start it later.
    Skip {
        /// Its sequence number.
        seq: Seq,
        /// The reason.
        why: SkipReason,
    },
    /// The run that just ended succeeded with this state. `seq` never falls, even if parallel runs end out of order.
    Applied {
        /// The run that ended.
        run: RunId,
        /// The state's sequence number.
        seq: Seq,
        /// Its version.
        version: Version,
    },
    /// The last retry failed under `on_failure = "keep"`: nothing runs until a new state comes or an operator asks.
    GaveUp {
        /// Number of attempts.
        attempts: u32,
    },
    /// The last retry failed under `on_failure = "stop"`: record the stop.
    Stopped {
        /// Number of attempts.
        attempts: u32,
    },
    /// An operator ended the stop: delete its record.
    Revived,
    /// The pause expired or an operator ended it: delete its record.
    Resumed,
    /// The answer to a [`Control`](super::Control).
    Answer(Answer),
    /// After Retire or Stop the last run has ended. Only a late `Release`, `Skip` or `Answer` may follow.
    Drained,
}

/// The signal to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// The watch's `notify_signal`, to the leader.
    Notify,
    /// TERM to the group.
    Term,
    /// KILL to the group.
    Kill,
}

/// Why no run starts for a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// First state: `run_on_load` forbids it, or the ledger records it as applied.
    OnLoad,
    /// `run_mode = "discard"` while the action ran.
    Discarded,
    /// A newer state replaced it before it started; it counts in `TWITCHER_COALESCED`.
    Superseded,
    /// The key does not exist and `on_delete = "ignore"`, or it never existed.
    Absent,
    /// The watch is retiring or the daemon is stopping.
    Retiring,
}

/// The result of an operator's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// It is carried out.
    Accepted,
    /// It is not carried out.
    Refused(Refusal),
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Trigger: the watch is paused.
    Paused,
    /// Trigger: the watch is stopped.
    Stopped,
    /// The watch is retiring or the daemon is stopping.
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
