//! Tracks which targets depend on which directory: one inotify watch for each directory, however many targets use it.
//!
//! Watches are identified by descriptor and not by path, so that a directory that is removed and created again at the
//! same path, or that two paths lead to, is never confused with another. `engine` decides what an event means for a
//! target.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use nix::sys::statfs::{Statfs, fstatfs, statfs};

use super::inotify_limits::{NO_INSTANCE, NO_WATCH};
use super::mask::Contents;
use super::mounts::Mounts;
use super::place::{join, key_name};
use super::polled::{Polled, remote};
use super::resolve::{FoundDirectory, FoundFile, ResolveError};
use super::unfinished::{Stamp, Unfinished};
use crate::store::StoreError;
use crate::store::session::TargetId;

/// The part of a target that is read again when its dependence changes: `""` is all of it, `a/b` an entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dependent {
    pub(super) target: TargetId,
    pub(super) at: Arc<str>,
}

/// Which part of a directory a target depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// One name in it: its type and content.
    Name(OsString),
    /// Which keys are in it.
    Keys,
    /// Which keys are in it and their content; a change of one touches that entry of the tree.
    Entries,
    /// Its own content: it is a file.
    Itself,
}

/// What a file is to its target: whether it needs an inotify watch of its own, beside that of its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileRole {
    /// The value of a single key: if it cannot be watched, the target is polled.
    Key,
    /// An entry of a tree: watched if the system has a watch left.
    Entry,
    /// An entry of a tree with so many files that only those are watched that may be written under another name: a file with
    /// several hard links, or one that is mounted.
    EntryOfMany,
}

/// Which directories a walk may leave unwatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Directories above the store that may be traversed but not read, such as `/root`: they are hardly ever renamed, and
    /// periodic verification covers them.
    Tolerated,
    /// None: a change would be missed.
    Refused,
}

/// A dependence that must be released.
pub(super) type Hold = (WatchDescriptor, Scope);

/// The parts that must be read again.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Everything: events were lost.
    pub(super) all: bool,
    /// Parts by target.
    pub(super) places: BTreeMap<TargetId, BTreeSet<Arc<str>>>,
}

impl Touched {
    pub(super) fn add(&mut self, dependent: &Dependent) {
        self.places.entry(dependent.target).or_default().insert(dependent.at.clone());
    }

    fn add_all<'a>(&mut self, dependents: impl IntoIterator<Item = &'a Dependent>) {
        for dependent in dependents {
            self.add(dependent);
        }
    }
}

/// A directory, or a file of its own.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    is_file: bool,
    /// The name of its file system, if changes of that cause no events.
    remote: Option<&'static str>,
    dependents: BTreeMap<Scope, BTreeSet<Dependent>>,
}

/// The inotify instance and all dependences.
#[derive(Debug)]
pub(super) struct Interests {
    /// `None` if the system refuses one.
    inotify: Option<Inotify>,
    directories: BTreeMap<WatchDescriptor, Directory>,
    /// Watches added since the last [`drain`](Self::drain). A path refers to the same directory at least until the event that
    /// says otherwise is taken from the queue.
    fresh: BTreeMap<PathBuf, (WatchDescriptor, Contents)>,
    unfinished: Unfinished<(WatchDescriptor, OsString)>,
    mounts: Mounts,
    polled: Polled,
    /// Why `inotify` is `None`.
    no_inotify: &'static str,
}

/// A path of an open file that is short, whatever its real path.
fn short(file: &impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()).into()
}

/// The number of a file system's type.
fn number(found: &Statfs) -> i64 {
    // The type differs between architectures.
    #[expect(clippy::useless_conversion, reason = "it is an i64 on this one")]
    i64::from(found.filesystem_type().0)
}

impl Interests {
    /// Opens an inotify instance; without one, every target is polled.
    pub(super) fn open() -> Self {
        let mut interests = Self {
            inotify: None,
            directories: BTreeMap::new(),
            fresh: BTreeMap::new(),
            unfinished: Unfinished::new(),
            mounts: Mounts::open(),
            polled: Polled::default(),
            no_inotify: "",
        };
        interests.open_inotify();
        interests
    }

