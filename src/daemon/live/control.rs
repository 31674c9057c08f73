//! Operators' requests to a live watch, and the answers.

use std::time::Instant;

use tokio::sync::oneshot;

use super::bulk;
use super::reading::{JUDGED_WITHIN, Judging};
use super::remembered::wall_clock;
use super::task::Task;
use crate::ledger::{Applied, Paused};
use crate::policy::{Control, ControlResult, Input, Permission, Phase, Refusal};
use crate::process::RunDetails;
use crate::status::Preview;
use crate::watch::{OnDelete, Reason, RunId, WatchName};

/// Receives the sentence that answers a request.
type Asker = oneshot::Sender<Result<String, String>>;

impl Task {
    /// The newest state, if it needs no run.
    fn settled(&self) -> Option<Applied> {
        let newest = self.machine.newest().filter(|_| self.machine.unserved().is_none());
        newest.map(|newest| bulk::with(&newest.content, || Applied::new(&self.spec.target, newest)))
    }

    /// Runs the action with the last known state, and says how old that is.
    pub(super) fn trigger_cached(&mut self, permission: Permission, answer: Asker) {
        let verified = self.subscription.freshness().verified;
        let said = self.controlled(Control::Trigger(permission)).map(|_| {
            let name = &self.spec.name;
            match verified {
                Some(at) => {
                    format!(
                        "{name} runs with the last known state, verified {} s ago",
                        at.elapsed().as_secs()
                    )
                }
                None => format!("{name} runs with the last known state"),
            }
        });
        self.answer_once_judged(said, answer);
    }

    /// Answers a trigger: at once, or when `validate` has judged the state.
    pub(super) fn answer_once_judged(&mut self, said: Result<String, String>, answer: Asker) {
        match said {
            Ok(said) if self.machine.is_judging() => {
                let until = Instant::now() + JUDGED_WITHIN;
                self.readings.get_or_insert_default().judged.push(Judging { said, answer, until });
            }
            Ok(_) | Err(_) => {
                let _ = answer.send(said);
            }
        }
    }

    /// Answers the triggers that wait for `validate`: all once it has judged the newest state or will not do so, before
    /// that only those whose time is over.
    pub(super) fn answer_triggers(&mut self) {
        if self.readings.as_ref().is_none_or(|readings| readings.judged.is_empty()) {
            return;
        }
        let name = &self.spec.name;
        let refused = if !self.machine.is_serving() {
            Some(refusal(name, Refusal::Retiring))
        } else if self.machine.held().is_some() {
            Some(refusal(name, Refusal::Held))
        } else {
            self.suspension()
        };
        let (now, open) = (Instant::now(), refused.is_none() && self.machine.is_judging());
        // The key may have been deleted meanwhile.
        let refused = refused.or_else(|| self.absence());
        let Some(readings) = &mut self.readings else { return };
        for Judging { said, answer, .. } in
            readings.judged.extract_if(.., |judging| !open || judging.until <= now)
        {
            let said =
                if open { format!("{said} if validate accepts it; it has not answered yet") } else { said };
            let _ = answer.send(refused.clone().map_or(Ok(said), Err));
        }
        self.readings.take_if(|readings| readings.is_empty());
    }

    /// Why nothing can be triggered now, whatever the key holds.
    pub(super) fn suspension(&self) -> Option<String> {
        let name = &self.spec.name;
        match self.machine.phase() {
            Phase::Paused => Some(refusal(name, Refusal::Paused)),
            Phase::Stopped => Some(refusal(name, Refusal::Stopped)),
            Phase::Idle
            | Phase::Settling
            | Phase::Splaying
            | Phase::Waiting
            | Phase::Running
            | Phase::Retrying
            | Phase::Held
            | Phase::Failed => None,
        }
    }

    /// Why nothing can be triggered, if the key does not exist and that runs nothing.
    fn absence(&self) -> Option<String> {
        let absent = self.machine.newest().is_some_and(|newest| newest.content.is_absent());
        let ignored = self.spec.policy.on_delete == OnDelete::Ignore;
        (absent && ignored).then(|| refusal(&self.spec.name, Refusal::Absent))
    }

    /// What a trigger would run with the state that is known now; `cached` is said in it.
    pub(super) fn preview(&self, cached: bool) -> Result<Preview, String> {
        let spec = &self.spec;
        let newest = self.machine.newest().ok_or_else(|| refusal(&spec.name, Refusal::NoState))?;
        if let Some(absence) = self.absence() {
            return Err(absence);
        }
        let verified = self.subscription.freshness().verified.filter(|_| cached);
        let details = RunDetails {
            run: RunId("a-new-id-for-each-run".into()),
            reason: Reason::Trigger,
            version: newest.version,
            attempt: 1,
            coalesced: 0,
            permit: None,
        };
        let input = spec.pipe_stdin.then(|| self.rendered(newest));
        let previewed = self.runs.shared().preview(spec, &details, input);
        let preview = previewed.map_err(|error| format!("{} cannot be run: {error}", spec.name))?;
        let judged = self.machine.is_judging() || self.machine.held().is_some();
        let validate = if judged { preview.validate } else { Vec::new() };
        Ok(Preview {
            refused: self
                .suspension()
                .or_else(|| self.machine.held().map(|_| refusal(&spec.name, Refusal::Held))),
            verified_seconds: verified.map(|at| at.elapsed().as_secs()),
            validate,
            ..preview
        })
    }

    /// Does what an operator asks. Returns the result as a sentence.
    pub(super) fn controlled(&mut self, control: Control) -> Result<String, String> {
        let name = self.spec.name.clone();
        let answer = self.decide_and_answer(Input::Control(control));
        match (answer, control) {
            (Some(ControlResult::Accepted), Control::Trigger(Permission::Waived)) if self.party.is_some() => {
                tracing::warn!(watch = %name, "triggered without a permit of its fleet");
                Ok(format!("{name} runs with the current state, without a permit of its fleet"))
            }
            (Some(ControlResult::Accepted), Control::Trigger(_)) => {
                Ok(format!("{name} runs with the current state"))
            }
            (Some(ControlResult::Accepted), Control::Pause { until }) => {
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
            (Some(ControlResult::Accepted), Control::Release) => {
                tracing::info!(watch = %name, "released");
                Ok(match self.machine.newest() {
                    Some(newest) if newest.content.is_absent() => {
                        format!("{name} goes on without its key")
                    }
                    Some(newest) => format!("{name} goes on with version {}", newest.version),
                    None => format!("{name} goes on"),
                })
            }
            (Some(ControlResult::Accepted), Control::Resume) => {
                tracing::info!(watch = %name, "resumed");
                Ok(format!("{name} goes on; nothing starts before the store has been read"))
            }
            (Some(ControlResult::Refused(why)), _) => Err(refusal(&name, why)),
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
        Refusal::Held => {
            format!(
                "{name} is not run: its newest state is held; `twitcher explain {name}` says why, and \
                 `twitcher release {name}` lets it through"
            )
        }
        Refusal::NotHeld => {
            format!("{name} has no held state to release; `twitcher explain {name}` says what it does")
        }
        Refusal::NothingToResume => format!("{name} is neither paused nor stopped"),
    }
}
