//! The loader: reads the configuration directory and reports what changed.
//!
//! It remembers the definitions that are in effect. A file with an error changes none of them (promise P7): its last
//! valid definitions stay in effect until it is corrected or removed. The daemon decides when to reload; `check` runs
//! the same code.
//!
//! Whatever may block is done on threads of their own: a file system or a name service that does not answer costs the
//! files that depend on it, and a bounded delay.

mod actions;
mod admit;
mod look_up;
mod read;
mod server_names;
mod store_files;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::accounts::{Accounts, AnyAccounts, SystemAccounts};
use super::files::Listing;
use super::problem::{Place, Problem, Severity};
use super::raw::{self, AccountName, Local, RawLocal};
use super::stall::{self, Progress, ReadingThreads, UNANSWERED};
use super::trust::TrustedOpen;
use super::{Diff, Settings, Trust, Watches, lower};
use crate::watch::hosts::Elsewhere;
use crate::watch::{Machine, StoreName, WatchName, WatchSpec};
use admit::Candidate;
use look_up::LookUps;
use read::Unread;
use sha2::{Digest, Sha256};

/// How often a directory that changes while it is read is read again before it is taken as it is.
const MOST_READINGS: usize = 5;

/// A watch in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedWatch {
    /// What it means.
    pub spec: Arc<WatchSpec>,
    /// The file that defines it.
    pub file: Arc<Path>,
    /// Where in it.
    pub place: Place,
}

/// Whether a file is in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileState {
    /// In effect as it is.
    Loaded,
    /// Has errors; its last valid version stays in effect.
    Broken,
    /// Others could change it, or it cannot be read; its last valid version stays in effect.
    Refused,
}

impl FileState {
    /// The word of `status --json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Broken => "broken",
            Self::Refused => "refused",
        }
    }
}

/// A file, or a directory that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Its path.
    pub path: Arc<Path>,
    /// Whether it is in effect.
    pub state: FileState,
    /// Its errors and warnings; a loaded file may have warnings.
    pub problems: Vec<Problem>,
    /// Its watches that are for other hosts.
    pub elsewhere: Vec<Elsewhere>,
    /// How many of its watches are for this host.
    pub here: usize,
    /// What its fleets come to: a line a watch.
    pub notes: Vec<String>,
    /// Whether it is a configuration file: not a directory, nor a file that is passed over.
    pub is_configuration: bool,
}

impl FileReport {
    /// Problems of something else than a file that was read.
    pub fn beside(problem: Problem) -> Self {
        let path = Arc::clone(&problem.file);
        Self { is_configuration: false, ..Self::new(&path, FileState::Loaded, vec![problem]) }
    }

    fn new(path: &Arc<Path>, state: FileState, problems: Vec<Problem>) -> Self {
        let (elsewhere, here, is_configuration) = (Vec::new(), 0, true);
        Self { path: Arc::clone(path), state, problems, elsewhere, here, notes: Vec::new(), is_configuration }
    }

    /// Whether all its watches are for other hosts.
    pub fn is_elsewhere(&self) -> bool {
        self.here == 0 && !self.elsewhere.is_empty()
    }
}

/// What a reload found.
#[derive(Debug, Clone)]
#[must_use]
pub struct Reload {
    /// The settings in effect; `None` while `twitcher.conf` exists and was never valid, and then there are no
    /// watches either, because their stores are not known.
    ///
    /// A store that is no longer configured is still in here as long as a watch that stayed needs it.
    pub settings: Option<Arc<Settings>>,
    /// Whether they differ from those before. True the first time.
    #[cfg_attr(not(test), expect(dead_code, reason = "what changed is compared field by field"))]
    pub settings_changed: bool,
    /// What changed of the watches.
    pub diff: Diff,
    /// The watches in effect.
    pub watches: Arc<LoadedWatches>,
    /// Every file in order of its path, `twitcher.conf` first.
    pub files: Vec<FileReport>,
    /// Whether a path or an account could not be read for a passing reason: reload again in a few seconds, also
    /// without a change.
    pub is_partial: bool,
}

