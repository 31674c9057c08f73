//! The requirements after each input and after the end of a run.

use super::{Checked, Claim, Judge, LiveSeen, Newest};
use crate::policy::tests::fixture::Counter;
use crate::policy::{Effect, Machine, Phase, Sent};
use crate::watch::{OnFailure, RunMode, Verdict};

impl Judge {
    /// The required effect of the end of a run.
    pub(super) fn concluded(&mut self, verdict: Verdict, live: &LiveSeen, effects: &[Effect]) -> Checked {
        if verdict == Verdict::Succeeded && live.seq.is_some() && self.newest.is_some() {
            demand!(self.last_applied >= live.seq, "a success was not told");
        }
        let stopped = effects.iter().any(|effect| matches!(effect, Effect::Stopped { .. }));
        let lost = verdict == Verdict::Unknown || (live.adopted && live.seq.is_none());
        if let Some(newest) = &mut self.newest
            && verdict != Verdict::Succeeded
            && lost
            && !self.stopped
            && !self.retiring
        {
            let discarded = self.policy.run_mode == RunMode::Discard && newest.claim == Claim::Resumable;
            let current = live.seq.is_none_or(|seq| seq == newest.seq) || discarded;
            let elsewhere = self.live.iter().any(|other| other.seq == Some(newest.seq));
            if current && !elsewhere && !newest.absent_ignored(&self.policy) {
                newest.claim = Claim::Applying;
                demand!(!stopped, "stopped by a loss");
                return Ok(());
            }
        }
        if verdict != Verdict::Failed || self.retiring {
            demand!(!stopped, "stopped by no failure");
            return Ok(());
        }
        let Some(newest) = self.newest else { return Ok(()) };
        let discarding = self.policy.run_mode == RunMode::Discard && newest.claim == Claim::Resumable;
        let current = live.seq == Some(newest.seq) || (discarding && live.seq.is_some());
        let elsewhere = self.live.iter().any(|other| other.seq == Some(newest.seq));
        let current = current && !newest.ignored();
        let superseded = !self.unfated.is_empty() || !self.triggered.is_empty() || elsewhere || !current;
        if self.exhausted(live.attempt) && !superseded {
            self.newest = Some(Newest { claim: Claim::Resumable, ..newest });
            if self.policy.on_failure == OnFailure::Stop {
                demand!(self.stopped, "not stopped after the last retry");
            }
            demand!(self.gave_up || self.stopped, "does not say that it gave up");
        } else if !superseded && !self.stopped && !newest.ignored() {
            self.newest = Some(Newest { claim: Claim::Applying, ..newest });
        } else if superseded {
            demand!(!stopped, "stopped though something newer was at hand");
        }
        Ok(())
    }

    /// The required effect of an update while the action runs.
    pub(super) fn updated(&self, effects: &[Effect]) -> Checked {
        let unfated = |newest: &Newest| self.unfated.contains_key(&newest.seq);
        let Some(newest) = self.newest.filter(unfated) else { return Ok(()) };
        let mut running = self.live.iter().filter(|live| live.term.is_none());
        // A state that a guard has to judge signals nothing yet; the aftermath says when it must.
        let judged = !self.guards(newest.absent) || newest.passed;
        match self.policy.run_mode {
            RunMode::Queue | RunMode::Restart if !judged => {}
            RunMode::Queue => {
                let told = |live: &LiveSeen| {
                    effects.contains(&Effect::Signal { run: live.run.clone(), sent: Sent::Notify })
                };
                demand!(self.policy.notify_signal.is_none() || running.all(told), "{newest:?}: not notified");
            }
            RunMode::Discard => {
                demand!(self.live.is_empty() || self.resumed || newest.void, "{newest:?}: not discarded");
            }
            RunMode::Restart => {
                let waits = self.held() || !self.may_exchange();
                demand!(waits || running.next().is_none(), "{newest:?}: the old run goes on");
            }
            RunMode::Parallel { .. } => {}
        }
        Ok(())
    }

