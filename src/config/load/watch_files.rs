//! Reads the watch files, and decides which watches are in effect.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::admit::{self, CandidateFile};
use super::loader::{Loader, Mark};
use super::read::{self, Unread};
use super::report::{
    FileReport, LoadState, LoadedWatch, Reload, lookalike, missing, refused_directory, report,
};
use crate::config::files::Listing;
use crate::config::lower::{self, Withheld};
use crate::config::problem::Problem;
use crate::config::raw::{self, AccountName};
use crate::config::stall::Progress;
use crate::config::trust::TrustedOpen;
use crate::config::{Diff, Settings, Watches};
use crate::watch::WatchName;

impl Loader {
    pub(super) fn read_watches(&mut self) -> Reload {
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
        self.keep_withheld(&mut candidates);
        self.keep_unseen(&unreadable, &mut candidates);
        self.warn_of_emptied(&mut candidates);
        let fleet = self.site_settings().map(|settings| &settings.fleet);
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
        let withheld: Vec<&Withheld> = reports.iter().flat_map(|report| &report.withheld).collect();
        let (complaints, withheld) = (self.complaints(&withheld), withheld.len());
        Reload {
            settings: self.settings.clone(),
            settings_changed,
            diff,
            watches: Arc::clone(&self.watches),
            files: self.settings_reports.iter().cloned().chain(reports).collect(),
            complaints,
            lacks_control_socket: self.configured.lacks_control_socket,
            withheld,
            is_partial: self.threads.has_blocked() || self.look_ups.has_failed(),
        }
    }

    /// Reads every watch file of the directory.
    pub(super) fn list(&mut self) -> (Listing, read::Texts) {
        let (root, trust) = (self.root.clone(), self.trust);
        let read = move |progress: &Progress| read::all(&root, &mut TrustedOpen::new(trust), progress);
        self.threads.run(read).unwrap_or_else(|why| {
            let unreadable = vec![(self.root.clone(), why)];
            (Listing { unreadable, ..Listing::default() }, read::Texts::new())
        })
    }

    /// Parses and lowers a file, unless its text is unchanged.
    pub(super) fn known_or_read(&mut self, path: &Arc<Path>, text: Result<String, Unread>) -> CandidateFile {
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
    pub(super) fn read_file(&mut self, path: &Arc<Path>, text: Result<String, Unread>) -> ReadFile {
        let text = match text {
            Ok(text) => text,
            Err(unread) => {
                return ReadFile {
                    candidate: CandidateFile { offer: None, report: unread.report(path) },
                    is_final: false,
                };
            }
        };
        let settings = self.site_settings().cloned();
        let site = settings.as_ref().map(Settings::site);
        let raw = raw::watch_file(Arc::clone(path), &text, site.as_ref());
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut is_final = true;
        let mut resolve = |uid: Option<&AccountName>, gid: Option<&AccountName>| {
            let account = self.look_ups.account(uid, gid);
            is_final &= !account.as_ref().is_err_and(|problem| problem.is_passing);
            account
        };
        let mut context = lower::Context {
            settings: settings.as_ref(),
            gaps: &self.configured.gaps,
            resolve: &mut resolve,
            shared: &mut self.shared,
        };
        let lower::Lowered { watches, elsewhere, withheld, problems, notes } =
            lower::watches(&raw, &stem, &mut context);
        let here = watches.len() + withheld.len();
        let mut report = FileReport { elsewhere, here, withheld, notes, ..report(path, problems) };
        if self.judges_this_machine() {
            report.problems.extend(self.actions(&raw, &watches));
            report.problems.sort_by_key(|problem| problem.place);
        }
        let offer = (report.state == LoadState::Loaded).then(|| {
            let loaded = |placed: lower::Placed| LoadedWatch {
                spec: Arc::new(placed.spec),
                file: Arc::clone(path),
                place: raw.source.place(placed.span.start),
            };
            watches.into_iter().map(loaded).collect()
        });
        ReadFile { candidate: CandidateFile { offer, report }, is_final }
    }

    /// The settings that watch files are read with; `None` while too little of them is known.
    pub(super) fn site_settings(&self) -> Option<&Settings> {
        self.configured.settings.as_ref().filter(|_| self.configured.gaps.total.is_none())
    }

    /// Keeps the definitions in effect of watches whose new definitions depend on an unknown setting.
    fn keep_withheld(&self, candidates: &mut [CandidateFile]) {
        for CandidateFile { offer, report } in candidates {
            let Some(offer) = offer else { continue };
            let running = report.withheld.iter().filter_map(|withheld| self.watches.get(&withheld.name));
            offer.extend(running.filter(|watch| watch.file == report.path).cloned());
        }
    }

    /// Keeps the watches whose files are below a directory that cannot be read.
    pub(super) fn keep_unseen(&self, unreadable: &[&Path], candidates: &mut Vec<CandidateFile>) {
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
            CandidateFile { offer: None, report: unread.report(file) }
        }));
        candidates.sort_by(|a, b| a.report.path.cmp(&b.report.path));
    }

    /// Warns of a file that still exists and has lost all of its watches: that is usually an accident.
    pub(super) fn warn_of_emptied(&mut self, candidates: &mut [CandidateFile]) {
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
}

/// The result of reading a watch file.
pub(super) struct ReadFile {
    pub(super) candidate: CandidateFile,
    /// Whether the same text gives the same candidate again.
    is_final: bool,
}

pub(super) fn specs(watches: &BTreeMap<WatchName, LoadedWatch>) -> Watches {
    watches.iter().map(|(name, watch)| (name.clone(), Arc::clone(&watch.spec))).collect()
}