/// The watches in effect by name.
pub type LoadedWatches = BTreeMap<WatchName, LoadedWatch>;

/// SHA-256 of a text.
type Mark = [u8; 32];

/// Reads a configuration directory, again and again.
pub struct Loader {
    root: PathBuf,
    trust: Trust,
    hostname: String,
    /// The last valid `local.conf`.
    local: Option<Local>,
    /// It is asked what another machine would do: `local.conf` is this one's, and is not read.
    is_elsewhere: bool,
    threads: ReadingThreads,
    look_ups: LookUps,
    /// It is asked what is wrong, and nothing is run: what only makes runs or connections fail is reported too.
    is_check: bool,
    /// Programs, scripts and directories that were looked at, with what is wrong with them.
    looked_at: actions::LookedAt,
    /// The result of each file by a mark of its text: an unchanged file is not parsed again, and its text not kept.
    known: BTreeMap<Arc<Path>, (Mark, Candidate)>,
    shared: lower::Shared,
    /// Of `twitcher.conf` and `local.conf`, where they exist.
    settings_reports: Vec<FileReport>,
    /// Whether one of them could not be read because the file system did not answer.
    settings_blocked: bool,
    /// The last valid `twitcher.conf`.
    configured: Option<Settings>,
    /// The same, and stores that watches which stayed need.
    settings: Option<Arc<Settings>>,
    watches: Arc<LoadedWatches>,
    /// Files that had watches and have none any more.
    emptied: BTreeSet<Arc<Path>>,
}

