//! Finds the target of a write: never outside the root, whatever links say, and by descriptor, so that swapped names have no effect.
//!
//! `put` follows links that stay in the root, so that a link stays a link. A deletion follows none: it removes the entry,
//! because the target of a link belongs to another key.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, Mode, mkdirat};

use super::place::KeyPath;
use super::resolve::{Found, FoundDirectory, Kind, Link, LinkCount, look, names_of};
use crate::store::StoreError;
use crate::watch::Key;

/// Opens the store's root; `None` if it does not exist.
pub(super) fn open_root(root: &Path) -> Result<Option<FoundDirectory>, StoreError> {
    match look(&FoundDirectory::top()?, names_of(root))? {
        Found::Directory(directory) => Ok(Some(directory)),
        Found::Missing => Ok(None),
        Found::File(_) | Found::Special(_) => Err(StoreError::Refused {
            what: format!("use directory {}", root.display()),
            why: "it is not a directory".to_owned(),
        }),
    }
}

/// The type of an entry.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) kind: Kind,
    pub(super) stat: FileStat,
}

/// An entry of a directory.
#[derive(Debug)]
pub(super) struct WriteTarget {
    /// The directory that contains it.
    pub(super) directory: FoundDirectory,
    /// Its name in that directory.
    pub(super) name: OsString,
    /// Its current type.
    pub(super) named: Option<Named>,
}

impl WriteTarget {
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path.join(&self.name)
    }
}

/// What to do about missing directories on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MissingDirectory {
    Make,
    Leave,
}

/// A remaining step of a walk.
enum Step {
    Name(OsString),
    /// The end of a link's target.
    LinkEnd(PathBuf, Link),
}

/// A walk that never leaves the root.
struct Walk<'a> {
    root: &'a FoundDirectory,
    /// The directories from below the root down; the last one is the current one.
    below: Vec<FoundDirectory>,
    ahead: VecDeque<Step>,
    links: LinkCount,
}

impl Walk<'_> {
    fn at(&self) -> &FoundDirectory {
        self.below.last().unwrap_or(self.root)
    }

    fn has_names(&self) -> bool {
        self.ahead.iter().any(|step| matches!(step, Step::Name(_)))
    }

    /// The link whose target is being walked.
    fn link(&self) -> Option<&Path> {
        self.ahead.iter().find_map(|step| match step {
            Step::LinkEnd(path, _) => Some(path.as_path()),
            Step::Name(_) => None,
        })
    }

    fn descend(&mut self, fd: OwnedFd, name: &OsStr) -> Result<(), StoreError> {
        let mut below = self.at().try_clone()?;
        below.descend(fd, name);
        self.below.push(below);
        Ok(())
    }

    /// Puts the names of a link's target before the remaining ones.
    fn follow(&mut self, key: &Key, path: PathBuf, opened: &(OwnedFd, FileStat)) -> Result<(), StoreError> {
        self.links.add(&path)?;
        let Some((link, target)) = Link::read(path.clone(), opened)? else {
            return Err(replaced(key, &path));
        };
        let inner = if target.is_absolute() {
            let inner = target.strip_prefix(&self.root.path).map_err(|_| leaves(key, &path))?;
            self.below.clear();
            inner
        } else {
            &target
        };
        self.ahead.push_front(Step::LinkEnd(path, link));
        for name in names_of(inner).collect::<Vec<_>>().into_iter().rev() {
            self.ahead.push_front(Step::Name(name.to_owned()));
        }
        Ok(())
    }
}

