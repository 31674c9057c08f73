//! Writes one key atomically, under the store's lock if it has a condition.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{FileStat, Mode};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::content::{NOTHING, read_file, value_version};
use super::place::KeyPath;
use super::resolve::{Found, FoundDirectory, Kind, ResolveError, look};
use super::target::{
    MissingDirectory, ToDelete, WriteTarget, behind_link, below_a_file, failed, is_a_directory, open_root,
    to_delete, to_write,
};
use crate::store::StoreError;
use crate::store::access::{Change, Condition};
use crate::watch::{Key, Version};

/// The file whose lock (flock(2)) every write of this program holds, so that a condition still holds when its write is
/// done. Editors and other programs ignore it; only `Absent` is enforced against them too.
const LOCK: &str = ".twitcher.lock";

/// Pause between two attempts to get the lock.
const LOCK_PACE: Duration = Duration::from_millis(5);

/// The open root and its lock, which is released when this is dropped.
#[derive(Debug)]
pub(super) struct Locked {
    root: FoundDirectory,
    #[expect(dead_code, reason = "held for its lock, which is released with the file")]
    file: File,
}

impl Locked {
    /// The open root.
    pub(super) fn root(&self) -> &FoundDirectory {
        &self.root
    }
}

/// Whether the root is a directory, or can be created by a write: only its last name may be missing, so that a mistyped path is noticed.
pub(super) fn admit_root(root: &Path, writing: bool) -> Result<(), StoreError> {
    let why = match fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => "it is not a directory".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !writing => {
            "it does not exist; is --store right? The first `put` or `load` creates it".to_owned()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if root.parent().is_none_or(Path::is_dir) {
                return Ok(());
            }
            "it does not exist, and neither does the directory above it; is --store right? If so, create that directory"
                .to_owned()
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            "a file has the name of a directory above it".to_owned()
        }
        Err(error) => error.to_string(),
    };
    Err(StoreError::Refused { what: format!("use directory {}", root.display()), why })
}

/// Gets the store's lock, creating the root if it is missing.
pub(super) fn lock(root: &Path, deadline: Instant) -> Result<Locked, StoreError> {
    admit_root(root, true)?;
    match fs::create_dir(root) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("create directory", root, &error)),
    }
    let Some(opened) = open_root(root)? else {
        return Err(failed("open directory", root, &io::ErrorKind::NotFound.into()));
    };
    let path = opened.path.join(LOCK);
    // Non-blocking: a FIFO of this name must not block the thread.
    let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(opened.fd(), LOCK, flags, Mode::from_bits_truncate(0o600)) {
        Ok(fd) => File::from(fd),
        Err(errno @ (Errno::EACCES | Errno::EPERM | Errno::EROFS)) => {
            return Err(failed("write to directory", root, &errno.into()));
        }
        Err(errno) => return Err(failed("open", &path, &errno.into())),
    };
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Locked { root: opened, file }),
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

/// Checks a condition against the current state.
fn check(key: &Key, found: Option<Version>, condition: Condition) -> Result<(), StoreError> {
    let expected = match condition {
        Condition::Any => return Ok(()),
        Condition::Absent if found.is_none() => return Ok(()),
        Condition::Version(version) if found == Some(version) => return Ok(()),
        Condition::Absent => "no key".to_owned(),
        Condition::Version(version) => format!("version {version}"),
    };
    let found = found.map_or_else(|| "no key".to_owned(), |version| format!("version {version}"));
    Err(StoreError::Conflict { key: key.to_string(), expected, found })
}

/// Fails unless a condition holds.
pub(super) fn require(lock: &Locked, key: &Key, condition: Condition) -> Result<(), StoreError> {
    check(key, version(&lock.root, &KeyPath::of(key)?)?, condition)
}

/// The version of a key, read as a watch reads it.
fn version(root: &FoundDirectory, place: &KeyPath) -> Result<Option<Version>, StoreError> {
    match look(root, place.steps())? {
        Found::Missing | Found::Special(_) => Ok(None),
        Found::Directory(_) => Ok(Some(NOTHING)),
        Found::File(file) => Ok(Some(value_version(&read_file(&file)?))),
    }
}

