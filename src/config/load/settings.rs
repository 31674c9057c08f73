//! Reads `twitcher.conf` and `local.conf`, and decides which settings are in effect.
//!
//! While the file has errors, its last valid version stays in effect as a whole (promise P7). A daemon that starts has no such
//! version: it uses the valid parts of the file, and for the others the last valid values, which the state directory keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::loader::{Configured, Loader};
use super::merge::{File, Known, Merged, merge};
use super::read::Unread;
use super::report::{FileReport, LoadState, report};
use super::server_names;
use crate::config::Settings;
use crate::config::lower::{self, STATE_DIR, Withheld};
use crate::config::problem::{Position, Problem, Severity};
use crate::config::raw::{self, Local, Part, RawLocal};
use crate::config::stall::{Progress, UNANSWERED};
use crate::ledger::remembered;
use crate::status::counted;
use crate::watch::{Machine, StoreName};

/// The daemon's settings, in the configuration directory.
pub(super) const SETTINGS_FILE: &str = "twitcher.conf";
/// What differs between machines.
pub(super) const LOCAL_FILE: &str = "local.conf";
/// The first line of the remembered settings.
const REMEMBERED: &str =
    "# The last valid settings, kept by twitcher for a start with a bad twitcher.conf. Do not edit.\n";
/// The most reasons in a complaint; the others are only counted.
const MOST_REASONS: usize = 4;

impl Loader {
    /// Reads `twitcher.conf` only, for commands that need a store and no watches. An error holds all its problems.
    pub fn reload_settings(&mut self) -> Result<Arc<Settings>, Vec<Problem>> {
        self.read_settings();
        let problems = self.settings_reports.iter().flat_map(|report| report.problems.clone()).collect();
        self.configured.settings.clone().filter(|_| self.configured.is_valid).map(Arc::new).ok_or(problems)
    }

    /// The control socket of a daemon whose `twitcher.conf` has errors: the file's, or else that of the last valid settings.
    pub fn control_socket(&mut self) -> Option<PathBuf> {
        let path = self.settings_path();
        let written = self.text(&path).ok().and_then(|text| {
            let raw = raw::settings(path, &text, &Local::named(&self.hostname));
            raw.daemon.path("control_socket").map(|at| at.value)
        });
        let is_known =
            self.configured.values.as_ref().is_some_and(|known| !known.is_unknown("control_socket"));
        let last = self.configured.settings.as_ref().filter(|_| is_known);
        written.or_else(|| last.map(|settings| settings.control_socket.clone()))
    }

    /// Where a store's URL is written; no place where it is not.
    pub fn store_place(&mut self, store: &StoreName) -> (Arc<Path>, Option<Position>) {
        let path = self.settings_path();
        let Ok(text) = self.text(&path) else { return (path, None) };
        let raw = raw::settings(Arc::clone(&path), &text, &Local::named(&self.hostname));
        let place = raw.stores.get(store).map(|store| raw.source.place(store.table.span("url").start));
        (path, place)
    }

    pub(super) fn settings_path(&self) -> Arc<Path> {
        Arc::from(self.root.join(SETTINGS_FILE))
    }

    pub(super) fn read_settings(&mut self) {
        let before = (self.configured.settings.clone(), self.configured.gaps.clone());
        self.take_settings();
        if (&self.configured.settings, &self.configured.gaps) != (&before.0, &before.1) {
            // The meaning of a watch file depends on them.
            self.known.clear();
        }
    }

    fn take_settings(&mut self) {
        let (path, local_path) = (self.settings_path(), Arc::from(self.root.join(LOCAL_FILE)));
        let mut texts = self.texts(&[Arc::clone(&path), Arc::clone(&local_path)]).into_iter();
        let mut next = || texts.next().unwrap_or_else(|| Err(Unread::Failed("it was not read".to_owned())));
        let (text, local_text) = (next(), next());
        let blocked =
            |text: &Result<String, Unread>| matches!(text, Err(Unread::Failed(why)) if why == UNANSWERED);
        self.settings_blocked = blocked(&text) || blocked(&local_text);
        self.settings_reports.clear();
        let local_report = (!self.is_elsewhere).then(|| self.take_local(&local_path, local_text)).flatten();
        let local = self.configured.local.clone().unwrap_or_else(|| Local::named(&self.hostname));
        let settings = if matches!(text, Err(Unread::Missing)) {
            lower::fallback(&local)
        } else {
            let (report, settings) = self.lower_settings(&path, &text, &local);
            self.settings_reports.push(report);
            settings
        };
        self.settings_reports.extend(local_report);
        self.configured.shortfall = None;
        if settings.is_some() && self.configured.local.is_some() {
            let (local, values) =
                (self.configured.local.take(), Known::valid(text.as_deref().unwrap_or_default()));
            self.configured = Configured { local, settings, values, is_valid: true, ..Configured::default() };
        } else if self.configured.is_valid {
            self.configured.shortfall = Some("its last valid version stays in effect".to_owned());
        } else if !self.is_check {
            self.take_parts(&path, &text);
        }
    }

