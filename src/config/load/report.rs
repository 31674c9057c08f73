//! The report of a configuration file, and the result of a reload.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::config::lower::Withheld;
use crate::config::problem::{Position, Problem, Severity, escaped};
use crate::config::{Diff, Settings};
use crate::watch::hosts::Elsewhere;
use crate::watch::{WatchName, WatchSpec};

/// A watch in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedWatch {
    /// What it means.
    pub spec: Arc<WatchSpec>,
    /// The file that defines it.
    pub file: Arc<Path>,
    /// Where in it.
    pub place: Position,
}

/// Whether a file is in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoadState {
    /// In effect as it is.
    Loaded,
    /// Has errors; its last valid version stays in effect.
    Broken,
    /// Others could change it, or it cannot be read; its last valid version stays in effect.
    Refused,
}

impl LoadState {
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
    pub state: LoadState,
    /// Its errors and warnings; a loaded file may have warnings.
    pub problems: Vec<Problem>,
    /// Its watches that are for other hosts.
    pub elsewhere: Vec<Elsewhere>,
    /// How many of its watches are for this host.
    pub here: usize,
    /// Its watches that are not loaded, because a setting that they depend on is not known.
    pub withheld: Vec<Withheld>,
    /// The terms of its fleets in words: one line for each watch.
    pub notes: Vec<String>,
    /// Whether it is a configuration file, and not a directory or a file that is not read.
    pub is_configuration: bool,
}

impl FileReport {
    /// A report of a problem that is not about a file that was read.
    pub fn beside(problem: Problem) -> Self {
        let path = Arc::clone(&problem.file);
        Self { is_configuration: false, ..Self::new(&path, LoadState::Loaded, vec![problem]) }
    }

    pub(super) fn new(path: &Arc<Path>, state: LoadState, problems: Vec<Problem>) -> Self {
        Self {
            path: Arc::clone(path),
            state,
            problems,
            elsewhere: Vec::new(),
            here: 0,
            withheld: Vec::new(),
            notes: Vec::new(),
            is_configuration: true,
        }
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
    /// The settings in effect; `None` if `state_dir` is not known, and where a check finds errors in `twitcher.conf`.
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
    /// While `twitcher.conf` or `local.conf` has errors: what is in effect instead, and what is not loaded. At most two
    /// sentences, whatever the number of watches.
    pub complaints: Vec<String>,
    /// There is no valid `control_socket`.
    pub lacks_control_socket: bool,
    /// How many watches are not loaded because a setting is not known.
    pub withheld: usize,
    /// Whether a path or an account could not be read for a passing reason: reload again in a few seconds, also
    /// without a change.
    pub is_partial: bool,
}

/// The watches in effect by name.
pub type LoadedWatches = BTreeMap<WatchName, LoadedWatch>;

pub(super) fn report(path: &Arc<Path>, problems: Vec<Problem>) -> FileReport {
    let broken = problems.iter().any(|problem| problem.severity == Severity::Error);
    let state = if broken { LoadState::Broken } else { LoadState::Loaded };
    FileReport::new(path, state, problems)
}

pub(super) fn refused_directory(path: &Path, why: &str) -> FileReport {
    let path: Arc<Path> = Arc::from(path);
    let help = "what was loaded from it before stays in effect";
    let problem = Problem::of_file(&path, format!("this directory is not read: {why}"), help);
    FileReport { is_configuration: false, ..FileReport::new(&path, LoadState::Refused, vec![problem]) }
}

pub(super) fn missing(path: &Path) -> FileReport {
    let path: Arc<Path> = Arc::from(path);
    let problem =
        Problem::of_file(&path, "there is no such directory", "watches are read as soon as it is there");
    FileReport { is_configuration: false, ..FileReport::new(&path, LoadState::Broken, vec![problem]) }
}

/// A file that is not read because of its name.
pub(super) fn lookalike(path: &Path) -> FileReport {
    let path: Arc<Path> = Arc::from(path);
    let shown = escaped(&path.to_string_lossy());
    let is_old = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("twc"));
    let help = if is_old {
        format!(
            "it looks like a configuration of the Python Twitcher: `twitcher convert '{shown}'` prints the watch file that it becomes"
        )
    } else {
        format!(
            "rename it, for example `mv '{shown}' '{}'`",
            escaped(&path.with_extension("toml").to_string_lossy())
        )
    };
    let problem = Problem::of_file(&path, "not read: a watch file ends with `.toml`", help).into_warning();
    FileReport { is_configuration: false, ..FileReport::new(&path, LoadState::Loaded, vec![problem]) }
}