impl Loader {
    /// A loader of this directory on this machine. Nothing is read yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with(root, Trust::of_process(), Box::new(SystemAccounts::of_process()), hostname())
    }

    /// A loader that resolves accounts as a root daemon does, whoever runs it: to check files before they are
    /// installed. Only for root are owners and modes of the files judged.
    pub fn for_check(root: impl Into<PathBuf>) -> Self {
        let accounts = Arc::new(SystemAccounts::as_root());
        let look_ups = LookUps::new(accounts, look_up::Patience::default());
        Self { look_ups, is_check: true, ..Self::new(root) }
    }

    /// A loader that reads as the daemon on another machine does: under this host name, with these `[vars]` instead of
    /// a `local.conf`, and with accounts that are taken to exist. An error is a name that `[vars]` cannot have.
    pub fn for_host(
        root: impl Into<PathBuf>,
        host: &str,
        vars: BTreeMap<String, String>,
    ) -> Result<Self, String> {
        for name in vars.keys() {
            raw::check_name(name)?;
            if name == Machine::HOST {
                return Err("`host` is not one of [vars]: name the host with --host".to_owned());
            }
        }
        let accounts = Arc::new(AnyAccounts);
        let local = Local { hostname: host.to_owned(), host: Some(host.to_owned()), vars };
        Ok(Self {
            look_ups: LookUps::new(accounts, look_up::Patience::default()),
            local: Some(local),
            is_elsewhere: true,
            is_check: true,
            ..Self::new(root)
        })
    }

    /// A loader with everything given that `new` asks the machine for.
    pub fn with(
        root: impl Into<PathBuf>,
        trust: Trust,
        accounts: Box<dyn Accounts>,
        host: impl Into<String>,
    ) -> Self {
        Self {
            root: root.into(),
            trust,
            hostname: host.into(),
            local: None,
            is_elsewhere: false,
            threads: ReadingThreads::new(stall::Patience::default()),
            look_ups: LookUps::new(accounts.into(), look_up::Patience::default()),
            is_check: false,
            looked_at: actions::LookedAt::default(),
            known: BTreeMap::new(),
            shared: lower::Shared::default(),
            settings_reports: Vec::new(),
            settings_blocked: false,
            configured: None,
            settings: None,
            watches: Arc::default(),
            emptied: BTreeSet::new(),
        }
    }

    /// The watches in effect.
    pub fn watches(&self) -> &LoadedWatches {
        &self.watches
    }

    /// The settings in effect.
    pub fn settings(&self) -> Option<&Arc<Settings>> {
        self.settings.as_ref()
    }

    /// Whether a file names users or groups.
    pub fn names_accounts(&self) -> bool {
        self.look_ups.names_accounts()
    }

    /// Reads everything: `twitcher.conf`, accounts, watch files. At start, on SIGHUP and `twitcher reload`.
    pub fn reload(&mut self) -> Reload {
        self.read_settings();
        let late = self.look_ups.begin();
        if self.look_ups.refresh() || late {
            self.known.clear();
        }
        self.read_watches()
    }

    /// What [`Loader::reload`] would find now. Nothing of it takes effect.
    pub fn rehearse(&self) -> Reload {
        let mut loader = Self {
            root: self.root.clone(),
            trust: self.trust,
            hostname: self.hostname.clone(),
            local: self.local.clone(),
            is_elsewhere: self.is_elsewhere,
            threads: ReadingThreads::new(stall::Patience::default()),
            look_ups: self.look_ups.anew(),
            is_check: self.is_check,
            looked_at: self.looked_at.clone(),
            known: BTreeMap::new(),
            shared: lower::Shared::default(),
            settings_reports: Vec::new(),
            settings_blocked: false,
            configured: self.configured.clone(),
            settings: self.settings.clone(),
            watches: Arc::clone(&self.watches),
            emptied: self.emptied.clone(),
        };
        loader.reload()
    }

    /// Reads `twitcher.conf` only, for commands that need a store and no watches. An error holds all its problems.
    pub fn reload_settings(&mut self) -> Result<Arc<Settings>, Vec<Problem>> {
        self.read_settings();
        let problems = self.settings_reports.iter().flat_map(|report| report.problems.clone()).collect();
        self.configured.clone().map(Arc::new).ok_or(problems)
    }

    /// The `control_socket` of a `twitcher.conf` that may have errors: the daemon that runs on its last valid version
    /// still answers.
    pub fn control_socket(&mut self) -> Option<PathBuf> {
        let path = self.settings_path();
        let text = self.text(&path).ok()?;
        raw::settings(path, &text, &Local::named(&self.hostname))
            .daemon
            .path("control_socket")
            .map(|at| at.value)
    }

    /// Where a store's URL is written; no place where it is not.
    pub fn store_place(&mut self, store: &StoreName) -> (Arc<Path>, Option<Place>) {
        let path = self.settings_path();
        let Ok(text) = self.text(&path) else { return (path, None) };
        let raw = raw::settings(Arc::clone(&path), &text, &Local::named(&self.hostname));
        let place = raw.stores.get(store).map(|store| raw.source.place(store.table.span("url").start));
        (path, place)
    }

    /// Reads the watch files only: after a change in the directory.
    pub fn reload_watches(&mut self) -> Reload {
        if self.settings_blocked || (self.settings_reports.is_empty() && self.configured.is_none()) {
            self.read_settings();
        }
        if self.look_ups.begin() {
            self.known.clear();
        }
        self.read_watches()
    }

    fn read_watches(&mut self) -> Reload {
        let (listing, texts) = self.list();
        let mut reports: Vec<FileReport> = listing
            .unreadable
            .iter()
            .map(|(path, why)| refused_directory(path, why))
            .chain(listing.missing.then(|| missing(&self.root)))
            .collect();
        let unreadable: Vec<&Path> = listing.unreadable.iter().map(|(path, _)| path.as_path()).collect();

        if self.is_check {
            reports.extend(listing.lookalikes.iter().map(|path| lookalike(path)));
        }
        self.known.retain(|path, _| texts.contains_key(path));
        let mut candidates = Vec::new();
        for (path, text) in texts {
            candidates.push(self.known_or_read(&path, text));
        }
        self.keep_unseen(&unreadable, &mut candidates);
        self.warn_of_emptied(&mut candidates);
        let fleet = self.configured.as_ref().map(|settings| &settings.fleet);
        let (watches, admitted) = admit::admit(&self.watches, candidates, fleet);
        reports.extend(admitted);
        reports.sort_by(|a, b| a.path.cmp(&b.path));

        let before = specs(&self.watches);
        let diff = Diff::between(&before, &specs(&watches));
        // Collected, because the nodes of a map that is filled one by one are half empty.
        let shared = watches.into_iter().map(|(name, mut watch)| {
            // Share the specification with the live watch instead of keeping an equal second one.
            if let Some(known) = before.get(&name).filter(|known| **known == watch.spec) {
                watch.spec = Arc::clone(known);
            }
            (name, watch)
        });
        self.watches = Arc::new(shared.collect());
        self.shared.forget_unused();
        let settings_changed = self.settle_settings();
        let files = self.settings_reports.iter().cloned().chain(reports).collect();
        let is_partial = self.threads.has_blocked() || self.look_ups.has_failed();
        let (settings, watches) = (self.settings.clone(), Arc::clone(&self.watches));
        Reload { settings, settings_changed, diff, watches, files, is_partial }
    }

    /// Reads every watch file of the directory.
    fn list(&mut self) -> (Listing, read::Texts) {
        let (root, trust) = (self.root.clone(), self.trust);
        let read = move |progress: &Progress| read::all(&root, &mut TrustedOpen::new(trust), progress);
        self.threads.run(read).unwrap_or_else(|why| {
            let unreadable = vec![(self.root.clone(), why)];
            (Listing { unreadable, ..Listing::default() }, read::Texts::new())
        })
    }

    /// Reads these files.
    fn texts(&mut self, paths: &[Arc<Path>]) -> Vec<Result<String, Unread>> {
        let (wanted, trust) = (paths.to_vec(), self.trust);
        let read = move |progress: &Progress| -> Vec<_> {
            let mut open = TrustedOpen::new(trust);
            wanted.iter().map(|path| read::text(&mut open, path, progress)).collect()
        };
        let failed = |why: String| paths.iter().map(|_| Err(Unread::Failed(why.clone()))).collect();
        self.threads.run(read).unwrap_or_else(failed)
    }

    fn text(&mut self, path: &Arc<Path>) -> Result<String, Unread> {
        let nothing = || Err(Unread::Failed("it was not read".to_owned()));
        self.texts(std::slice::from_ref(path)).pop().unwrap_or_else(nothing)
    }

    fn settings_path(&self) -> Arc<Path> {
        Arc::from(self.root.join(SETTINGS_FILE))
    }

    /// Reads these files as if they were in the directory, and changes nothing.
    pub fn check_files(&mut self, paths: &[PathBuf]) -> Vec<FileReport> {
        if self.settings_reports.is_empty() && self.configured.is_none() {
            self.read_settings();
        }
        let paths: Vec<Arc<Path>> = paths.iter().map(|path| Arc::from(path.as_path())).collect();
        let texts = self.texts(&paths);
        let mut reports = Vec::new();
        let mut candidates = Vec::new();
        for (path, text) in paths.into_iter().zip(texts) {
            if path.file_name() == Some(OsStr::new(SETTINGS_FILE)) {
                let local = self.local.clone().unwrap_or_else(|| Local::named(&self.hostname));
                reports.push(self.lower_settings(&path, text, &local).0);
            } else if path.file_name() == Some(OsStr::new(LOCAL_FILE)) {
                reports.push(lower_local(&path, text, &self.hostname).0);
            } else {
                candidates.push(self.read_file(&path, text).candidate);
            }
        }
        let fleet = self.configured.as_ref().map(|settings| &settings.fleet);
        reports.extend(admit::admit(&BTreeMap::new(), candidates, fleet).1);
        reports
    }

    fn read_settings(&mut self) {
        let before = self.configured.clone();
        self.take_settings();
        if self.configured != before {
            // What a watch file means depends on the stores.
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
        let local = self.local.clone().unwrap_or_else(|| Local::named(&self.hostname));
        let settings = match text {
            Err(Unread::Missing) => lower::fallback(&local),
            text => {
                let (report, settings) = self.lower_settings(&path, text, &local);
                self.settings_reports.push(report);
                settings
            }
        };
        // What a file means that never was valid is not known, and no watch is loaded without it.
        if settings.is_some() && self.local.is_some() {
            self.configured = settings;
        }
        self.settings_reports.extend(local_report);
    }

    fn lower_settings(
        &mut self,
        path: &Arc<Path>,
        text: Result<String, Unread>,
        local: &Local,
    ) -> (FileReport, Option<Settings>) {
        match text {
            Err(unread) => (unread.report(path), None),
            Ok(text) => {
                let raw = raw::settings(Arc::clone(path), &text, local);
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
    fn take_local(&mut self, path: &Arc<Path>, text: Result<String, Unread>) -> Option<FileReport> {
        if matches!(text, Err(Unread::Missing)) {
            self.local = Some(Local::named(&self.hostname));
            return None;
        }
        let (report, local) = lower_local(path, text, &self.hostname);
        if local.is_some() {
            self.local = local;
        }
        Some(report)
    }

    /// What is wrong with the files that stores name.
    fn store_files(&mut self, raw: &raw::RawSettings) -> Vec<Problem> {
        let files = store_files::named(raw);
        let (wanted, trust) = (files.clone(), self.trust);
        let read =
            move |progress: &Progress| store_files::all(&wanted, &mut TrustedOpen::new(trust), progress);
        let failed =
            |why: String| files.iter().map(|file| vec![store_files::unread(&file.path, &why)]).collect();
        let findings: Vec<_> = self.threads.run(read).unwrap_or_else(failed);
        let problem = |(file, finding): (&store_files::Named, store_files::Finding)| {
            let problem = raw.source.problem(file.span.clone(), finding.message).with_help(finding.help);
            match finding.severity {
                Severity::Error => problem,
                Severity::Warning => problem.into_warning(),
            }
        };
        let found = files.iter().zip(findings);
        found
            .flat_map(|(file, findings)| findings.into_iter().map(move |finding| problem((file, finding))))
            .collect()
    }

    /// Whether programs, accounts and files of this machine are judged.
    fn judges_this_machine(&self) -> bool {
        self.is_check && !self.is_elsewhere
    }

    /// What is wrong with the programs, scripts and directories that the watches of a file name.
    fn actions(&mut self, raw: &raw::RawWatchFile, watches: &[lower::Placed]) -> Vec<Problem> {
        let named: Vec<actions::Named> = watches
            .iter()
            .filter(|placed| placed.spec.enabled)
            .filter_map(|placed| Some(actions::named(&placed.spec, raw.watches.get(placed.table)?)))
            .flatten()
            .collect();
        let mut wanted: Vec<actions::Claim> = named.iter().map(|named| named.claim.clone()).collect();
        wanted.retain(|claim| !self.looked_at.contains_key(claim));
        wanted.sort();
        wanted.dedup();
        let asked = wanted.clone();
        let look = move |progress: &Progress| -> Vec<_> {
            asked.iter().map(|claim| actions::fault(claim, progress)).collect()
        };
        // What cannot be looked at is not judged.
        let faults: Vec<Option<actions::Fault>> = self.threads.run(look).unwrap_or_default();
        self.looked_at.extend(wanted.into_iter().zip(faults));
        let problem = |named: &actions::Named| {
            let fault = self.looked_at.get(&named.claim)?.as_ref()?;
            let problem =
                raw.source.problem(named.span.clone(), fault.message(named.field)).with_help(fault.help());
            Some(if fault.is_certain() { problem } else { problem.into_warning() })
        };
        named.iter().filter_map(problem).collect()
    }

    /// Parses and lowers a file, unless its text is unchanged.
    fn known_or_read(&mut self, path: &Arc<Path>, text: Result<String, Unread>) -> Candidate {
        let mark = text.as_deref().ok().map(|text| Mark::from(Sha256::digest(text)));
        if let Some((known, candidate)) = self.known.get(path)
            && Some(*known) == mark
        {
            return candidate.clone();
        }
        let ReadFile { candidate, is_final } = self.read_file(path, text);
        match mark.filter(|_| is_final) {
            Some(mark) => drop(self.known.insert(Arc::clone(path), (mark, candidate.clone()))),
            None => drop(self.known.remove(path)),
        }
        candidate
    }

    /// Parses and lowers a watch file. It offers its watches if it has no error.
    fn read_file(&mut self, path: &Arc<Path>, text: Result<String, Unread>) -> ReadFile {
        let text = match text {
            Ok(text) => text,
            Err(unread) => {
                return ReadFile {
                    candidate: Candidate { offer: None, report: unread.report(path) },
                    is_final: false,
                };
            }
        };
        let site = self.configured.as_ref().map(Settings::site);
        let raw = raw::watch_file(Arc::clone(path), &text, site.as_ref());
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut is_final = true;
        let mut resolve = |uid: Option<&AccountName>, gid: Option<&AccountName>| {
            let account = self.look_ups.account(uid, gid);
            is_final &= !account.as_ref().is_err_and(|problem| problem.is_passing);
            account
        };
        let mut context = lower::Context {
            settings: self.configured.as_ref(),
            resolve: &mut resolve,
            shared: &mut self.shared,
        };
        let lower::Lowered { watches, elsewhere, mut problems, notes } =
            lower::watches(&raw, &stem, &mut context);
        // A check says it once, of that file.
        if self.configured.is_none() && !watches.is_empty() && !self.is_check {
            problems.push(Problem::of_file(
                path,
                "not loaded, because twitcher.conf or local.conf has errors and the stores are not known",
                "correct that file first",
            ));
        }
        let mut report = FileReport { elsewhere, here: watches.len(), notes, ..report(path, problems) };
        if self.judges_this_machine() {
            report.problems.extend(self.actions(&raw, &watches));
            report.problems.sort_by_key(|problem| problem.place);
        }
        let offer = (report.state == FileState::Loaded).then(|| {
            let loaded = |placed: lower::Placed| LoadedWatch {
                spec: Arc::new(placed.spec),
                file: Arc::clone(path),
                place: raw.source.place(placed.span.start),
            };
            watches.into_iter().map(loaded).collect()
        });
        ReadFile { candidate: Candidate { offer, report }, is_final }
    }

    /// Keeps the watches whose files are below a directory that cannot be read.
    fn keep_unseen(&self, unreadable: &[&Path], candidates: &mut Vec<Candidate>) {
        let mut unseen: Vec<&Arc<Path>> = self
            .watches
            .values()
            .map(|watch| &watch.file)
            .filter(|file| unreadable.iter().any(|directory| file.starts_with(directory)))
            .collect();
        unseen.sort();
        unseen.dedup();
        unseen.retain(|file| !candidates.iter().any(|candidate| candidate.report.path == **file));
        candidates.extend(unseen.into_iter().map(|file| {
            let unread = Unread::Failed("its directory cannot be read".to_owned());
            Candidate { offer: None, report: unread.report(file) }
        }));
        candidates.sort_by(|a, b| a.report.path.cmp(&b.report.path));
    }

    /// A file that has lost all of its watches and is still there is more often an accident than meant.
    fn warn_of_emptied(&mut self, candidates: &mut [Candidate]) {
        self.emptied.retain(|path| candidates.iter().any(|candidate| candidate.report.path == *path));
        for candidate in candidates {
            let path = &candidate.report.path;
            let was_empty = self.emptied.contains(path);
            let is_emptied = match &candidate.offer {
                Some(offer) => {
                    let had_watches = || self.watches.values().any(|watch| watch.file == *path);
                    offer.is_empty() && !candidate.report.is_elsewhere() && (was_empty || had_watches())
                }
                None => was_empty,
            };
            if !is_emptied {
                self.emptied.remove(path);
                continue;
            }
            self.emptied.insert(Arc::clone(path));
            let help = "remove the file if that is meant, or put the watches back";
            let problem = Problem::of_file(path, "had watches, and has none any more", help);
            candidate.report.problems.push(problem.into_warning());
        }
    }

    /// The settings in effect: what is configured, and the stores that watches which stayed still need.
    fn settle_settings(&mut self) -> bool {
        let mut settings = self.configured.clone();
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

/// What became of the text of a watch file.
struct ReadFile {
    candidate: Candidate,
    /// Whether the same text gives the same candidate again.
    is_final: bool,
}

/// The daemon's settings, in the configuration directory.
const SETTINGS_FILE: &str = "twitcher.conf";
/// What differs between machines.
const LOCAL_FILE: &str = "local.conf";

/// What the system calls this machine.
pub(crate) fn hostname() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| "localhost".to_owned(), |host| host.to_string_lossy().into_owned())
}

fn lower_local(
    path: &Arc<Path>,
    text: Result<String, Unread>,
    hostname: &str,
) -> (FileReport, Option<Local>) {
    match text {
        Err(unread) => (unread.report(path), None),
        Ok(text) => {
            let RawLocal { host, vars, problems } = raw::local(Arc::clone(path), &text);
            let report = report(path, problems);
            let is_valid = report.state == FileState::Loaded;
            (report, is_valid.then(|| Local { hostname: hostname.to_owned(), host, vars }))
        }
    }
}

fn report(path: &Arc<Path>, problems: Vec<Problem>) -> FileReport {
    let broken = problems.iter().any(|problem| problem.severity == Severity::Error);
    let state = if broken { FileState::Broken } else { FileState::Loaded };
    FileReport::new(path, state, problems)
}

fn refused_directory(path: &Path, why: &str) -> FileReport {
    let path: Arc<Path> = Arc::from(path);
    let help = "what was loaded from it before stays in effect";
    let problem = Problem::of_file(&path, format!("this directory is not read: {why}"), help);
    FileReport { is_configuration: false, ..FileReport::new(&path, FileState::Refused, vec![problem]) }
}

fn missing(path: &Path) -> FileReport {
    let path: Arc<Path> = Arc::from(path);
    let problem =
        Problem::of_file(&path, "there is no such directory", "watches are read as soon as it is there");
    FileReport { is_configuration: false, ..FileReport::new(&path, FileState::Broken, vec![problem]) }
}

/// A file that is passed over because of its name.
fn lookalike(path: &Path) -> FileReport {
    let path: Arc<Path> = Arc::from(path);
    let shown = super::problem::escaped(&path.to_string_lossy());
    let is_old = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("twc"));
    let help = if is_old {
        format!(
            "it looks like a configuration of the Python Twitcher: `twitcher convert '{shown}'` prints the watch file that it becomes"
        )
    } else {
        format!(
            "rename it, for example `mv '{shown}' '{}'`",
            super::problem::escaped(&path.with_extension("toml").to_string_lossy())
        )
    };
    let problem = Problem::of_file(&path, "not read: a watch file ends with `.toml`", help).into_warning();
    FileReport { is_configuration: false, ..FileReport::new(&path, FileState::Loaded, vec![problem]) }
}

fn specs(watches: &BTreeMap<WatchName, LoadedWatch>) -> Watches {
    watches.iter().map(|(name, watch)| (name.clone(), Arc::clone(&watch.spec))).collect()
}

#[cfg(test)]
mod tests;