    /// Puts the valid parts of the file and the last valid values of the others into effect, because no valid version has been
    /// in effect since the start.
    fn take_parts(&mut self, path: &Arc<Path>, text: &Result<String, Unread>) {
        let read = |local: &Local| match text {
            Ok(text) => File::of(path, text, local),
            Err(Unread::Missing) => File::default(),
            Err(Unread::NotText(before)) => File::of(path, before, local).torn(),
            Err(Unread::Dangling | Unread::Distrusted(..) | Unread::Failed(_)) => File::unread(),
        };
        let named = Local::named(&self.hostname);
        let mut file = read(self.configured.local.as_ref().unwrap_or(&named));
        if self.configured.values.is_none() {
            self.configured.recall_fault = None;
            let (values, local) = self.recall(&file).unzip();
            self.configured.values = values;
            if let (None, Some(local)) = (&self.configured.local, local.flatten()) {
                // `local.conf` has not been valid since the start. Which parts of `twitcher.conf` are valid depends on it.
                file = read(&local);
                self.configured.local = Some(local);
            }
        }
        let (local, file) = match &self.configured.local {
            Some(local) => (local.clone(), file),
            None => (named, file.without(Part::Setting(Machine::HOST)).without(Part::Vars)),
        };
        let Merged { settings, known, kept } = merge(path, &file, self.configured.values.as_ref(), &local);
        self.configured.gaps = known.gaps();
        if known.is_unknown("state_dir") {
            // The daemon does not start: the watch files are only checked.
            self.configured.gaps.total.get_or_insert_with(|| Part::Setting("state_dir").to_string());
        }
        self.configured.lacks_control_socket = known.is_unknown("control_socket");
        let fault = self.configured.recall_fault.iter().map(|fault| format!("; {fault}"));
        self.configured.shortfall = Some(std::iter::once(shortfall(&known, &kept)).chain(fault).collect());
        self.configured.settings = settings.filter(|_| !known.is_unknown("state_dir"));
        // Without a state directory the daemon does not start, and the next reading looks for it again.
        self.configured.values = self.configured.settings.is_some().then_some(known);
    }

    /// The settings that were remembered in the state directory.
    fn recall(&mut self, file: &File) -> Option<(Known, Option<Local>)> {
        let usual = Path::new(STATE_DIR);
        let (directory, is_guess) = match file.state_dir() {
            Ok(directory) => (directory.map_or(usual, Path::new).to_owned(), false),
            Err(()) => (usual.to_owned(), true),
        };
        let path: Arc<Path> = remembered::path(&directory).into();
        let read = move |progress: &Progress| {
            if !progress.may_touch(&directory) {
                return Err(UNANSWERED.to_owned());
            }
            remembered::read(&directory).map_err(|error| error.to_string())
        };
        let text = self.threads.run(read).and_then(|read| read).map(|text| {
            text.map(|text| Known::remembered(&path, &text, &self.hostname).ok_or("it is damaged".to_owned()))
        });
        let (known, local) = match text.and_then(Option::transpose) {
            Ok(recalled) => recalled?,
            Err(why) => {
                self.configured.recall_fault = Some(format!("{} cannot be used: {why}", path.display()));
                return None;
            }
        };
        (!is_guess || known.text("state_dir") == Some(STATE_DIR)).then_some((known, local))
    }

    /// The text to remember: the valid settings in effect, and in a table of its own the values of `local.conf`. It holds no
    /// secret, because a valid `twitcher.conf` holds none.
    pub(super) fn valid_text(&self) -> Option<String> {
        let Configured { local, settings, values, is_valid, .. } = &self.configured;
        let (settings, mut values) = (settings.as_ref()?, values.clone().filter(|_| *is_valid)?);
        let state_dir = settings.state_dir.to_string_lossy().into_owned();
        values.parts.set(Part::Setting("state_dir"), Some(toml::Value::String(state_dir)));
        Some(format!("{REMEMBERED}{}", values.to_remember(local.as_ref()?)))
    }

    /// Writes the settings in effect to this directory, if they are valid and have changed since the last time.
    pub fn remember_in(&mut self, directory: &Path) -> Result<(), String> {
        let Some(text) = self.valid_text().filter(|text| self.remembered.as_ref() != Some(text)) else {
            return Ok(());
        };
        let (wanted, place) = (text.clone(), directory.to_owned());
        let write = move |progress: &Progress| {
            if !progress.may_touch(&place) {
                return Err(UNANSWERED.to_owned());
            }
            remembered::write(&place, &wanted).map_err(|error| error.to_string())
        };
        let written = self.threads.run(write).and_then(|written| written);
        written.map_err(|why| {
            let path = remembered::path(directory);
            format!(
                "cannot write {}: {why}; with a bad twitcher.conf the next start would lack the last valid settings",
                path.display()
            )
        })?;
        self.remembered = Some(text);
        Ok(())
    }

