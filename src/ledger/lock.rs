//! The lock on the state directory: one daemon at a time, by flock(2), which the kernel releases however a process ends.
//!
//! The daemon locks a file that only its own user can open, because whoever can open a file can lock it. Where no file can
//! be created (a read-only file system, a full disk) it locks the directory, if others cannot open that. Version 0.1.0
//! always locks the directory exclusively, which this version notices; this version holds a shared lock there, so that 0.1.0
//! does not start beside it. A child holds the lock only until it closes its descriptors, soon after its clone
//! (`process/spawn`).

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::state_dir;

/// How long a start waits for the lock: a daemon that was just killed may still be ending, and so may a child that it
/// was cloning at that moment.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two attempts.
const RETRY: Duration = Duration::from_millis(10);
/// Pause between two looks for the holder of the directory's lock, which take longer.
const LOOK: Duration = Duration::from_millis(250);

/// Who holds the exclusive lock on the directory, which version 0.1.0 takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A process of root or of the daemon's user: a daemon.
    Own,
    /// Only processes of other accounts, which opened the directory when its mode still allowed it.
    Stranger,
    /// No process that this one can see.
    Unknown,
}

/// Why there is no lock.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another daemon has it.
    InUse,
    /// It cannot be taken here.
    Impossible(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Impossible(error)
    }
}

/// The lock, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    /// `None` where no file can be created.
    _file: Option<File>,
    _directory: File,
}

/// Locks the state directory. `holder` finds out who holds its exclusive lock.
pub(super) fn take(
    path: &Path,
    directory: File,
    mut holder: impl FnMut(&File) -> Holder,
) -> Result<Lock, Refusal> {
    let deadline = Instant::now() + PATIENCE;
    match lock_file(&path.join("lock")) {
        Ok(file) => {
            if !retried(deadline, RETRY, || is_locked(file.try_lock()))? {
                return Err(Refusal::InUse);
            }
            let shared = retried(deadline, LOOK, || {
                if is_locked(directory.try_lock_shared())? {
                    return Ok(true);
                }
                let is_ignored = holder(&directory) == Holder::Stranger;
                if is_ignored {
                    let path = path.display();
                    tracing::warn!(
                        "another account holds a lock on the state directory {path}; it is ignored"
                    );
                }
                Ok(is_ignored)
            })?;
            let lock = Lock { _file: Some(file), _directory: directory };
            if shared { Ok(lock) } else { Err(Refusal::InUse) }
        }
        Err(why) => {
            let mode = directory.metadata()?.mode() & 0o7777;
            if mode & 0o044 != 0 {
                let text = format!(
                    "the file `lock` cannot be created in it ({why}), and everyone who can open the directory \
                     itself could lock that (mode {mode:04o}; `chmod go-r` it)"
                );
                return Err(Refusal::Impossible(io::Error::new(why.kind(), text)));
            }
            let locked = retried(deadline, LOOK, || {
                let locked = is_locked(directory.try_lock())?;
                if !locked {
                    // This kills a child of a dead daemon that still holds it.
                    holder(&directory);
                }
                Ok(locked)
            })?;
            if locked { Ok(Lock { _file: None, _directory: directory }) } else { Err(Refusal::InUse) }
        }
    }
}

/// Repeats an attempt until it succeeds, or until the deadline.
fn retried(
    deadline: Instant,
    pause: Duration,
    mut attempt: impl FnMut() -> io::Result<bool>,
) -> io::Result<bool> {
    while !attempt()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(pause);
    }
    Ok(true)
}