    fn open_inotify(&mut self) {
        match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
            Ok(inotify) => self.inotify = Some(inotify),
            Err(Errno::EMFILE) => self.no_inotify = NO_INSTANCE,
            Err(errno) => self.no_inotify = errno.desc(),
        }
    }

    /// A second descriptor of the instance, to wait on; `None` while there is no instance.
    pub(super) fn descriptor(&self) -> Option<io::Result<OwnedFd>> {
        self.inotify.as_ref().map(|inotify| inotify.as_fd().try_clone_to_owned())
    }

    /// The list of mounts.
    pub(super) fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// The targets that are polled.
    pub(super) fn polled(&mut self) -> &mut Polled {
        &mut self.polled
    }

    /// Takes the targets that are due to be polled, and tries again to follow them by events.
    pub(super) fn due(&mut self, now: Instant) -> Vec<TargetId> {
        let due = self.polled.take(now);
        if !due.is_empty() && self.inotify.is_none() {
            self.open_inotify();
        }
        due
    }

    /// Watches a directory whose path has no symbolic link, and also the content of its files if that counts.
    fn watch(&mut self, path: &Path, contents: Contents) -> Result<WatchDescriptor, Errno> {
        if let Some((descriptor, watched)) = self.fresh.get(path)
            && *watched >= contents
        {
            return Ok(*descriptor);
        }
        let mask = contents.mask();
        let Some(inotify) = &self.inotify else { return Err(Errno::ENOSPC) };
        let descriptor = match inotify.add_watch(path, mask) {
            // The path of its descriptor is short.
            Err(Errno::ENAMETOOLONG) => {
                let Ok(Some(directory)) = FoundDirectory::by_names(path) else { return Err(Errno::ENOENT) };
                inotify.add_watch(&short(&directory.fd()), mask - AddWatchFlags::IN_DONT_FOLLOW)?
            }
            added => added?,
        };
        self.directories.entry(descriptor).or_insert_with(|| Directory {
            path: path.to_path_buf(),
            remote: statfs(path).ok().and_then(|found| remote(number(&found))),
            is_file: false,
            dependents: BTreeMap::new(),
        });
        self.fresh.insert(path.to_path_buf(), (descriptor, contents));
        Ok(descriptor)
    }

    /// Makes `dependent` depend on `scope` of a directory from now on: a change of anything read after this call produces an
    /// event. `Ok(false)`: the directory is gone.
    pub(super) fn depend(
        &mut self,
        path: &Path,
        scope: Scope,
        dependent: &Dependent,
        holds: &mut Vec<Hold>,
    ) -> Result<bool, ResolveError> {
        self.depend_on(path, scope, Contents::Count, dependent, holds)
    }

    fn depend_on(
        &mut self,
        path: &Path,
        scope: Scope,
        contents: Contents,
        dependent: &Dependent,
        holds: &mut Vec<Hold>,
    ) -> Result<bool, ResolveError> {
        let descriptor = match self.watch(path, contents) {
            Ok(descriptor) => descriptor,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ESTALE) => return Ok(false),
            Err(Errno::EACCES) => {
                let why = "permission denied; a directory that is watched must be readable";
                return Err(ResolveError::Blocked(unwatched(path, why)));
            }
            Err(errno @ Errno::ENAMETOOLONG) => {
                return Err(ResolveError::Blocked(unwatched(path, errno.desc())));
            }
            Err(Errno::ENOSPC) => {
                self.poll_for_want_of_watches(dependent.target);
                return Ok(true);
            }
            Err(errno) => return Err(ResolveError::Failed(unwatched(path, errno.desc()))),
        };
        self.add(descriptor, scope, dependent, holds);
        Ok(true)
    }

    fn add(
        &mut self,
        descriptor: WatchDescriptor,
        scope: Scope,
        dependent: &Dependent,
        holds: &mut Vec<Hold>,
    ) {
        if let Some(directory) = self.directories.get_mut(&descriptor) {
            if let Some(name) = directory.remote {
                let why = || format!("{} is on {name}, which reports no changes", directory.path.display());
                self.polled.add(dependent.target, why, Instant::now());
            }
            directory.dependents.entry(scope.clone()).or_default().insert(dependent.clone());
        }
        holds.push((descriptor, scope));
    }

    /// Makes `dependent` depend on the content of an open file, under whatever name it is written: the events of its directory
    /// do not show a write through another hard link, or to the source of a file mount.
    pub(super) fn depend_on_file(
        &mut self,
        found: &FoundFile,
        role: FileRole,
        dependent: &Dependent,
        holds: &mut Vec<Hold>,
    ) {
        let linked = found.file.metadata().is_ok_and(|metadata| metadata.nlink() > 1);
        let has_one_name = !linked && !self.mounts.is_point(&found.path);
        if role == FileRole::EntryOfMany && has_one_name {
            return;
        }
        let added = match &self.inotify {
            Some(inotify) => inotify.add_watch(&short(&found.file), AddWatchFlags::IN_CLOSE_WRITE),
            None => Err(Errno::ENOSPC),
        };
        match added {
            Ok(descriptor) => {
                self.directories.entry(descriptor).or_insert_with(|| {
                    let remote = (!has_one_name || role == FileRole::Key)
                        .then(|| fstatfs(&found.file).ok().and_then(|found| remote(number(&found))))
                        .flatten();
                    Directory { path: found.path.clone(), remote, is_file: true, dependents: BTreeMap::new() }
                });
                self.add(descriptor, Scope::Itself, dependent, holds);
            }
            // The events of its directory show every write to it.
            Err(_) if role == FileRole::Entry && has_one_name => {}
            Err(Errno::ENOSPC) => self.poll_for_want_of_watches(dependent.target),
            // The system refuses the watch although the file could be opened, or /proc is not mounted: the events of its directory
            // show most changes.
            Err(_) => {}
        }
    }

    /// The system has no inotify watch left, or no instance.
    fn poll_for_want_of_watches(&mut self, target: TargetId) {
        let why = if self.inotify.is_some() { NO_WATCH } else { self.no_inotify };
        self.polled.add(target, || why.to_owned(), Instant::now());
    }

    /// Like [`depend`](Self::depend), for one name in a directory.
    pub(super) fn depend_on_name(
        &mut self,
        path: &Path,
        name: &OsStr,
        dependent: &Dependent,
        holds: &mut Vec<Hold>,
        unreadable: Unreadable,
    ) -> Result<bool, ResolveError> {
        let contents = match unreadable {
            Unreadable::Tolerated => Contents::AreBeside,
            Unreadable::Refused => Contents::Count,
        };
        let scope = Scope::Name(name.to_owned());
        match (self.depend_on(path, scope, contents, dependent, holds), unreadable) {
            (Err(ResolveError::Blocked(_)), Unreadable::Tolerated) => Ok(true),
            (depends, Unreadable::Tolerated | Unreadable::Refused) => depends,
        }
    }

    /// Releases dependences; a directory without dependents is no longer watched.
    pub(super) fn release(&mut self, dependent: &Dependent, holds: Vec<Hold>) {
        for (descriptor, scope) in holds {
            let Some(directory) = self.directories.get_mut(&descriptor) else { continue };
            if let Some(dependents) = directory.dependents.get_mut(&scope) {
                dependents.remove(dependent);
                if dependents.is_empty() {
                    directory.dependents.remove(&scope);
                }
            }
            if directory.dependents.is_empty() {
                self.fresh.retain(|_, (known, _)| *known != descriptor);
                self.directories.remove(&descriptor);
                // The directory may be gone already, and its watch with it.
                let _gone = self.inotify.as_ref().map(|inotify| inotify.rm_watch(descriptor));
            }
        }
    }

    /// Takes all queued events, and checks unfinished files.
    pub(super) fn drain(&mut self, now: Instant, touched: &mut Touched) -> Result<(), Errno> {
        self.fresh.clear();
        while let Some(inotify) = &self.inotify {
            match inotify.read_events() {
                Ok(events) => events.iter().for_each(|event| self.event(event, now, touched)),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        let directories = &self.directories;
        let look = |(at, name): &(WatchDescriptor, OsString)| directories.get(at)?.being_written(name);
        for (at, name) in self.unfinished.finished(now, look) {
            if let Some(directory) = self.directories.get(&at) {
                directory.changed(&name, true, touched);
            }
        }
        Ok(())
    }

    /// Reads the list of mounts again. Where a mount came or went, another file or directory is visible now.
    pub(super) fn remounted(&mut self, touched: &mut Touched) {
        let changed = self.mounts.changed();
        if changed.is_empty() {
            return;
        }
        for directory in self.directories.values().filter(|directory| !directory.is_file) {
            for name in changed.iter().filter(|point| point.parent() == Some(&directory.path)) {
                directory.named(name.file_name().unwrap_or_default(), AddWatchFlags::IN_CREATE, touched);
            }
        }
    }

    /// When an unfinished file must be checked again, or targets are polled.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.unfinished.next_look().into_iter().chain(self.polled.due()).min()
    }

    fn event(&mut self, event: &InotifyEvent, now: Instant, touched: &mut Touched) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            touched.all = true;
            return;
        }
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            // The watch is gone with its directory; descriptors are not reused.
            match self.directories.remove(&event.wd) {
                // The name of a removed file causes an event in its directory.
                Some(directory) if !directory.is_file => {
                    touched.add_all(directory.dependents.values().flatten());
                }
                Some(_) | None => {}
            }
            return;
        }
        let Some(directory) = self.directories.get(&event.wd) else { return };
        match &event.name {
            None => {
                let of_itself =
                    AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_UNMOUNT;
                if directory.is_file || event.mask.intersects(of_itself) {
                    touched.add_all(directory.dependents.values().flatten());
                }
            }
            Some(name) => {
                // A newly created file is read when its writer closes it, not half written.
                let created = event.mask.contains(AddWatchFlags::IN_CREATE);
                let place = (event.wd, name.clone());
                if created && let Some(stamp) = directory.being_written(name) {
                    directory.listed(name, touched);
                    self.unfinished.came(place, stamp, now);
                } else {
                    directory.named(name, event.mask, touched);
                    self.unfinished.is_settled(&place);
                }
            }
        }
    }
}

