//! How far the rollout is: a new version, orders, failures, waves and soaks.

use std::time::Duration;

use super::input::Moment;
use super::machine::Conductor;
use crate::fleet::record::{CarriedOut, PastResult, PastRollout, REMEMBERED, Rollout, RolloutState};
use crate::fleet::terms::{MaxParallel, Share, Terms, failures, permits};
use crate::fleet::view::Measure;
use crate::fleet::{BootTime, HostName, PermitId, StateId};

/// Who may have the version while a wave is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wave {
    /// The canaries.
    Canaries,
    /// This many hosts in all.
    Hosts(u32),
    /// Everybody.
    All,
}

/// The waves of these terms among `base` hosts. Never empty: the last one is everybody.
pub(super) fn waves(terms: &Terms, base: u32) -> Vec<Wave> {
    let canaries = (!terms.canary.is_empty()).then_some(Wave::Canaries);
    let sizes = terms.waves.iter().map(|share: &Share| Wave::Hosts(share.at_most(base)));
    canaries.into_iter().chain(sizes).chain([Wave::All]).collect()
}

impl Conductor {
    /// The terms in force; those of an empty table while no member is live.
    pub(super) fn terms(&self) -> Terms {
        self.draft.terms.as_ref().map(|in_force| in_force.terms.clone()).unwrap_or_default()
    }

    /// How many permits there may be at once, of `rollout` as stored or as drafted.
    pub(super) fn limit_of(rollout: &Rollout) -> u32 {
        rollout.terms.as_ref().map_or(1, |in_force| permits(in_force.terms.max_parallel, rollout.base))
    }

    /// Whether hosts act under permits.
    pub(super) fn is_limited(&self) -> bool {
        match self.draft.terms.as_ref().map(|in_force| in_force.terms.max_parallel) {
            Some(MaxParallel::Unlimited) => false,
            Some(MaxParallel::Share(_)) | None => true,
        }
    }

    /// How many count as failed, and how many stop the rollout.
    pub(super) fn failures(&self) -> (u32, u32) {
        let failing = self.group.sums.failing.saturating_add(self.draft.more_lost);
        (failing, failures(self.terms().stop_on_failures, self.draft.base))
    }

    /// The wave that is open.
    pub(super) fn wave(&self) -> Wave {
        Self::wave_of(&self.draft)
    }

    /// The open wave of `rollout` as stored or as drafted.
    pub(super) fn wave_of(rollout: &Rollout) -> Wave {
        let waves = match &rollout.terms {
            Some(in_force) => waves(&in_force.terms, rollout.base),
            None => return Wave::All,
        };
        let open = usize::try_from(rollout.wave.saturating_sub(1)).unwrap_or(usize::MAX);
        waves.get(open).copied().unwrap_or(Wave::All)
    }

    /// Brings the draft up to date with all that is known.
    pub(super) fn advance(&mut self, now: Moment) {
        let before = (self.draft.state, self.draft.id, self.draft.wave);
        self.draft.target = self.group.target().or_else(|| self.draft.target.take());
        self.draft_terms(now.boot);
        if let Some(id) = self.target.filter(|id| !self.is_rolled_out(*id)) {
            self.begin(id, now);
        }
        self.carry_out_orders(now.boot);
        self.measure(now.boot);
        self.forgive_returned(now.boot);
        self.progress(now.boot);
        let in_last_wave = self.wave() == Wave::All;
        self.watch_done(!in_last_wave && self.draft.id.is_some(), now.boot);
        if before != (self.draft.state, self.draft.id, self.draft.wave) {
            self.restamp = true;
            self.draft.since = Some(now.wall);
        }
    }

    fn is_rolled_out(&self, id: StateId) -> bool {
        self.draft.id.is_some_and(|rolled| rolled.is_same(&id, self.part.identity))
    }

