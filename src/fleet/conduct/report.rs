//! What the conductor writes for readers: `rollout`, `summary`, and when it does so.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::input::Moment;
use super::machine::Conductor;
use super::plan::Plan;
use super::waves::Wave;
use crate::fleet::record::{Counts, Rest, Rollout, RolloutState, SILENT_NAMED, Summary};
use crate::fleet::view::GroupState;
use crate::fleet::{BootTime, GroupKey, Value, Write};
use crate::metrics::fleet::Conducted;

/// Shortest time between two writes of `summary`.
const SUMMARY: Duration = Duration::from_secs(2);

impl Conductor {
    /// The base alone is worth a write only where the limit or the size of the wave follows from it.
    pub(super) fn write_rollout(&self, plan: &mut Plan, granted: bool) {
        let same = Rollout { base: self.rollout.base, ..self.draft.clone() } == self.rollout;
        let limits = granted
            && (Self::limit_of(&self.draft) != Self::limit_of(&self.rollout)
                || self.wave() != Self::wave_of(&self.rollout));
        if same && !limits {
            return;
        }
        let rollout = Arc::new(self.draft.clone());
        plan.transaction.write.push(Write::put(GroupKey::Rollout, Value::Rollout(Arc::clone(&rollout))));
        plan.rollout = Some(rollout);
    }

    pub(super) fn write_summary(&mut self, plan: &mut Plan, now: Moment) {
        let beat = self.summary.as_ref().map_or(0, |summary| summary.beat);
        let mut next = self.summarise(beat, now);
        let known = self.summary.as_deref();
        let changed = known.is_none_or(|known| {
            let silent = known.silent.keys().eq(next.silent.keys());
            !silent || Summary { silent: known.silent.clone(), ..next.clone() } != *known
        });
        let age = self.summary_at.map(|at| now.boot.since(at));
        let due = match age {
            None => true,
            Some(age) => changed && age >= SUMMARY || self.is_busy() && age >= self.part.ttl,
        };
        self.summary_stale = changed && !due;
        if !due {
            return;
        }
        next.beat += 1;
        if let Some(known) = known {
            for (host, since) in &mut next.silent {
                *since = known.silent.get(host).copied().unwrap_or(*since);
            }
        }
        let next = Arc::new(next);
        plan.transaction.write.push(Write::put(GroupKey::Summary, Value::Summary(Arc::clone(&next))));
        plan.summary = Some(next);
    }

    /// A host waits or acts: the beat has to show that this conductor works.
    fn is_busy(&self) -> bool {
        self.group.sums.counts.asking > 0 || !self.group.holders.is_empty()
    }

    /// Figures of the group for metrics.
    pub fn figures(&self, now: Timestamp) -> Conducted {
        let Counts { members, converged, acting, asking, behind, failed, conflict, silent, down, over } =
            self.group.sums.counts;
        let hosts = vec![
            ("members", members),
            ("converged", converged),
            ("acting", acting),
            ("asking", asking),
            ("behind", behind),
            ("failed", failed),
            ("conflict", conflict),
            ("silent", silent),
            ("down", down),
            ("over", over),
        ];
        let since = self.draft.started.filter(|_| converged < members);
        let unconverged = since.and_then(|since| Duration::try_from(now.duration_since(since)).ok());
        Conducted {
            hosts,
            permits: u32::try_from(self.group.holders.len()).unwrap_or(u32::MAX),
            limit: self.is_limited().then(|| Self::limit_of(&self.draft)),
            state: GroupState::of(self.draft.state, &self.orders).word(),
            unconverged: unconverged.unwrap_or_default(),
            terms_conflicts: self.group.disagree(),
        }
    }

    fn summarise(&self, beat: u64, now: Moment) -> Summary {
        Summary {
            id: self.draft.id,
            hosts: self.group.sums.counts,
            held: u32::try_from(self.group.holders.len()).unwrap_or(u32::MAX),
            limit: self.is_limited().then(|| Self::limit_of(&self.draft)),
            silent: self
                .group
                .silent
                .iter()
                .take(SILENT_NAMED)
                .map(|host| (host.clone(), now.wall))
                .collect(),
            disagree: self.group.disagree(),
            why: self.why(now.boot),
            beat,
            rest: Rest::default(),
        }
    }

    /// What holds the rollout up, where the state alone does not say it.
    fn why(&self, now: BootTime) -> Option<String> {
        let sums = self.group.sums;
        let (failing, stop) = self.failures();
        self.draft.id?;
        if self.orders.unreadable {
            return Some(
                "control cannot be read, which counts as a pause; the next order replaces it".to_owned(),
            );
        }
        if self.group.silence.is_mass() {
            return Some(
                "many hosts fell silent at once: nothing starts until half of them are back".to_owned(),
            );
        }
        if self.hold_until.is_some_and(|until| until > now) {
            let why = match (self.restored, self.remembered) {
                (None, _) => {
                    "this conductor is new to the store: nothing starts before all hosts could report what they run"
                }
                (Some(_), Some(true)) => {
                    "the store was restored: nothing starts until every former run is certain to have ended"
                }
                (Some(_), Some(false) | None) => {
                    "nobody conducted, and the new conductor cannot tell whether the store was restored: nothing starts \
                     until every former run is certain to have ended"
                }
            };
            return Some(why.to_owned());
        }
        match self.draft.state {
            RolloutState::Rolling if self.wave() == Wave::Canaries && sums.canaries == 0 => {
                Some("no canary is alive: nothing starts".to_owned())
            }
            RolloutState::Rolling
                if self.wave() == Wave::Canaries && sums.failing > 0 && sums.occupied == 0 =>
            {
                Some("a canary failed: nothing starts".to_owned())
            }
            RolloutState::Rolling
                if failing < stop && !self.group.suspects.is_empty() && sums.counts.asking > 0 =>
            {
                let host = self.group.suspects.first().map(ToString::to_string).unwrap_or_default();
                Some(format!("{host} is silent and may still run: it counts as failed until it is back"))
            }
            RolloutState::Stopped => Some(format!("{failing} failed or lost, and {stop} stop the rollout")),
            RolloutState::Idle
            | RolloutState::Rolling
            | RolloutState::Soaking
            | RolloutState::Aborted
            | RolloutState::Done => None,
        }
    }

    /// When something is due though nothing happens.
    pub(super) fn next_turn(&self) -> Option<BootTime> {
        let bounds = self.group.suspects.iter().filter_map(|host| self.bound(host)).min();
        let bounds = bounds.filter(|_| !self.group.silence.is_mass());
        let summary = self.summary_at.and_then(|at| {
            let busy = self.is_busy().then(|| at.plus(self.part.ttl));
            if self.summary_stale { Some(at.plus(SUMMARY)) } else { busy }
        });
        let set = self.orders.control.set.as_ref().and_then(|set| set.lasts).zip(self.set_since);
        let set = set.map(|(lasts, (_, since))| since.plus(lasts)).filter(|_| self.is_set);
        [bounds, self.soaked_at(), summary, set, self.hold_until].into_iter().flatten().min()
    }
}
