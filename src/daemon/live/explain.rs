//! Why a live watch does what it does, and what starts it next: sentences in the order of time, for `twitcher explain`.

use std::time::{Duration, Instant};

use super::perform::tries;
use super::task::Task;
use crate::policy::{self, Course, Disposition, NewestState, Obstacle, PermitStage, SkipReason};
use crate::status::Explanation;
use crate::store::Freshness;
use crate::watch::{RunRecord, WatchSpec};

/// How much of the last line of output is quoted, in characters.
const QUOTED: usize = 200;
/// That a permit is asked for. Why there is none is for the group's keys to say.
pub(in crate::daemon) const ASKS: &str = "it waits for its permit.";

impl Task {
    pub(super) fn explain(&self) -> Explanation {
        let now = Instant::now();
        let facts = self.machine.explain(now);
        let freshness = self.subscription.freshness();
        let mut because = Vec::new();
        let doubted = self.resting().is_some() || freshness.error.is_some() || freshness.verified.is_none();
        match self.resting() {
            Some(until) => because.push(resting_words(until, now) + "."),
            // What cannot be verified puts all that follows in doubt.
            None if doubted => because.push(self.store_sentence(&freshness)),
            None => {}
        }
        because.extend(self.last_sentence());
        because.extend(facts.newest.map(|newest| newest_sentence(&newest, &self.spec)));
        because.extend(self.guard_words().map(|words| words + "."));
        because.extend(ledger_sentence(&facts));
        self.live_sentences(&facts, now, &mut because);
        let suspended = |obstacle: &Obstacle| {
            matches!(obstacle, Obstacle::Retiring | Obstacle::Stopped | Obstacle::Paused { .. })
        };
        let is_suspended = facts.obstacles.iter().any(suspended);
        if let Some(waiting) = facts.waiting {
            let (version, reason) = (waiting.version, waiting.reason.word());
            let updates = if waiting.coalesced == 1 { "update" } else { "updates" };
            let behind = if waiting.behind > 0 {
                format!(", {} more behind it", waiting.behind)
            } else {
                String::new()
            };
            let when = if is_suspended { "runs once it may start" } else { "runs next" };
            because.push(format!(
                "version {version} {when} ({reason}, attempt {}, for {} {updates}{behind}).",
                waiting.attempt, waiting.coalesced
            ));
        }
        // While a watch is paused or stopped, no other obstacle is what it waits for.
        let obstacles = facts.obstacles.iter().filter(|obstacle| !is_suspended || suspended(obstacle));
        because.extend(obstacles.map(|obstacle| self.obstacle_sentence(obstacle, now)));
        if facts.obstacles.is_empty() && facts.waiting.is_none() && facts.live.is_empty() {
            because.extend(match &freshness.error {
                Some(_) => Some(format!("nothing runs until store {} is back.", self.spec.target.store)),
                None => self.idle_sentence(&facts),
            });
        }
        if !doubted {
            because.push(self.store_sentence(&freshness));
        }
        Explanation { watch: self.spec.name.to_string(), because }
    }

    /// What starts the next run, where nothing is on its way.
    fn idle_sentence(&self, facts: &policy::Explanation) -> Option<String> {
        let newest = facts.newest?;
        let (name, key) = (&self.spec.name, &self.spec.target.key);
        Some(match newest.disposition {
            Disposition::Absent => format!("nothing runs until {key} exists."),
            Disposition::Applied if !self.machine.gave_up() => format!("nothing runs until {key} changes."),
            Disposition::Held(_) => {
                format!(
                    "nothing runs until a state of {key} passes or somebody says `twitcher release {name}`."
                )
            }
            Disposition::Applied
            | Disposition::Open
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded
            | Disposition::GivenUp => {
                format!("nothing runs until {key} changes or somebody says `twitcher trigger {name}`.")
            }
        })
    }

    fn live_sentences(&self, facts: &policy::Explanation, now: Instant, because: &mut Vec<String>) {
        for run in self.runs.live().iter().filter(|run| run.is_foreign()) {
            because.push(format!(
                "run {} is for another target, which this watch had before; it has been running for {}. Nothing starts before it has ended.",
                run.live.run,
                seconds(now.saturating_duration_since(run.since))
            ));
        }
        for live in &facts.live {
            let whose = if live.adopted { ", started by a former daemon and adopted" } else { "" };
            let ending = match live.course {
                Course::Terminated { .. } | Course::Killed if self.runs.refuses_signals(&live.run) => {
                    "; the system refused to send it a signal, because its processes run as another account \
                     (sudo?): it goes on until they end by themselves"
                        .to_owned()
                }
                Course::Running { term_at: Some(at) } => {
                    format!("; it is ended by TERM in {}", ahead(at, now))
                }
                Course::Running { term_at: None } => String::new(),
                Course::Terminated { kill_at } => {
                    format!("; it was sent TERM, and gets KILL in {}", ahead(kill_at, now))
                }
                Course::Killed => "; it was sent KILL".to_owned(),
            };
            because.push(format!(
                "run {} ({}, attempt {}) has been running for {}{whose}{ending}.",
                live.run,
                live.reason.word(),
                live.attempt,
                seconds(now.saturating_duration_since(live.started))
            ));
        }
    }

