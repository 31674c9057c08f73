//! Reads a single key: finds it below the store's root, then its value or the names of its children.
//!
//! Every name and directory on the way is registered with [`Interests`] before it is read, so that a later change causes an
//! event.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use super::content::{NOTHING, names_version, read_file, value_version};
use super::interest::{Dependent, Hold, Interests, Scope, Unreadable};
use super::place::{KeyPath, key_name};
use super::resolve::{Found, FoundDirectory, Kind, ResolveError, names_of, resolve};
use crate::store::StoreError;
use crate::watch::{Content, Detail, Version};

/// Walks to the store's root, then to a key.
pub(super) fn find(
    interests: &mut Interests,
    root: &Path,
    dependent: &Dependent,
    holds: &mut Vec<Hold>,
    place: &KeyPath,
) -> Result<Found, StoreError> {
    let above = resolve(&FoundDirectory::top()?, names_of(root), |at, name| {
        interests.depend_on_name(at, name, dependent, holds, Unreadable::Tolerated)
    })?;
    match above {
        Found::Directory(root) => Ok(resolve(&root, place.steps(), |at, name| {
            interests.depend_on_name(at, name, dependent, holds, Unreadable::Refused)
        })?),
        Found::Missing => Ok(Found::Missing),
        Found::File(file) => Err(not_a_directory(root, &file.path)),
        Found::Special(path) => Err(not_a_directory(root, &path)),
    }
}

fn not_a_directory(root: &Path, path: &Path) -> StoreError {
    StoreError::Refused {
        what: format!("open directory {}", root.display()),
        why: format!("{} is not a directory", path.display()),
    }
}

/// The value of a key, for a target of type `data`.
pub(super) fn data(found: Found, detail: Detail) -> Result<(Version, Content), StoreError> {
    match found {
        // A directory is a key with children and without a value.
        Found::Missing | Found::Directory(_) => Ok((NOTHING, Content::Absent)),
        Found::File(file) => {
            let value = read_file(&file)?;
            let version = value_version(&value);
            Ok((
                version,
                match detail {
                    Detail::Values => Content::Value(value),
                    Detail::Versions => Content::Unread,
                },
            ))
        }
        Found::Special(path) => Err(StoreError::Refused {
            what: format!("read {}", path.display()),
            why: "it is neither a regular file nor a directory".to_owned(),
        }),
    }
}

/// The names below a key, for a target of type `children`.
pub(super) fn children(
    interests: &mut Interests,
    dependent: &Dependent,
    holds: &mut Vec<Hold>,
    found: Found,
) -> Result<(Version, Content), StoreError> {
    let mut names: Vec<Arc<str>> = Vec::new();
    match found {
        Found::Missing => return Ok((NOTHING, Content::Absent)),
        Found::File(_) | Found::Special(_) => {}
        Found::Directory(directory) => {
            if !interests.depend(&directory.path, Scope::Keys, dependent, holds)? {
                return Ok((NOTHING, Content::Absent));
            }
            for (name, kind) in directory.list()? {
                let Some(key) = key_name(&name) else { continue };
                let mut watched = |at: &Path, name: &OsStr| {
                    interests.depend_on_name(at, name, dependent, holds, Unreadable::Refused)
                };
                if is_key(&directory, &name, kind, &mut watched)? {
                    names.push(key.into());
                }
            }
        }
    }
    Ok((names_version(names.iter().map(|name| &**name)), Content::Children(names.into())))
}

/// Whether a name is a key: a file, a directory, or a link to one.
pub(super) fn is_key(
    directory: &FoundDirectory,
    name: &OsStr,
    kind: Kind,
    before: &mut dyn FnMut(&Path, &OsStr) -> Result<bool, ResolveError>,
) -> Result<bool, ResolveError> {
    match kind {
        Kind::File | Kind::Directory => Ok(true),
        Kind::Special => Ok(false),
        Kind::Link => match resolve(directory, [name], before) {
            Ok(Found::File(_) | Found::Directory(_)) => Ok(true),
            // A circle of links, or an entry without permission, has no value.
            Ok(Found::Missing | Found::Special(_)) | Err(ResolveError::Blocked(_)) => Ok(false),
            Err(error @ ResolveError::Failed(_)) => Err(error),
        },
    }
}
