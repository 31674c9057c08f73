//! What a member is told and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use crate::fleet::record::{BehindWhy, HostRecord, Instance, Last, Permit};
use crate::fleet::terms::Terms;
use crate::fleet::{
    BootTime, HostName, KeyState, PermitId, Revision, StateId, StateIdentity, TenureId, Transaction,
    TransactionOutcome,
};

/// Who is a member of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Our host.
    pub host: HostName,
    /// Our start.
    pub inst: Instance,
    /// The machine, for people.
    pub machine: String,
    /// The former start of this daemon, and its tenure, where the ledger remembers one.
    pub former: Option<TenureId>,
    /// Our `[watch.fleet]`.
    pub terms: Arc<Terms>,
    /// What we watch: key, type and the store's prefix.
    pub target: Arc<str>,
    /// What makes its states equal.
    pub identity: StateIdentity,
    /// Time after which a run of ours has ended.
    pub limit: Duration,
    /// Time after which a tenure ends that is not renewed.
    pub ttl: Duration,
}

/// What a member is told: by the store, and by its watch's policy machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Answers [`Effect::OpenTenure`].
    Tenure(TenureId),
    /// Our tenure is lost, or may be.
    TenureLost,
    /// Answers [`Effect::Revoke`].
    Revoked,
    /// Answers the [`Effect::Commit`] with this number.
    Committed(u64, TransactionOutcome),
    /// Answers [`Effect::ReadOwn`], and also comes once per `verify_interval`.
    Own(Own),
    /// The store was restored from a backup: revisions may be lower than those that are known.
    Restored,
    /// The watch shows our permit. May come late, twice, or not at all.
    Permit(KeyState),
    /// The terms were changed in the file.
    Terms(Arc<Terms>),
    /// `ttl` was changed in the file. [`Input::TenureLost`] for the tenure with the former `ttl` follows.
    Ttl(Duration),
    /// The watch has another `timeout` or `kill_after`, and nothing runs: see [`Profile::limit`].
    Limit(Duration),
    /// A state was applied without a permit: by the ledger, by an unlimited watch.
    Applied(StateId),
    /// The watch is behind with a state, and does not ask.
    Behind(Option<StateId>, BehindWhy),
    /// The watch gave up on a state: its last retry failed, maybe in a former start of the daemon.
    GaveUp(StateId),
    /// The watch wants to start an action with this state.
    Ask {
        /// Which.
        state: StateId,
        /// It runs an older state under a permit, which it will exchange.
        swap: bool,
        /// Longest random delay of the ask, so that not all hosts ask at once.
        within: Duration,
    },
    /// It does not want to any more.
    Withdraw,
    /// The action is about to be started: answered by [`Effect::Claimed`] or [`Effect::Refused`].
    Claim {
        /// Under which permit.
        permit: PermitId,
        /// 1, 2, …
        attempt: u32,
    },
    /// A run ended.
    Ended {
        /// The permit under which it was started.
        permit: PermitId,
        /// The state that it was given.
        state: StateId,
        /// How.
        last: Last,
        /// What happens to the permit.
        then: Then,
    },
    /// A run starts without a permit: an operator ordered that, or the ledger knows of none for an adopted run.
    Unpermitted {
        /// The state that it is given, where that is known.
        state: Option<StateId>,
        /// 1, 2, …
        attempt: u32,
    },
    /// That run ended.
    UnpermittedEnded {
        /// The state that it was given, where that is known.
        state: Option<StateId>,
        /// How.
        last: Last,
    },
    /// The permit is not needed any more: unused, after its hold, after its deadline.
    Return {
        /// Which.
        permit: PermitId,
        /// It ends in failure: the deadline has passed.
        failed: bool,
    },
    /// The daemon stops: nothing runs any more.
    Stop,
    /// The watch was removed.
    Leave,
    /// A deadline has come.
    Wakeup,
}

/// What happens to a permit after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is given back.
    Return,
    /// It is kept for the next attempt.
    Retry,
    /// It is kept for a while after success.
    Hold,
}

/// The keys of our host, read linearizably.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// `hosts/HOST`.
    pub record: KeyState,
    /// `alive/HOST`.
    pub alive: KeyState,
    /// `permits/HOST`.
    pub permit: KeyState,
    /// The revision of `control`.
    pub control: Revision,
}

/// Work for the caller.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an effect that is not performed leaves a host without a record or a permit without an owner"]
pub enum Effect {
    /// Open a tenure; answered by [`Input::Tenure`].
    OpenTenure,
    /// End a tenure; answered by [`Input::Revoked`].
    Revoke(TenureId),
    /// Read our keys; answered by [`Input::Own`].
    ReadOwn,
    /// Send a transaction; answered by [`Input::Committed`] with the same number.
    Commit(u64, Transaction),
    /// To the policy machine: the host may act.
    Permit(Arc<Permit>),
    /// To the policy machine: the start may happen until then.
    Claimed {
        /// Under which permit.
        permit: PermitId,
        /// Not later.
        fresh_until: BootTime,
    },
    /// To the policy machine: no start now. [`Effect::Permit`] comes again when the permit can be claimed.
    Refused(PermitId),
    /// To the policy machine: the permit is gone. What runs goes on; nothing starts under it.
    PermitLost(PermitId),
    /// Our name is another daemon's, or is not any more.
    Conflict(bool),
}

/// A transaction that is under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pending {
    Register,
    Twin,
    Write(Box<HostRecord>),
    Claim { permit: PermitId, record: Box<HostRecord>, sent: BootTime },
    Leave,
}
