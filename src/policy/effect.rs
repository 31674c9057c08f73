//! Effects: what the machine requests from its task, in order.

use super::hold::Hold;
use super::permit::After;
use crate::watch::{PermitId, Reason, RunId, Seq, State, Version};

/// One effect. The watch's task performs effects in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an effect that is not performed is a lost run or a lost signal"]
pub enum Effect {
    /// Request a slot among the daemon's `max_processes`; answered by [`Input::Slot`](super::Input::Slot). At most one request
    /// is open at a time.
    Acquire,
    /// Give back the slot, or withdraw the request: there is nothing to start now.
    Release,
    /// Tell the fleet's group about the watch's permits.
    Permit(PermitEffect),
    /// Start the action in the slot. Its end, also a failed start, comes back as
    /// [`Input::Ended`](super::Input::Ended); a start that the daemon itself could not make is answered at once by
    /// [`Input::Prevented`](super::Input::Prevented), and counts as if it had not been requested.
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
    /// Give this state to `validate`; answered by [`Input::Validated`](super::Input::Validated). It judges at most one
    /// at a time.
    Validate {
        /// The state.
        state: State,
        /// Why it would be run.
        reason: Reason,
        /// How many updates its run would stand for.
        coalesced: u64,
    },
    /// End the program `validate`: the state that it judges is superseded, or nothing may start. Its answer is ignored.
    EndValidation,
    /// The guard holds the newest state back, until it is released or another one passes.
    Held {
        /// The state's version.
        version: Version,
        /// Why.
        hold: Hold,
    },
    /// This state has the content that was last applied, and needs no run: it is what was applied from now on.
    Recognised(State),
    /// The last retry failed under `on_failure = "keep"`: nothing runs until a new state comes or an operator asks.
    GaveUp {
        /// The run that just ended. Its state need not be the newest: `run_mode = "discard"` may have skipped newer ones.
        run: RunId,
        /// Number of attempts.
        attempts: u32,
    },
    /// The last retry failed under `on_failure = "stop"`: record the stop.
    Stopped {
        /// The run that just ended, as in [`Effect::GaveUp`].
        run: RunId,
        /// Number of attempts.
        attempts: u32,
    },
    /// An operator ended the stop: delete its record.
    Revived,
    /// The pause expired or an operator ended it: delete its record.
    Resumed,
    /// The answer to a [`Control`](super::Control).
    Answer(ControlResult),
    /// After Retire or Stop the last run has ended. Only a late `Release`, `Skip` or `Answer` may follow.
    Drained,
}

/// An effect that concerns the fleet; only a watch with permits has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an effect that is not performed is a permit that nobody returns"]
pub enum PermitEffect {
    /// Ask the fleet for a permit for this state; answered by [`Input::Permit`](super::Input::Permit). An open ask
    /// for another state was withdrawn before.
    Ask {
        /// The state's order.
        order: Seq,
        /// A run of an older state is ended for it once the permit is there.
        swap: bool,
    },
    /// No permit is asked for any more.
    Withdraw,
    /// Confirm in the store that the permit holds, for a start in the slot that was granted; answered by
    /// [`Input::Claimed`](super::Input::Claimed) or [`Input::Refused`](super::Input::Refused).
    Claim {
        /// Which.
        permit: PermitId,
        /// The attempt that is to start: 1, 2, …
        attempt: u32,
    },
    /// A run with a permit has ended.
    Report {
        /// Which.
        run: RunId,
        /// Its permit.
        permit: PermitId,
        /// What happens to the permit.
        then: After,
    },
    /// The permit is not needed: it is unused, its deadline has passed, or it was kept long enough.
    Return {
        /// Which.
        permit: PermitId,
        /// Its deadline has passed: this counts as a failure.
        failed: bool,
    },
}

impl From<PermitEffect> for Effect {
    fn from(effect: PermitEffect) -> Self {
        Self::Permit(effect)
    }
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
    /// The guard holds it back.
    Held,
}

/// The result of an operator's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControlResult {
    /// It is carried out.
    Accepted,
    /// It is not carried out.
    Refused(Refusal),
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Trigger, release: the watch is paused.
    Paused,
    /// Trigger, release: the watch is stopped.
    Stopped,
    /// The watch is retiring or the daemon is stopping.
    Retiring,
    /// Trigger: the store has not shown a state yet.
    NoState,
    /// Trigger: the key does not exist and `on_delete = "ignore"`.
    Absent,
    /// Trigger: the action runs and `run_mode = "discard"`.
    Running,
    /// Trigger: the guard holds the newest state back.
    Held,
    /// Release: the newest state is not held.
    NotHeld,
    /// Resume: neither paused nor stopped.
    NothingToResume,
}