impl Directory {
    fn named(&self, name: &OsStr, mask: AddWatchFlags, touched: &mut Touched) {
        let comes_or_goes = mask.intersects(
            AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_MOVED_FROM
                | AddWatchFlags::IN_MOVED_TO,
        );
        if comes_or_goes {
            self.listed(name, touched);
        }
        // The attributes of a directory itself do not matter to the tree that contains it.
        self.changed(name, comes_or_goes || !mask.contains(AddWatchFlags::IN_ISDIR), touched);
    }

    /// A name was created or removed.
    fn listed(&self, name: &OsStr, touched: &mut Touched) {
        if key_name(name).is_some()
            && let Some(dependents) = self.dependents.get(&Scope::Keys)
        {
            touched.add_all(dependents);
        }
    }

    /// A name's type or content changed.
    fn changed(&self, name: &OsStr, for_trees: bool, touched: &mut Touched) {
        if let Some(dependents) = self.dependents.get(&Scope::Name(name.to_owned())) {
            touched.add_all(dependents);
        }
        if for_trees && let Some(key) = key_name(name) {
            for Dependent { target, at } in self.dependents.get(&Scope::Entries).into_iter().flatten() {
                touched.add(&Dependent { target: *target, at: join(at, key).into() });
            }
        }
    }

    /// Whether a name may be a file that is open for writing, and its state: anything but a symbolic link, or a second hard
    /// link of a finished file.
    fn being_written(&self, name: &OsStr) -> Option<Stamp> {
        let found = self.path.join(name).symlink_metadata().ok()?;
        (found.is_file() && found.nlink() == 1).then(|| Stamp::of(&found))
    }
}

fn unwatched(path: &Path, why: &str) -> StoreError {
    StoreError::Refused { what: format!("watch directory {}", path.display()), why: why.to_owned() }
}
