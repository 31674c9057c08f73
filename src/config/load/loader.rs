//! The loader and what it remembers between readings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::actions;
use super::admit::CandidateFile;
use super::look_up::{self, LookUps};
use super::merge::Known;
use super::read::{self, Unread};
use super::report::{FileReport, LoadedWatches, Reload};
use crate::config::accounts::{Accounts, AnyAccounts, SystemAccounts};
use crate::config::lower::Gaps;
use crate::config::raw::{self, Local};
use crate::config::stall::{self, Progress, ReadingThreads};
use crate::config::trust::TrustedOpen;
use crate::config::{Settings, Trust, lower};
use crate::watch::Machine;

/// SHA-256 of a text.
pub(super) type Mark = [u8; 32];

/// What is known of `twitcher.conf` and `local.conf`.
#[derive(Debug, Default, Clone)]
pub(super) struct Configured {
    /// The last valid `local.conf`.
    pub(super) local: Option<Local>,
    /// The last valid `twitcher.conf`, or the settings in effect instead.
    pub(super) settings: Option<Settings>,
    /// The values of its parts, as written.
    pub(super) values: Option<Known>,
    /// The parts of it that are not known, and that watches depend on.
    pub(super) gaps: Gaps,
    /// A valid version of both files is in effect.
    pub(super) is_valid: bool,
    /// There is no valid `control_socket`.
    pub(super) lacks_control_socket: bool,
    /// Why the remembered settings cannot be used.
    pub(super) recall_fault: Option<String>,
    /// In words: which values are in effect while a file has errors.
    pub(super) shortfall: Option<String>,
}

/// Reads a configuration directory, again and again.
pub struct Loader {
    pub(super) root: PathBuf,
    pub(super) trust: Trust,
    pub(super) hostname: String,
    /// This is a check for another machine: the `local.conf` of this one is not read.
    pub(super) is_elsewhere: bool,
    pub(super) threads: ReadingThreads,
    pub(super) look_ups: LookUps,
    /// This is a check, and nothing is run: faults that only make runs or connections fail are reported too.
    pub(super) is_check: bool,
    /// Programs, scripts and directories that were looked at, with what is wrong with them.
    pub(super) looked_at: actions::LookedAt,
    /// The result of each file by a mark of its text: an unchanged file is not parsed again, and its text not kept.
    pub(super) known: BTreeMap<Arc<Path>, (Mark, CandidateFile)>,
    pub(super) shared: lower::Shared,
    /// The reports of `twitcher.conf` and `local.conf`, where they exist.
    pub(super) settings_reports: Vec<FileReport>,
    /// Whether one of them could not be read because the file system did not answer.
    pub(super) settings_blocked: bool,
    pub(super) configured: Configured,
    /// The text that was last written to the state directory.
    pub(super) remembered: Option<String>,
    /// Those of `configured`, with the stores that watches in effect still need.
    pub(super) settings: Option<Arc<Settings>>,
    pub(super) watches: Arc<LoadedWatches>,
    /// Files that had watches and have none any more.
    pub(super) emptied: BTreeSet<Arc<Path>>,
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
            configured: Configured { local: Some(local), ..Configured::default() },
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
        Self::blank(
            root.into(),
            trust,
            host.into(),
            LookUps::new(accounts.into(), look_up::Patience::default()),
        )
    }

    /// A loader that knows nothing yet.
    fn blank(root: PathBuf, trust: Trust, hostname: String, look_ups: LookUps) -> Self {
        Self {
            root,
            trust,
            hostname,
            is_elsewhere: false,
            threads: ReadingThreads::new(stall::Patience::default()),
            look_ups,
            is_check: false,
            looked_at: actions::LookedAt::default(),
            known: BTreeMap::new(),
            shared: lower::Shared::default(),
            settings_reports: Vec::new(),
            settings_blocked: false,
            configured: Configured::default(),
            remembered: None,
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
        let look_ups = self.look_ups.anew();
        let mut loader = Self {
            is_elsewhere: self.is_elsewhere,
            is_check: self.is_check,
            looked_at: self.looked_at.clone(),
            configured: self.configured.clone(),
            settings: self.settings.clone(),
            watches: Arc::clone(&self.watches),
            emptied: self.emptied.clone(),
            ..Self::blank(self.root.clone(), self.trust, self.hostname.clone(), look_ups)
        };
        loader.reload()
    }

    /// Reads the watch files only: after a change in the directory.
    pub fn reload_watches(&mut self) -> Reload {
        if self.settings_blocked || (self.settings_reports.is_empty() && self.configured.settings.is_none()) {
            self.read_settings();
        }
        if self.look_ups.begin() {
            self.known.clear();
        }
        self.read_watches()
    }

    /// Reads these files.
    pub(super) fn texts(&mut self, paths: &[Arc<Path>]) -> Vec<Result<String, Unread>> {
        let (wanted, trust) = (paths.to_vec(), self.trust);
        let read = move |progress: &Progress| -> Vec<_> {
            let mut open = TrustedOpen::new(trust);
            wanted.iter().map(|path| read::text(&mut open, path, progress)).collect()
        };
        let failed = |why: String| paths.iter().map(|_| Err(Unread::Failed(why.clone()))).collect();
        self.threads.run(read).unwrap_or_else(failed)
    }

    pub(super) fn text(&mut self, path: &Arc<Path>) -> Result<String, Unread> {
        let nothing = || Err(Unread::Failed("it was not read".to_owned()));
        self.texts(std::slice::from_ref(path)).pop().unwrap_or_else(nothing)
    }
}

/// What the system calls this machine.
pub(crate) fn hostname() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| "localhost".to_owned(), |host| host.to_string_lossy().into_owned())
}