    fn store_sentence(&self, freshness: &Freshness) -> String {
        let target = &self.spec.target;
        let (key, store) = (&target.key, &target.store);
        if let Some(error) = &freshness.error {
            return format!("store {store} does not show {key}: {error}.");
        }
        match freshness.verified {
            Some(at) => {
                let ago = seconds(at.elapsed());
                format!("store {store} verified what is known of {key} {ago} ago.")
            }
            None if freshness.connected => format!("store {store} is being asked for {key}."),
            None => format!("store {store} is not connected yet."),
        }
    }

    fn obstacle_sentence(&self, obstacle: &Obstacle, now: Instant) -> String {
        let name = &self.spec.name;
        match obstacle {
            Obstacle::Retiring => {
                "nothing starts: the definition was changed or removed, or the daemon stops.".to_owned()
            }
            Obstacle::Stopped => {
                format!(
                    "nothing starts: it is stopped after its last retry, until its definition changes or `twitcher resume {name}`."
                )
            }
            Obstacle::Paused { until: None } => {
                format!("nothing starts: it is paused until `twitcher resume {name}`.")
            }
            Obstacle::Paused { until: Some(until) } => {
                format!(
                    "nothing starts: it is paused for {} more, or until `twitcher resume {name}`.",
                    ahead(*until, now)
                )
            }
            Obstacle::Settling { until } => {
                format!("it waits for quiet (settle), {} more if no update comes.", ahead(*until, now))
            }
            Obstacle::Splaying { until } => {
                format!("it waits for this host's turn (splay) in {}.", ahead(*until, now))
            }
            Obstacle::Retrying { until } => {
                format!("it waits {} before the next try (retry_delay).", ahead(*until, now))
            }
            Obstacle::Prevented { until } => format!(
                "{}; it tries again in {}.",
                self.runs.prevented_words().unwrap_or_else(|| "the daemon could not start it".to_owned()),
                ahead(*until, now)
            ),
            Obstacle::Running { live: 1 } => "it waits for the run to end (run_mode).".to_owned(),
            Obstacle::Running { live } => {
                format!("it waits for one of the {live} live runs to end (max_parallel).")
            }
            Obstacle::Validation => self.validation_words() + ".",
            Obstacle::Interval { until } => {
                format!("it waits {} because of min_interval.", ahead(*until, now))
            }
            Obstacle::Permit(PermitStage::Asked) => ASKS.to_owned(),
            Obstacle::Permit(stage) => format!("it waits for its permit ({}).", stage.word()),
            Obstacle::Slot if self.is_unread() => {
                let (key, store) = (&self.spec.target.key, &self.spec.target.store);
                format!("nothing starts before store {store} has shown what {key} is now.")
            }
            Obstacle::Slot if self.runs.has_foreign() => "it waits for that run to end.".to_owned(),
            Obstacle::Slot => match self.runs.waits_for_mutex() {
                Some((mutex, holder)) => {
                    format!("it waits for the mutex {mutex}, which a run of {holder} holds.")
                }
                None => "it waits for its turn among the actions of all watches (max_processes).".to_owned(),
            },
        }
    }

    fn last_sentence(&self) -> Option<String> {
        let ledger = self.runs.shared().ledger();
        let last = ledger.read(self.spec.name.as_str(), |entry| entry.history.back().cloned())?;
        Some(end_sentence(&last, self.machine.gave_up(), jiff::Timestamp::now()))
    }
}

/// How the last run ended and, unless it succeeded, what it said last.
fn end_sentence(last: &RunRecord, gave_up: bool, now: jiff::Timestamp) -> String {
    let how = match (last.outcome.as_str(), last.exit_code, last.signal) {
        ("succeeded", _, _) => "succeeded".to_owned(),
        ("not_started", _, _) => "did not start".to_owned(),
        ("timed_out", _, _) => "outlived its timeout and was ended".to_owned(),
        (_, Some(code), _) => format!("ended with exit code {code}"),
        (_, None, Some(signal)) => format!("was ended by signal {signal}"),
        (_, None, None) => "ended, and its exit status was not seen".to_owned(),
    };
    let quoted = last_words(&last.output).filter(|_| last.outcome != "succeeded").map(|line| {
        if last.outcome == "not_started" { format!(": {line}") } else { format!(" and said: \"{line}\"") }
    });
    let quoted = quoted.unwrap_or_default();
    let ago = seconds(Duration::from_secs_f64(now.duration_since(last.started).as_secs_f64().max(0.0)));
    if gave_up {
        return format!("gave up after {}; the last, started {ago} ago, {how}{quoted}.", tries(last.attempt));
    }
    let (reason, version, attempt) = (last.reason.word(), &last.version, last.attempt);
    format!(
        "the last run ({reason}, version {version}, attempt {attempt}), started {ago} ago, {how}{quoted}."
    )
}

