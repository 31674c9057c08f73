//! Normal form: situations that differ only in the time of day, the names of runs and the count of states are equal.
//!
//! Two situations with the same normal form have the same future, so only one must be explored.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fixture::{Counter, run, version};
use super::judge::{FleetSeen, Held, Judge, LiveSeen};
use crate::policy::Course;
use crate::policy::Grant;
use crate::policy::Machine;
use crate::policy::history::History;
use crate::policy::permit::{Acting, Next, Permits};
use crate::policy::runs::LiveRun;
use crate::policy::waiting::Wait;
use crate::watch::{PermitId, RunId, Seq, State};

/// Higher numbers of updates are treated as equal.
const MANY: u64 = 3;

struct Frame {
    now: Instant,
    anchor: Instant,
    orders: BTreeMap<u64, u64>,
    runs: BTreeMap<RunId, RunId>,
    permits: BTreeMap<PermitId, PermitId>,
}

impl Frame {
    fn of(machine: &Machine<Counter>, judge: &Judge, now: Instant, anchor: Instant) -> Self {
        let mut orders: Vec<u64> = judge.unfated.keys().copied().collect();
        orders.extend(&judge.triggered);
        orders.extend(judge.live.iter().filter_map(|live| live.seq));
        orders.extend(judge.newest.map(|newest| newest.seq));
        orders.extend(judge.last_start.map(|(seq, _)| seq));
        orders.extend(judge.last_applied);
        orders.extend(judge.lapse.and_then(|lapse| lapse.seq));
        orders.extend(judge.released.map(|released| released.seq));
        orders.extend(machine.waiting.iter().map(|entry| entry.state.seq.0));
        orders.extend(judge.validating);
        orders.extend(machine.history.applied.map(|(seq, _)| seq.0));
        let fleet = judge.fleet.as_ref();
        orders.extend(fleet.and_then(|fleet| fleet.asked));
        orders.extend(fleet.iter().flat_map(|fleet| fleet.held.iter().map(|held| held.order)));
        orders.sort_unstable();
        orders.dedup();
        let orders = orders.into_iter().zip(1..).collect();
        let runs = machine.live.iter().zip(1..).map(|(live, rank)| (live.run.clone(), run(rank))).collect();
        let rank = |(held, number): (&Held, u64)| (held.permit, PermitId { epoch: 0, number });
        let permits = fleet.iter().flat_map(|fleet| fleet.held.iter()).zip(1..).map(rank).collect();
        Self { now, anchor, orders, runs, permits }
    }

    fn seq(&self, seq: u64) -> u64 {
        self.orders.get(&seq).copied().unwrap_or(0)
    }

    /// A future time, relative to now; all past times are equal.
    fn ahead(&self, at: Instant) -> Instant {
        self.anchor + at.saturating_duration_since(self.now)
    }

    /// A past time; all that are longer ago than `horizon` are equal.
    fn ago(&self, at: Instant, horizon: Duration) -> Instant {
        self.anchor + self.now.saturating_duration_since(at).min(horizon)
    }

    fn state(&self, state: &State) -> State {
        let seq = self.seq(state.seq.0);
        State { seq: Seq(seq), version: version(seq), content: state.content.clone() }
    }

    fn wait(&self, wait: Wait) -> Wait {
        match wait {
            Wait::Settling { until } => Wait::Settling { until: self.ahead(until) },
            Wait::Splaying { until } => Wait::Splaying { until: self.ahead(until) },
            Wait::Retrying { until } => Wait::Retrying { until: self.ahead(until) },
            Wait::Prevented { until } => Wait::Prevented { until: self.ahead(until) },
            Wait::Ready => Wait::Ready,
        }
    }

    fn live(&self, live: &LiveRun) -> LiveRun {
        let course = match live.course {
            Course::Running { term_at } => Course::Running { term_at: term_at.map(|at| self.ahead(at)) },
            Course::Terminated { kill_at } => Course::Terminated { kill_at: self.ahead(kill_at) },
            Course::Killed => Course::Killed,
        };
        LiveRun {
            run: self.runs[&live.run].clone(),
            seq: live.seq.map(|seq| Seq(self.seq(seq.0))),
            // A version matters only until it is recognised.
            version: live.version.filter(|_| live.seq.is_none()),
            coalesced: live.coalesced.min(MANY),
            started: self.anchor,
            course,
            // It matters only to the next input, and is what waited before.
            entry: None,
            ..live.clone()
        }
    }

    fn grant(&self, grant: &Grant) -> Grant {
        Grant {
            permit: self.permits[&grant.permit],
            order: Seq(self.seq(grant.order.0)),
            deadline: self.ahead(grant.deadline),
            retry: false,
            ..*grant
        }
    }

    fn permits(&self, permits: &Permits) -> Permits {
        Permits {
            asked: permits.asked.map(|order| Seq(self.seq(order.0))),
            next: permits.next.map(|next| Next { grant: self.grant(&next.grant), ..next }),
            acting: permits.acting.as_ref().map(|acting| Acting {
                grant: self.grant(&acting.grant),
                run: self.runs[&acting.run].clone(),
                lost: acting.lost,
            }),
            hold: permits.hold.map(|(permit, until)| (self.permits[&permit], self.ahead(until))),
        }
    }

