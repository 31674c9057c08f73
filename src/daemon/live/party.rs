//! A live watch's part in a group of a fleet: what its machine wants of the group, and what the group says to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::bulk;
use super::event::Event;
use super::mailbox::Mailbox;
use super::task::Task;
use crate::daemon::fleet::{AdoptedRun, Handle, ToWatch, boot_time};
use crate::daemon::runs::End;
use crate::fleet::member::{Input as Told, Then};
use crate::fleet::record::{BehindWhy, Last, LastOutcome, Permit};
use crate::fleet::{Identity, PermitId, StateId};
use crate::ledger::{Applied, LivePermit, LiveRun};
use crate::policy::{After, Disposition, Effect, Grant, Input, PermitStage, Phase};
use crate::status::FleetStatus;
use crate::store::Store;
use crate::watch::{Seq, Verdict, WatchSpec};

/// Hosts that see a change at the same moment ask within so long of each other.
const SPREAD: Duration = Duration::from_millis(100);
/// `deadline` of a permit that tells none.
const DEADLINE: Duration = Duration::from_mins(10);
/// A watch has two permits at most: that of its run, and that of the next.
const PERMITS: usize = 4;

/// What a live watch holds of its group.
pub(super) struct Party {
    membership: Handle,
    group: String,
    identity: Identity,
    /// It acts at once, and only reports.
    reports_only: bool,
    /// The id of the newest state.
    newest: Option<(Seq, StateId)>,
    /// The permits that were granted lately, newest last.
    permits: VecDeque<Granted>,
    /// The permit that is claimed, under which the next start happens.
    claimed: Option<PermitId>,
    /// How the run ended whose end the machine is being told.
    last: Option<Last>,
    told: Option<Stand>,
    stopping: bool,
    finishing: Option<oneshot::Receiver<()>>,
}

/// A permit that was granted.
#[derive(Debug, Clone, Copy)]
struct Granted {
    permit: PermitId,
    state: StateId,
    /// Not known of a permit that a former daemon was granted.
    fence: Option<i64>,
}

/// What the group was told of a watch that does not ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
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

    fn grant(&mut self, permit: &Permit, fence: Option<i64>) -> Grant {
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

impl Task {
    /// The id of the newest state, by which all hosts name it.
    fn newest_id(&mut self) -> Option<StateId> {
        let newest = self.machine.newest()?;
        let party = self.party.as_mut()?;
        match party.newest {
            Some((seq, id)) if seq == newest.seq => Some(id),
            Some(_) | None => {
                let id = bulk::with(&newest.content, || StateId::new(newest.version, &newest.content));
                party.newest = Some((newest.seq, id));
                Some(id)
            }
        }
    }

    /// Performs an effect that concerns the group.
    pub(super) fn tell_group(&mut self, effect: &Effect) {
        let newest = self.newest_id();
        let Some(party) = self.party.as_mut() else { return };
        let told = match effect {
            Effect::Ask { order: _, swap } => {
                let Some(state) = newest else { return };
                Told::Ask { state, swap: *swap, within: SPREAD }
            }
            Effect::Withdraw => Told::Withdraw,
            Effect::Claim { permit, attempt } => {
                party.claimed = Some(*permit);
                Told::Claim { permit: *permit, attempt: *attempt }
            }
            Effect::Report { run: _, permit, then } => {
                let Some(granted) = party.permits.iter().find(|granted| granted.permit == *permit) else {
                    return;
                };
                let failed = Last { outcome: LastOutcome::Failed, exit_code: None };
                let then = match then {
                    After::Return => Then::Return,
                    After::Retry => Then::Retry,
                    After::Hold => Then::Hold,
                };
                let (permit, state) = (*permit, granted.state);
                Told::Ended { permit, state, last: party.last.take().unwrap_or(failed), then }
            }
            Effect::Return { permit, failed } => Told::Return { permit: *permit, failed: *failed },
            Effect::Acquire
            | Effect::Release
            | Effect::Start { .. }
            | Effect::Signal { .. }
            | Effect::Skip { .. }
            | Effect::Applied { .. }
            | Effect::GaveUp { .. }
            | Effect::Stopped { .. }
            | Effect::Revived
            | Effect::Resumed
            | Effect::Answer(_)
            | Effect::Drained => return,
        };
        party.membership.tell(told);
    }

    /// Tells the group how the watch stands while it neither asks nor acts.
    pub(super) fn tell_stand(&mut self) {
        if self.party.is_none() {
            return;
        }
        let stand = self.stand();
        let Some(party) = self.party.as_mut() else { return };
        if party.told == stand {
            return;
        }
        party.told = stand;
        match stand {
            Some(Stand::Applied(state)) => party.membership.tell(Told::Applied(state)),
            Some(Stand::Behind(state, why)) => party.membership.tell(Told::Behind(Some(state), why)),
            None => {}
        }
    }

    /// `None`: the group knows by itself.
    fn stand(&mut self) -> Option<Stand> {
        match self.machine.permit_stage() {
            Some(PermitStage::None) | None => {}
            Some(_) => return None,
        }
        let id = self.newest_id()?;
        let behind = |why| Some(Stand::Behind(id, why));
        match self.machine.disposition()? {
            Disposition::Applied => return Some(Stand::Applied(id)),
            Disposition::Absent | Disposition::GivenUp => return None,
            Disposition::Open
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded => {}
        }
        let reports_only = self.party.as_ref().is_some_and(|party| party.reports_only);
        match self.machine.phase() {
            Phase::Paused => behind(BehindWhy::Paused),
            Phase::Stopped => behind(BehindWhy::Stopped),
            // One write for each version.
            _ if reports_only => None,
            Phase::Settling => behind(BehindWhy::Settling),
            Phase::Splaying => behind(BehindWhy::Splaying),
            Phase::Idle | Phase::Waiting | Phase::Running | Phase::Retrying | Phase::Failed => {
                behind(BehindWhy::Waiting)
            }
        }
    }

    /// The group says something.
    pub(super) fn hear_group(&mut self, word: ToWatch) {
        self.newest_id();
        let Some(party) = self.party.as_mut() else { return };
        let input = match word {
            ToWatch::Permit { permit, fence } => Input::Permit(party.grant(&permit, fence)),
            ToWatch::Claimed { permit, fresh_until } => {
                if self.is_unread() {
                    // Nothing starts before the store has been read: the slot is asked for once more afterwards.
                    self.decide(Input::Offline);
                }
                // How long it is fresh is told by the clock that goes on while the machine sleeps.
                let fresh = fresh_until.since(boot_time());
                Input::Claimed { permit, fresh_until: Instant::now() + fresh }
            }
            ToWatch::Refused(permit) => Input::Refused(permit),
            ToWatch::Lost(permit) => Input::PermitLost(permit),
            ToWatch::Offline => Input::Offline,
        };
        self.decide(input);
    }

    /// What `status --json` shows of the fleet.
    pub(super) fn fleet_status(&self) -> Option<FleetStatus> {
        let party = self.party.as_ref()?;
        let shown = party.membership.shown();
        let stage = self.machine.permit_stage();
        let word = match stage {
            Some(PermitStage::Granted | PermitStage::Claiming) => "granted",
            Some(_) | None => shown.state,
        };
        Some(FleetStatus {
            group: party.group.clone(),
            permit: stage.unwrap_or(PermitStage::None).word().to_owned(),
            state: word.to_owned(),
            why: shown.why,
        })
    }
}
