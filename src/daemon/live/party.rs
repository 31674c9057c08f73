//! What a live watch holds of its fleet's group: its membership, and the permits that it was granted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::event::Event;
use super::mailbox::Mailbox;
use crate::daemon::fleet::{AdoptedRun, Handle};
use crate::daemon::runs::End;
use crate::fleet::member::Input as Told;
use crate::fleet::record::{BehindWhy, Last, LastOutcome, Permit};
use crate::fleet::{Identity, PermitId, StateId};
use crate::ledger::{Applied, LivePermit, LiveRun};
use crate::policy::Grant;
use crate::store::Store;
use crate::watch::{Seq, Verdict, WatchSpec};

/// `deadline` of a permit that tells none.
const DEADLINE: Duration = Duration::from_mins(10);
/// A watch has two permits at most: that of its run, and that of the next.
const PERMITS: usize = 4;

/// What a live watch holds of its group.
pub(super) struct Party {
    pub(super) membership: Handle,
    pub(super) group: String,
    pub(super) identity: Identity,
    /// It acts at once, and only reports.
    pub(super) reports_only: bool,
    /// The id of the newest state.
    pub(super) newest: Option<(Seq, StateId)>,
    /// The permits that were granted lately, newest last.
    pub(super) permits: VecDeque<Granted>,
    /// The permit that is claimed, under which the next start happens.
    pub(super) claimed: Option<PermitId>,
    /// How the run ended whose end the machine is being told.
    pub(super) last: Option<Last>,
    pub(super) told: Option<Stand>,
    stopping: bool,
    finishing: Option<oneshot::Receiver<()>>,
}

/// A permit that was granted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granted {
    pub(super) permit: PermitId,
    pub(super) state: StateId,
    /// Not known of a permit that a former daemon was granted.
    fence: Option<i64>,
}

/// What the group was told of a watch that does not ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    Applied(StateId),
    Behind(StateId, BehindWhy),
}

impl Party {
    pub(super) fn new(membership: Handle, spec: &WatchSpec, mailbox: Arc<Mailbox<Event>>) -> Option<Self> {
        let fleet = spec.fleet.as_ref()?;
        membership.listen(Arc::new(move |word| mailbox.put(Event::Fleet(word))));
        Some(Self {
            membership,
            group: fleet.group.to_string(),
            identity: Identity::of(spec.target.watch_type),
            reports_only: !fleet.needs_permits(),
            newest: None,
            permits: VecDeque::new(),
            claimed: None,
            last: None,
            told: None,
            stopping: false,
            finishing: None,
        })
    }

    pub(super) fn needs_permits(&self) -> bool {
        !self.reports_only
    }

    /// What its successor takes over.
    pub(super) fn membership(&self) -> Handle {
        self.membership.clone()
    }

    /// Registers the host, with what the ledger knows.
    pub(super) fn start(&self, applied: Option<&Applied>, adopted: Option<&LivePermit>, attempt: u32) {
        let applied = applied.and_then(|applied| {
            format!("{}/{}", applied.version, applied.digest.get(..16)?).parse::<StateId>().ok()
        });
        let adopted = adopted.and_then(|permit| {
            Some(AdoptedRun { permit: permit.id, state: permit.state.parse().ok()?, attempt })
        });
        self.membership.start(applied, adopted);
    }

    /// A run of a former daemon goes on under its permit, whose terms are taken for those of the watch.
    pub(super) fn adopt(&mut self, live: &LiveRun, since: Instant, spec: &WatchSpec) -> Option<Grant> {
        let LivePermit { id, state } = live.permit.as_ref()?;
        let state = state.parse().ok()?;
        let terms = &spec.fleet.as_ref()?.terms;
        self.permits.push_back(Granted { permit: *id, state, fence: None });
        let deadline = since.checked_add(terms.deadline).unwrap_or(since);
        Some(Grant { permit: *id, order: Seq(0), deadline, hold: terms.hold, retry: false })
    }

    /// The permit of the run that is about to start: for its record, and for its environment.
    pub(super) fn starting(&mut self) -> Option<(LivePermit, Option<i64>)> {
        let claimed = self.claimed.take()?;
        let granted = self.permits.iter().find(|granted| granted.permit == claimed)?;
        let Granted { permit, state, fence } = *granted;
        Some((LivePermit { id: permit, state: state.to_string() }, fence))
    }

    /// A run has ended, which the machine is told next.
    pub(super) fn ended(&mut self, end: &End) {
        let outcome = match end.verdict {
            Verdict::Succeeded => LastOutcome::Succeeded,
            Verdict::Failed | Verdict::Unknown => LastOutcome::Failed,
        };
        self.last = Some(Last { outcome, exit_code: end.outcome.exit_code() });
    }

    /// The terms of the file have changed, or the text for people has.
    pub(super) fn described(&self, spec: &WatchSpec) {
        if let Some(fleet) = &spec.fleet {
            self.membership.tell(Told::Terms(Arc::clone(&fleet.terms)));
        }
    }

    /// The watch's store has a new configuration.
    pub(super) fn renew(&self, store: &Store) {
        self.membership.renew(store);
    }

    /// The daemon stops: the group is told once nothing runs any more.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether the group is to be told yet that the daemon stops.
    pub(super) fn is_finishing(&self) -> bool {
        self.stopping
    }

    /// Tells the group that nothing runs any more. Ready when it knows.
    pub(super) fn poll_finished(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let membership = &self.membership;
        let finishing = self.finishing.get_or_insert_with(|| membership.finish(false));
        std::pin::Pin::new(finishing).poll(context).map(drop)
    }

    /// A grant in the words of the machine.
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
            // No state has this order: the machine returns a permit for another one.
            order: order.map_or(Seq(0), |(seq, _)| seq),
            deadline: now.checked_add(permit.deadline.unwrap_or(DEADLINE)).unwrap_or(now),
            hold: permit.hold.unwrap_or_default(),
            retry: permit.retry,
        }
    }
}
