//! How a live watch looks from outside, and why it does what it does, in words.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::remembered::wall_clock;
use super::task::Task;
use crate::ledger::Ledger;
use crate::policy::{Course, Disposition, Hold, NewestState, Obstacle, Phase, SkipReason, Yardstick};
use crate::status::{Explanation, RunningStatus, WatchState, WatchStatus};
use crate::store::Freshness;
use crate::watch::{WatchSpec, WatchType};

/// Of a watch whose task does not answer.
pub(in crate::daemon) const HANGS: &str =
    "it does not answer: something that it waits for hangs, as a file system does whose server went away";

/// What can be said of a watch without asking it. Its task answers at once, unless what it does just now hangs.
pub(in crate::daemon) fn unasked(spec: &WatchSpec, file: &Path, ledger: &Ledger) -> WatchStatus {
    let (applied, runs, failures, last) = ledger.read(spec.name.as_str(), |entry| {
        let applied = entry.applied.as_ref().filter(|applied| applied.is_of(&spec.target));
        (applied.map(|a| a.version.clone()), entry.ended, entry.failed, entry.history.back().cloned())
    });
    WatchStatus {
        name: spec.name.to_string(),
        description: spec.description.clone(),
        file: file.display().to_string(),
        store: spec.target.store.to_string(),
        key: spec.target.key.to_string(),
        watch_type: word(spec.target.watch_type).to_owned(),
        state: WatchState::Waiting,
        version: None,
        applied,
        converged: false,
        gave_up: false,
        unreachable: true,
        action: spec.action.to_string(),
        user: spec.surroundings.account.user.clone(),
        next_retry: None,
        paused_until: None,
        verified_seconds: None,
        error: Some(HANGS.to_owned()),
        held: false,
        guard: None,
        running: Vec::new(),
        runs,
        failures,
        outcomes: BTreeMap::new(),
        last,
    }
}

/// What is shown of a disabled watch: what the ledger knows.
pub(in crate::daemon) fn disabled(spec: &WatchSpec, file: &Path, ledger: &Ledger) -> WatchStatus {
    WatchStatus {
        state: WatchState::Disabled,
        error: None,
        unreachable: false,
        ..unasked(spec, file, ledger)
    }
}

impl Task {
    pub(super) fn view(&self) -> WatchStatus {
        let freshness = self.subscription.freshness();
        let phase = self.machine.phase();
        let resting = self.resting().map(|until| resting_words(until, Instant::now()));
        let unreachable = resting.is_some()
            || freshness.error.is_some()
            || !freshness.connected
            || self.newest_missing(&freshness);
        let running = self.runs.live().iter().map(|run| RunningStatus {
            run: run.live.run.to_string(),
            pid: run.live.process.pid,
            started: run.live.started,
            version: run.live.version.clone(),
        });
        WatchStatus {
            state: state(phase, unreachable, self.runs.has_foreign()),
            version: self
                .machine
                .newest()
                .filter(|newest| !newest.content.is_absent())
                .map(|n| n.version.to_string()),
            converged: self.machine.converged() && !unreachable,
            gave_up: self.machine.gave_up(),
            unreachable,
            next_retry: self.machine.next_retry().and_then(wall_clock),
            paused_until: self.machine.paused_until().and_then(wall_clock),
            verified_seconds: freshness.verified.map(|at| at.elapsed().as_secs_f64()),
            error: resting.or(freshness.error),
            held: self.machine.held().is_some(),
            guard: self.guard_words(),
            running: running.collect(),
            outcomes: self
                .runs
                .outcomes()
                .iter()
                .map(|(outcome, count)| ((*outcome).to_owned(), *count))
                .collect(),
            ..unasked(&self.spec, &self.file, self.runs.shared().ledger())
        }
    }

    /// What the guard holds back, or why it cannot judge yet.
    fn guard_words(&self) -> Option<String> {
        match (self.machine.held(), self.machine.yardstick()) {
            (Some(hold), _) => Some(held_words(hold)),
            (None, Some(Yardstick::Missing)) => Some(
                "max_shrink judges from the second state on: the ledger has no count of entries".to_owned(),
            ),
            (None, Some(Yardstick::First(entries))) => Some(format!(
                "max_shrink did not judge the first state, because the ledger had no count of entries; it compares with the {entries} entries of that state now"
            )),
            (None, Some(Yardstick::Applied(_)) | None) => None,
        }
    }

    /// Connected, but the store has not told this key yet.
    fn newest_missing(&self, freshness: &Freshness) -> bool {
        self.machine.newest().is_none() && freshness.verified.is_none()
    }

