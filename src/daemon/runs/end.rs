//! Judges the end of a run by the watch's `success_codes`, and logs it.

use std::path::Path;
use std::time::Duration;

use crate::ledger::LiveRecord;
use crate::process::Ended;
use crate::watch::{Outcome, Reason, RunId, RunRecord, Verdict, WatchName};

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::daemon) struct End {
    /// The outcome of its process.
    pub(in crate::daemon) outcome: Outcome,
    /// What the outcome means.
    pub(in crate::daemon) verdict: Verdict,
    /// The outcome in one word.
    pub(in crate::daemon) word: &'static str,
    /// Its last lines.
    pub(super) output_tail: String,
    /// How long it took.
    pub(super) took: Duration,
    /// The run does not count as ended, but is repeated at the next start of the daemon.
    pub(super) repeat_at_next_start: bool,
}

impl End {
    /// Judges an end. While the daemon stops, it may have caused a failure itself.
    pub(super) fn judge(ended: Ended, took: Duration, success_codes: &[i32], stopping: bool) -> Self {
        let Ended { outcome, output_tail } = ended;
        let verdict = outcome.verdict(success_codes);
        let repeat_at_next_start = match verdict {
            Verdict::Unknown => true,
            Verdict::Failed => stopping,
            Verdict::Succeeded => false,
        };
        let word = outcome.word(success_codes);
        Self { outcome, verdict, word, output_tail, took, repeat_at_next_start }
    }

    pub(super) fn is_success(&self) -> bool {
        self.verdict == Verdict::Succeeded
    }

    /// Logs the end. `dismissed`: twitcher ended the run for a reason of its own.
    pub(super) fn log(&self, watch: &WatchName, file: &Path, about: &RunFacts<'_>, dismissed: bool) {
        let word = self.word;
        let how = match &self.outcome {
            Outcome::Exited(0) => String::new(),
            Outcome::Exited(code) => format!(" with exit code {code}"),
            Outcome::Killed(signal) => format!(" by {signal}"),
            Outcome::TimedOut { .. } => " after its timeout".to_owned(),
            Outcome::NotStarted(why) => format!(": {why}"),
            Outcome::Unknown => ", its end was not seen".to_owned(),
        };
        let RunFacts { run, reason, version, attempt, .. } = about;
        let (reason, seconds) = (reason.word(), self.took.as_secs_f64());
        let (exit_code, file) = (self.outcome.exit_code(), file.display());
        let text =
            format!("{word}{how} after {seconds:.3} s ({reason}, version {version}, attempt {attempt})");
        // A macro, because the level is part of what a call site is.
        macro_rules! line {
            ($level:ident, $text:literal) => {
                tracing::$level!(
                    watch = %watch, run = %run, version = %version, reason, attempt = *attempt, outcome = word,
                    exit_code, seconds = (seconds * 1000.0).round() / 1000.0, file = %file, $text
                )
            };
        }
        match self.verdict {
            Verdict::Succeeded => line!(info, "{text}"),
            Verdict::Failed if dismissed => line!(info, "{text}; twitcher ended it"),
            Verdict::Failed | Verdict::Unknown => line!(warn, "{text}"),
        }
    }
}

/// What is recorded and logged of a run besides its end.
pub(super) struct RunFacts<'a> {
    pub(super) run: &'a RunId,
    pub(super) reason: Reason,
    pub(super) version: &'a str,
    pub(super) attempt: u32,
    pub(super) coalesced: u64,
    pub(super) started: jiff::Timestamp,
}

impl<'a> RunFacts<'a> {
    pub(super) fn of(live: &'a LiveRecord) -> Self {
        let LiveRecord { run, reason, version, attempt, coalesced, started, .. } = live;
        Self { run, reason: *reason, version, attempt: *attempt, coalesced: *coalesced, started: *started }
    }

    /// The record of the run with this end.
    pub(super) fn record(&self, end: &End) -> RunRecord {
        let Self { run, reason, version, attempt, coalesced, started } = *self;
        RunRecord {
            run: run.clone(),
            reason,
            version: version.to_owned(),
            attempt,
            coalesced,
            started,
            seconds: end.took.as_secs_f64(),
            outcome: end.word.to_owned(),
            exit_code: end.outcome.exit_code(),
            signal: end.outcome.signal().map(|signal| signal.0),
            output: match &end.outcome {
                Outcome::NotStarted(why) => why.clone(),
                Outcome::Exited(_) | Outcome::Killed(_) | Outcome::TimedOut { .. } | Outcome::Unknown => {
                    end.output_tail.clone()
                }
            },
        }
    }
}