    /// The base grows with the live members; the terms follow them, and what an operator set.
    fn draft_terms(&mut self, now: BootTime) {
        let base = self.draft.base.max(self.group.sums.live);
        let set = self.orders.control.set.clone();
        let set = set.filter(|set| {
            let since = match self.set_since {
                Some((number, since)) if number == set.number => since,
                Some(_) | None => now,
            };
            self.set_since = Some((set.number, since));
            set.lasts.is_none_or(|lasts| now.since(since) < lasts)
        });
        if base != self.draft.base
            || std::mem::take(&mut self.group.votes_changed)
            || self.draft.terms.is_none()
        {
            self.draft.base = base;
            if let Some(terms) = self.group.terms(base) {
                self.said = Some(terms);
            }
        }
        self.draft.terms.clone_from(&self.said);
        self.is_set = set.is_some();
        if let (Some(in_force), Some(set)) = (&mut self.draft.terms, set) {
            in_force.terms.max_parallel = match in_force.terms.max_parallel {
                MaxParallel::Unlimited => MaxParallel::Unlimited,
                MaxParallel::Share(_) => MaxParallel::Share(set.max_parallel),
            };
        }
    }

    /// A new version: the first wave, no failures.
    fn begin(&mut self, id: StateId, now: Moment) {
        let draft = &mut self.draft;
        if let Some(former) = draft.id {
            let result = match draft.state {
                RolloutState::Done => PastResult::Done,
                RolloutState::Stopped => PastResult::Stopped,
                RolloutState::Aborted => PastResult::Aborted,
                RolloutState::Idle | RolloutState::Rolling | RolloutState::Soaking => PastResult::Superseded,
            };
            let seconds = draft.started.map_or(0, |started| now.wall.as_second() - started.as_second());
            let seconds = u64::try_from(seconds).unwrap_or(0);
            draft.past.insert(
                0,
                PastRollout { version: former.version, result, converged: self.group.sums.done, seconds },
            );
            draft.past.truncate(REMEMBERED);
        }
        draft.id = Some(id);
        draft.state = RolloutState::Rolling;
        draft.wave = 1;
        draft.base = self.group.sums.live;
        draft.started = Some(now.wall);
        draft.failures.clear();
        draft.more_lost = 0;
        draft.resumed.before = None;
        draft.retried.before = None;
        self.soaking_since = None;
        self.entering = true;
        self.group.votes_changed = true;
        let lost: Vec<_> =
            self.group.members.iter().filter(|(_, m)| m.lost).map(|(host, _)| host.clone()).collect();
        for host in lost {
            self.group.set_lost(&host, false, now.boot);
        }
        self.draft_terms(now.boot);
    }

    /// Resume and retry are carried out once; promote as long as it stands.
    fn carry_out_orders(&mut self, now: BootTime) {
        let newest = Some(PermitId { epoch: self.draft.epoch, number: self.issued });
        let control = std::sync::Arc::clone(&self.orders.control);
        if let Some(order) = control.resumed.as_ref().filter(|order| order.number > self.draft.resumed.number)
        {
            self.draft.resumed = CarriedOut { number: order.number, before: newest };
            self.draft.failures.clear();
            self.draft.more_lost = 0;
            if self.draft.state == RolloutState::Stopped {
                self.draft.state = RolloutState::Rolling;
            }
            if self.group.silence.forgive() {
                self.group.restart_clocks(now);
            }
            let lost: Vec<_> =
                self.group.members.iter().filter(|(_, m)| m.lost).map(|(h, _)| h.clone()).collect();
            for host in lost {
                self.group.set_lost(&host, false, now);
            }
        }
        if let Some(order) = control.retry.as_ref().filter(|order| order.number > self.draft.retried.number) {
            self.draft.retried = CarriedOut { number: order.number, before: newest };
        }
    }

    /// Judges everybody anew where what they are compared with changed.
    pub(super) fn measure(&mut self, now: BootTime) {
        let retry = self.orders.control.retry.as_ref();
        let measure = Measure {
            id: self.draft.id,
            identity: self.part.identity,
            target: self.draft.target.clone(),
            limited: self.is_limited(),
            resumed: self.draft.resumed,
            retried: self.draft.retried,
            retry_hosts: retry.map(|order| order.hosts.clone()).unwrap_or_default(),
        };
        let canaries = self.terms().canary;
        if measure != self.group.measure || canaries != self.canaries {
            self.group.measure = measure;
            self.canaries = canaries;
            self.group.judge_all(now);
        }
    }

    /// Lost hosts that are back with the version do not count any more.
    fn forgive_returned(&mut self, now: BootTime) {
        let group = &mut self.group;
        let returned = |host: &HostName| {
            let standing = group.members.get(host).and_then(|member| member.standing());
            standing.is_some_and(|standing| standing.live && standing.done)
        };
        let back: Vec<_> = self
            .draft
            .failures
            .iter()
            .map(|failure| failure.host.clone())
            .filter(|host| returned(host))
            .collect();
        for host in &back {
            group.set_lost(host, false, now);
            self.draft.failures.retain(|failure| failure.host != *host);
        }
    }

