//! Writing one key: whole or not at all, under the store's lock where a condition has to hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::content::{NOTHING, read_file, value_version};
use super::place::KeyPath;
use crate::store::StoreError;
use crate::store::access::{Change, Condition};
use crate::watch::{Key, Version};

/// The file whose lock (flock(2)) every write of this program holds, so that a condition still holds when its
/// write is done. Editors and other programs do not know it; `Absent` alone is kept against them too.
const LOCK: &str = ".twitcher.lock";

/// Between two tries to get the lock.
const LOCK_PACE: Duration = Duration::from_millis(5);

/// The lock; given back when dropped.
#[derive(Debug)]
pub(super) struct Locked(#[expect(dead_code, reason = "held for its lock, which goes with the file")] File);

/// Whether the root is a directory, or one that a write makes: its last name, and not a whole path that was mistyped.
pub(super) fn admit_root(root: &Path, writing: bool) -> Result<(), StoreError> {
    let why = match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => "it is no directory, and a store is one".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !writing => {
            "it does not exist; is --store right? The first `put` or `load` makes it".to_owned()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if root.parent().is_none_or(Path::is_dir) {
                return Ok(());
            }
            "it does not exist, and neither does the directory above it; is --store right? If so, make that one"
                .to_owned()
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            "a file has the name of a directory above it".to_owned()
        }
        Err(error) => error.to_string(),
    };
    Err(StoreError::Refused { what: format!("use directory {}", root.display()), why })
}

/// Gets the store's lock, making the root where it is missing.
pub(super) fn lock(root: &Path, deadline: Instant) -> Result<Locked, StoreError> {
    admit_root(root, true)?;
    match fs::create_dir(root) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("make directory", root, &error)),
    }
    let path = root.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        // Not blocking: a FIFO of this name must not hold the thread.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path)
        .map_err(|error| {
            if may_not_write(&error) {
                failed("write to directory", root, &error)
            } else {
                failed("open", &path, &error)
            }
        })?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Locked(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_PACE),
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Unavailable {
                    what: format!("lock {}", path.display()),
                    why: "another program holds it; try again".to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path, &error)),
        }
    }
}

/// What is at a key now.
enum Present {
    Nothing,
    Directory,
    File(PathBuf),
    /// A socket, a device, a FIFO: no key, and nothing that may be replaced by one.
    Special,
}

fn present(root: &Path, key: &Key, place: &KeyPath) -> Result<Present, StoreError> {
    let path = place.below(root);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Ok(Present::Directory),
        Ok(metadata) if !metadata.is_file() => Ok(Present::Special),
        // Where links lead to is written, so that a link stays one.
        Ok(_) => fs::canonicalize(&path).map(Present::File).map_err(|error| failed("resolve", &path, &error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Present::Nothing),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(below_a_file(key)),
        Err(error) => Err(failed("look at", &path, &error)),
    }
}

fn below_a_file(key: &Key) -> StoreError {
    StoreError::Refused {
        what: format!("write {key}"),
        why: "a key above it is a file, and a file has no children; remove that one first".to_owned(),
    }
}

fn is_a_directory(key: &Key) -> StoreError {
    StoreError::Refused {
        what: format!("write {key}"),
        why: "it is a directory, which has children and no value; write a key below it".to_owned(),
    }
}

/// Checks a condition; the version that is there now, if any.
fn check(key: &Key, present: &Present, condition: Condition) -> Result<Option<Version>, StoreError> {
    let found = match present {
        Present::Nothing | Present::Special => None,
        Present::Directory => Some(NOTHING),
        Present::File(path) => read_file(path)?.map(|value| value_version(&value)),
    };
    let expected = match condition {
        Condition::Any => return Ok(found),
        Condition::Absent if found.is_none() => return Ok(None),
        Condition::Version(version) if found == Some(version) => return Ok(found),
        Condition::Absent => "no key".to_owned(),
        Condition::Version(version) => format!("version {version}"),
    };
    let found = found.map_or_else(|| "no key".to_owned(), |version| format!("version {version}"));
    Err(StoreError::Conflict { key: key.to_string(), expected, found })
}

/// Fails unless a condition holds.
pub(super) fn require(
    root: &Path,
    _lock: &Locked,
    key: &Key,
    condition: Condition,
) -> Result<(), StoreError> {
    let place = KeyPath::of(key)?;
    check(key, &present(root, key, &place)?, condition).map(drop)
}

/// Whether all of these changes can be made, before any is: what a directory cannot hold is no half of a load.
pub(super) fn admit(root: &Path, changes: &[Change]) -> Result<(), StoreError> {
    let (mut gone, mut files) = (BTreeSet::new(), BTreeMap::new());
    for change in changes {
        let key = change.key();
        let place = KeyPath::of(key)?;
        let names = place.names().to_vec();
        match change {
            Change::Require { .. } => {}
            Change::Delete { .. } => {
                gone.insert(names);
            }
            Change::Put { .. } => {
                // What is deleted before makes room.
                let free = (1..=names.len()).any(|end| gone.contains(&names[..end]));
                if !free && let Present::Directory = present(root, key, &place)? {
                    return Err(is_a_directory(key));
                }
                files.insert(names, key);
            }
        }
    }
    for (names, key) in &files {
        for end in 1..names.len() {
            if let Some(above) = files.get(&names[..end]) {
                let why = format!(
                    "{above} is to have a value, which makes it a file, and a file has nothing below it"
                );
                return Err(StoreError::Refused { what: format!("write {key}"), why });
            }
        }
    }
    Ok(())
}

