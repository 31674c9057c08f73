//! The machine: its state, the order of steps within one input, and its next deadline.
//!
//! The files beside this one decide what single inputs mean.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::effect::{Effect, SkipReason};
use super::history::History;
use super::hold::{Hold, Yardstick};
use super::input::{Adopted, Input, Pause, Suspension};
use super::permit::{Acting, Permits};
use super::runs::{Course, LiveRun};
use super::waiting::{Passage, PendingState, Wait, later};
use crate::watch::{PolicySpec, Reason, RunId, RunMode, Seq, State};

/// Source of run ids and randomness.
pub trait Entropy {
    /// The next run's id; never the same twice.
    fn run_id(&mut self) -> RunId;
    /// Uniform in 0.0..=1.0: spreads retries.
    fn jitter(&mut self) -> f64;
}

/// The relation of the newest state to the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// Open: it waits, runs, or will be retried.
    Open,
    /// A run with it succeeded, by this machine or by the ledger.
    Applied,
    /// Seen at load under `run_on_load = false`; there is no record of what was applied before.
    SeenAtLoad,
    /// Seen at load under `run_on_load = false`, although the ledger shows that it was not applied.
    ChangedWhileDown,
    /// It came while the action ran under `run_mode = "discard"`.
    Discarded,
    /// There is nothing to apply: the key does not exist, and a deletion runs nothing.
    Absent,
    /// The last retry failed.
    GivenUp,
    /// The guard holds it back.
    Held(Hold),
}

/// The newest state that was observed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Newest {
    pub(super) state: State,
    pub(super) disposition: Disposition,
    /// The guard let it pass, or there is none.
    pub(super) passed: bool,
    /// `validate` has to judge it although `run_on_load` keeps it from being run.
    pub(super) owed: bool,
    /// The key does not exist, and nothing is to be run for that.
    pub(super) void: bool,
}

impl Newest {
    /// Its run after an operator released it.
    pub(super) fn released(&self, now: Instant, fresh: u64) -> PendingState {
        let reason = if self.state.content.is_absent() { Reason::Delete } else { Reason::Change };
        PendingState { fresh, ..self.again(now, reason, 1, 1, Wait::Ready) }
    }

    /// Its run again after it had its fate, `repeated` updates strong.
    pub(super) fn again(
        &self,
        now: Instant,
        reason: Reason,
        attempt: u32,
        repeated: u64,
        wait: Wait,
    ) -> PendingState {
        let entry = PendingState::again(now, self.state.clone(), reason, attempt, repeated, wait);
        PendingState { passage: Passage::of(self.passed), void: self.void, ..entry }
    }
}

/// How far the machine is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lifecycle {
    Serving,
    Retiring,
    Drained,
}

/// Decides when one watch's action runs. The [module](super) lists the order of waits.
///
/// After a first state, `handle` is never late to notice a deadline as long as it is called at
/// [`Machine::poll_timeout`]; called at other times with [`Input::Wakeup`], it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "the flags are independent")]
pub struct Machine<S> {
    pub(super) policy: Arc<PolicySpec>,
    pub(super) source: S,
    pub(super) newest: Option<Newest>,
    /// Entries waiting for a start, oldest first. At most one except in parallel mode. The last one has the newest state, unless
    /// that is an ignored deletion.
    pub(super) waiting: VecDeque<PendingState>,
    /// In start order.
    pub(super) live: Vec<LiveRun>,
    /// A slot was requested and neither granted nor given back.
    pub(super) asked: bool,
    /// `None`: it takes no part in a fleet, or one without permits.
    pub(super) permits: Option<Box<Permits>>,
    pub(super) paused: Option<Pause>,
    pub(super) stopped: bool,
    /// The last retry with the newest state failed, and no operator has requested another run since.
    pub(super) gave_up: bool,
    pub(super) lifecycle: Lifecycle,
    /// An adopted run ended before there was a state to repeat it with.
    pub(super) recover: bool,
    /// Updates of waiting states that a deletion dropped: the next run stands for them too.
    pub(super) carried: u64,
    /// Updates discarded since the last start.
    pub(super) discarded: u64,
    pub(super) last_start: Option<Instant>,
    /// Starts in a row that the daemon could not make.
    pub(super) prevented: u32,
    pub(super) yardstick: Yardstick,
    /// The state that is with `validate`.
    pub(super) validating: Option<Seq>,
    pub(super) history: History,
}