/// Checks all changes before the first one is made, so that changes which a directory cannot hold leave no half of a load.
/// Returns which changes another one implies: keys behind a symbolic link are deleted with the link.
pub(super) fn admit(root: &FoundDirectory, changes: &[Change]) -> Result<Vec<bool>, StoreError> {
    let (mut gone, mut files) = (BTreeSet::new(), BTreeMap::new());
    let mut places = Vec::new();
    for change in changes {
        let place = KeyPath::of(change.key())?;
        if let Change::Delete { .. } = change {
            gone.insert(place.names().to_vec());
        }
        places.push(place);
    }
    let mut implied = Vec::new();
    let mut before = BTreeSet::new();
    for (change, place) in changes.iter().zip(&places) {
        let key = change.key();
        let names = place.names().to_vec();
        let mut goes_with_a_link = false;
        match change {
            Change::Require { .. } => {}
            Change::Delete { .. } => {
                if let ToDelete::BehindLink(depth, link) = to_delete(root, place)? {
                    goes_with_a_link = gone.contains(&names[..depth]);
                    if !goes_with_a_link {
                        return Err(behind_link(key, &link));
                    }
                }
                before.insert(names);
            }
            Change::Put { .. } => {
                // Earlier deletions make room.
                if !(1..=names.len()).any(|end| before.contains(&names[..end])) {
                    writable(key, to_write(root, key, place, MissingDirectory::Leave)?.as_ref())?;
                }
                files.insert(names, key);
            }
        }
        implied.push(goes_with_a_link);
    }
    for (names, key) in &files {
        for end in 1..names.len() {
            if let Some(above) = files.get(&names[..end]) {
                let why = format!(
                    "{above} would get a value, which makes it a file, and a file cannot have children"
                );
                return Err(StoreError::Refused { what: format!("write {key}"), why });
            }
        }
    }
    Ok(implied)
}

/// Whether the entry can be replaced by a file.
fn writable(key: &Key, target: Option<&WriteTarget>) -> Result<(), StoreError> {
    match target.and_then(|target| target.named.as_ref()).map(|named| named.kind) {
        None | Some(Kind::File) => Ok(()),
        Some(Kind::Directory) => Err(is_a_directory(key)),
        Some(Kind::Link | Kind::Special) => Err(StoreError::Refused {
            what: format!("write {key}"),
            why: "something that is neither a regular file nor a directory has its name; remove that first"
                .to_owned(),
        }),
    }
}

/// Sets a value. Readers see the old one or the new one, even after a power failure.
pub(super) fn put(
    lock: &Locked,
    key: &Key,
    value: &[u8],
    condition: Condition,
) -> Result<Version, StoreError> {
    let place = KeyPath::of(key)?;
    let target = to_write(&lock.root, key, &place, MissingDirectory::Leave)?;
    if condition != Condition::Any {
        check(key, version(&lock.root, &place)?, condition)?;
    }
    writable(key, target.as_ref())?;
    let target = match target {
        Some(target) => target,
        None => match to_write(&lock.root, key, &place, MissingDirectory::Make)? {
            Some(target) => target,
            None => return Err(below_a_file(key)),
        },
    };
    writable(key, Some(&target))?;
    let temporary = format!(".twitcher.{}.{:016x}.tmp", std::process::id(), fastrand::u64(..));
    let directory = &target.directory;
    let like = target.named.as_ref().map(|named| &named.stat);
    let written = write_beside(directory, &temporary, value, like)
        .map_err(|error| failed(&format!("write {key} as a new file in"), &directory.path, &error))
        .and_then(|()| move_into_place(key, &temporary, &target, condition));
    if written.is_err() {
        // The temporary file may not exist.
        let _missing = unlinkat(directory.fd(), temporary.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    written?;
    sync_directory(directory)?;
    Ok(value_version(value))
}

fn write_beside(
    directory: &FoundDirectory,
    temporary: &str,
    value: &[u8],
    like: Option<&FileStat>,
) -> io::Result<()> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(directory.fd(), temporary, flags, Mode::from_bits_truncate(0o644))?);
    if let Some(like) = like {
        // Only root may change the owner; otherwise the writer becomes the owner.
        let _not_root = fchown(&file, Some(like.st_uid), Some(like.st_gid));
        file.set_permissions(Permissions::from_mode(like.st_mode & 0o7777))?;
    }
    file.write_all(value)?;
    file.sync_all()
}

