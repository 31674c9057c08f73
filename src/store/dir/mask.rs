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
    use std::time::Instant;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::super::interest::{Dependent, Interests, Touched};
    use super::super::place::KeyPath;
    use super::super::single;
    use crate::store::session::TargetId;
    use crate::watch::Key;

    #[test]
    fn writes_beside_the_store_wake_nobody_and_those_in_it_do() {
        let top = tempfile::tempdir().unwrap();
        let (root, log) = (top.path().join("keys"), top.path().join("log"));
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a"), "x").unwrap();
        fs::write(&log, "").unwrap();
        let mut interests = Interests::open();
        let dependent = Dependent { target: TargetId(1), at: "".into() };
        let place = KeyPath::of(&Key::new("/a").unwrap()).unwrap();
        let mut holds = Vec::new();
        single::find(&mut interests, &root, &dependent, &mut holds, &place).unwrap();
        let events = interests.descriptor().unwrap().unwrap();
        let woken = || {
            let mut events = [PollFd::new(std::os::fd::AsFd::as_fd(&events), PollFlags::POLLIN)];
            poll(&mut events, PollTimeout::ZERO).unwrap() > 0
        };
        for _ in 0..100 {
            fs::write(&log, "one more line").unwrap();
        }
        assert!(!woken());
        let mut touched = Touched::default();
        fs::write(root.join("a"), "y").unwrap();
        assert!(woken());
        interests.drain(Instant::now(), &mut touched).unwrap();
        assert!(touched.places.contains_key(&TargetId(1)));
        // The same directory as a part of the store: what it already reports is kept.
        let beside = KeyPath::of(&Key::new("/log").unwrap()).unwrap();
        single::find(&mut interests, top.path(), &dependent, &mut holds, &beside).unwrap();
        single::find(&mut interests, &root, &dependent, &mut holds, &place).unwrap();
        fs::write(&log, "now a key").unwrap();
        assert!(woken());
    }
}
