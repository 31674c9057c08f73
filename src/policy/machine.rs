//! The machine itself: what it holds, the order of things inside one input, and when to wake up.
//!
//! What single inputs mean is in the files beside this one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::effect::{Effect, SkipReason};
use super::history::History;
use super::input::{Adopted, Input, Pause, Suspension};
use super::permit::{Acting, Permits};
use super::runs::{Course, LiveRun};
use super::waiting::{Entry, Wait, later};
use crate::watch::{PolicySpec, RunId, RunMode, Seq, State};

/// Where run ids and chance come from.
pub trait Entropy {
    /// The next run's id; never the same twice.
    fn run_id(&mut self) -> RunId;
    /// Uniformly out of 0.0..=1.0: spreads retries.
    fn jitter(&mut self) -> f64;
}

/// Where the newest state stands with regard to the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// To be applied: it waits, runs, or will be retried.
    Open,
    /// A run that was given it succeeded, by this machine or by the ledger.
    Applied,
    /// Taken note of on load, nothing being known about what was applied before.
    SeenAtLoad,
    /// Taken note of on load under `run_on_load = false`, though the ledger knows that it was not applied.
    ChangedWhileDown,
    /// It came while the action ran under `run_mode = "discard"`.
    Discarded,
    /// There is nothing to apply: the key does not exist, and that runs nothing.
    Absent,
    /// The last retry failed.
    GivenUp,
}

/// The newest state that was observed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Newest {
    pub(super) state: State,
    pub(super) disposition: Disposition,
}

/// How far the machine is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lifecycle {
    Serving,
    Retiring,
    Drained,
}

/// Decides when one watch's action runs. See the [module](super) for the order of what it waits for.
///
/// After a first state, `handle` is never late to notice a deadline as long as it is called at
/// [`Machine::poll_timeout`]; called at other times with [`Input::Wakeup`], it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself, and all combinations occur")]
pub struct Machine<S> {
    pub(super) policy: Arc<PolicySpec>,
    pub(super) source: S,
    pub(super) newest: Option<Newest>,
    /// On their way to a start, oldest first. One at most, but in parallel mode. The last one has the
    /// newest state, unless that is an ignored deletion.
    pub(super) waiting: VecDeque<Entry>,
    /// In the order of their starts.
    pub(super) live: Vec<LiveRun>,
    /// A slot was asked for and neither granted nor given back.
    pub(super) asked: bool,
    /// `None`: it takes no part in a fleet, or one without permits.
    pub(super) permits: Option<Box<Permits>>,
    pub(super) paused: Option<Pause>,
    pub(super) stopped: bool,
    /// The last retry with the newest state failed, and nobody has asked for another run since.
    pub(super) gave_up: bool,
    pub(super) lifecycle: Lifecycle,
    /// An adopted run ended before there was a state to repeat it with.
    pub(super) recover: bool,
    /// Updates of states that a deletion took out of waiting: the next run stands for them too.
    pub(super) carried: u64,
    /// Updates discarded since the last start.
    pub(super) discarded: u64,
    pub(super) last_start: Option<Instant>,
    pub(super) history: History,
}

impl<S: Entropy> Machine<S> {
    /// A machine that has seen nothing yet.
    pub fn new(policy: impl Into<Arc<PolicySpec>>, source: S, standing: Suspension) -> Self {
        Self {
            policy: policy.into(),
            source,
            newest: None,
            waiting: VecDeque::new(),
            live: Vec::new(),
            asked: false,
            permits: None,
            paused: standing.paused,
            stopped: standing.stopped,
            gave_up: false,
            lifecycle: Lifecycle::Serving,
            recover: false,
            carried: 0,
            discarded: 0,
            last_start: None,
            history: History::default(),
        }
    }

    /// A run of a former daemon is still alive: the machine waits for it, and ends it by the same timeout.
    /// To be told before any input. Ask [`Machine::poll_timeout`] afterwards: the timeout may be over.
    pub fn adopt(&mut self, adopted: Adopted) {
        let Adopted { run, version, reason, attempt, coalesced, started, permit } = adopted;
        if let (Some(permits), Some(grant)) = (&mut self.permits, permit) {
            permits.acting = Some(Acting { grant, run: run.clone(), lost: false });
        }
        self.last_start = self.last_start.max(Some(started));
        let course = Course::Running { term_at: self.policy.timeout.map(|timeout| later(started, timeout)) };
        let seq = None;
        let adopted = true;
        self.live.push(LiveRun { run, seq, version, reason, attempt, coalesced, started, adopted, course });
    }