    /// After a takeover: those that `rollout` names are lost still.
    pub(super) fn restore_lost(&mut self, now: BootTime) {
        let lost: std::collections::BTreeSet<_> =
            self.draft.failures.iter().map(|f| f.host.clone()).collect();
        let hosts: Vec<_> = self.group.members.keys().cloned().collect();
        for host in hosts {
            let is_lost = lost.contains(&host);
            self.group.set_lost(&host, is_lost, now);
        }
    }

    fn watch_done(&mut self, watch: bool, now: BootTime) {
        if self.group.watches_done != watch {
            self.group.watches_done = watch;
            self.group.judge_all(now);
        }
    }

    /// Stops, soaks, opens the next wave, ends.
    fn progress(&mut self, now: BootTime) {
        if self.draft.id.is_none() {
            return;
        }
        let count = u32::try_from(waves(&self.terms(), self.draft.base).len()).unwrap_or(u32::MAX);
        self.draft.of = count;
        if self.orders.promotes(self.draft.id) {
            self.draft.wave = count;
            if self.draft.state == RolloutState::Soaking {
                self.draft.state = RolloutState::Rolling;
            }
        }
        self.draft.wave = self.draft.wave.clamp(1, count);
        if self.is_limited() && self.orders.aborts(self.draft.id) {
            self.draft.state = RolloutState::Aborted;
        }
        loop {
            let (failing, stop) = self.failures();
            let fails = self.is_limited() && failing >= stop;
            let suspects = !self.group.suspects.is_empty();
            let sums = self.group.sums;
            match self.draft.state {
                RolloutState::Stopped | RolloutState::Aborted => return,
                RolloutState::Idle | RolloutState::Rolling | RolloutState::Soaking | RolloutState::Done
                    if fails =>
                {
                    self.draft.state = RolloutState::Stopped;
                    return;
                }
                RolloutState::Done => {
                    self.draft.wave = count;
                    return;
                }
                RolloutState::Idle => self.draft.state = RolloutState::Rolling,
                RolloutState::Rolling | RolloutState::Soaking
                    if sums.left == 0 && sums.occupied == 0 && !suspects && self.canary_answers() =>
                {
                    self.draft.state = RolloutState::Done;
                    self.draft.wave = count;
                    return;
                }
                RolloutState::Rolling => {
                    if self.wave() == Wave::All || suspects || !self.is_complete() {
                        self.entering = false;
                        return;
                    }
                    // A wave that was complete when it opened proves nothing new.
                    if std::mem::take(&mut self.entering) || self.terms().soak.is_zero() {
                        self.open_next();
                    } else {
                        self.draft.state = RolloutState::Soaking;
                        self.soaking_since = Some(now);
                    }
                }
                RolloutState::Soaking => {
                    let since = *self.soaking_since.get_or_insert(now);
                    if !self.is_complete() {
                        self.draft.state = RolloutState::Rolling;
                        self.entering = false;
                    } else if now.since(since) >= self.terms().soak && !suspects {
                        self.draft.state = RolloutState::Rolling;
                        self.open_next();
                    } else {
                        return;
                    }
                }
            }
        }
    }

    fn open_next(&mut self) {
        self.draft.wave += 1;
        self.soaking_since = None;
        self.entering = true;
    }

    /// Whether all have the version that the open wave asks for.
    fn is_complete(&self) -> bool {
        let sums = self.group.sums;
        match self.wave() {
            Wave::Canaries => sums.canaries > 0 && sums.canaries_left == 0,
            Wave::Hosts(hosts) => sums.done >= hosts,
            Wave::All => false,
        }
    }

    /// Whether the wave does not wait for a dead canary.
    fn canary_answers(&self) -> bool {
        self.wave() != Wave::Canaries || self.group.sums.canaries > 0
    }

    /// When the soak is over.
    pub(super) fn soaked_at(&self) -> Option<BootTime> {
        let soak: Duration = self.terms().soak;
        self.soaking_since.filter(|_| self.draft.state == RolloutState::Soaking).map(|since| since.plus(soak))
    }
}
