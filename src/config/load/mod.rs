//! The loader: reads the configuration directory and says what changed.
//!
//! It remembers what runs. A file with a problem changes nothing of what runs (promise P7): its last good
//! definitions stay until it is put right or removed. Who reloads, and when, is the daemon's; `check` is this.

mod admit;
mod read;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::accounts::{self, AccountProblem, Accounts, SystemAccounts};
use super::problem::{Place, Problem, Severity};
use super::raw::{self, AccountName};
use super::trust::TrustedOpen;
use super::{Diff, Settings, Trust, Watches, files, lower};
use crate::watch::{Account, WatchName, WatchSpec};
use admit::Candidate;
use read::Unread;
use sha2::{Digest, Sha256};

/// How often a directory that changes while it is read is read again before it is taken as it is.
const MOST_READINGS: usize = 5;

/// A watch that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedWatch {
    /// What it means.
    pub spec: Arc<WatchSpec>,
    /// The file that defines it.
    pub file: Arc<Path>,
    /// Where in it.
    pub place: Place,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileState {
    /// It holds.
    Loaded,
    /// It has problems; what it last said well still holds.
    Broken,
    /// It may not be believed, or cannot be read; what it last said well still holds.
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
    /// What became of it.
    pub state: FileState,
    /// All that is wrong with it; a loaded file may have warnings.
    pub problems: Vec<Problem>,
}

/// What a reload found.
#[derive(Debug, Clone)]
#[must_use]
pub struct Reload {
    /// The settings that hold; `None` while there is a `twitcher.conf` that was never read well, and then there
    /// are no watches either, because their stores are not known.
    ///
    /// A store that is no longer configured is still in here as long as a watch that stayed needs it.
    pub settings: Option<Arc<Settings>>,
    /// Whether they are others than before. True the first time.
    #[cfg_attr(not(test), expect(dead_code, reason = "what changed is compared field by field"))]
    pub settings_changed: bool,
    /// What changed of the watches.
    pub diff: Diff,
    /// Every file in order of its path, `twitcher.conf` first.
    pub files: Vec<FileReport>,
}

/// SHA-256 of a text.
type Mark = [u8; 32];

type AccountKey = (Option<AccountName>, Option<AccountName>);

/// Reads a configuration directory, again and again.
pub struct Loader {
    root: PathBuf,
    trust: Trust,
    accounts: Box<dyn Accounts>,
    host: String,
    /// What was made of each file, by a mark of its text: thousands of files are neither parsed again nor kept.
    known: BTreeMap<Arc<Path>, (Mark, Candidate)>,
    resolved: BTreeMap<AccountKey, Result<Account, AccountProblem>>,
    shared: lower::Shared,
    settings_report: Option<FileReport>,
    /// As `twitcher.conf` last said well.
    configured: Option<Settings>,
    /// The same, and what watches that stayed need.
    settings: Option<Arc<Settings>>,
    watches: BTreeMap<WatchName, LoadedWatch>,
}

