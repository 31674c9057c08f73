//! Determines which directories must be watched, and watches them.
//!
//! Each directory is watched by its real path before it is read, so that later additions cause an event. All places are
//! armed again after every event; for an armed one that costs one system call, and it finds directories that were deleted
//! and created again under the same name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use notify::{INotifyWatcher, RecursiveMode, Watcher};

use super::Heard;
use super::complaint::complaint;
use crate::config::files;
use crate::config::stall::Progress;
use crate::config::trust::{Trust, TrustedOpen};

/// Which events of the watched directories count.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// Directories in which every event counts.
    whole: BTreeSet<PathBuf>,
    /// Files that are watched by themselves.
    files: BTreeSet<PathBuf>,
    /// Directories on the way, in which only these entries count.
    entries: BTreeMap<PathBuf, BTreeSet<OsString>>,
}

impl Interest {
    /// Whether an event with this path counts.
    pub(super) fn is_in(&self, path: &Path) -> bool {
        let itself =
            self.whole.contains(path) || self.entries.contains_key(path) || self.files.contains(path);
        itself
            || path.parent().zip(path.file_name()).is_some_and(|(parent, name)| {
                self.whole.contains(parent)
                    || self.entries.get(parent).is_some_and(|entries| entries.contains(name))
            })
    }

    fn places(&self) -> impl Iterator<Item = &PathBuf> {
        self.whole.iter().chain(self.entries.keys()).chain(&self.files)
    }
}

/// The watches of a directory.
pub(super) struct Armed {
    root: PathBuf,
    trust: Trust,
    heard: Arc<Heard>,
    watcher: Option<INotifyWatcher>,
    /// What is watched.
    places: BTreeMap<PathBuf, Identity>,
}

/// The most files that are watched by themselves.
const MOST_FILES: usize = 10_000;

/// Distinguishes a directory or file from a later one at the same path, which may have the same inode.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Identity {
    fn of(found: &fs::Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino(), born: found.created().ok() }
    }
}

impl Armed {
    pub(super) fn new(root: PathBuf, heard: Arc<Heard>) -> Self {
        Self { root, trust: Trust::of_process(), heard, watcher: None, places: BTreeMap::new() }
    }

    /// Watches everything that must be watched now. Returns what prevents it, if anything.
    pub(super) fn arm(&mut self) -> Option<String> {
        if self.watcher.is_none() {
            let heard = Arc::clone(&self.heard);
            match INotifyWatcher::new(move |event| heard.take(event), notify::Config::default()) {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => return Some(complaint(&error)),
            }
        }
        let mut arming = Arming { armed: self, interest: Interest::default(), failure: None };
        arming.way();
        let root = arming.armed.root.clone();
        arming.below(&root);
        let Arming { interest, failure, .. } = arming;
        self.forget(&interest);
        *self.heard.interest.lock().unwrap_or_else(PoisonError::into_inner) = interest;
        failure
    }

    fn forget(&mut self, interest: &Interest) {
        let wanted: BTreeSet<&PathBuf> = interest.places().collect();
        let watcher = &mut self.watcher;
        self.places.retain(|place, _| {
            let keep = wanted.contains(place);
            if let (false, Some(watcher)) = (keep, watcher.as_mut()) {
                // It may be gone already.
                let _ = watcher.unwatch(place);
            }
            keep
        });
    }
}

struct Arming<'a> {
    armed: &'a mut Armed,
    interest: Interest,
    failure: Option<String>,
}

impl Arming<'_> {
    /// The directories on the way to the root. Only the next step in each counts: it may appear, disappear, or be a link that
    /// is changed.
    fn way(&mut self) {
        let mut path = self.armed.root.clone();
        while let Some(name) = path.file_name().map(OsString::from) {
            path.pop();
            if let Ok(directory) = fs::canonicalize(&path) {
                self.entry(&directory, &name);
            }
        }
    }

    fn entry(&mut self, directory: &Path, name: &OsStr) {
        self.publish(|interest| {
            interest.entries.entry(directory.to_owned()).or_default().insert(name.to_owned());
        });
        self.place(directory);
    }

    /// Watches each directory before it is read. One that the loader refuses is not watched: when it is put right, its
    /// parent says so.
    fn below(&mut self, root: &Path) {
        let mut open = TrustedOpen::new(self.armed.trust);
        let listing = files::list(root, &Progress::default(), &mut |directory| {
            open.enter(directory)?;
            if let Ok(directory) = fs::canonicalize(directory) {
                self.publish(|interest| {
                    interest.whole.insert(directory.clone());
                });
                self.place(&directory);
            }
            Ok(())
        });
        // Watch each file by itself too: the events of a directory do not show a write through another hard link, or to the
        // source of a file mount.
        for (count, file) in listing.files.iter().enumerate() {
            if file.is_symlink() {
                self.linked_file(file);
            } else if count < MOST_FILES {
                self.file(file);
            }
        }
    }

    /// A file that is a link is changed at its real path.
    fn linked_file(&mut self, path: &Path) {
        let Ok(real) = fs::canonicalize(path) else { return };
        if let Some((directory, name)) = real.parent().zip(real.file_name()) {
            self.entry(directory, name);
            self.file(&real);
        }
    }

    fn file(&mut self, path: &Path) {
        self.publish(|interest| {
            interest.files.insert(path.to_owned());
        });
        let Some(watcher) = self.armed.watcher.as_mut() else { return };
        let Ok(identity) = fs::metadata(path).map(|found| Identity::of(&found)) else { return };
        let before = self.armed.places.get(path);
        if before == Some(&identity) {
            return;
        }
        if before.is_some() {
            let _ = watcher.unwatch(path);
        }
        // Its directory is watched and shows most changes, so that a failure needs no complaint.
        if watcher.watch(path, RecursiveMode::NonRecursive).is_ok() {
            self.armed.places.insert(path.to_owned(), identity);
        } else {
            self.armed.places.remove(path);
        }
    }

    /// Tells the event thread what counts before it is watched. The set only grows until everything is armed.
    fn publish(&mut self, add: impl Fn(&mut Interest)) {
        add(&mut self.interest);
        add(&mut self.armed.heard.interest.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn place(&mut self, directory: &Path) {
        let Some(watcher) = self.armed.watcher.as_mut() else { return };
        let found = match fs::metadata(directory) {
            Ok(found) if found.is_dir() => found,
            Ok(_) | Err(_) => return,
        };
        let identity = Identity::of(&found);
        let before = self.armed.places.get(directory);
        if before.is_some_and(|before| *before != identity) {
            let _ = watcher.unwatch(directory);
        }
        match watcher.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.armed.places.insert(directory.to_owned(), identity);
            }
            Err(error) => {
                self.armed.places.remove(directory);
                if !is_gone(&error) {
                    self.failure.get_or_insert_with(|| complaint(&error));
                }
            }
        }
    }
}

/// Whether a directory disappeared while it was armed: its parent shows that.
fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        notify::ErrorKind::Generic(_)
        | notify::ErrorKind::WatchNotFound
        | notify::ErrorKind::InvalidConfig(_)
        | notify::ErrorKind::MaxFilesWatch => false,
    }
}