    /// What is in effect while `twitcher.conf` or `local.conf` has errors, and what is not loaded: at most two sentences.
    pub(super) fn complaints(&self, withheld: &[&Withheld]) -> Vec<String> {
        let broken: Vec<&FileReport> =
            self.settings_reports.iter().filter(|report| report.state != LoadState::Loaded).collect();
        let mut problems = broken.iter().flat_map(|report| &report.problems);
        let errors = |problem: &&Problem| problem.severity == Severity::Error;
        let Some(first) = problems.by_ref().find(errors).filter(|_| !self.is_check) else {
            return Vec::new();
        };
        let more = match problems.filter(errors).count() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let names: Vec<String> = broken.iter().map(|report| name_of(&report.path)).collect();
        let kept = self.configured.shortfall.as_deref().unwrap_or("its last valid version stays in effect");
        let mut told =
            vec![format!("{} has errors ({}{more}): {kept}", names.join(" and "), first.one_line())];
        if !withheld.is_empty() {
            let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
            for watch in withheld {
                *reasons.entry(watch.why.as_str()).or_default() += 1;
            }
            let mut reasons: Vec<(&str, usize)> = reasons.into_iter().collect();
            reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let rest: usize = reasons.iter().skip(MOST_REASONS).map(|(_, count)| count).sum();
            let mut said: Vec<String> = reasons
                .iter()
                .take(MOST_REASONS)
                .map(|(why, count)| format!("{count} for want of {why}"))
                .collect();
            if rest > 0 {
                said.push(format!("{rest} for other parts"));
            }
            told.push(format!(
                "{} not loaded until {} is corrected and `twitcher reload` is run: {}",
                counted(withheld.len(), "watch is", "watches are"),
                names.join(" and "),
                said.join(", ")
            ));
        }
        told
    }

    pub(super) fn lower_settings(
        &mut self,
        path: &Arc<Path>,
        text: &Result<String, Unread>,
        local: &Local,
    ) -> (FileReport, Option<Settings>) {
        match text {
            Err(unread) => (unread.report(path), None),
            Ok(text) => {
                let raw = raw::settings(Arc::clone(path), text, local);
                let (settings, mut problems) = lower::settings(&raw);
                if self.is_check {
                    problems.extend(server_names::problems(&raw));
                }
                if self.judges_this_machine() {
                    problems.extend(self.store_files(&raw));
                }
                problems.sort_by_key(|problem| problem.place);
                (report(path, problems), settings)
            }
        }
    }

    /// Takes over `local.conf` if it is valid.
    pub(super) fn take_local(
        &mut self,
        path: &Arc<Path>,
        text: Result<String, Unread>,
    ) -> Option<FileReport> {
        if matches!(text, Err(Unread::Missing)) {
            self.configured.local = Some(Local::named(&self.hostname));
            return None;
        }
        let (report, local) = lower_local(path, text, &self.hostname);
        if local.is_some() {
            self.configured.local = local;
        }
        Some(report)
    }

    /// Puts the settings into effect: the configured ones, and the stores that watches in effect still need. Returns whether they
    /// changed.
    pub(super) fn settle_settings(&mut self) -> bool {
        let mut settings = self.configured.settings.clone();
        if let (Some(settings), Some(before)) = (&mut settings, &self.settings) {
            for watch in self.watches.values() {
                let store = &watch.spec.target.store;
                if let (false, Some(spec)) = (settings.stores.contains_key(store), before.stores.get(store)) {
                    settings.stores.insert(store.clone(), spec.clone());
                }
            }
        }
        let changed = settings.as_ref() != self.settings.as_deref();
        if changed {
            self.settings = settings.map(Arc::new);
        }
        changed
    }
}

/// Says which values are in effect while the file has errors.
fn shortfall(known: &Known, kept: &BTreeSet<Part>) -> String {
    let list = |parts: &mut dyn Iterator<Item = &Part>| {
        let names: Vec<String> = parts.map(ToString::to_string).collect();
        match names.len().checked_sub(MOST_REASONS * 2).filter(|more| *more > 0) {
            Some(more) => format!("{} and {more} more", names[..MOST_REASONS * 2].join(", ")),
            None => names.join(", "),
        }
    };
    let mut told = Vec::new();
    if !kept.is_empty() {
        told.push(format!("the last valid values are in effect for {}", list(&mut kept.iter())));
    }
    let has_default = |part: &&Part| Known::has_default(part);
    let defaults = list(&mut known.unknown().filter(has_default));
    if !defaults.is_empty() {
        told.push(format!("the defaults are in effect for {defaults}"));
    }
    let nothing = list(&mut known.unknown().filter(|part| !has_default(part)));
    if !nothing.is_empty() {
        told.push(format!("no valid value is known for {nothing}"));
    }
    if told.is_empty() { "the rest is in effect".to_owned() } else { told.join("; ") }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn lower_local(
    path: &Arc<Path>,
    text: Result<String, Unread>,
    hostname: &str,
) -> (FileReport, Option<Local>) {
    match text {
        Err(unread) => (unread.report(path), None),
        Ok(text) => {
            let RawLocal { host, vars, problems } = raw::local(Arc::clone(path), &text);
            let report = report(path, problems);
            let is_valid = report.state == LoadState::Loaded;
            (report, is_valid.then(|| Local { hostname: hostname.to_owned(), host, vars }))
        }
    }
}