/// Walks to the entry that `put` writes; `None` if a directory on the way is missing, or the key is the root.
pub(super) fn to_write(
    root: &FoundDirectory,
    key: &Key,
    place: &KeyPath,
    missing: MissingDirectory,
) -> Result<Option<WriteTarget>, StoreError> {
    let ahead = place.steps().map(|name| Step::Name(name.to_owned())).collect();
    let mut walk = Walk { root, below: Vec::new(), ahead, links: LinkCount::default() };
    let mut last = None;
    while let Some(step) = walk.ahead.pop_front() {
        let name = match step {
            Step::Name(name) if name == ".." => {
                if walk.below.pop().is_none() {
                    return Err(leaves(key, walk.link().unwrap_or(&root.path)));
                }
                last = None;
                continue;
            }
            Step::Name(name) => name,
            Step::LinkEnd(_, link) => {
                let stat = walk.at().stat()?;
                link.judge(&stat)?;
                continue;
            }
        };
        let path = walk.at().path.join(&name);
        let Some(opened) = walk.at().open_name(&name)? else {
            if let Some(link) = walk.link() {
                return Err(dangling(key, link));
            }
            if !walk.has_names() {
                let directory = walk.at().try_clone()?;
                return Ok(Some(WriteTarget { directory, name, named: None }));
            }
            match missing {
                MissingDirectory::Leave => return Ok(None),
                MissingDirectory::Make => make_directory(walk.at(), &name)?,
            }
            // Check again, because another process may have been faster.
            walk.ahead.push_front(Step::Name(name));
            continue;
        };
        let kind = Kind::of(&opened.1);
        match kind {
            Kind::Directory => {
                let directory = walk.at().try_clone()?;
                let (fd, stat) = opened;
                walk.descend(fd, &name)?;
                last = Some(WriteTarget { directory, name, named: Some(Named { kind, stat }) });
            }
            Kind::Link => walk.follow(key, path, &opened)?,
            Kind::File | Kind::Special if walk.has_names() => return Err(below_a_file(key)),
            Kind::File | Kind::Special => {
                let stat = opened.1;
                for step in walk.ahead.drain(..) {
                    if let Step::LinkEnd(_, link) = step {
                        link.judge(&stat)?;
                    }
                }
                let directory = walk.at().try_clone()?;
                return Ok(Some(WriteTarget { directory, name, named: Some(Named { kind, stat }) }));
            }
        }
    }
    match last {
        Some(target) => Ok(Some(target)),
        // The root, or a link that leads to the root.
        None => Err(is_a_directory(key)),
    }
}

/// An entry that a deletion removes.
#[derive(Debug)]
pub(super) enum ToDelete {
    /// It exists.
    There(WriteTarget),
    /// It does not exist.
    Missing,
    /// It is behind a symbolic link, at this many of the key's names.
    BehindLink(usize, PathBuf),
}

/// Walks to the entry of a key without following links.
pub(super) fn to_delete(root: &FoundDirectory, place: &KeyPath) -> Result<ToDelete, StoreError> {
    let mut at = root.try_clone()?;
    let depth = place.names().len();
    for (index, name) in place.steps().enumerate() {
        let Some((fd, stat)) = at.open_name(name)? else { return Ok(ToDelete::Missing) };
        let kind = Kind::of(&stat);
        if index + 1 == depth {
            let named = Some(Named { kind, stat });
            return Ok(ToDelete::There(WriteTarget { directory: at, name: name.to_owned(), named }));
        }
        match kind {
            Kind::Directory => at.descend(fd, name),
            Kind::Link => return Ok(ToDelete::BehindLink(index + 1, at.path.join(name))),
            // There is nothing below a file.
            Kind::File | Kind::Special => return Ok(ToDelete::Missing),
        }
    }
    Ok(ToDelete::Missing)
}

fn make_directory(at: &FoundDirectory, name: &OsStr) -> Result<(), StoreError> {
    match mkdirat(at.fd(), name, Mode::from_bits_truncate(0o777)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(failed("create directory", &at.path.join(name), &io::Error::from(errno))),
    }
}

pub(super) fn below_a_file(key: &Key) -> StoreError {
    refused(
        "write",
        key,
        "a key above it is a file, and a file has no children; remove that file first".to_owned(),
    )
}

pub(super) fn is_a_directory(key: &Key) -> StoreError {
    let why = "it is a directory, which has children and no value; write a key below it";
    refused("write", key, why.to_owned())
}

pub(super) fn behind_link(key: &Key, link: &Path) -> StoreError {
    let why = format!(
        "it is behind the symbolic link {}, and a deletion follows no link; delete the link, or the file that it \
         points to",
        link.display()
    );
    refused("delete", key, why)
}

fn leaves(key: &Key, link: &Path) -> StoreError {
    let why = format!(
        "the symbolic link {} leads out of the store; write the file that it points to, or remove the link",
        link.display()
    );
    refused("write", key, why)
}

fn dangling(key: &Key, link: &Path) -> StoreError {
    let why =
        format!("the symbolic link {} leads to nothing; remove it, or create its target", link.display());
    refused("write", key, why)
}

fn replaced(key: &Key, path: &Path) -> StoreError {
    refused("write", key, format!("{} was replaced meanwhile; try again", path.display()))
}

fn refused(what: &str, key: &Key, why: String) -> StoreError {
    StoreError::Refused { what: format!("{what} {key}"), why }
}

/// An error of a system call as a store error.
pub(super) fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    // Not `Denied`: a directory has no user or password to check.
    let why = if error.kind() == io::ErrorKind::PermissionDenied {
        "this user may not write there; run it as the user that the directory belongs to".to_owned()
    } else if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        "its file system is mounted read-only".to_owned()
    } else {
        error.to_string()
    };
    StoreError::Refused { what: format!("{what} {}", path.display()), why }
}
