//! From names to what is there, one name at a time, every directory that is asked watched before it is asked.
//!
//! Symbolic links are followed by hand for that reason: a link may be swapped at any of its hops.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::content::{refused, vanished};
use super::interest::{DependError, Dependent, Hold, Interests, Scope};
use crate::store::StoreError;

/// As many links as Linux follows on one path (`path_resolution(7)`).
const MOST_LINKS: u32 = 40;

/// A directory: its path without symbolic links, and what tells it from all others (device, inode).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DirectoryAt {
    pub(super) path: PathBuf,
    pub(super) identity: (u64, u64),
}

/// What a walk ends at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or something above is no directory.
    Missing,
    /// A regular file.
    File(PathBuf),
    /// A directory.
    Directory(DirectoryAt),
    /// A socket, a device, a FIFO: no key.
    Special(PathBuf),
}

/// What a walk may leave unwatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Directories above the store that may be passed but not read: as common as `/root`, and hardly
    /// ever renamed. The regular verification covers them.
    Tolerated,
    /// Nothing: a change would be missed.
    Refused,
}

/// Walks `names` from `start`, a directory's path without symbolic links, for `dependent`.
pub(super) fn walk<'a>(
    interests: &mut Interests,
    dependent: &Dependent,
    holds: &mut Vec<Hold>,
    start: &Path,
    names: impl IntoIterator<Item = &'a OsStr>,
    unreadable: Unreadable,
) -> Result<Found, StoreError> {
    let mut at = start.to_path_buf();
    let mut ahead: VecDeque<OsString> = names.into_iter().map(OsStr::to_owned).collect();
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        match interests.depend(&at, Scope::Name(name.clone()), dependent, holds) {
            Ok(true) => {}
            Ok(false) => return Ok(Found::Missing),
            Err(DependError::Denied(_)) if unreadable == Unreadable::Tolerated => {}
            Err(error) => return Err(error.into()),
        }
        let path = at.join(&name);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if vanished(&error) => return Ok(Found::Missing),
            Err(error) => return Err(refused(&path, &error)),
        };
        if metadata.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(StoreError::Refused {
                    what: format!("follow the symbolic link {}", path.display()),
                    why: format!("more than {MOST_LINKS} links follow one another, perhaps in a circle"),
                });
            }
            match fs::read_link(&path) {
                Ok(target) => push_front(&mut at, &mut ahead, &target),
                Err(error) if vanished(&error) || error.raw_os_error() == Some(libc::EINVAL) => {
                    return Ok(Found::Missing);
                }
                Err(error) => return Err(refused(&path, &error)),
            }
        } else if metadata.is_dir() {
            at = path;
        } else if !ahead.is_empty() {
            return Ok(Found::Missing);
        } else if metadata.is_file() {
            return Ok(Found::File(path));
        } else {
            return Ok(Found::Special(path));
        }
    }
    match fs::symlink_metadata(&at) {
        Ok(metadata) if metadata.is_dir() => {
            Ok(Found::Directory(DirectoryAt { path: at, identity: (metadata.dev(), metadata.ino()) }))
        }
        Ok(_) => Ok(Found::Missing),
        Err(error) if vanished(&error) => Ok(Found::Missing),
        Err(error) => Err(refused(&at, &error)),
    }
}

/// Puts a link's target before what is still to be walked.
fn push_front(at: &mut PathBuf, ahead: &mut VecDeque<OsString>, target: &Path) {
    for component in target.components().rev() {
        match component {
            Component::RootDir | Component::Prefix(_) => *at = PathBuf::from("/"),
            Component::CurDir => {}
            Component::ParentDir => ahead.push_front("..".into()),
            Component::Normal(name) => ahead.push_front(name.to_owned()),
        }
    }
}

/// The names of an absolute path.
pub(super) fn names_of(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}
