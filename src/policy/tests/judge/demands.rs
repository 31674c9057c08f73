//! What the contract demands after each input and of the end of a run.

use super::{Checked, Claim, Judge, LiveSeen, Newest};
use crate::policy::tests::fixture::Counter;
use crate::policy::{Effect, Machine, Phase, Sent};
use crate::watch::{OnFailure, RunMode, Verdict};

impl Judge {
    /// What the end of a run must have led to.
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

    /// What an update must have led to while the action runs.
    pub(super) fn updated(&self, effects: &[Effect]) -> Checked {
        let Some(newest) = self.newest.filter(|newest| self.unfated.contains_key(&newest.seq)) else {
            return Ok(());
        };
        let mut running = self.live.iter().filter(|live| live.term.is_none());
        match self.policy.run_mode {
            RunMode::Queue => {
                let told = |live: &LiveSeen| {
                    effects.contains(&Effect::Signal { run: live.run.clone(), sent: Sent::Notify })
                };
                demand!(self.policy.notify_signal.is_none() || running.all(told), "{newest:?}: not notified");
            }
            RunMode::Discard => {
                demand!(self.live.is_empty() || self.resumed, "{newest:?}: not discarded");
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
        if let (true, Some((_, eldest))) = (free, self.unfated.iter().next()) {
            let ready = self.quiet(eldest) + self.policy.splay;
            let spaced = self.last_start.is_none_or(|(_, at)| at + self.policy.min_interval <= self.now);
            let asks = self.asked || self.fleet.is_some();
            demand!(ready > self.now || !spaced || asks, "nothing in its way, and it does not ask");
        }
        demand!(
            !free || self.triggered.is_empty() || self.asked || self.unfated.len() > 1 || self.seeks(None),
            "a trigger waits for nothing"
        );
        self.permits_in_order()?;
        let told = machine.explain(self.now);
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
