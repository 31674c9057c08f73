//! Which events of the watched places count.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, WatchDescriptor};

/// What counts in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Counts {
    /// Everything: a directory of the configuration.
    All,
    /// The content of a file that is watched by itself.
    File,
    /// These names alone: a directory on the way. They are directories or links, and where they are files these are watched
    /// by themselves.
    Names(BTreeSet<OsString>),
}

impl Counts {
    /// The events to ask the kernel for. Writes of files in a directory on the way are not among them: a log in `/tmp` may be
    /// written a thousand times a second.
    pub(super) fn mask(&self) -> AddWatchFlags {
        let content = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_ATTRIB;
        let itself =
            AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_DONT_FOLLOW;
        let names = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR;
        match self {
            Self::All => itself | names | content,
            Self::File => itself | content,
            Self::Names(_) => itself | names,
        }
    }

    fn covers(&self, name: Option<&OsStr>) -> bool {
        match (self, name) {
            (Self::All | Self::File, _) | (Self::Names(_), None) => true,
            (Self::Names(names), Some(name)) => names.contains(name),
        }
    }
}

/// Everything that is watched.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// By real path.
    places: BTreeMap<PathBuf, Counts>,
    watched: BTreeMap<PathBuf, WatchDescriptor>,
    paths: BTreeMap<WatchDescriptor, PathBuf>,
}

impl Interest {
    /// Adds a place, and returns what counts in it now.
    pub(super) fn add(&mut self, place: &Path, counts: Counts) -> &Counts {
        let known = self.places.entry(place.to_owned()).or_insert_with(|| counts.clone());
        match (&mut *known, counts) {
            (Counts::Names(known), Counts::Names(more)) => known.extend(more),
            (known @ Counts::Names(_), all @ (Counts::All | Counts::File)) => *known = all,
            (Counts::All | Counts::File, Counts::All | Counts::File | Counts::Names(_)) => {}
        }
        known
    }

    /// A place is watched under this descriptor.
    pub(super) fn watched(&mut self, place: &Path, descriptor: WatchDescriptor) {
        self.watched.insert(place.to_owned(), descriptor);
        self.paths.insert(descriptor, place.to_owned());
    }

    /// The descriptors of `before` that are not needed any more.
    pub(super) fn left_over(&self, before: &Self) -> Vec<WatchDescriptor> {
        before.paths.keys().filter(|descriptor| !self.paths.contains_key(descriptor)).copied().collect()
    }

    /// Whether an event counts. One of an unknown descriptor comes from a place that was given up since.
    pub(super) fn counts(
        &self,
        descriptor: WatchDescriptor,
        mask: AddWatchFlags,
        name: Option<&OsStr>,
    ) -> bool {
        let place = self.paths.get(&descriptor).and_then(|path| self.places.get(path));
        mask.contains(AddWatchFlags::IN_Q_OVERFLOW) || place.is_some_and(|counts| counts.covers(name))
    }

    /// Whether a mount at this path counts.
    pub(super) fn has(&self, point: &Path) -> bool {
        let within = |(parent, name): (&Path, &OsStr)| {
            self.places.get(parent).is_some_and(|counts| counts.covers(Some(name)))
        };
        self.places.contains_key(point) || point.parent().zip(point.file_name()).is_some_and(within)
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::inotify::{InitFlags, Inotify};

    use super::*;

    #[test]
    fn on_the_way_only_the_next_step_counts_and_an_overflow_always() {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).unwrap();
        let (way, gone) = (
            inotify.add_watch("/", AddWatchFlags::IN_CREATE).unwrap(),
            inotify.add_watch("/proc", AddWatchFlags::IN_CREATE).unwrap(),
        );
        let names = |names: &[&str]| Counts::Names(names.iter().map(OsString::from).collect());
        let mut interest = Interest::default();
        interest.add(Path::new("/"), names(&["etc"]));
        assert_eq!(*interest.add(Path::new("/"), names(&["srv"])), names(&["etc", "srv"]));
        interest.watched(Path::new("/"), way);
        let counts = |at, mask, name: Option<&str>| interest.counts(at, mask, name.map(OsStr::new));
        let (created, overflow) = (AddWatchFlags::IN_CREATE, AddWatchFlags::IN_Q_OVERFLOW);
        assert!(counts(way, created, Some("etc")) && counts(way, AddWatchFlags::IN_DELETE_SELF, None));
        assert!(!counts(way, created, Some("tmp")) && !counts(gone, created, Some("etc")));
        assert!(counts(gone, overflow, None));
        assert!(interest.has(Path::new("/")) && interest.has(Path::new("/etc")));
        assert!(!interest.has(Path::new("/tmp")) && !interest.has(Path::new("/etc/a")));
        assert_eq!(*interest.add(Path::new("/"), Counts::All), Counts::All);
        assert_eq!(*interest.add(Path::new("/"), names(&["etc"])), Counts::All);
        assert_eq!(Interest::default().left_over(&interest), [way]);
    }
}
