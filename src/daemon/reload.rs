//! Applies what a reading of the configuration changed, and reports it.

mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use self::summary::summary;
use super::Daemon;
use super::answer::done;
use super::loading::Loaded;
use super::supervisor::Definition;
use crate::config::{Diff, FileReport, LoadState, LoadedWatch, Reload, Settings, Severity};
use crate::status::{ReloadReport, counted};
use crate::watch::WatchName;

/// How long the record of a watch that is no longer configured is kept after its last run.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// Problems of `twitcher.conf` that a failed start prints; more are only counted, because the service manager restarts
/// the daemon again and again.
const MOST_PROBLEMS: usize = 3;

/// Why no control socket can be opened.
pub(super) fn no_control(reload: &Reload) -> Option<String> {
    reload.lacks_control_socket.then(|| "no valid `control_socket` is known".to_owned())
}

/// The settings of the first reading, or why the daemon cannot start.
pub(super) fn first_settings(reload: &Reload) -> Result<Arc<Settings>, String> {
    reload.settings.clone().ok_or_else(|| {
        let settings = |file: &&FileReport| file.path.extension().is_some_and(|extension| extension == "conf");
        let problems: Vec<_> = reload.files.iter().filter(settings).flat_map(|file| &file.problems).collect();
        let mut text = "twitcher.conf cannot be used:".to_owned();
        for problem in problems.iter().take(MOST_PROBLEMS) {
            let _ = write!(text, "\n{problem}");
        }
        if let Some(more) = problems.len().checked_sub(MOST_PROBLEMS).filter(|more| *more > 0) {
            let _ = write!(text, "\nand {more} more problems, which `twitcher check` prints");
        }
        text + "\nthe daemon does not start: `state_dir` cannot be read out of the file, and /var/lib/twitcher holds no \
                settings that name it as their state_dir; correct the file, or give it a line with `state_dir`"
    })
}

impl Daemon {
    /// Starts the watches of the first reading.
    pub(super) fn begin(&mut self, loaded: Loaded) {
        let Loaded { reload, answers: _, is_rehearsal: _ } = loaded;
        let report = self.take_reading(&reload);
        self.begin_all(report.problems.is_empty());
        self.files = reload.files;
    }

    /// Applies what a later reading changed, and answers the clients that requested it.
    pub(super) fn reload(&mut self, loaded: Loaded) {
        let Loaded { reload, answers, is_rehearsal } = loaded;
        let report = if is_rehearsal {
            self.rehearsed(&reload)
        } else {
            let mut report = self.take_reading(&reload);
            self.apply(&reload, &mut report);
            self.files = reload.files;
            report
        };
        for answer in answers {
            // The client may have gone away.
            let _ = answer.send(done(&report).into());
        }
    }

    /// What a reading would change, if it took effect.
    fn rehearsed(&self, reload: &Reload) -> ReloadReport {
        let Diff { added, changed, removed, unchanged } = &reload.diff;
        let mut report = ReloadReport {
            added: added.keys().map(ToString::to_string).collect(),
            changed: changed.keys().map(ToString::to_string).collect(),
            removed: removed.iter().map(ToString::to_string).collect(),
            unchanged: unchanged.len(),
            dry_run: true,
            ..ReloadReport::default()
        };
        if let Some(settings) = &reload.settings {
            let Changes { now, later } = Changes::between(&self.settings, settings);
            let now = now.into_iter().map(|name| format!("{name} would change"));
            let later =
                later.into_iter().map(|name| format!("{name} would change at the next start of the daemon"));
            report.settings = now.chain(later).collect();
        }
        list_problems(&reload.files, &mut report);
        report
    }

    /// Takes the settings and definitions, logs new problems, and lists all of them.
    fn take_reading(&mut self, reload: &Reload) -> ReloadReport {
        self.reloads += 1;
        self.take_shortcomings(reload);
        self.watches = Arc::clone(&reload.watches);
        let mut report = ReloadReport { unchanged: reload.diff.unchanged.len(), ..ReloadReport::default() };
        if let Some(settings) = &reload.settings {
            report.settings = self.take_settings(settings);
        }
        self.log_files(&reload.files);
        list_problems(&reload.files, &mut report);
        report.problems.extend(reload.complaints.iter().skip(1).cloned());
        report
    }

