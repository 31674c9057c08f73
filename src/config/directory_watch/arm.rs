//! Determines which places must be watched, watches them, and takes their events.
//!
//! Each directory is watched by its real path before it is read, so that later additions cause an event. All places are
//! armed again after every event that counts; for an armed one that costs one system call, and it finds what was deleted
//! and created again under the same name. No event is taken meanwhile.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{InitFlags, Inotify};

use super::complaint::complaint;
use super::interest::{Counts, Interest};
use crate::config::files;
use crate::config::stall::Progress;
use crate::config::trust::{Trust, TrustedOpen};

/// The most files that are watched by themselves.
const MOST_FILES: usize = 10_000;

/// The watches of a directory.
pub(super) struct Armed {
    root: PathBuf,
    trust: Trust,
    inotify: Option<Inotify>,
    interest: Interest,
}

/// What the queue of events had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Something that counts.
    Something,
    /// Events of what lies beside.
    Nothing,
}

impl Armed {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, trust: Trust::of_process(), inotify: None, interest: Interest::default() }
    }

    /// Watches everything that must be watched now. Returns what prevents it, if anything.
    pub(super) fn arm(&mut self) -> Option<String> {
        self.arm_by(|arming| {
            arming.way();
            arming.below();
        })
    }

    /// A panic in `steps` leaves the instance where it is: somebody waits on its queue.
    fn arm_by(&mut self, steps: impl FnOnce(&mut Arming<'_>)) -> Option<String> {
        let inotify = match &self.inotify {
            Some(inotify) => inotify,
            None => match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
                Ok(inotify) => self.inotify.insert(inotify),
                Err(errno) => return Some(complaint(None, errno)),
            },
        };
        let mut arming = Arming {
            root: &self.root,
            trust: self.trust,
            inotify,
            interest: Interest::default(),
            failure: None,
        };
        steps(&mut arming);
        let Arming { interest, failure, .. } = arming;
        for descriptor in interest.left_over(&self.interest) {
            // It may be gone already.
            let _ = inotify.rm_watch(descriptor);
        }
        self.interest = interest;
        failure
    }

    /// A second descriptor of the queue, to wait on.
    pub(super) fn descriptor(&self) -> Option<io::Result<OwnedFd>> {
        self.inotify.as_ref().map(|inotify| inotify.as_fd().try_clone_to_owned())
    }

    /// Takes all events that are there.
    pub(super) fn take(&self) -> Taken {
        let mut taken = Taken::Nothing;
        while let Some(inotify) = &self.inotify {
            match inotify.read_events() {
                Ok(events) => {
                    let mut counting = events
                        .iter()
                        .filter(|event| self.interest.counts(event.wd, event.mask, event.name.as_deref()));
                    if counting.next().is_some() {
                        taken = Taken::Something;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                // Arming finds out why.
                Err(_) => return Taken::Something,
            }
        }
        taken
    }

    /// Whether a mount at this path counts.
    pub(super) fn has(&self, point: &Path) -> bool {
        self.interest.has(point)
    }
}

struct Arming<'a> {
    root: &'a Path,
    trust: Trust,
    inotify: &'a Inotify,
    interest: Interest,
    failure: Option<String>,
}

impl Arming<'_> {
    /// The directories on the way to the root. Only the next step in each counts: it may appear, disappear, or be a link that
    /// is changed.
    fn way(&mut self) {
        let mut path = self.root.to_owned();
        while let Some(name) = path.file_name().map(OsStr::to_owned) {
            path.pop();
            if let Ok(directory) = fs::canonicalize(&path) {
                self.entry(&directory, &name);
            }
        }
    }

    fn entry(&mut self, directory: &Path, name: &OsStr) {
        self.directory(directory, Counts::Names([name.to_owned()].into()));
    }

    /// Watches each directory before it is read. One that the loader refuses is not watched: when it is put right, its
    /// parent says so.
    fn below(&mut self) {
        let mut open = TrustedOpen::new(self.trust);
        let listing = files::list(self.root, &Progress::default(), &mut |directory| {
            open.enter(directory)?;
            if let Ok(directory) = fs::canonicalize(directory) {
                self.directory(&directory, Counts::All);
            }
            Ok(())
        });
        // Watch each file by itself too: the events of a directory do not show a write through another hard link, or to the
        // source of a file mount.
        for (count, file) in listing.files.iter().enumerate() {
            if file.is_symlink() {
                self.linked_file(file);
            } else if count < MOST_FILES {
                // Its directory is watched and shows most changes, so that a failure needs no complaint.
                let _ = self.place(file, Counts::File);
            }
        }
    }

    /// A file that is a link is changed at its real path.
    fn linked_file(&mut self, path: &Path) {
        let Ok(real) = fs::canonicalize(path) else { return };
        if let Some((directory, name)) = real.parent().zip(real.file_name()) {
            self.entry(directory, name);
            if self.place(&real, Counts::File).is_err() {
                // Then only its directory shows what is written to it.
                self.directory(directory, Counts::All);
            }
        }
    }

    fn directory(&mut self, directory: &Path, counts: Counts) {
        match self.place(directory, counts) {
            // One that disappeared while it was armed: its parent shows that.
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
            Err(errno) => {
                self.failure.get_or_insert_with(|| complaint(Some(directory), errno));
            }
        }
    }

    fn place(&mut self, place: &Path, counts: Counts) -> Result<(), Errno> {
        let mask = self.interest.add(place, counts).mask();
        let descriptor = self.inotify.add_watch(place, mask)?;
        self.interest.watched(place, descriptor);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_busy_file_beside_the_directory_makes_no_event() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("conf");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.toml"), "").unwrap();
        let mut log = fs::File::create(top.path().join("log")).unwrap();
        let mut armed = Armed::new(root.clone());
        assert_eq!(armed.arm(), None);
        // Other programs create files in the directories above.
        let queued = |armed: &Armed| {
            let events = armed.inotify.as_ref().unwrap().read_events().unwrap_or_default();
            let named =
                |name: &OsStr| events.iter().filter(|event| event.name.as_deref() == Some(name)).count();
            (named("log".as_ref()), named("other".as_ref()))
        };
        for _ in 0..1000 {
            log.write_all(b"one more line\n").unwrap();
        }
        for _ in 0..100 {
            fs::write(top.path().join("other"), "x").unwrap();
        }
        // Only that the second file was created.
        assert_eq!(queued(&armed), (0, 1));
        assert_eq!(armed.take(), Taken::Nothing);
        fs::write(root.join("a.toml"), "y").unwrap();
        assert_eq!(armed.take(), Taken::Something);
    }

    #[test]
    fn after_a_panic_the_queue_that_is_waited_on_has_what_is_armed_later() {
        let top = tempfile::tempdir().unwrap();
        let mut armed = Armed::new(top.path().to_owned());
        assert_eq!(armed.arm(), None);
        let mut queue = fs::File::from(armed.descriptor().unwrap().unwrap());
        let mut waiting = || queue.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0);
        let panicked = catch_unwind(AssertUnwindSafe(|| armed.arm_by(|_| panic!("in the test"))));
        assert!(panicked.is_err());
        fs::create_dir(top.path().join("later")).unwrap();
        assert_eq!(armed.arm(), None);
        while waiting() {}
        fs::write(top.path().join("later/a.toml"), "x").unwrap();
        assert!(waiting());
    }
}
