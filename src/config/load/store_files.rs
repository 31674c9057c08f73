//! What `check` reports of the files that `twitcher.conf` names for its stores: missing, unusable, readable by everyone,
//! or changeable by others.

use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::problem::{Severity, escaped};
use crate::config::raw::{RawSettings, RawTable};
use crate::config::stall::{Progress, UNANSWERED};
use crate::config::trust::{OpenError, TrustedOpen};
use crate::store::files::FileKind;

/// A file, and the value that names it.
#[derive(Debug, Clone)]
pub(super) struct NamedFile {
    pub(super) path: PathBuf,
    pub(super) span: Range<usize>,
    kind: FileKind,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) help: String,
}

/// Every file that the stores name.
pub(super) fn named(raw: &RawSettings) -> Vec<NamedFile> {
    let of = |table: &RawTable, fields: &[(&str, FileKind)]| -> Vec<NamedFile> {
        let named = |(field, kind): &(&str, FileKind)| {
            table.path(field).map(|at| NamedFile { path: at.value, span: at.span, kind: *kind })
        };
        fields.iter().filter_map(named).collect()
    };
    let secrets = [("password_file", FileKind::Password), ("digest_file", FileKind::Digest)];
    let certificates =
        [("ca", FileKind::Authorities), ("cert", FileKind::Certificate), ("key", FileKind::Key)];
    let of_store = |store: &crate::config::raw::RawStore| {
        let tls = store.tls.iter().flat_map(|tls| of(tls, &certificates)).collect::<Vec<_>>();
        of(&store.table, &secrets).into_iter().chain(tls)
    };
    raw.stores.values().flat_map(of_store).collect()
}

/// Reads a file as a store would, and judges its owner and mode.
pub(super) fn findings(file: &NamedFile, open: &mut TrustedOpen, progress: &Progress) -> Vec<Finding> {
    let NamedFile { path, kind, .. } = file;
    let shown = escaped(&path.to_string_lossy());
    let finding =
        |severity, message: String, help: &str| Finding { severity, message, help: help.to_owned() };
    if !progress.may_touch(path) {
        let message = format!("{shown} cannot be read: {UNANSWERED}");
        return vec![finding(Severity::Error, message, "the store is not connected without it")];
    }
    match open.file(path) {
        Err(OpenError::Refused(why)) => vec![Finding {
            severity: Severity::Error,
            message: format!("refused: {}", escaped(&why.to_string())),
            help: escaped(&why.help),
        }],
        Err(OpenError::Io(error)) if may_be_the_daemons(&error) => {
            let message = format!("{shown} is not checked: this user may not read it");
            vec![finding(Severity::Warning, message, "run `twitcher check` as the user of the daemon")]
        }
        Err(OpenError::Io(error)) => {
            let message = format!("{shown} cannot be read: {error}");
            vec![finding(Severity::Error, message, "the store is not connected without it")]
        }
        Ok((opened, found)) => {
            let mut findings = Vec::new();
            if let Err(why) = kind.read(&opened, &found) {
                let message = format!("{shown} cannot be used: {why}");
                findings.push(finding(Severity::Error, message, "the store is not connected without it"));
            }
            let mode = found.mode() & 0o7777;
            if kind.is_secret() && mode & 0o004 != 0 {
                let message = format!("{shown} is readable by everyone (mode {mode:04o})");
                findings.push(finding(Severity::Warning, message, &format!("`chmod o-r '{shown}'`")));
            }
            findings
        }
    }
}

/// Whether the file may well be readable for the daemon, which is not this user.
fn may_be_the_daemons(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && !nix::unistd::geteuid().is_root()
}

/// Reads them all.
pub(super) fn all(files: &[NamedFile], open: &mut TrustedOpen, progress: &Progress) -> Vec<Vec<Finding>> {
    files.iter().map(|file| findings(file, open, progress)).collect()
}

/// The finding for every file where none could be read.
pub(super) fn unread(path: &Path, why: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        message: format!("{} cannot be read: {why}", escaped(&path.to_string_lossy())),
        help: "the store is not connected without it".to_owned(),
    }
}
