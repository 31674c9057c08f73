//! Classifies hosts by the newest version and counts them, for the conductor and for display.

use std::sync::Arc;

use super::record::{
    BehindWhy, CarriedOut, ControlRecord, Counts, HostRecord, HostState, Permit, RolloutState,
};
use super::terms::MaxParallel;
use super::{HostName, PermitId, Revision, StateId, StateIdentity};

/// What the store has of one host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Keys {
    /// Its record; `None` where there is none.
    pub record: Option<Arc<HostRecord>>,
    /// There is a record that cannot be read.
    pub unreadable: bool,
    /// Its daemon has a tenure.
    pub alive: bool,
    /// Its permit.
    pub permit: Option<Arc<Permit>>,
}

/// What hosts are compared with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measure {
    /// The newest version; `None`: none was seen yet.
    pub id: Option<StateId>,
    /// What makes states equal.
    pub identity: StateIdentity,
    /// What most members watch.
    pub target: Option<Arc<str>>,
    /// Members act under permits: one without a limit is in conflict.
    pub limited: bool,
    /// The last resume that was carried out.
    pub resumed: CarriedOut,
    /// The last retry that was carried out.
    pub retried: CarriedOut,
    /// The hosts that it names; empty: all.
    pub retry_hosts: Vec<HostName>,
}

impl Measure {
    fn is_newest(&self, state: Option<StateId>) -> bool {
        match (self.id, state) {
            (Some(id), Some(state)) => id.is_same(&state, self.identity),
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }
}

/// A host's state as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShownState {
    /// It has the version.
    Converged,
    /// It asks for a permit.
    Asking,
    /// It has a permit and has not claimed it.
    Granted,
    /// Its action runs.
    Running,
    /// It failed and tries again under its permit.
    Retrying,
    /// It has the version and keeps its permit for a while.
    Hold,
    /// None of the others.
    Behind,
    /// It failed and gave up, or was lost.
    Failed,
    /// It watches something else, or acts without a limit where others have one, or its name is another's.
    Conflict,
}

impl ShownState {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Asking => "asking",
            Self::Granted => "granted",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Hold => "hold",
            Self::Behind => "behind",
            Self::Failed => "failed",
            Self::Conflict => "conflict",
        }
    }
}

/// How a group is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// There is no rollout yet.
    Idle,
    /// Hosts act.
    Rolling,
    /// A wave is complete, and nothing starts for a while.
    Soaking,
    /// An operator paused it: nothing starts.
    Paused,
    /// Too many hosts failed.
    Stopped,
    /// An operator ended the version.
    Aborted,
    /// No live member is left to act.
    Done,
    /// Nobody conducts, so nothing starts.
    Unconducted,
}

impl GroupState {
    /// The state as the conductor knows it.
    pub fn of(rollout: RolloutState, orders: &Orders) -> Self {
        match rollout {
            RolloutState::Aborted => Self::Aborted,
            RolloutState::Stopped => Self::Stopped,
            _ if orders.pauses() => Self::Paused,
            RolloutState::Idle => Self::Idle,
            RolloutState::Rolling => Self::Rolling,
            RolloutState::Soaking => Self::Soaking,
            RolloutState::Done => Self::Done,
        }
    }

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Rolling => "rolling",
            Self::Soaking => "soaking",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Aborted => "aborted",
            Self::Done => "done",
            Self::Unconducted => "unconducted",
        }
    }
}

/// How a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Standing {
    /// Its state.
    pub shown: ShownState,
    /// It has a record.
    pub member: bool,
    /// It has a readable record and a tenure.
    pub live: bool,
    /// Its tenure is gone, and it was not stopped.
    pub silent: bool,
    /// Its daemon was stopped.
    pub down: bool,
    /// Its action runs without its permit.
    pub over: bool,
    /// It has applied the newest version.
    pub done: bool,
    /// Its action may run, or it holds a permit.
    pub occupied: bool,
    /// It counts for `stop_on_failures`.
    pub failing: bool,
    /// It is live, and will act by itself, or as soon as it may.
    pub left: bool,
    /// It can act as a canary: its watch is neither paused nor stopped.
    pub ready: bool,
    /// It wants a permit that it does not have.
    pub wants: Option<Want>,
}

/// What a permit would be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    /// In exchange for the one of an older version.
    Swap,
    /// It asked.
    Asked,
    /// It failed and was forgiven by a resume.
    Forgiven,
    /// It failed, and an operator ordered a retry.
    Retry,
}

