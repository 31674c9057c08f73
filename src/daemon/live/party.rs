//! A live watch's side of its fleet's group: the membership, and the permits that were granted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::event::Event;
use super::mailbox::Mailbox;
use crate::daemon::fleet::{AdoptedRun, Handle, Recorded};
use crate::daemon::runs::End;
use crate::fleet::member::Input as Told;
use crate::fleet::record::{BehindWhy, Last, LastOutcome, Permit};
use crate::fleet::{PermitId, StateId, StateIdentity};
use crate::ledger::{Applied, LivePermit, LiveRecord};
use crate::policy::Grant;
use crate::watch::{RunId, Seq, Verdict, WatchSpec};

/// The `deadline` of a permit without one.
const DEADLINE: Duration = Duration::from_mins(10);
/// Permits that are remembered. A watch uses two at most: that of its run, and that of the next.
const PERMITS: usize = 4;

/// What a live watch holds of its group.
pub(super) struct Party {
    pub(super) membership: Handle,
    pub(super) group: String,
    pub(super) identity: StateIdentity,
    /// `max_parallel = "unlimited"`: starts need no permit.
    pub(super) reports_only: bool,
    /// The id of the newest state.
    pub(super) newest: Option<(Seq, StateId)>,
    /// The permits that were granted lately, newest last.
    pub(super) permits: VecDeque<Granted>,
    /// The claimed permit, for the next start.
    pub(super) claimed: Option<PermitId>,
    /// The run that was started without a permit, and its state.
    pub(super) unpermitted: Option<(RunId, Option<StateId>)>,
    /// The end of the run that the machine hears of next.
    pub(super) last: Option<Last>,
    pub(super) told: Option<Stand>,
    stopping: bool,
    finishing: Option<oneshot::Receiver<()>>,
}

/// A state of the ledger, as the fleet writes it.
fn state_id(state: &Applied) -> Option<StateId> {
    format!("{}/{}", state.version, state.digest.get(..16)?).parse().ok()
}

/// A permit that was granted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granted {
    pub(super) permit: PermitId,
    pub(super) state: StateId,
    /// Unknown for the permit of an adopted run.
    fence: Option<i64>,
}

/// What the group was told of a watch that asks for no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    Applied(StateId),
    Behind(StateId, BehindWhy),
    GaveUp(StateId),
}

impl Party {
    pub(super) fn new(membership: Handle, spec: &WatchSpec, mailbox: Arc<Mailbox<Event>>) -> Option<Self> {
        let fleet = spec.fleet.as_ref()?;
        membership.listen(Arc::new(move |word| mailbox.put(Event::Fleet(word))));
        Some(Self {
            membership,
            group: fleet.group.to_string(),
            identity: StateIdentity::of(spec.target.watch_type),
            reports_only: !fleet.needs_permits(),
            newest: None,
            permits: VecDeque::new(),
            claimed: None,
            unpermitted: None,
            last: None,
            told: None,
            stopping: false,
            finishing: None,
        })
    }

    pub(super) fn needs_permits(&self) -> bool {
        !self.reports_only
    }

    /// The membership, for a successor.
    pub(super) fn membership(&self) -> Handle {
        self.membership.clone()
    }

    /// Registers the host, with what the ledger records.
    pub(super) fn start(
        &self,
        applied: Option<&Applied>,
        gave_up: Option<&Applied>,
        adopted: Option<&LivePermit>,
        attempt: u32,
    ) {
        let adopted = adopted.and_then(|permit| {
            Some(AdoptedRun { permit: permit.id, state: permit.state.parse().ok()?, attempt })
        });
        let (applied, gave_up) = (applied.and_then(state_id), gave_up.and_then(state_id));
        self.membership.start(Recorded { applied, gave_up, adopted });
    }

    /// The grant of an adopted run. Its terms are those of the watch file: the ledger has only the permit's id.
    pub(super) fn adopt(&mut self, live: &LiveRecord, since: Instant, spec: &WatchSpec) -> Option<Grant> {
        let LivePermit { id, state } = live.permit.as_ref()?;
        let state = state.parse().ok()?;
        let terms = &spec.fleet.as_ref()?.terms;
        self.permits.push_back(Granted { permit: *id, state, fence: None });
        let deadline = since.checked_add(terms.deadline).unwrap_or(since);
        Some(Grant { permit: *id, order: Seq(0), deadline, hold: terms.hold, retry: false })
    }

    /// The permit of the run that starts now: for the ledger, and for `TWITCHER_PERMIT`.
    pub(super) fn starting(&mut self) -> Option<(LivePermit, Option<i64>)> {
        let claimed = self.claimed.take()?;
        let granted = self.permits.iter().find(|granted| granted.permit == claimed)?;
        let Granted { permit, state, fence } = *granted;
        Some((LivePermit { id: permit, state: state.to_string() }, fence))
    }

    /// A run starts without a permit by an operator's order, or is adopted without one.
    pub(super) fn starts_unpermitted(&mut self, run: &RunId, state: Option<StateId>, attempt: u32) {
        self.unpermitted = Some((run.clone(), state));
        self.membership.tell(Told::Unpermitted { state, attempt });
    }

    /// A run ended; the machine hears of it next.
    pub(super) fn ended(&mut self, run: &RunId, end: &End) {
        let outcome = match end.verdict {
            Verdict::Succeeded => LastOutcome::Succeeded,
            Verdict::Failed | Verdict::Unknown => LastOutcome::Failed,
        };
        let last = Last { outcome, exit_code: end.outcome.exit_code() };
        match self.unpermitted.take_if(|(unpermitted, _)| unpermitted == run) {
            Some((_, state)) => self.membership.tell(Told::UnpermittedEnded { state, last }),
            None => self.last = Some(last),
        }
    }

    /// The terms or the description in the watch file changed.
    pub(super) fn described(&self, spec: &WatchSpec) {
        if let Some(fleet) = &spec.fleet {
            self.membership.tell(Told::Terms(Arc::clone(&fleet.terms)));
        }
    }

    /// The daemon stops: once no run is live, the group is told.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether the group still has to be told that the daemon stops.
    pub(super) fn is_finishing(&self) -> bool {
        self.stopping
    }

    /// Tells the group that no run is live. Ready when the store was told or did not answer.
    pub(super) fn poll_finished(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let membership = &self.membership;
        let finishing = self.finishing.get_or_insert_with(|| membership.finish(false));
        std::pin::Pin::new(finishing).poll(context).map(drop)
    }

    /// A permit as the machine's input.
    pub(super) fn grant(&mut self, permit: &Permit, fence: Option<i64>) -> Grant {
        let Permit { id, state, .. } = *permit;
        if !self.permits.iter().any(|granted| granted.permit == id) {
            self.permits.push_back(Granted { permit: id, state, fence });
            if self.permits.len() > PERMITS {
                self.permits.pop_front();
            }
        }
        let order = self.newest.filter(|(_, newest)| newest.is_same(&state, self.identity));
        let now = Instant::now();
        Grant {
            permit: id,
            // No state has order 0, so the machine returns a permit for any other state.
            order: order.map_or(Seq(0), |(seq, _)| seq),
            deadline: now.checked_add(permit.deadline.unwrap_or(DEADLINE)).unwrap_or(now),
            hold: permit.hold.unwrap_or_default(),
            retry: permit.retry,
        }
    }
}