impl Loader {
    /// A loader of this directory on this machine. Nothing is read yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let host = nix::unistd::gethostname()
            .map_or_else(|_| "localhost".to_owned(), |host| host.to_string_lossy().into_owned());
        Self::with(root, Trust::of_process(), Box::new(SystemAccounts::of_process()), host)
    }

    /// A loader that reads as that of a daemon which is root, whoever asks: to check files before they get there.
    /// Whether only root can write them is not asked where root does not ask.
    pub fn for_check(root: impl Into<PathBuf>) -> Self {
        Self { accounts: Box::new(SystemAccounts::as_root()), ..Self::new(root) }
    }

    /// The same with everything that it asks the machine given.
    pub fn with(
        root: impl Into<PathBuf>,
        trust: Trust,
        accounts: Box<dyn Accounts>,
        host: impl Into<String>,
    ) -> Self {
        Self {
            root: root.into(),
            trust,
            accounts,
            host: host.into(),
            known: BTreeMap::new(),
            resolved: BTreeMap::new(),
            shared: lower::Shared::default(),
            settings_report: None,
            configured: None,
            settings: None,
            watches: BTreeMap::new(),
        }
    }

    /// The watches that hold.
    pub fn watches(&self) -> &BTreeMap<WatchName, LoadedWatch> {
        &self.watches
    }

    /// The settings that hold.
    pub fn settings(&self) -> Option<&Arc<Settings>> {
        self.settings.as_ref()
    }

    /// Whether a file names users or groups.
    pub fn names_accounts(&self) -> bool {
        self.resolved.keys().any(|(uid, gid)| uid.is_some() || gid.is_some())
    }

    /// Reads everything: `twitcher.conf`, accounts, watch files. At start, on SIGHUP and `twitcher reload`.
    pub fn reload(&mut self) -> Reload {
        self.read_settings();
        let accounts = &self.accounts;
        let resolve = |(uid, gid): &AccountKey| accounts::resolve(&**accounts, uid.as_ref(), gid.as_ref());
        if !self.resolved.iter().all(|(key, account)| resolve(key) == *account) {
            self.resolved.clear();
            self.known.clear();
        }
        self.reload_watches()
    }

    /// Reads `twitcher.conf` only, for what needs a store and no watches. An error is all that is wrong with it.
    pub fn reload_settings(&mut self) -> Result<Arc<Settings>, Vec<Problem>> {
        self.read_settings();
        let problems = self.settings_report.iter().flat_map(|report| report.problems.clone()).collect();
        self.configured.clone().map(Arc::new).ok_or(problems)
    }

    /// The `control_socket` that `twitcher.conf` names, as far as it can be understood: a daemon that runs on with what
    /// it said before can be asked also while the file has problems.
    pub fn control_socket(&self) -> Option<PathBuf> {
        let path: Arc<Path> = Arc::from(self.root.join(SETTINGS_FILE));
        let text = read::text(&mut TrustedOpen::new(self.trust), &path).ok()?;
        raw::settings(path, &text).daemon.path("control_socket").map(|at| at.value)
    }

    /// Reads the watch files only: after a change in the directory.
    pub fn reload_watches(&mut self) -> Reload {
        if self.settings_report.is_none() && self.configured.is_none() {
            self.read_settings();
        }
        let mut open = TrustedOpen::new(self.trust);
        let (listing, texts) = read::all(&self.root, &mut open);
        let mut reports: Vec<FileReport> = listing
            .unreadable
            .iter()
            .map(|(path, why)| refused_directory(path, why))
            .chain(listing.missing.then(|| missing(&self.root)))
            .collect();
        let unreadable: Vec<&Path> = listing.unreadable.iter().map(|(path, _)| path.as_path()).collect();

        self.known.retain(|path, _| texts.contains_key(path));
        let mut candidates = Vec::new();
        for (path, text) in texts {
            candidates.push(self.known_or_read(&path, text));
        }
        self.keep_unseen(&unreadable, &mut candidates);
        let (watches, admitted) = admit::admit(&self.watches, candidates);
        reports.extend(admitted);
        reports.sort_by(|a, b| a.path.cmp(&b.path));

        let before = specs(&self.watches);
        let diff = Diff::between(&before, &specs(&watches));
        // Collected, because the nodes of a map that is filled one by one are half empty.
        let shared = watches.into_iter().map(|(name, mut watch)| {
            // Shared with whoever runs it, instead of kept twice.
            if let Some(known) = before.get(&name).filter(|known| **known == watch.spec) {
                watch.spec = Arc::clone(known);
            }
            (name, watch)
        });
        self.watches = shared.collect();
        self.shared.forget_unused();
        let settings_changed = self.settle_settings();
        let files = self.settings_report.iter().cloned().chain(reports).collect();
        Reload { settings: self.settings.clone(), settings_changed, diff, files }
    }

    /// Reads these files as if they were in the directory, and changes nothing.
    pub fn check_files(&mut self, paths: &[PathBuf]) -> Vec<FileReport> {
        if self.settings_report.is_none() && self.configured.is_none() {
            self.read_settings();
        }
        let mut open = TrustedOpen::new(self.trust);
        let mut reports = Vec::new();
        let mut candidates = Vec::new();
        for path in paths {
            let path: Arc<Path> = Arc::from(path.as_path());
            let text = read::text(&mut open, &path);
            if path.file_name() == Some(OsStr::new(SETTINGS_FILE)) {
                reports.push(self.lower_settings(&path, text).0);
            } else {
                let (report, offer) = self.read_file(&path, text);
                candidates.push(Candidate { offer, report });
            }
        }
        reports.extend(admit::admit(&BTreeMap::new(), candidates).1);
        reports
    }

    fn read_settings(&mut self) {
        let before = self.configured.clone();
        self.take_settings();
        if self.configured != before {
            // A file means something else where the stores do.
            self.known.clear();
        }
    }

    fn take_settings(&mut self) {
        let path: Arc<Path> = Arc::from(self.root.join(SETTINGS_FILE));
        match read::text(&mut TrustedOpen::new(self.trust), &path) {
            Err(Unread::Missing) => {
                self.settings_report = None;
                self.configured = lower::fallback(&self.host);
            }
            text => {
                let (report, settings) = self.lower_settings(&path, text);
                if settings.is_some() {
                    self.configured = settings;
                }
                self.settings_report = Some(report);
            }
        }
    }

    fn lower_settings(
        &self,
        path: &Arc<Path>,
        text: Result<String, Unread>,
    ) -> (FileReport, Option<Settings>) {
        match text {
            Err(unread) => (unread.report(path), None),
            Ok(text) => {
                let raw = raw::settings(Arc::clone(path), &text);
                let (settings, problems) = lower::settings(&raw, &self.host);
                (report(path, problems), settings)
            }
        }
    }

    /// What a file says, without reading it again where its text is as it was.
    fn known_or_read(&mut self, path: &Arc<Path>, text: Result<String, Unread>) -> Candidate {
        let mark = text.as_deref().ok().map(|text| Mark::from(Sha256::digest(text)));
        if let Some((known, candidate)) = self.known.get(path)
            && Some(*known) == mark
        {
            return candidate.clone();
        }
        let (report, offer) = self.read_file(path, text);
        let candidate = Candidate { offer, report };
        match mark {
            Some(mark) => drop(self.known.insert(Arc::clone(path), (mark, candidate.clone()))),
            None => drop(self.known.remove(path)),
        }
        candidate
    }

    /// What a watch file says, and the watches that it offers if nothing is wrong with it.
    fn read_file(
        &mut self,
        path: &Arc<Path>,
        text: Result<String, Unread>,
    ) -> (FileReport, Option<Vec<LoadedWatch>>) {
        let text = match text {
            Ok(text) => text,
            Err(unread) => return (unread.report(path), None),
        };
        let raw = raw::watch_file(Arc::clone(path), &text);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut resolve = |uid: Option<&AccountName>, gid: Option<&AccountName>| {
            let key = (uid.cloned(), gid.cloned());
            let ask = || accounts::resolve(&*self.accounts, uid, gid);
            self.resolved.entry(key).or_insert_with(ask).clone()
        };
        let mut context = lower::Context {
            settings: self.configured.as_ref(),
            resolve: &mut resolve,
            shared: &mut self.shared,
        };
        let (watches, mut problems) = lower::watches(&raw, &stem, &mut context);
        if self.configured.is_none() && !watches.is_empty() {
            problems.push(Problem::of_file(
                path,
                "not loaded, because twitcher.conf has problems and the stores are not known",
                "put twitcher.conf right first",
            ));
        }
        let report = report(path, problems);
        let offer = (report.state == FileState::Loaded).then(|| {
            let loaded = |(spec, span): lower::Placed| LoadedWatch {
                spec: Arc::new(spec),
                file: Arc::clone(path),
                place: raw.source.place(span.start),
            };
            watches.into_iter().map(loaded).collect()
        });
        (report, offer)
    }

    /// Watches whose files are below a directory that cannot be read just now are not gone.
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

    /// Makes the settings that hold out of what is configured and what the watches that stayed need.
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

/// The daemon's settings, in the configuration directory.
const SETTINGS_FILE: &str = "twitcher.conf";

fn report(path: &Arc<Path>, problems: Vec<Problem>) -> FileReport {
    let broken = problems.iter().any(|problem| problem.severity == Severity::Error);
    let state = if broken { FileState::Broken } else { FileState::Loaded };
    FileReport { path: Arc::clone(path), state, problems }
}

fn refused_directory(path: &Path, why: &str) -> FileReport {
    let path: Arc<Path> = Arc::from(path);
    let help = "what was loaded from it before still holds";
    let problem = Problem::of_file(&path, format!("this directory is not read: {why}"), help);
    FileReport { path, state: FileState::Refused, problems: vec![problem] }
}

fn missing(path: &Path) -> FileReport {
    let path: Arc<Path> = Arc::from(path);
    let problem =
        Problem::of_file(&path, "there is no such directory", "watches are read as soon as it is there");
    FileReport { path, state: FileState::Broken, problems: vec![problem] }
}

fn specs(watches: &BTreeMap<WatchName, LoadedWatch>) -> Watches {
    watches.iter().map(|(name, watch)| (name.clone(), Arc::clone(&watch.spec))).collect()
}

#[cfg(test)]
mod tests;