    fn fleet(&self, fleet: &FleetSeen) -> FleetSeen {
        let held = fleet.held.iter().map(|held| Held {
            permit: self.permits[&held.permit],
            order: self.seq(held.order),
            deadline: self.ahead(held.deadline),
            run: held.run.as_ref().map(|run| self.runs[run].clone()),
            until: held.until.map(|until| self.ahead(until)),
            ..held.clone()
        });
        FleetSeen {
            asked: fleet.asked.map(|order| self.seq(order)),
            held: held.collect(),
            claim: fleet.claim.map(|permit| self.permits[&permit]),
            slot: fleet.slot,
            waived: fleet.waived.map(|order| self.seq(order)),
            ..FleetSeen::default()
        }
    }

    fn machine(&self, machine: &Machine<Counter>) -> Machine<Counter> {
        let interval = machine.policy.min_interval;
        let mut normal = machine.clone();
        normal.source = Counter::default();
        if let Some(newest) = &mut normal.newest {
            newest.state = self.state(&newest.state);
        }
        normal.waiting = VecDeque::new();
        for entry in &machine.waiting {
            let mut entry = entry.clone();
            entry.state = self.state(&entry.state);
            entry.fresh = entry.fresh.min(MANY);
            entry.repeated = entry.repeated.min(MANY);
            entry.wait = self.wait(entry.wait);
            entry.limit = self.ahead(entry.limit);
            entry.splayed = entry.splayed.map(|at| self.ahead(at));
            normal.waiting.push_back(entry);
        }
        normal.live = machine.live.iter().map(|live| self.live(live)).collect();
        if let Some(pause) = &mut normal.paused {
            pause.until = pause.until.map(|until| self.ahead(until));
        }
        normal.permits = machine.permits.as_deref().map(|permits| Box::new(self.permits(permits)));
        normal.validating = machine.validating.map(|seq| Seq(self.seq(seq.0)));
        normal.carried = machine.carried.min(MANY);
        normal.discarded = machine.discarded.min(MANY);
        normal.last_start =
            machine.last_start.filter(|_| !interval.is_zero()).map(|at| self.ago(at, interval));
        let applied = machine.history.applied.map(|(seq, _)| (Seq(self.seq(seq.0)), version(0)));
        normal.history = History { applied, ..History::default() };
        normal
    }

    fn judge(&self, judge: &Judge) -> Judge {
        let policy = &judge.policy;
        let longest = policy.settle.max(policy.settle_max) + policy.splay;
        let mut normal = judge.clone();
        normal.now = self.anchor;
        normal.unfated = BTreeMap::new();
        for (seq, unfated) in &judge.unfated {
            let mut unfated = unfated.clone();
            unfated.own = (unfated.own + unfated.surplus).min(MANY);
            unfated.surplus = 0;
            unfated.at = self.ago(unfated.at, longest);
            unfated.first = self.ago(unfated.first, longest);
            unfated.valid = unfated.valid.map(|at| self.ago(at, longest));
            unfated.drawn = unfated.drawn.map(|at| self.ago(at, longest));
            normal.unfated.insert(self.seq(*seq), unfated);
        }
        normal.live = judge.live.iter().map(|live| self.live_seen(judge, live)).collect();
        normal.triggered = judge.triggered.iter().map(|seq| self.seq(*seq)).collect();
        normal.validating = judge.validating.map(|seq| self.seq(seq));
        normal.carried = judge.carried.min(MANY);
        if let Some(newest) = &mut normal.newest {
            newest.seq = self.seq(newest.seq);
        }
        normal.last_start =
            judge.last_start.map(|(seq, at)| (self.seq(seq), self.ago(at, policy.min_interval)));
        normal.last_applied = judge.last_applied.map(|seq| self.seq(seq));
        if let Some(pause) = &mut normal.paused {
            pause.until = pause.until.map(|until| self.ahead(until));
        }
        normal.before =
            judge.before.as_ref().map(|_| (run(0), Box::new(Judge::of(Arc::clone(policy), self.anchor))));
        if let Some(prevented) = &mut normal.prevented {
            prevented.at = self.ago(prevented.at, Duration::from_nanos(1));
        }
        normal.close = judge.close.map(|close| self.ahead(close));
        normal.fleet = judge.fleet.as_ref().map(|fleet| self.fleet(fleet));
        if let Some(released) = &mut normal.released {
            released.seq = self.seq(released.seq);
            released.updates = released.updates.min(MANY);
        }
        if let Some(lapse) = &mut normal.lapse {
            lapse.seq = lapse.seq.map(|seq| self.seq(seq));
            lapse.at = self.ago(lapse.at, policy.retry_delay_max);
        }
        normal
    }

    fn live_seen(&self, judge: &Judge, live: &LiveSeen) -> LiveSeen {
        LiveSeen {
            run: self.runs[&live.run].clone(),
            seq: live.seq.map(|seq| self.seq(seq)),
            started: self.ago(live.started, judge.policy.timeout.unwrap_or_default()),
            term: live.term.map(|term| self.ago(term, judge.policy.kill_after)),
            ..live.clone()
        }
    }
}

/// Hashes the normal form of a situation. `anchor` must be the same for all situations that are compared.
pub(super) fn fingerprint(machine: &Machine<Counter>, judge: &Judge, anchor: Instant) -> u64 {
    let frame = Frame::of(machine, judge, judge.now, anchor);
    let mut hasher = DefaultHasher::new();
    frame.machine(machine).hash(&mut hasher);
    frame.judge(judge).hash(&mut hasher);
    hasher.finish()
}