fn is_locked(attempt: Result<(), TryLockError>) -> io::Result<bool> {
    match attempt {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What the file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// Writing would keep the file system from being remounted read-only.
    Read,
    Write,
}

/// Opens the file so that it can be locked.
fn lock_file(path: &Path) -> io::Result<File> {
    lockable(private_file(path, Open::Read)?, path)
}

/// NFS 4 locks exclusively only what is open for writing (flock(2)).
fn lockable(file: File, path: &Path) -> io::Result<File> {
    match file.try_lock() {
        Err(TryLockError::Error(error)) if error.raw_os_error() == Some(nix::libc::EBADF) => {
            private_file(path, Open::Write)
        }
        // The caller locks it, and reports what prevents that.
        Ok(()) | Err(TryLockError::WouldBlock | TryLockError::Error(_)) => Ok(file),
    }
}

/// Opens a file that only the daemon's user can open, and creates it if it is missing.
fn private_file(path: &Path, for_what: Open) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
    let open = || OpenOptions::new().read(true).write(for_what == Open::Write).custom_flags(flags).open(path);
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made =
                OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path);
            match made {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            open()?
        }
        opened => opened?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if let Some(why) = state_dir::objection(&found, nix::unistd::geteuid().as_raw()) {
        return Err(io::Error::other(why));
    }
    if found.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn directory(path: &Path) -> File {
        state_dir::open(path).unwrap()
    }

    fn nobody_asked(_: &File) -> Holder {
        panic!("there is no exclusive lock to ask about")
    }

    #[test]
    fn the_lock_is_on_a_file_that_no_other_account_can_open() {
        let place = tempfile::tempdir().unwrap();
        let lock = take(place.path(), directory(place.path()), nobody_asked).unwrap();
        let mode = || fs::metadata(place.path().join("lock")).unwrap().mode() & 0o7777;
        assert_eq!(mode(), 0o600);
        assert!(!is_locked(File::open(place.path().join("lock")).unwrap().try_lock()).unwrap());
        drop(lock);
        fs::set_permissions(place.path().join("lock"), Permissions::from_mode(0o644)).unwrap();
        take(place.path(), directory(place.path()), nobody_asked).unwrap();
        assert_eq!(mode(), 0o600, "a file that was copied with another mode");
    }

    /// A descriptor that is open for neither reading nor writing fails as one for reading does on NFS 4.
    #[test]
    fn a_file_that_can_only_be_locked_for_writing_is_opened_for_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let writable = |file: &File| {
            let flags = nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_GETFL).unwrap();
            flags & nix::libc::O_ACCMODE == nix::libc::O_RDWR
        };
        assert!(!writable(&lock_file(&path).unwrap()), "it is not needed here");
        let unlockable =
            || OpenOptions::new().read(true).custom_flags(nix::libc::O_PATH).open(&path).unwrap();
        let refused = is_locked(unlockable().try_lock()).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(nix::libc::EBADF));
        let file = lockable(unlockable(), &path).unwrap();
        assert!(writable(&file));
        assert!(is_locked(file.try_lock()).unwrap());
        assert!(!is_locked(File::open(&path).unwrap().try_lock()).unwrap());
        // With the same checks.
        fs::set_permissions(&path, Permissions::from_mode(0o622)).unwrap();
        lockable(unlockable(), &path).unwrap_err();
    }

    #[test]
    fn a_shared_lock_on_the_directory_is_not_taken_for_a_daemon() {
        let place = tempfile::tempdir().unwrap();
        let stranger = File::open(place.path()).unwrap();
        stranger.try_lock_shared().unwrap();
        let lock = take(place.path(), directory(place.path()), nobody_asked).unwrap();
        // And 0.1.0 does not start beside it.
        drop(stranger);
        let old = File::open(place.path()).unwrap();
        assert!(!is_locked(old.try_lock()).unwrap());
        drop(lock);
        assert!(is_locked(old.try_lock()).unwrap());
    }

    #[test]
    fn an_exclusive_lock_on_the_directory_is_a_daemon_of_0_1_0_unless_it_is_a_strangers() {
        let place = tempfile::tempdir().unwrap();
        let old = File::open(place.path()).unwrap();
        old.try_lock().unwrap();
        for holder in [Holder::Own, Holder::Unknown] {
            let refused = take(place.path(), directory(place.path()), |_| holder).unwrap_err();
            assert!(matches!(refused, Refusal::InUse), "{holder:?}: {refused:?}");
        }
        take(place.path(), directory(place.path()), |_| Holder::Stranger).unwrap();
        // The holder ends while the start waits.
        let mut old = Some(old);
        let lock = take(place.path(), directory(place.path()), |_| {
            old = None;
            Holder::Own
        });
        lock.unwrap();
    }

    /// A directory named `lock` stands for a file that cannot be created.
    #[test]
    fn without_a_file_the_directory_is_locked_if_others_cannot_open_it() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        fs::create_dir(&state).unwrap();
        fs::create_dir(state.join("lock")).unwrap();
        fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        let open = || File::open(&state).unwrap();
        let refused = take(&state, open(), nobody_asked).unwrap_err();
        let Refusal::Impossible(why) = refused else { panic!("{refused:?}") };
        assert!(why.to_string().contains("mode 0755"), "{why}");
        fs::set_permissions(&state, Permissions::from_mode(0o711)).unwrap();
        let lock = take(&state, open(), nobody_asked).unwrap();
        assert!(!is_locked(open().try_lock_shared()).unwrap(), "as 0.1.0 does");
        // A daemon that starts when the file can be created sees the lock on the directory, and the other way round.
        fs::remove_dir(state.join("lock")).unwrap();
        assert!(matches!(take(&state, open(), |_| Holder::Own).unwrap_err(), Refusal::InUse));
        drop(lock);
        let _lock = take(&state, open(), nobody_asked).unwrap();
        fs::remove_file(state.join("lock")).unwrap();
        fs::create_dir(state.join("lock")).unwrap();
        assert!(matches!(take(&state, open(), |_| Holder::Unknown).unwrap_err(), Refusal::InUse));
    }
}