fn move_into_place(
    key: &Key,
    temporary: &str,
    target: &WriteTarget,
    condition: Condition,
) -> Result<(), StoreError> {
    let (directory, name) = (target.directory.fd(), target.name.as_os_str());
    let replace = || {
        renameat(&directory, temporary, &directory, name)
            .map_err(|errno| failed("write", &target.path(), &errno.into()))
    };
    if condition != Condition::Absent {
        return replace();
    }
    // Only if the name does not exist, whoever created it. Not link(2) and unlink(2): a watcher that sees the new name after
    // the old one is gone cannot distinguish it from a file that is still being written.
    match renameat2(&directory, temporary, &directory, name, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EEXIST) => Err(StoreError::Conflict {
            key: key.to_string(),
            expected: "no key".to_owned(),
            found: "one that was just made".to_owned(),
        }),
        // Some file systems do not support this; there the lock must suffice.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => replace(),
        Err(errno) => Err(failed("write", &target.path(), &errno.into())),
    }
}

/// Deletes one key; returns whether it existed. A directory must be empty; of a symbolic link the link is deleted.
pub(super) fn delete(lock: &Locked, key: &Key, condition: Condition) -> Result<bool, StoreError> {
    let place = KeyPath::of(key)?;
    if place.names().is_empty() {
        return Err(StoreError::Refused {
            what: format!("delete {key}"),
            why: "it is the top of the store; delete what is below it".to_owned(),
        });
    }
    let target = match to_delete(&lock.root, &place)? {
        ToDelete::There(target) => Some(target),
        ToDelete::Missing => None,
        ToDelete::BehindLink(_, link) => return Err(behind_link(key, &link)),
    };
    if condition != Condition::Any {
        check(key, version(&lock.root, &place)?, condition)?;
    }
    let Some(target) = target else { return Ok(false) };
    let flag = match target.named.as_ref().map(|named| named.kind) {
        Some(Kind::File) => UnlinkatFlags::NoRemoveDir,
        Some(Kind::Directory) => UnlinkatFlags::RemoveDir,
        Some(Kind::Link) => match look(&target.directory, [target.name.as_os_str()]) {
            // It is not a key.
            Ok(Found::Missing | Found::Special(_)) => return Ok(false),
            Ok(Found::File(_) | Found::Directory(_)) | Err(ResolveError::Blocked(_)) => {
                UnlinkatFlags::NoRemoveDir
            }
            Err(error @ ResolveError::Failed(_)) => return Err(error.into()),
        },
        Some(Kind::Special) | None => return Ok(false),
    };
    match unlinkat(target.directory.fd(), target.name.as_os_str(), flag) {
        Ok(()) => {}
        Err(Errno::ENOENT) => return Ok(false),
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => {
            return Err(StoreError::Refused {
                what: format!("delete {key}"),
                why: "it is a directory that is not empty; delete what is below it first".to_owned(),
            });
        }
        Err(errno) => return Err(failed("delete", &target.path(), &errno.into())),
    }
    sync_directory(&target.directory)?;
    Ok(true)
}

fn sync_directory(directory: &FoundDirectory) -> Result<(), StoreError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    openat(directory.fd(), ".", flags, Mode::empty())
        .map_err(io::Error::from)
        .and_then(|fd| File::from(fd).sync_all())
        .map_err(|error| failed("sync", &directory.path, &error))
}
