//! Operators' requests to a live watch, and the answers.

use std::time::Instant;

use super::bulk;
use super::remembered::wall_clock;
use super::task::Task;
use crate::ledger::{Applied, Paused};
use crate::policy::{Answer, Control, Input, Refusal};
use crate::watch::WatchName;

impl Task {
    /// The newest state, if it needs no run.
    fn settled(&self) -> Option<Applied> {
        let newest = self.machine.newest().filter(|_| self.machine.unserved().is_none());
        newest.map(|newest| bulk::with(&newest.content, || Applied::new(&self.spec.target, newest)))
    }

    /// Runs the action with the last known state, and says how old that is.
    pub(super) fn trigger_cached(&mut self) -> Result<String, String> {
        let verified = self.subscription.freshness().verified;
        self.controlled(Control::Trigger)?;
        let name = &self.spec.name;
        Ok(match verified {
            Some(at) => {
                format!("{name} runs with the last known state, verified {} s ago", at.elapsed().as_secs())
            }
            None => format!("{name} runs with the last known state"),
        })
    }

    /// Carries out an operator's request. Returns the result as a sentence.
    pub(super) fn controlled(&mut self, control: Control) -> Result<String, String> {
        let name = self.spec.name.clone();
        let answer = self.decide_and_answer(Input::Control(control));
        match (answer, control) {
            (Some(Answer::Accepted), Control::Trigger) => Ok(format!("{name} runs with the current state")),
            (Some(Answer::Accepted), Control::Pause { until }) => {
                let length = until.map(|until| until.saturating_duration_since(Instant::now()));
                // Rounded up, so that no pause ends early.
                let seconds = length.map(|length| length.as_secs().saturating_add(1));
                let until = until.and_then(wall_clock);
                let paused = Paused { until, seconds, settled: self.settled() };
                self.runs.shared().ledger().pause(&name, Some(paused));
                tracing::info!(watch = %name, "paused");
                Ok(match until {
                    Some(until) => format!("{name} is paused until {until:.0}"),
                    None => format!("{name} is paused until `twitcher resume {name}`"),
                })
            }
            (Some(Answer::Accepted), Control::Resume) => {
                tracing::info!(watch = %name, "resumed");
                Ok(format!("{name} goes on; nothing starts before the store has been read"))
            }
            (Some(Answer::Refused(why)), _) => Err(refusal(&name, why)),
            (None, _) => Err(format!("{name} did not answer; this is a bug in twitcher")),
        }
    }
}

fn refusal(name: &WatchName, why: Refusal) -> String {
    match why {
        Refusal::Paused => format!("{name} is paused; say `twitcher resume {name}` first"),
        Refusal::Stopped => format!("{name} is stopped after its last retry; say `twitcher resume {name}`"),
        Refusal::Retiring => format!("{name} is being changed or removed; try again in a moment"),
        Refusal::NoState => {
            format!("the store has not shown {name} its key yet; `twitcher explain {name}` says why")
        }
        Refusal::Absent => format!("the key of {name} does not exist, and on_delete = \"ignore\""),
        Refusal::Running => format!("{name} is running, and run_mode = \"discard\""),
        Refusal::NothingToResume => format!("{name} is neither paused nor stopped"),
    }
}