/// The last line of an output that is not blank, cut if it is long.
pub(super) fn last_words(output: &str) -> Option<String> {
    let line = output.lines().rev().find(|line| !line.trim().is_empty())?;
    let cut: String = line.chars().take(QUOTED).collect();
    let more = if cut.len() < line.len() { "…" } else { "" };
    Some(cut + more)
}

/// Why a state that counts as applied was not run by this daemon.
fn ledger_sentence(facts: &policy::Explanation) -> Option<String> {
    let newest = facts.newest?;
    let (seq, _) = facts.last_skips.get(&SkipReason::OnLoad)?;
    (newest.disposition == Disposition::Applied && *seq == newest.seq && facts.last_start.is_none()).then(
        || "it was applied before the watch was loaded, so run_on_load does not run it again.".to_owned(),
    )
}

pub(super) fn resting_words(until: Instant, now: Instant) -> String {
    format!(
        "it failed through a bug in twitcher, see the log; it watches its store again in {}",
        ahead(until, now)
    )
}

fn newest_sentence(newest: &NewestState, spec: &WatchSpec) -> String {
    let (key, version) = (&spec.target.key, newest.version);
    if newest.absent {
        return match newest.disposition {
            Disposition::Open => format!("{key} does not exist; its deletion is to be run."),
            Disposition::Applied => format!("{key} does not exist; its deletion was run."),
            Disposition::GivenUp => format!("{key} does not exist; the run of its deletion failed."),
            Disposition::Held(_) => format!("{key} does not exist, and the guard holds that back."),
            Disposition::Absent
            | Disposition::SeenAtLoad
            | Disposition::ChangedWhileDown
            | Disposition::Discarded => format!("{key} does not exist."),
        };
    }
    let word = match newest.disposition {
        Disposition::Open => "it is to be applied",
        Disposition::Applied => "it was applied",
        Disposition::SeenAtLoad => "it was there when the watch was loaded, and run_on_load = false",
        Disposition::ChangedWhileDown => "it changed while the daemon was away, and run_on_load = false",
        Disposition::Discarded => "it came while the action ran, and run_mode = \"discard\"",
        Disposition::Absent => "there is nothing to run for it",
        Disposition::GivenUp => "its last retry failed",
        Disposition::Held(_) => "the guard holds it back",
    };
    format!("the newest version of {key} is {version}: {word}.")
}

fn ahead(at: Instant, now: Instant) -> String {
    seconds(at.saturating_duration_since(now))
}

pub(super) fn seconds(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Reason, RunId};

    fn record(outcome: &str, exit_code: Option<i32>, signal: Option<i32>, output: &str) -> RunRecord {
        RunRecord {
            run: RunId("r".into()),
            reason: Reason::Change,
            version: "7".to_owned(),
            attempt: 3,
            coalesced: 1,
            started: jiff::Timestamp::UNIX_EPOCH,
            seconds: 0.1,
            outcome: outcome.to_owned(),
            exit_code,
            signal,
            output: output.to_owned(),
        }
    }

    #[test]
    fn the_last_end_is_told_with_its_last_words() {
        let now = "1970-01-01T00:00:12Z".parse().unwrap();
        let told = |record: RunRecord, gave_up| end_sentence(&record, gave_up, now);
        assert_eq!(
            told(record("failed", Some(3), None, "well\noops\n\n"), true),
            "gave up after 3 tries; the last, started 12 s ago, ended with exit code 3 and said: \"oops\"."
        );
        let prefix = "the last run (change, version 7, attempt 3), started 12 s ago,";
        for (record, rest) in [
            (record("succeeded", Some(0), None, "done"), "succeeded."),
            (record("failed", Some(1), None, ""), "ended with exit code 1."),
            (record("killed", None, Some(9), "x"), "was ended by signal 9 and said: \"x\"."),
            (record("timed_out", None, Some(15), ""), "outlived its timeout and was ended."),
            (
                record("not_started", None, None, "execute x: not found"),
                "did not start: execute x: not found.",
            ),
            (record("unknown", None, None, ""), "ended, and its exit status was not seen."),
        ] {
            assert_eq!(told(record, false), format!("{prefix} {rest}"));
        }
        let long = told(record("failed", Some(1), None, &"é".repeat(500)), false);
        assert!(long.ends_with("é…\"."), "{long}");
    }
}