    pub(super) fn explain(&self) -> Explanation {
        let now = Instant::now();
        let facts = self.machine.explain(now);
        let mut because = Vec::new();
        let freshness = self.subscription.freshness();
        match self.resting() {
            Some(until) => because.push(resting_words(until, now) + "."),
            None => because.push(self.store_sentence(&freshness)),
        }
        because.extend(facts.newest.map(|newest| newest_sentence(&newest, &self.spec)));
        match self.machine.held() {
            Some(hold) => because.push(format!(
                "it is held: {}. Nothing runs for it until another state passes or `twitcher release {}`.",
                held_words(hold),
                self.spec.name
            )),
            None => because.extend(self.guard_words().map(|words| words + ".")),
        }
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
                "run {} ({}, attempt {}) goes on since {}{whose}{ending}.",
                live.run,
                live.reason.word(),
                live.attempt,
                seconds(now.saturating_duration_since(live.started))
            ));
        }
        if let Some(waiting) = facts.waiting {
            let behind = if waiting.behind > 0 {
                format!(", {} more behind it", waiting.behind)
            } else {
                String::new()
            };
            because.push(format!(
                "version {} is to run next ({}, attempt {}, for {} updates{behind}).",
                waiting.version,
                waiting.reason.word(),
                waiting.attempt,
                waiting.coalesced
            ));
        }
        because.extend(facts.obstacles.iter().map(|obstacle| self.obstacle_sentence(obstacle, now)));
        because.extend(self.last_sentence());
        for (why, (_, at)) in &facts.last_skips {
            let ago = seconds(now.saturating_duration_since(*at));
            because.push(format!("{ago} ago a state was not run: {}.", skip_words(*why)));
        }
        Explanation { watch: self.spec.name.to_string(), because }
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
                format!("what is known of {key} was verified by store {store} {ago} ago.")
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
            Obstacle::Running { live: 1 } => "it waits for the run that goes on (run_mode).".to_owned(),
            Obstacle::Running { live } => {
                format!("it waits for one of the {live} runs that go on (max_parallel).")
            }
            Obstacle::Interval { until } => {
                format!("it waits {} because of min_interval.", ahead(*until, now))
            }
            Obstacle::Slot if self.is_unread() => {
                let (key, store) = (&self.spec.target.key, &self.spec.target.store);
                format!("nothing starts before store {store} has shown what {key} is now.")
            }
            Obstacle::Slot if self.runs.has_foreign() => "it waits for that to end.".to_owned(),
            Obstacle::Slot => match self.runs.waits_for_mutex() {
                Some((mutex, holder)) => {
                    format!("it waits for the mutex {mutex}, which a run of {holder} holds.")
                }
                None => "it waits for its turn among the actions of all watches (max_processes).".to_owned(),
            },
        }
    }

    fn last_sentence(&self) -> Option<String> {
        let last = self
            .runs
            .shared()
            .ledger()
            .read(self.spec.name.as_str(), |entry| entry.history.back().cloned())?;
        let ago = jiff::Timestamp::now().duration_since(last.started).as_secs_f64().max(0.0);
        let code = last.exit_code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
        Some(format!(
            "the last run ({}, version {}, attempt {}) {}{code}; it started {} ago.",
            last.reason.word(),
            last.version,
            last.attempt,
            last.outcome.replace('_', " "),
            seconds(Duration::from_secs_f64(ago))
        ))
    }
}

fn resting_words(until: Instant, now: Instant) -> String {
    format!(
        "it met a fault in twitcher itself, which the log tells, and looks at its store again in {}",
        ahead(until, now)
    )
}

fn newest_sentence(newest: &NewestState, spec: &WatchSpec) -> String {
    let version = newest.version;
    if newest.absent {
        return format!(
            "{} does not exist{}.",
            spec.target.key,
            match newest.disposition {
                Disposition::Absent => ", so that nothing is to run",
                Disposition::Open => "; its deletion is to be run",
                Disposition::Applied => "; its deletion was run",
                Disposition::SeenAtLoad
                | Disposition::ChangedWhileDown
                | Disposition::Discarded
                | Disposition::GivenUp => "",
                Disposition::Held(_) => ", and the guard holds that back",
            }
        );
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
    format!("the newest version of {} is {version}: {word}.", spec.target.key)
}

/// Why a state is held.
pub(super) fn held_words(hold: Hold) -> String {
    match hold {
        Hold::TooFew { entries, least } => {
            format!("it has {}, and min_entries is {least}", counted(entries))
        }
        Hold::Shrunk { entries, applied, percent } => {
            format!("it has {}, {applied} were applied last, and max_shrink is {percent}%", counted(entries))
        }
    }
}

fn counted(entries: u64) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}

fn skip_words(why: SkipReason) -> &'static str {
    match why {
        SkipReason::OnLoad => "it was there on load, and run_on_load or the ledger says that it need not run",
        SkipReason::Discarded => "the action was running, and run_mode = \"discard\"",
        SkipReason::Superseded => "a newer one took its place before it could start",
        SkipReason::Absent => "the key did not exist, and on_delete = \"ignore\"",
        SkipReason::Held => "the guard held it back (min_entries, max_shrink)",
        SkipReason::Retiring => "the definition was being changed, or the daemon was stopping",
    }
}

fn state(phase: Phase, unreachable: bool, has_foreign: bool) -> WatchState {
    match phase {
        // The machine does not know runs for another target.
        Phase::Idle
        | Phase::Held
        | Phase::Settling
        | Phase::Splaying
        | Phase::Waiting
        | Phase::Retrying
        | Phase::Failed
            if has_foreign =>
        {
            WatchState::Running
        }
        Phase::Held => WatchState::Held,
        // The machine does not know whether its store is reachable.
        Phase::Failed => WatchState::Failed,
        Phase::Idle if unreachable => WatchState::Unreachable,
        Phase::Idle => WatchState::Idle,
        Phase::Settling => WatchState::Settling,
        Phase::Splaying => WatchState::Splaying,
        Phase::Waiting => WatchState::Waiting,
        Phase::Running => WatchState::Running,
        Phase::Retrying => WatchState::Retrying,
        Phase::Paused => WatchState::Paused,
        Phase::Stopped => WatchState::Stopped,
    }
}

fn word(watch_type: WatchType) -> &'static str {
    match watch_type {
        WatchType::Data => "data",
        WatchType::Children => "children",
        WatchType::Tree => "tree",
    }
}

fn ahead(at: Instant, now: Instant) -> String {
    seconds(at.saturating_duration_since(now))
}

fn seconds(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}