    /// Logs what is in effect instead of a bad `twitcher.conf`, each complaint once and not for each watch file.
    fn take_shortcomings(&mut self, reload: &Reload) {
        self.withheld = reload.withheld;
        self.no_control = no_control(reload);
        for complaint in reload.complaints.iter().filter(|complaint| !self.shortcomings.contains(complaint)) {
            tracing::error!("{complaint}");
        }
        self.shortcomings.clone_from(&reload.complaints);
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
        self.runs.run_owed_hooks(self.watches.values().map(|watch| &*watch.spec).filter(|spec| spec.enabled));
        self.runs.adopt_orphans(enabled);
        tracing::info!("{}", counted(names.len(), "watch", "watches"));
        self.supervisor.begin_all(self.watches.values().map(definition));
    }

    fn apply(&mut self, reload: &Reload, report: &mut ReloadReport) {
        let diff = &reload.diff;
        for name in &diff.removed {
            self.supervisor.remove(name);
            report.removed.push(name.to_string());
        }
        // A former daemon may have left programs of a watch that the first reading lacked or had disabled, or may owe it a
        // report.
        let new = diff.added.keys().chain(diff.changed.keys()).filter_map(|name| self.watches.get(name));
        let new = new.map(|watch| &*watch.spec);
        self.runs.end_old_hooks(new.clone());
        self.runs.run_owed_hooks(new.filter(|spec| spec.enabled));
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
            // The machine is not part of the definition; the next run gets its new values.
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
            if file.state == LoadState::Loaded && known.is_some_and(|known| known.state != LoadState::Loaded)
            {
                tracing::info!("{} is loaded again", file.path.display());
            }
        }
    }

    /// Applies the settings that can change while the daemon runs, and names those that take effect at its next start.
    fn take_settings(&mut self, settings: &Arc<Settings>) -> Vec<String> {
        self.supervisor.configure(settings.stores.clone(), settings.shutdown_grace);
        self.supervisor.configure_fleet(&settings.fleet);
        let old = std::mem::replace(&mut self.settings, Arc::clone(settings));
        let mut said = Vec::new();
        let Changes { now, later } = Changes::between(&old, settings);
        for name in now {
            said.push(match name {
                LOG => {
                    self.log.apply(&super::log_settings(settings));
                    "the new log and log_level are in effect".to_owned()
                }
                MAX_PROCESSES => {
                    self.runs.set_max_processes(settings.max_processes);
                    format!("max_processes is now {}", settings.max_processes)
                }
                HISTORY_BYTES => {
                    self.runs.ledger().set_history_bytes(settings.history_bytes);
                    format!("history_bytes is now {}", settings.history_bytes)
                }
                _ => "stores that changed are connected anew".to_owned(),
            });
        }
        said.extend(
            later
                .into_iter()
                .map(|name| format!("{name} was changed; it takes effect at the next start of the daemon")),
        );
        for sentence in &said {
            tracing::info!("twitcher.conf: {sentence}");
        }
        said
    }
}

const LOG: &str = "log or log_level";
const MAX_PROCESSES: &str = "max_processes";
const HISTORY_BYTES: &str = "history_bytes";
const STORES: &str = "a store";

/// The names of settings that changed.
struct Changes {
    /// Those that take effect at once.
    now: Vec<&'static str>,
    /// Those that take effect at the next start.
    later: Vec<&'static str>,
}

impl Changes {
    fn between(old: &Settings, new: &Settings) -> Self {
        let changed = |all: &[(&'static str, bool)]| {
            all.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect()
        };
        let now = changed(&[
            (LOG, (&old.log, old.log_level) != (&new.log, new.log_level)),
            (MAX_PROCESSES, old.max_processes != new.max_processes),
            (HISTORY_BYTES, old.history_bytes != new.history_bytes),
            (STORES, old.stores != new.stores),
        ]);
        let later = changed(&[
            ("state_dir", old.state_dir != new.state_dir),
            ("control_socket", old.control_socket != new.control_socket),
            ("http_listen", old.http_listen != new.http_listen),
        ]);
        Self { now, later }
    }
}

fn list_problems(files: &[FileReport], report: &mut ReloadReport) {
    for problem in files.iter().flat_map(|file| &file.problems) {
        match problem.severity {
            Severity::Error => report.problems.push(problem.to_string()),
            Severity::Warning => report.warnings.push(problem.to_string()),
        }
    }
}

fn definition(watch: &LoadedWatch) -> Definition {
    Definition { spec: Arc::clone(&watch.spec), file: Arc::clone(&watch.file) }
}
