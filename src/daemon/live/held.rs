//! What the guard of a watch holds back: told to the log, to `status` and to `explain`.

use super::bulk;
use super::explain::{last_words, seconds};
use super::task::Task;
use crate::daemon::runs::{self, HookReport, Judged, StateToJudge};
use crate::policy::{Hold, Input, Yardstick};
use crate::status::counted;
use crate::watch::{Outcome, Reason, RunId, State, Version};

impl Task {
    /// The guard holds a state back.
    pub(super) fn held(&self, version: Version, hold: Hold) {
        let name = &self.spec.name;
        tracing::warn!(
            watch = %name,
            "version {version} is held: {}; if it is right, say `twitcher release {name}`",
            self.held_words(hold)
        );
        let refused = self.refused.as_ref().filter(|_| hold == Hold::Invalid);
        let report = refused.map_or_else(HookReport::held, |judged| HookReport::refused(judged));
        self.report(self.machine.newest(), report);
    }

    /// Gives a state to `validate`.
    pub(super) fn validate(&mut self, state: &State, reason: Reason, coalesced: u64) {
        let (seq, version) = (state.seq, state.version);
        let input = self.spec.pipe_stdin.then(|| self.rendered(state));
        self.runs.validate(&self.spec, StateToJudge { seq, version, reason, coalesced, input });
    }

    /// `validate` has judged a state.
    pub(super) fn judged(&mut self, judged: Judged) {
        let (seq, valid, version) = (judged.seq, judged.is_valid(), judged.version);
        let name = self.spec.name.clone();
        if valid {
            tracing::debug!(watch = %name, "validate accepts version {version}");
        } else {
            self.refused = Some(Box::new(judged));
        }
        let newest = self.machine.newest().is_some_and(|newest| newest.seq == seq);
        if !valid && !newest {
            tracing::warn!(watch = %name, "version {version} is not run: {}", self.refused_words());
        }
        self.decide(Input::Validated { seq, valid });
        if self.machine.held() != Some(Hold::Invalid) {
            self.refused = None;
        }
    }

    /// Why `validate` did not accept a state.
    fn refused_words(&self) -> String {
        let Some(Judged { outcome, output, .. }) = self.refused.as_deref() else {
            return "validate refused it".to_owned();
        };
        let said = last_words(output).map_or_else(String::new, |said| format!(" and said: \"{said}\""));
        match outcome {
            Outcome::Exited(code) => format!("validate refused it with exit code {code}{said}"),
            Outcome::Killed(signal) => format!("validate was ended by {signal}{said}"),
            Outcome::TimedOut { .. } => {
                let limit = runs::validate_limit(&self.spec.policy);
                format!("validate took more than {} s and was ended{said}", limit.as_secs_f64())
            }
            Outcome::NotStarted(why) => format!("validate did not start: {why}"),
            Outcome::Unknown => "the end of validate was not seen".to_owned(),
        }
    }

    /// What `validate` does now, as a part of a sentence.
    pub(super) fn validation_words(&self) -> String {
        match self.runs.judging_since() {
            Some(since) => format!("validate has been judging it for {}", seconds(since.elapsed())),
            None if self.runs.waits_to_validate() => {
                "validate waits for its turn among the actions of all watches (max_processes)".to_owned()
            }
            None => self.runs.prevented_words().unwrap_or_else(|| "validate judges it next".to_owned()),
        }
    }

    fn held_words(&self, hold: Hold) -> String {
        match hold {
            Hold::TooFew { entries, least } => {
                format!("it has {}, and min_entries is {least}", counted(entries, "entry", "entries"))
            }
            Hold::Shrunk { entries, applied, percent } => {
                let entries = counted(entries, "entry", "entries");
                format!("it has {entries}, {applied} were applied last, and max_shrink is {percent}%")
            }
            Hold::Invalid => self.refused_words(),
        }
    }

    /// The last retry failed: its `on_give_up` is run.
    pub(super) fn report_failure(&self, run: &RunId) {
        let ledger = self.runs.shared().ledger();
        let last = ledger.read(self.spec.name.as_str(), |entry| entry.history.back().cloned());
        if let Some(last) = last {
            self.report(self.failed(run), HookReport::failed(last));
        }
    }

    fn report(&self, state: Option<&State>, report: HookReport) {
        if let Some(state) = state.filter(|_| self.spec.on_give_up.is_some()) {
            bulk::with(&state.content, || self.runs.shared().report(&self.spec, state, report));
        }
    }

    /// What the guard holds back, or why it cannot judge yet.
    pub(super) fn guard_words(&self) -> Option<String> {
        match (self.machine.held(), self.machine.yardstick()) {
            (Some(hold), _) => Some(self.held_words(hold)),
            (None, Some(Yardstick::Missing)) => Some(
                "max_shrink judges from the second state on: the ledger has no count of entries".to_owned(),
            ),
            (None, Some(Yardstick::First(entries))) => Some(format!(
                "max_shrink did not judge the first state, because the ledger had no count of entries; it compares with the {entries} entries of that state now"
            )),
            (None, Some(Yardstick::Applied(_)) | None) => None,
        }
    }
}
