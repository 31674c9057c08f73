//! Which events a watched directory reports.

use nix::libc::IN_MASK_ADD;
use nix::sys::inotify::AddWatchFlags;

/// Whether the content of the files in a directory counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contents {
    /// No: the directory is above the store, and a log in it may be written a thousand times a second.
    AreBeside,
    /// Yes: they are keys.
    Count,
}

impl Contents {
    /// Added to what others already watch in the directory.
    pub(super) fn mask(self) -> AddWatchFlags {
        let names = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_DONT_FOLLOW
            | AddWatchFlags::from_bits_retain(IN_MASK_ADD);
        match self {
            Self::AreBeside => names,
            Self::Count => names | AddWatchFlags::IN_CLOSE_WRITE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use nix::sys::inotify::AddWatchFlags;

    use super::super::interest::{Dependent, Interests};
    use super::super::place::KeyPath;
    use super::super::single;
    use crate::store::session::TargetId;
    use crate::watch::Key;

    /// Whether the kernel reports that a file in this directory was written; see `inotify` in `proc_pid_fdinfo(5)`.
    fn reports_contents(interests: &Interests, directory: &Path) -> bool {
        let events = interests.descriptor().unwrap().unwrap();
        let inode = format!("ino:{:x} ", fs::metadata(directory).unwrap().ino());
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", events.as_raw_fd())).unwrap();
        let line = info.lines().find(|line| line.contains(&inode)).unwrap();
        let (_, mask) = line.split_once(" mask:").unwrap();
        let mask = u32::from_str_radix(mask.split(' ').next().unwrap(), 16).unwrap();
        let written = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MODIFY;
        AddWatchFlags::from_bits_retain(mask).intersects(written)
    }

    /// The events themselves cannot be counted: other programs make files in the directories above.
    #[test]
    fn writes_beside_the_store_are_not_reported_and_those_in_it_are() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("keys");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a"), "x").unwrap();
        let mut interests = Interests::open();
        let dependent = Dependent { target: TargetId(1), at: "".into() };
        let place = |key| KeyPath::of(&Key::new(key).unwrap()).unwrap();
        let mut holds = Vec::new();
        let mut find = |interests: &mut Interests, root: &Path, key| {
            single::find(interests, root, &dependent, &mut holds, &place(key)).unwrap();
        };
        find(&mut interests, &root, "/a");
        assert!(!reports_contents(&interests, top.path()));
        assert!(reports_contents(&interests, &root));
        // The same directory as a part of a store, and as one above: what it already reports is kept.
        find(&mut interests, top.path(), "/log");
        find(&mut interests, &root, "/a");
        assert!(reports_contents(&interests, top.path()));
    }
}