/// Sets a value. Readers see the old one or the new one, also after a power failure.
pub(super) fn put(
    root: &Path,
    _lock: &Locked,
    key: &Key,
    value: &[u8],
    condition: Condition,
) -> Result<Version, StoreError> {
    let place = KeyPath::of(key)?;
    let present = present(root, key, &place)?;
    check(key, &present, condition)?;
    let (path, like) = match present {
        Present::Directory => return Err(is_a_directory(key)),
        Present::Special => {
            return Err(StoreError::Refused {
                what: format!("write {key}"),
                why:
                    "something that is neither a regular file nor a directory has its name; remove that first"
                        .to_owned(),
            });
        }
        Present::File(path) => (path.clone(), Some(path)),
        Present::Nothing => (place.below(root), None),
    };
    let Some(directory) = path.parent() else { return Err(below_a_file(key)) };
    fs::create_dir_all(directory).map_err(|error| {
        if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) {
            below_a_file(key)
        } else {
            failed("make directory", directory, &error)
        }
    })?;
    let temporary =
        directory.join(format!(".twitcher.{}.{:016x}.tmp", std::process::id(), fastrand::u64(..)));
    let written = write_beside(&temporary, value, like.as_deref())
        .map_err(|error| failed(&format!("write {key} as a new file in"), directory, &error))
        .and_then(|()| move_into_place(key, &temporary, &path, condition));
    if written.is_err() {
        // What could not be written may not exist.
        let _missing = fs::remove_file(&temporary);
    }
    written?;
    sync_directory(directory)?;
    Ok(value_version(value))
}

fn write_beside(temporary: &Path, value: &[u8], like: Option<&Path>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW)
        .open(temporary)?;
    if let Some(metadata) = like.and_then(|like| fs::metadata(like).ok()) {
        // Only root may give files away; for all others the owner stays who writes.
        let _not_root = std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid()));
        file.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    }
    file.write_all(value)?;
    file.sync_all()
}

fn move_into_place(key: &Key, temporary: &Path, path: &Path, condition: Condition) -> Result<(), StoreError> {
    if condition != Condition::Absent {
        return fs::rename(temporary, path).map_err(|error| failed("write", path, &error));
    }
    // Only where no name is, whoever made it. Not link(2) and unlink(2): whoever is told of the new name when
    // the old one is gone cannot tell it from a file that is still being written.
    match renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EEXIST) => Err(StoreError::Conflict {
            key: key.to_string(),
            expected: "no key".to_owned(),
            found: "one that was just made".to_owned(),
        }),
        // Some file systems cannot; there the lock has to do.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
            fs::rename(temporary, path).map_err(|error| failed("write", path, &error))
        }
        Err(errno) => Err(failed("write", path, &errno.into())),
    }
}

/// Deletes one key; whether it was there. A directory goes when it is empty.
pub(super) fn delete(
    root: &Path,
    _lock: &Locked,
    key: &Key,
    condition: Condition,
) -> Result<bool, StoreError> {
    let place = KeyPath::of(key)?;
    if place.names().is_empty() {
        return Err(StoreError::Refused {
            what: format!("delete {key}"),
            why: "it is the top of the store; delete what is below it".to_owned(),
        });
    }
    let present = match present(root, key, &place) {
        Ok(present) => present,
        // Below a file there is nothing to delete.
        Err(StoreError::Refused { .. }) => Present::Nothing,
        Err(error) => return Err(error),
    };
    check(key, &present, condition)?;
    let path = place.below(root);
    let removed = match present {
        Present::Nothing | Present::Special => return Ok(false),
        // The name goes, and not what a link leads to.
        Present::File(_) => fs::remove_file(&path),
        Present::Directory if path.is_symlink() => fs::remove_file(&path),
        Present::Directory => fs::remove_dir(&path),
    };
    match removed {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            return Err(StoreError::Refused {
                what: format!("delete {key}"),
                why: "it is a directory that is not empty; delete what is below it first".to_owned(),
            });
        }
        Err(error) => return Err(failed("delete", &path, &error)),
    }
    path.parent().map_or(Ok(()), sync_directory)?;
    Ok(true)
}

fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(|error| failed("sync", directory, &error))
}

/// An error of a system call, as a store's.
pub(super) fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    // Not `Denied`: a directory has no user and no password that could be looked at.
    let why = if error.kind() == io::ErrorKind::PermissionDenied {
        "this user may not write there; run it as the user that the directory belongs to".to_owned()
    } else if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        "its file system is mounted read-only".to_owned()
    } else {
        error.to_string()
    };
    StoreError::Refused { what: format!("{what} {}", path.display()), why }
}

fn may_not_write(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}
