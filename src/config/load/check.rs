//! The part of `check` that a daemon does not do: single files, and whether the programs, accounts and files that they name
//! exist on this machine.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::loader::Loader;
use super::report::FileReport;
use super::settings::{LOCAL_FILE, SETTINGS_FILE, lower_local};
use super::{actions, admit, store_files};
use crate::config::lower;
use crate::config::problem::{Problem, Severity};
use crate::config::raw::{self, Local};
use crate::config::stall::Progress;
use crate::config::trust::TrustedOpen;

impl Loader {
    /// Reads these files as if they were in the directory, and changes nothing.
    pub fn check_files(&mut self, paths: &[PathBuf]) -> Vec<FileReport> {
        if self.settings_reports.is_empty() && self.configured.settings.is_none() {
            self.read_settings();
        }
        let paths: Vec<Arc<Path>> = paths.iter().map(|path| Arc::from(path.as_path())).collect();
        let texts = self.texts(&paths);
        let mut reports = Vec::new();
        let mut candidates = Vec::new();
        for (path, text) in paths.into_iter().zip(texts) {
            if path.file_name() == Some(OsStr::new(SETTINGS_FILE)) {
                let local = self.configured.local.clone().unwrap_or_else(|| Local::named(&self.hostname));
                reports.push(self.lower_settings(&path, &text, &local).0);
            } else if path.file_name() == Some(OsStr::new(LOCAL_FILE)) {
                reports.push(lower_local(&path, text, &self.hostname).0);
            } else {
                candidates.push(self.read_file(&path, text).candidate);
            }
        }
        let fleet = self.configured.settings.as_ref().map(|settings| &settings.fleet);
        reports.extend(admit::admit(&BTreeMap::new(), candidates, fleet).1);
        reports
    }

    /// What is wrong with the files that stores name.
    pub(super) fn store_files(&mut self, raw: &raw::RawSettings) -> Vec<Problem> {
        let files = store_files::named(raw);
        let (wanted, trust) = (files.clone(), self.trust);
        let read =
            move |progress: &Progress| store_files::all(&wanted, &mut TrustedOpen::new(trust), progress);
        let failed =
            |why: String| files.iter().map(|file| vec![store_files::unread(&file.path, &why)]).collect();
        let findings: Vec<_> = self.threads.run(read).unwrap_or_else(failed);
        let problem = |(file, finding): (&store_files::NamedFile, store_files::Finding)| {
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
    pub(super) fn judges_this_machine(&self) -> bool {
        self.is_check && !self.is_elsewhere
    }

    /// What is wrong with the programs, scripts and directories that the watches of a file name.
    pub(super) fn actions(&mut self, raw: &raw::RawWatchFile, watches: &[lower::Placed]) -> Vec<Problem> {
        let named: Vec<actions::WrittenRequirement> = watches
            .iter()
            .filter(|placed| placed.spec.enabled)
            .filter_map(|placed| Some(actions::named(&placed.spec, raw.watches.get(placed.table)?)))
            .flatten()
            .collect();
        let mut wanted: Vec<actions::Requirement> = named.iter().map(|named| named.claim.clone()).collect();
        wanted.retain(|claim| !self.looked_at.contains_key(claim));
        wanted.sort();
        wanted.dedup();
        let asked = wanted.clone();
        let look = move |progress: &Progress| -> Vec<_> {
            asked.iter().map(|claim| actions::fault(claim, progress)).collect()
        };
        // If the file system does not answer, nothing is reported.
        let faults: Vec<Option<actions::RequirementFault>> = self.threads.run(look).unwrap_or_default();
        self.looked_at.extend(wanted.into_iter().zip(faults));
        let problem = |named: &actions::WrittenRequirement| {
            let fault = self.looked_at.get(&named.claim)?.as_ref()?;
            let problem =
                raw.source.problem(named.span.clone(), fault.message(named.field)).with_help(fault.help());
            Some(if fault.is_certain() { problem } else { problem.into_warning() })
        };
        named.iter().filter_map(problem).collect()
    }
}
