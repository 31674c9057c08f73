//! Gives the supervisor what a reading of the configuration changed, and reports it.

mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::summary::summary;
use super::Daemon;
use super::answer::done;
use super::loading::Loaded;
use super::supervisor::Definition;
use crate::config::{FileReport, FileState, LoadedWatch, Reload, Settings, Severity};
use crate::status::ReloadReport;
use crate::watch::WatchName;

/// How long a watch that is no longer configured is remembered after its last run.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// The settings of the first reading, or every problem of `twitcher.conf`.
pub(super) fn first_settings(reload: &Reload) -> Result<Arc<Settings>, String> {
    reload.settings.clone().ok_or_else(|| {
        let problems = reload.files.iter().flat_map(|file| &file.problems);
        problems
            .fold("twitcher.conf cannot be used:".to_owned(), |text, problem| format!("{text}\n{problem}"))
    })
}

impl Daemon {
    /// Begins the watches of the first reading.
    pub(super) fn begin(&mut self, loaded: Loaded) {
        let Loaded { reload, answers: _ } = loaded;
        let report = self.take_reading(&reload);
        self.begin_all(report.problems.is_empty());
        self.files = reload.files;
    }

    /// Applies what a later reading changed, and answers the clients that asked for it.
    pub(super) fn reload(&mut self, loaded: Loaded) {
        let Loaded { reload, answers } = loaded;
        let mut report = self.take_reading(&reload);
        self.apply(&reload, &mut report);
        self.files = reload.files;
        for answer in answers {
            // The client may have gone away.
            let _ = answer.send(done(&report).into());
        }
    }

    /// Takes the settings and definitions, logs new problems, and lists all of them.
    fn take_reading(&mut self, reload: &Reload) -> ReloadReport {
        self.reloads += 1;
        self.watches = Arc::clone(&reload.watches);
        let mut report = ReloadReport { unchanged: reload.diff.unchanged.len(), ..ReloadReport::default() };
        if let Some(settings) = &reload.settings {
            report.settings = self.take_settings(settings);
        }
        self.log_files(&reload.files);
        for problem in reload.files.iter().flat_map(|file| &file.problems) {
            match problem.severity {
                Severity::Error => report.problems.push(problem.to_string()),
                Severity::Warning => report.warnings.push(problem.to_string()),
            }
        }
        report
    }

    fn begin_all(&mut self, all_read: bool) {
        let names: BTreeSet<_> = self.watches.keys().cloned().collect();
        let enabled = |name: &WatchName| self.watches.get(name).is_some_and(|watch| watch.spec.enabled);
        let forgotten = jiff::Timestamp::now().checked_sub(REMEMBERED).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        if all_read {
            self.runs.ledger().forget(|name| names.contains(name), forgotten);
        }
        self.runs.hold_mutexes(self.watches.values().map(|watch| &*watch.spec).filter(|spec| spec.enabled));
        self.runs.end_old_hooks(self.watches.values().map(|watch| &*watch.spec));
        self.runs.adopt_orphans(enabled);
        tracing::info!("{} watches", names.len());
        self.supervisor.begin_all(self.watches.values().map(definition));
    }

    fn apply(&mut self, reload: &Reload, report: &mut ReloadReport) {
        let diff = &reload.diff;
        for name in &diff.removed {
            self.supervisor.remove(name);
            report.removed.push(name.to_string());
        }
        for (names, watches) in [(&mut report.changed, &diff.changed), (&mut report.added, &diff.added)] {
            for name in watches.keys() {
                if let Some(watch) = self.watches.get(name) {
                    self.supervisor.define(definition(watch));
                    names.push(name.to_string());
                }
            }
        }
        for name in &diff.unchanged {
            let (Some(watch), Some(live)) = (self.watches.get(name), self.supervisor.watch(name.as_str()))
            else {
                continue;
            };
            // The machine is no part of the definition, and is told to the next run.
            if live.file != watch.file || live.spec.machine != watch.spec.machine {
                let definition = definition(watch);
                self.supervisor.define(definition);
            }
        }
        if !diff.is_empty() {
            let file = |name: &_| self.watches.get(name).map(|watch| &*watch.file);
            tracing::info!("{}", summary(diff, file));
            self.runs.retain_scripts(self.watches.values().map(|watch| &*watch.spec));
        }
    }

    /// Logs each file's new problems, and its recovery.
    fn log_files(&self, now: &[FileReport]) {
        let before: BTreeMap<_, _> = self.files.iter().map(|file| (&file.path, file)).collect();
        for file in now {
            let known = before.get(&file.path);
            if known.is_some_and(|known| known.problems == file.problems && known.state == file.state) {
                continue;
            }
            for problem in &file.problems {
                match problem.severity {
                    Severity::Error => tracing::error!("{problem}"),
                    Severity::Warning => tracing::warn!("{problem}"),
                }
            }
            if file.state == FileState::Loaded && known.is_some_and(|known| known.state != FileState::Loaded)
            {
                tracing::info!("{} is loaded again", file.path.display());
            }
        }
    }

    /// Takes the settings that can change while the daemon runs, and names those that take effect at its next start.
    fn take_settings(&mut self, settings: &Arc<Settings>) -> Vec<String> {
        self.supervisor.configure(settings.stores.clone(), settings.shutdown_grace);
        let old = std::mem::replace(&mut self.settings, Arc::clone(settings));
        let mut said = Vec::new();
        if (&old.log, old.log_level) != (&settings.log, settings.log_level) {
            self.log.apply(&super::log_settings(settings));
            said.push("the new log and log_level are in effect".to_owned());
        }
        if old.max_processes != settings.max_processes {
            self.runs.set_max_processes(settings.max_processes);
            said.push(format!("max_processes is now {}", settings.max_processes));
        }
        if old.stores != settings.stores {
            said.push("stores that changed are connected anew".to_owned());
        }
        let later = [
            ("state_dir", old.state_dir != settings.state_dir),
            ("control_socket", old.control_socket != settings.control_socket),
            ("http_listen", old.http_listen != settings.http_listen),
        ];
        said.extend(
            later.iter().filter(|(_, changed)| *changed).map(|(name, _)| {
                format!("{name} was changed; it takes effect at the next start of the daemon")
            }),
        );
        for sentence in &said {
            tracing::info!("twitcher.conf: {sentence}");
        }
        said
    }
}

fn definition(watch: &LoadedWatch) -> Definition {
    Definition { spec: Arc::clone(&watch.spec), file: Arc::clone(&watch.file) }
}