    /// What holds after every input.
    pub(super) fn aftermath(&self, machine: &Machine<Counter>) -> Checked {
        for live in &self.live {
            let timeout = self.policy.timeout.map(|timeout| live.started + timeout);
            let due = timeout.into_iter().chain(self.close).min().is_some_and(|at| at <= self.now);
            demand!(!due || live.term.is_some(), "no TERM though it is due");
            let dead = live.term.is_some_and(|term| term + self.policy.kill_after <= self.now);
            demand!(!dead || live.killed, "no KILL though it is due");
        }
        demand!(self.drained == (self.retiring && self.live.is_empty()), "not drained");
        demand!(!self.drained || self.unfated.is_empty(), "a state without a fate at the end");
        demand!(!self.asked || (!self.held() && !self.retiring), "keeps a place in the queue");
        let free = !self.held() && !self.retiring && self.room();
        if let (true, Some((seq, eldest))) = (free, self.unfated.iter().next()) {
            let ready = self.splayed(eldest);
            let spaced = self.last_start.is_none_or(|(_, at)| at + self.policy.min_interval <= self.now);
            let asks = self.asked || self.fleet.is_some();
            if self.is_valid(*seq, eldest) {
                demand!(
                    ready > self.now || !spaced || asks || self.prevented.is_some(),
                    "nothing in its way, and it does not ask"
                );
            }
        }
        if !self.held() && !self.retiring {
            let next = self.unfated.iter().find(|(seq, fresh)| !self.is_valid(**seq, fresh));
            let due = next.filter(|(_, fresh)| self.quiet(fresh) <= self.now);
            demand!(
                due.is_none() || self.validating.is_some(),
                "nothing in its way, and it is not validated"
            );
        } else {
            demand!(self.validating.is_none(), "validates while held or retiring");
        }
        let waiting = self.unfated.len() + usize::from(self.released.is_some());
        demand!(
            !free
                || self.triggered.is_empty()
                || self.asked
                || waiting > 1
                || self.seeks(None)
                || self.validating.is_some()
                || self.prevented.is_some(),
            "a trigger waits for nothing"
        );
        self.permits_in_order()?;
        let undisturbed = self.live.iter().any(|live| live.term.is_none());
        if undisturbed && !self.held() && !self.retiring && !self.newest_fails() {
            let mut unfated = self.unfated.iter();
            let passed =
                unfated.any(|(seq, fresh)| self.is_valid(*seq, fresh) && self.quiet(fresh) <= self.now);
            let restart = self.policy.run_mode == RunMode::Restart;
            demand!(!passed || !restart || !self.may_exchange(), "the old run goes on");
            let notifies = self.policy.run_mode == RunMode::Queue && self.policy.notify_signal.is_some();
            let told = self.newest.is_some_and(|newest| newest.notified);
            demand!(!passed || !notifies || told, "what passed notifies nobody");
        }
        let told = machine.explain(self.now);
        let held = self.newest.is_some_and(|newest| newest.held);
        demand!(held == machine.held().is_some(), "it tells otherwise what is held");
        demand!(!held || !machine.converged(), "held, and converged");
        demand!(told.phase != Phase::Held || held, "it tells to hold what is not held");
        demand!(told.live.len() == self.live.len(), "it tells of other runs");
        demand!(told.waiting.is_none() || !told.obstacles.is_empty(), "waits, and cannot tell for what");
        demand!(self.unfated.is_empty() || told.waiting.is_some(), "a state without a fate is not waiting");
        let phase = if self.stopped {
            told.phase == Phase::Stopped
        } else if self.paused.is_some() {
            told.phase == Phase::Paused
        } else {
            (told.phase == Phase::Running) != self.live.is_empty()
        };
        demand!(phase, "it tells to be {:?}", told.phase);
        Ok(())
    }
}