/// Judges one host. `lost`: it went away with its permit and has not come back with the version. `released`: it
/// has been silent for so long that its run must have ended.
pub fn judge(host: &HostName, keys: &Keys, measure: &Measure, lost: bool, released: bool) -> Standing {
    let Some(record) = keys.record.as_deref() else {
        return unknown(keys, lost);
    };
    let done = measure.is_newest(record.applied);
    let current = measure.is_newest(record.seen);
    let down = record.state == HostState::Down && !keys.alive;
    let conflict = record.state == HostState::Conflict
        || measure.target.as_ref().is_some_and(|target| *target != record.target)
        || measure.limited && record.terms.max_parallel == MaxParallel::Unlimited;
    let permit = keys.permit.as_ref().map(|permit| permit.id);
    let may_run = may_run(record.state);
    // While permits are swapped, the run goes on under the older one.
    let unpermitted = may_run && !record.swap && (record.permit.is_none() || record.permit != permit);
    let over = measure.limited && (unpermitted || record.state == HostState::Over);
    let occupied = permit.is_some() || may_run && !released;
    let has_failed = current && !done && record.failures > 0;
    let given_up = current && !done && record.state == HostState::Failed;
    let is_held = current && !done && record.why == Some(BehindWhy::Held) && measure.resumed.before.is_none();
    let forgiven = measure.resumed.covers(record.back);
    let failing = lost && !(keys.alive && done) || has_failed && !forgiven || is_held;
    let ready = keys.alive && !conflict && !is_suspended(record);
    // A host that has the version asks again after a trigger, or if it runs on load.
    let again = record.state == HostState::Asking;
    let wants = want(host, record, current && (!done || again) && ready, permit, measure);
    let shown = if conflict {
        ShownState::Conflict
    } else if done && record.state == HostState::Hold && permit.is_some() {
        ShownState::Hold
    } else if done {
        ShownState::Converged
    } else if may_run && !released {
        ShownState::Running
    } else if record.state == HostState::Retrying && permit.is_some() {
        ShownState::Retrying
    } else if lost || given_up && !forgiven {
        ShownState::Failed
    } else if permit.is_some() && record.back < permit {
        ShownState::Granted
    } else if record.state == HostState::Asking && current {
        ShownState::Asking
    } else {
        ShownState::Behind
    };
    Standing {
        shown,
        member: true,
        live: keys.alive,
        silent: !keys.alive && !down,
        down,
        over: over && !released,
        done,
        occupied,
        failing,
        left: ready && !done && (!given_up || wants.is_some()),
        ready,
        wants,
    }
}

/// A host without a readable record: behind until it is forgotten.
fn unknown(keys: &Keys, lost: bool) -> Standing {
    Standing {
        shown: ShownState::Behind,
        member: keys.unreadable,
        live: false,
        silent: keys.unreadable && !keys.alive,
        down: false,
        over: false,
        done: false,
        occupied: keys.permit.is_some(),
        failing: lost,
        left: false,
        ready: false,
        wants: None,
    }
}

/// Whether its action runs, by its record.
pub fn may_run(state: HostState) -> bool {
    match state {
        HostState::Running | HostState::Over => true,
        HostState::Converged
        | HostState::Asking
        | HostState::Retrying
        | HostState::Hold
        | HostState::Behind
        | HostState::Failed
        | HostState::Conflict
        | HostState::Down => false,
    }
}

/// Whether a person or its guard keeps it from acting.
fn is_suspended(record: &HostRecord) -> bool {
    match record.why {
        Some(BehindWhy::Paused | BehindWhy::Stopped | BehindWhy::Held) => true,
        Some(BehindWhy::Settling | BehindWhy::Splaying | BehindWhy::Waiting) | None => false,
    }
}

fn want(
    host: &HostName,
    record: &HostRecord,
    eligible: bool,
    permit: Option<PermitId>,
    measure: &Measure,
) -> Option<Want> {
    if !eligible || !measure.limited {
        return None;
    }
    let listed = measure.retry_hosts.is_empty() || measure.retry_hosts.contains(host);
    let retried = measure.retried.covers(record.back) && listed;
    match (permit, record.state) {
        (Some(held), HostState::Running) if record.swap && record.permit == Some(held) => Some(Want::Swap),
        (None, HostState::Failed) if retried => Some(Want::Retry),
        (None, HostState::Failed) if measure.resumed.covers(record.back) => Some(Want::Forgiven),
        // It failed and asks once more: a retry reaches it also while the rollout is stopped.
        (None, HostState::Asking) if retried && record.failures > 0 => Some(Want::Retry),
        (None, HostState::Asking) => Some(Want::Asked),
        (
            Some(_) | None,
            HostState::Converged
            | HostState::Asking
            | HostState::Running
            | HostState::Retrying
            | HostState::Hold
            | HostState::Behind
            | HostState::Failed
            | HostState::Conflict
            | HostState::Over
            | HostState::Down,
        ) => None,
    }
}

/// Adds a host to the counts.
pub fn count(counts: &mut Counts, standing: &Standing) {
    let shown = match standing.shown {
        ShownState::Converged | ShownState::Hold => &mut counts.converged,
        ShownState::Asking => &mut counts.asking,
        ShownState::Granted | ShownState::Running | ShownState::Retrying => &mut counts.acting,
        ShownState::Behind => &mut counts.behind,
        ShownState::Failed => &mut counts.failed,
        ShownState::Conflict => &mut counts.conflict,
    };
    let member = u32::from(standing.member);
    *shown += member;
    counts.members += member;
    counts.silent += u32::from(standing.silent);
    counts.down += u32::from(standing.down);
    counts.over += u32::from(standing.over);
}

/// What `control` holds, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Orders {
    /// Its revision.
    pub at: Revision,
    /// The orders; empty where there is no key.
    pub control: Arc<ControlRecord>,
    /// It cannot be read, which counts as a pause.
    pub unreadable: bool,
}

impl Orders {
    /// Whether nothing new may start.
    pub fn pauses(&self) -> bool {
        self.unreadable || self.control.paused.is_some()
    }

    /// Whether this version may not start any more.
    pub fn aborts(&self, id: Option<StateId>) -> bool {
        let aborted = self.control.aborted.as_ref().map(|order| order.version);
        aborted.is_some() && aborted == id.map(|id| id.version)
    }

    /// Whether this version skips canary, waves and soak.
    pub fn promotes(&self, id: Option<StateId>) -> bool {
        let promoted = self.control.promoted.as_ref().map(|order| order.version);
        promoted.is_some() && promoted == id.map(|id| id.version)
    }
}
