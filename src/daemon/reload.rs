//! Reading the configuration again, and giving the supervisor what changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Daemon;
use super::supervisor::Definition;
use crate::config::{FileReport, FileState, Loader, Reload, Settings, Severity};
use crate::status::ReloadReport;

/// How long a watch that is not configured any more is remembered after its last run.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// `twitcher.conf`, accounts and watch files: at start, on SIGHUP and `twitcher reload`.
    Everything,
    /// What inotify told about.
    WatchFiles,
}

/// The settings to start with, or every problem of `twitcher.conf`.
pub fn first_settings(loader: &mut Loader) -> Result<Arc<Settings>, String> {
    let reload = loader.reload();
    reload.settings.ok_or_else(|| {
        let problems = reload.files.iter().flat_map(|file| &file.problems);
        problems
            .fold("twitcher.conf cannot be used:".to_owned(), |text, problem| format!("{text}\n{problem}"))
    })
}

impl Daemon {
    /// Reads, applies, logs what is new, and reports.
    pub(super) fn reload(&mut self, extent: Extent) -> ReloadReport {
        self.reloads += 1;
        // The first reading was before there was anything to apply it to.
        let first = self.files.is_empty() && self.reloads == 1;
        let reload = tokio::task::block_in_place(|| match extent {
            Extent::Everything => self.loader.reload(),
            Extent::WatchFiles => self.loader.reload_watches(),
        });
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
        if first {
            self.begin_all(report.problems.is_empty());
        } else {
            self.apply(&reload, &mut report);
        }
        self.files = reload.files;
        report
    }

    fn begin_all(&mut self, all_read: bool) {
        let names: std::collections::BTreeSet<_> = self.loader.watches().keys().cloned().collect();
        let forgotten = jiff::Timestamp::now().checked_sub(REMEMBERED).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        if all_read {
            self.runs.ledger().forget(|name| names.contains(name), forgotten);
        }
        self.runs.adopt_orphans(|name| names.contains(name));
        tracing::info!("{} watches", names.len());
        self.supervisor.begin_all(self.loader.watches().values().map(definition));
    }

    fn apply(&mut self, reload: &Reload, report: &mut ReloadReport) {
        let diff = &reload.diff;
        for name in &diff.removed {
            self.supervisor.remove(name);
            report.removed.push(name.to_string());
        }
        for (names, watches) in [(&mut report.changed, &diff.changed), (&mut report.added, &diff.added)] {
            for name in watches.keys() {
                if let Some(watch) = self.loader.watches().get(name) {
                    self.supervisor.define(definition(watch));
                    names.push(name.to_string());
                }
            }
        }
        for name in &diff.unchanged {
            let (Some(watch), Some(live)) =
                (self.loader.watches().get(name), self.supervisor.watch(name.as_str()))
            else {
                continue;
            };
            if live.file != watch.file {
                let definition = definition(watch);
                self.supervisor.define(definition);
            }
        }
        if !diff.is_empty() {
            let ReloadReport { added, changed, removed, .. } = &*report;
            tracing::info!(
                "reloaded: {} added, {} changed, {} removed, {} unchanged",
                added.len(),
                changed.len(),
                removed.len(),
                report.unchanged
            );
            self.runs.retain_scripts(self.loader.watches().values().map(|watch| &*watch.spec));
        }
    }

    /// Logs each file's problems when they are new, and its recovery.
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

    /// Takes what holds at once, and says what does not.
    fn take_settings(&mut self, settings: &Arc<Settings>) -> Vec<String> {
        self.supervisor.configure(settings.stores.clone(), settings.shutdown_grace);
        let old = std::mem::replace(&mut self.settings, Arc::clone(settings));
        let mut said = Vec::new();
        if (&old.log, old.log_level) != (&settings.log, settings.log_level) {
            self.log.apply(&super::log_settings(settings));
            said.push("the log goes where log and log_level say now".to_owned());
        }
        if old.max_processes != settings.max_processes {
            self.runs.set_max_processes(settings.max_processes);
            said.push(format!("max_processes is {} now", settings.max_processes));
        }
        if old.stores != settings.stores {
            said.push("the stores that changed are connected anew".to_owned());
        }
        let later = [
            ("state_dir", old.state_dir != settings.state_dir),
            ("control_socket", old.control_socket != settings.control_socket),
            ("http_listen", old.http_listen != settings.http_listen),
        ];
        said.extend(
            later
                .iter()
                .filter(|(_, changed)| *changed)
                .map(|(name, _)| format!("{name} was changed; that holds from the next start of the daemon")),
        );
        for sentence in &said {
            tracing::info!("twitcher.conf: {sentence}");
        }
        said
    }
}

fn definition(watch: &crate::config::LoadedWatch) -> Definition {
    Definition { spec: Arc::clone(&watch.spec), file: Arc::clone(&watch.file) }
}
