//! What a situation must lead to: waking up in time, and a good end.

use std::time::{Duration, Instant};

use super::{Checked, Claim, Judge};
use crate::policy::tests::fixture::Counter;
use crate::policy::{Control, Input, Machine, RunEnd};
use crate::watch::{Seq, Verdict};

impl Judge {
    /// Checks that the machine wakes up exactly when it must, right after an input.
    pub(in crate::policy::tests) fn punctual(&self, machine: &Machine<Counter>) -> Checked {
        let stays = |at: Instant| {
            let mut woken = machine.clone();
            let effects = woken.handle(at, Input::Wakeup);
            if effects.is_empty() && woken == *machine {
                Ok(())
            } else {
                Err(format!("woken early: {effects:?}"))
            }
        };
        stays(self.now)?;
        match machine.poll_timeout() {
            None => stays(self.now + Duration::from_hours(100_000)),
            Some(at) => {
                demand!(at > self.now, "a deadline was left unmet");
                stays(at.checked_sub(Duration::from_nanos(1)).unwrap_or(at))?;
                let mut woken = machine.clone();
                drop(woken.handle(at, Input::Wakeup));
                demand!(woken != *machine, "woken for nothing");
                Ok(())
            }
        }
    }

    /// If everything goes well from here on, does the watch end correctly?
    pub(in crate::policy::tests) fn ends_well(&self, machine: &Machine<Counter>) -> Checked {
        let (mut judge, mut machine) = (self.clone(), machine.clone());
        if !judge.retiring && !judge.held() {
            judge.run_dry(&mut machine)?;
            judge.at_rest(&machine, false)?;
            let pause = Control::Pause { until: None };
            judge.feed(&mut machine, &Input::Control(pause))?;
        }
        if !judge.retiring {
            // The pause may have ended by itself meanwhile.
            if judge.held() {
                judge.feed(&mut machine, &Input::Control(Control::Resume))?;
            }
            judge.run_dry(&mut machine)?;
            return judge.at_rest(&machine, true);
        }
        judge.run_dry(&mut machine)?;
        demand!(judge.drained, "retired and never drained");
        let owed = judge.newest.filter(|newest| {
            (newest.claim == Claim::Applying || newest.held) && !newest.applied && !newest.late_first
        });
        let told = machine.unserved().map(|state| state.seq.0);
        let stopped = judge.stopped && told.is_some();
        demand!(stopped || owed.map(|newest| newest.seq) == told, "owes {owed:?}, tells {told:?}");
        Ok(())
    }

    /// Grants slots, lets runs succeed and time pass until nothing more happens.
    fn run_dry(&mut self, machine: &mut Machine<Counter>) -> Checked {
        for _ in 0..200 {
            let input = if let Some(seq) = self.validating {
                Input::Validated { seq: Seq(seq), valid: true }
            } else if self.asked {
                Input::Slot
            } else if let Some(answer) = self.good_answer() {
                answer
            } else if let Some(live) = self.live.first() {
                Input::Ended(RunEnd { run: live.run.clone(), verdict: Verdict::Succeeded })
            } else if let Some(at) = machine.poll_timeout() {
                self.now = self.now.max(at);
                Input::Wakeup
            } else {
                return Ok(());
            };
            self.feed(machine, &input)?;
        }
        Err("it never comes to rest".into())
    }

    fn at_rest(&self, machine: &Machine<Counter>, resumed: bool) -> Checked {
        demand!(self.unfated.is_empty(), "a state was forgotten");
        demand!(self.fleet.as_ref().is_none_or(|fleet| fleet.held.is_empty()), "a permit was forgotten");
        demand!(
            self.triggered.is_empty() || self.newest.is_some_and(|newest| newest.ignored()),
            "a trigger was forgotten"
        );
        let Some(newest) = self.newest else { return Ok(()) };
        let due = match newest.claim {
            Claim::Applying => true,
            Claim::Resumable => resumed,
            Claim::Nothing => false,
        };
        demand!(!due || newest.applied, "the newest state was lost");
        demand!(!due || machine.converged() || self.gave_up, "applied, and not converged");
        demand!(!machine.converged() || !self.gave_up, "gave up, and converged");
        demand!(!machine.converged() || newest.applied || newest.ignored(), "converged by nothing");
        Ok(())
    }
}