impl<S: Entropy> Machine<S> {
    /// A machine that has seen no state yet.
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
            prevented: 0,
            yardstick: Yardstick::Missing,
            validating: None,
            history: History::default(),
        }
    }

    /// Adds a run of a former daemon that is still alive: the machine waits for it, with the same timeout. Must be called before
    /// any input; check [`Machine::poll_timeout`] afterwards, because the timeout may be over.
    pub fn adopt(&mut self, adopted: Adopted) {
        let Adopted { run, version, reason, attempt, coalesced, started, permit } = adopted;
        if let (Some(permits), Some(grant)) = (&mut self.permits, permit) {
            permits.acting = Some(Acting { grant, run: run.clone(), lost: false });
        }
        self.last_start = self.last_start.max(Some(started));
        let course = Course::Running { term_at: self.policy.timeout.map(|timeout| later(started, timeout)) };
        let seq = None;
        let (adopted, entries) = (true, None);
        self.live.push(LiveRun {
            run,
            seq,
            version,
            reason,
            attempt,
            coalesced,
            started,
            adopted,
            entries,
            course,
            entry: None,
        });
    }

    /// Handles an input and returns the effects, to be performed in this order.
    #[must_use = "effects that are not performed are lost runs and signals"]
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        // Handle the effects of time first: after the end of a pause, a trigger is no longer refused.
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
            Input::Validated { seq, valid } => self.validated(now, seq, valid, &mut effects),
            Input::Ended(ended) => self.end(now, &ended, &mut effects),
            Input::Prevented(run) => self.prevent(now, &run, &mut effects),
            Input::Wakeup => {}
            Input::Control(control) => self.control(now, control, &mut effects),
            Input::Retire { deadline } => self.retire(now, deadline, &mut effects),
            Input::Stop { deadline } => self.stop(now, deadline, &mut effects),
        }
        self.pass_time(now, &mut effects);
        self.seek_validation(&mut effects);
        self.seek_permit(now, &mut effects);
        self.end_overdue(now, &mut effects);
        self.ask_for_slot(now, &mut effects);
        self.drain(&mut effects);
        effects
    }

    /// When to call [`Machine::handle`] with [`Input::Wakeup`] if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.live.iter().filter_map(LiveRun::deadline).min();
        let serving = self.is_serving();
        let pause = self.paused.and_then(|pause| pause.until).filter(|_| serving);
        let first = self.waiting.front().filter(|_| serving && !self.is_suspended());
        let last = self.waiting.back().filter(|last| first.is_some() && last.is_settling());
        let ripe = first.and_then(|entry| entry.wait.deadline());
        let settled = last.and_then(|entry| entry.wait.deadline());
        let interval = first
            .filter(|entry| entry.has_passed() && entry.is_ready() && self.awaits_interval())
            .and_then(|entry| self.interval_end(entry));
        let permit = self.permit_deadline();
        [ends, pause, ripe, settled, interval, permit].into_iter().flatten().min()
    }

    /// Advances pauses, settling, splay and retry delays.
    fn pass_time(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.is_serving() {
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
            last.settle(now, &self.policy);
        }
        self.judge_settled(now, effects);
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
            // Ten thousand idle machines should hold no buffers.
            self.waiting = VecDeque::new();
        }
        let run = self.source.run_id();
        let coalesced = entry.coalesced();
        self.discarded = 0;
        let before = self.last_start.replace(now);
        let term_at = self.policy.timeout.map(|timeout| later(now, timeout));
        self.history.started(&entry, coalesced);
        let PendingState { state, reason, attempt, .. } = entry.clone();
        self.live.push(LiveRun {
            run: run.clone(),
            seq: Some(entry.state.seq),
            version: Some(entry.state.version),
            reason: entry.reason,
            attempt: entry.attempt,
            coalesced,
            started: now,
            adopted: false,
            entries: self.counted(&entry.state.content),
            course: Course::Running { term_at },
            entry: Some(Box::new((entry, before))),
        });
        effects.push(Effect::Start { state, reason, attempt, coalesced, run: run.clone() });
        Some(run)
    }

    fn end_overdue(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let newer = self.waiting.front().is_some_and(PendingState::has_passed);
        let restart = matches!(self.policy.run_mode, RunMode::Restart)
            && self.may_start()
            && newer
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
                entry.has_passed()
                    && entry.is_ready()
                    && self.interval_end(entry).is_none_or(|until| until <= now)
            })
    }

    /// Whether the run mode allows one more run beside the live ones.
    pub(super) fn has_room(&self) -> bool {
        match self.policy.run_mode {
            RunMode::Queue | RunMode::Discard | RunMode::Restart => self.live.is_empty(),
            RunMode::Parallel { max } => self.live.len() < usize::try_from(max).unwrap_or(usize::MAX).max(1),
        }
    }

    /// Until when `min_interval` delays an entry, if at all.
    pub(super) fn interval_end(&self, entry: &PendingState) -> Option<Instant> {
        if entry.urgent || self.policy.min_interval.is_zero() {
            return None;
        }
        self.last_start.map(|last| later(last, self.policy.min_interval))
    }

    /// Paused or stopped: nothing starts, and updates are merged into the newest.
    pub(super) fn is_suspended(&self) -> bool {
        self.paused.is_some() || self.stopped
    }

    pub(super) fn may_start(&self) -> bool {
        self.is_serving() && !self.is_suspended()
    }

    pub(super) fn skip(&mut self, now: Instant, seq: Seq, why: SkipReason, effects: &mut Vec<Effect>) {
        self.history.skipped(seq, why, now);
        effects.push(Effect::Skip { seq, why });
    }

    /// Whether a live run has exceeded its `timeout`, by the clock that its TERM is due by.
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

    /// Whether a state waits for its run, for whatever reason.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether it may start runs: it was neither retired nor stopped.
    pub fn is_serving(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Serving)
    }

    /// When a start is tried again that failed or could not be made, while that is what is waited for.
    pub fn next_retry(&self) -> Option<Instant> {
        self.waiting.front().and_then(|entry| match entry.wait {
            Wait::Retrying { until } | Wait::Prevented { until } => Some(until),
            Wait::Settling { .. } | Wait::Splaying { .. } | Wait::Ready => None,
        })
    }

    /// When the pause ends by itself.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused.and_then(|pause| pause.until)
    }

    /// Whether the newest state was given to a run that succeeded, or there is nothing to apply. Never after giving up.
    ///
    /// A state that the ledger records as applied counts; one that was only seen at load does not.
    pub fn converged(&self) -> bool {
        let settled = self.newest.as_ref().is_some_and(|newest| match newest.disposition {
            Disposition::Applied | Disposition::Absent => true,
            Disposition::Open
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded
            | Disposition::GivenUp
            | Disposition::Held(_) => false,
        });
        settled && !self.gave_up()
    }

    /// Where the newest state stands.
    pub fn disposition(&self) -> Option<Disposition> {
        self.newest.as_ref().map(|newest| newest.disposition)
    }

    /// The state that a retired machine had accepted and not applied, for its successor's
    /// [`Baseline::Pending`](super::Baseline::Pending). Valid once it has drained.
    ///
    /// A first state that came after Retire is not included (the successor judges its own first state), unless it was itself
    /// pending or interrupted. A baseline that never met a state must be kept by the caller.
    pub fn unserved(&self) -> Option<&State> {
        self.newest.as_ref().and_then(|newest| match newest.disposition {
            // A state that the ledger records as applied is left to the successor.
            Disposition::Open => {
                let applied = self.history.applied.is_some_and(|(seq, _)| seq == newest.state.seq);
                Some(&newest.state).filter(|_| !applied)
            }
            // A stop ends when the definition changes, which is now.
            Disposition::GivenUp => Some(&newest.state).filter(|_| self.stopped),
            // The successor has a guard of its own.
            Disposition::Held(_) => Some(&newest.state),
            Disposition::Applied
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded
            | Disposition::Absent => None,
        })
    }
}