    /// Takes what happened and says what is to be done, to be performed in this order.
    #[must_use = "effects that are not performed are lost runs and signals"]
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        // What time alone brought comes first: at the end of a pause, a trigger is no longer refused.
        self.pass_time(now, &mut effects);
        match input {
            Input::State { state, updates, baseline } => {
                self.observe(now, state, updates.max(1), baseline, &mut effects);
            }
            Input::Slot => self.take_slot(now, &mut effects),
            Input::Permit(grant) => self.grant(now, grant, &mut effects),
            Input::Claimed { permit, fresh_until } => self.claimed(now, permit, fresh_until, &mut effects),
            Input::Refused(permit) => self.refused(permit, &mut effects),
            Input::PermitLost(permit) => self.lose_permit(permit, &mut effects),
            Input::Offline => self.offline(&mut effects),
            Input::Ended(ended) => self.end(now, &ended, &mut effects),
            Input::Wakeup => {}
            Input::Control(control) => self.control(now, control, &mut effects),
            Input::Retire { deadline } => self.retire(now, deadline, &mut effects),
            Input::Stop { deadline } => self.stop(now, deadline, &mut effects),
        }
        self.pass_time(now, &mut effects);
        self.seek_permit(now, &mut effects);
        self.end_overdue(now, &mut effects);
        self.ask_for_slot(now, &mut effects);
        self.drain(&mut effects);
        effects
    }

    /// When to call [`Machine::handle`] with [`Input::Wakeup`] if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.live.iter().filter_map(LiveRun::deadline).min();
        let serving = matches!(self.lifecycle, Lifecycle::Serving);
        let pause = self.paused.and_then(|pause| pause.until).filter(|_| serving);
        let first = self.waiting.front().filter(|_| serving && !self.is_suspended());
        let last = self.waiting.back().filter(|last| first.is_some() && last.is_settling());
        let ripe = first.and_then(|entry| entry.wait.deadline());
        let settled = last.and_then(|entry| entry.wait.deadline());
        let interval = first
            .filter(|entry| entry.is_ready() && self.awaits_interval())
            .and_then(|entry| self.interval_end(entry));
        let permit = self.permit_deadline();
        [ends, pause, ripe, settled, interval, permit].into_iter().flatten().min()
    }

    /// What pauses, settling, splay and retry delays come to.
    fn pass_time(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !matches!(self.lifecycle, Lifecycle::Serving) {
            return;
        }
        if self.paused.and_then(|pause| pause.until).is_some_and(|until| until <= now) {
            self.paused = None;
            effects.push(Effect::Resumed);
            self.catch_up(now);
        }
        if self.is_suspended() {
            return;
        }
        // Only the last one can be settling, and only the first one starts.
        if let Some(last) = self.waiting.back_mut() {
            last.settle(now, self.policy.splay);
        }
        if let Some(first) = self.waiting.front_mut() {
            first.ripen(now);
        }
    }

    fn take_slot(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let granted = std::mem::replace(&mut self.asked, false);
        if granted && self.wants_slot(now) {
            if !self.claim(effects) {
                self.start(now, effects);
            }
        } else {
            effects.push(Effect::Release);
        }
    }

    /// Starts the front entry in the slot that is held.
    pub(super) fn start(&mut self, now: Instant, effects: &mut Vec<Effect>) -> Option<RunId> {
        let entry = self.waiting.pop_front()?;
        if self.waiting.is_empty() {
            // Ten thousand idle machines hold no buffer each.
            self.waiting = VecDeque::new();
        }
        let run = self.source.run_id();
        let coalesced = entry.coalesced();
        self.discarded = 0;
        self.last_start = Some(now);
        let term_at = self.policy.timeout.map(|timeout| later(now, timeout));
        self.live.push(LiveRun {
            run: run.clone(),
            seq: Some(entry.state.seq),
            version: Some(entry.state.version),
            reason: entry.reason,
            attempt: entry.attempt,
            coalesced,
            started: now,
            adopted: false,
            course: Course::Running { term_at },
        });
        self.history.started(&entry, coalesced);
        let Entry { state, reason, attempt, .. } = entry;
        effects.push(Effect::Start { state, reason, attempt, coalesced, run: run.clone() });
        Some(run)
    }

    fn end_overdue(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let restart = matches!(self.policy.run_mode, RunMode::Restart)
            && self.may_start()
            && !self.waiting.is_empty()
            && self.has_permit();
        for live in &mut self.live {
            live.advance(now, restart, self.policy.kill_after, effects);
        }
    }

    fn ask_for_slot(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let wanted = self.wants_slot(now);
        if wanted != self.asked {
            self.asked = wanted;
            effects.push(if wanted { Effect::Acquire } else { Effect::Release });
        }
    }

    fn drain(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.lifecycle, Lifecycle::Retiring) && self.live.is_empty() {
            self.lifecycle = Lifecycle::Drained;
            effects.push(Effect::Drained);
        }
    }

    fn wants_slot(&self, now: Instant) -> bool {
        self.may_start()
            && self.has_room()
            && self.has_permit()
            && self.waiting.front().is_some_and(|entry| {
                entry.is_ready() && self.interval_end(entry).is_none_or(|until| until <= now)
            })
    }

    /// Whether the run mode has room for one more beside the live runs.
    pub(super) fn has_room(&self) -> bool {
        match self.policy.run_mode {
            RunMode::Queue | RunMode::Discard | RunMode::Restart => self.live.is_empty(),
            RunMode::Parallel { max } => self.live.len() < usize::try_from(max).unwrap_or(usize::MAX).max(1),
        }
    }

    /// Until when `min_interval` holds an entry back, if it does at all.
    pub(super) fn interval_end(&self, entry: &Entry) -> Option<Instant> {
        if entry.urgent || self.policy.min_interval.is_zero() {
            return None;
        }
        self.last_start.map(|last| later(last, self.policy.min_interval))
    }

    /// Paused or stopped: nothing starts, and updates come together in the newest.
    pub(super) fn is_suspended(&self) -> bool {
        self.paused.is_some() || self.stopped
    }

    pub(super) fn may_start(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Serving) && !self.is_suspended()
    }

    pub(super) fn skip(&mut self, now: Instant, seq: Seq, why: SkipReason, effects: &mut Vec<Effect>) {
        self.history.skipped(seq, why, now);
        effects.push(Effect::Skip { seq, why });
    }

    /// Whether a live run has outlived its `timeout`, by the clock that its TERM is due by.
    pub fn is_overdue(&self, run: &RunId, now: Instant) -> bool {
        let live = self.live.iter().find(|live| live.run == *run);
        live.zip(self.policy.timeout).is_some_and(|(live, timeout)| later(live.started, timeout) <= now)
    }

    /// The newest state that was observed.
    pub fn newest(&self) -> Option<&State> {
        self.newest.as_ref().map(|newest| &newest.state)
    }

    /// Whether the last retry failed: nothing runs until a new state comes or an operator asks.
    pub fn gave_up(&self) -> bool {
        self.gave_up || self.stopped
    }

    /// Whether a run is ready and waits for its mutex or for one of the processes that the daemon may have.
    pub fn waits_for_slot(&self) -> bool {
        self.asked
    }

    /// When a failed run is repeated, while that is what is waited for.
    pub fn next_retry(&self) -> Option<Instant> {
        self.waiting.front().and_then(|entry| match entry.wait {
            Wait::Retrying { until } => Some(until),
            Wait::Settling { .. } | Wait::Splaying { .. } | Wait::Ready => None,
        })
    }

    /// When the pause ends by itself.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused.and_then(|pause| pause.until)
    }

    /// Whether the newest state was given to a run that succeeded, or there is nothing to apply. Never after giving up.
    ///
    /// A state that the ledger knows as applied counts; one that was only seen at load does not.
    pub fn converged(&self) -> bool {
        let settled = self.newest.as_ref().is_some_and(|newest| match newest.disposition {
            Disposition::Applied | Disposition::Absent => true,
            Disposition::Open
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded
            | Disposition::GivenUp => false,
        });
        settled && !self.gave_up()
    }

    /// What a retired machine had taken on and not brought to success, for its successor's
    /// [`Baseline::Pending`](super::Baseline::Pending). To be asked once it has drained.
    ///
    /// A first state that came after Retire is not among it (the successor judges its own first state),
    /// unless it was itself pending or interrupted. A baseline that never met a state is the caller's to keep.
    pub fn unserved(&self) -> Option<&State> {
        self.newest.as_ref().and_then(|newest| match newest.disposition {
            // A load of what the ledger knows as applied is the successor's to decide.
            Disposition::Open => {
                let applied = self.history.applied.is_some_and(|(seq, _)| seq == newest.state.seq);
                Some(&newest.state).filter(|_| !applied)
            }
            // A stop holds until the definition changes, which is now.
            Disposition::GivenUp => Some(&newest.state).filter(|_| self.stopped),
            Disposition::Applied
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded
            | Disposition::Absent => None,
        })
    }
}
