//! Decides whether a file may tell a privileged daemon what to run: only if no other account can change it or its path.
//!
//! A path is walked as the kernel walks it, symbolic links included: an account that can write one of the directories on
//! the way can redirect it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

/// As many as Linux itself follows: `path_resolution(7)`.
const MOST_LINKS: usize = 40;

/// Whose files are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Any account's: a daemon that is not root can do no more than its own user.
    Anyone,
    /// Those of root and of this user.
    Owner(u32),
}

impl Trust {
    /// For the configuration of this process: a root daemon accepts only root's files.
    pub fn of_process() -> Self {
        if nix::unistd::geteuid().is_root() { Self::Owner(0) } else { Self::Anyone }
    }

    /// For files that this process creates and relies on: only root and its own user may be able to replace them.
    pub fn own() -> Self {
        Self::Owner(nix::unistd::geteuid().as_raw())
    }

    /// Why another account could replace the file at this path, if so.
    pub fn objection(self, path: &Path) -> io::Result<Option<String>> {
        let Self::Owner(owner) = self else { return Ok(None) };
        match TrustedOpen::new(self).walk(path, owner) {
            Ok(_) => Ok(None),
            Err(OpenError::Refused(why)) => Ok(Some(why.to_string())),
            Err(OpenError::Io(error)) => Err(error),
        }
    }
}

/// Why a file is refused or not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Another account could change it.
    #[error("refused: {0}")]
    Refused(Distrust),
    /// The system reported an error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A wrong owner or mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {reason}", .path.display())]
pub(super) struct Distrust {
    pub(super) path: PathBuf,
    pub(super) reason: String,
    pub(super) help: String,
}

impl Distrust {
    fn new(path: &Path, reason: String, command: &str) -> Self {
        let place = path.display();
        let help = format!("anyone who can change it controls the daemon: `{command} '{place}'`");
        Self { path: path.to_owned(), reason, help }
    }
}

/// Opens trusted files. It caches the directories that it checked: use one for each reading.
#[derive(Debug)]
pub(super) struct TrustedOpen {
    trust: Trust,
    seen: BTreeMap<PathBuf, Metadata>,
}

impl TrustedOpen {
    pub(super) fn new(trust: Trust) -> Self {
        Self { trust, seen: BTreeMap::new() }
    }

    /// Opens a file for reading. The open file is checked, so that it cannot be replaced in between. A pipe or device is opened
    /// without waiting.
    pub(super) fn file(&mut self, path: &Path) -> Result<(File, Metadata), OpenError> {
        let flags = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC | nix::libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let opened = file.metadata()?;
        if let Trust::Owner(owner) = self.trust {
            let walked = self.walk(path, owner)?;
            if (walked.dev(), walked.ino()) != (opened.dev(), opened.ino()) {
                return Err(OpenError::Io(io::Error::other("it was replaced while it was being opened")));
            }
            distrust(path, &opened, owner).map_or(Ok(()), |why| Err(OpenError::Refused(why)))?;
        }
        Ok((file, opened))
    }

    /// Checks a directory and the way to it.
    pub(super) fn directory(&mut self, path: &Path) -> Result<(), OpenError> {
        let Trust::Owner(owner) = self.trust else { return Ok(()) };
        let found = self.walk(path, owner)?;
        // Each file in a sticky directory is checked by its own owner.
        let why = distrust(path, &found, owner).filter(|_| !is_sticky(&found, owner));
        why.map_or(Ok(()), |why| Err(OpenError::Refused(why)))
    }

    /// Whether the files of a directory may be looked at, and why not. One that cannot be judged is left to whoever
    /// reads it.
    pub(super) fn enter(&mut self, path: &Path) -> Result<(), String> {
        match self.directory(path) {
            Err(OpenError::Refused(why)) => Err(format!("{why}; {}", why.help)),
            Err(OpenError::Io(_)) | Ok(()) => Ok(()),
        }
    }

    /// Follows a path from the root, and refuses it at the first step that another account could change. What is at
    /// its end is not judged.
    fn walk(&mut self, path: &Path, owner: u32) -> Result<Metadata, OpenError> {
        let absolute = std::path::absolute(path)?;
        let mut rest: Vec<OsString> = steps(&absolute);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(step) = rest.pop() {
            let directory = self.look(&at)?;
            if step == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&step);
            let entry = self.look(&next)?;
            if let Some(why) = distrust(&at, &directory, owner) {
                // In a sticky directory an account can replace only its own files.
                let why = if is_sticky(&directory, owner) {
                    distrust_owner(&next, &entry, owner)
                } else {
                    Some(why)
                };
                why.map_or(Ok(()), |why| Err(OpenError::Refused(why)))?;
            }
            if !entry.file_type().is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(OpenError::Io(io::Error::other("too many symbolic links")));
            }
            let to = std::fs::read_link(&next)?;
            if to.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(steps(&to));
        }
        self.look(&at)
    }

    fn look(&mut self, path: &Path) -> Result<Metadata, OpenError> {
        if let Some(seen) = self.seen.get(path) {
            return Ok(seen.clone());
        }
        let found = std::fs::symlink_metadata(path)?;
        if found.is_dir() {
            self.seen.insert(path.to_owned(), found.clone());
        }
        Ok(found)
    }
}

/// The names of a path, last first.
fn steps(path: &Path) -> Vec<OsString> {
    let mut steps: Vec<OsString> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .collect();
    steps.reverse();
    steps
}

fn owned(found: &Metadata, owner: u32) -> bool {
    found.uid() == owner || found.uid() == 0
}

/// Whether this is a directory in which only its trusted owner can replace files of others.
fn is_sticky(found: &Metadata, owner: u32) -> bool {
    found.is_dir() && found.mode() & 0o1000 != 0 && owned(found, owner)
}

/// Whether the mount is read-only: modes do not count there. Kubernetes mounts a `ConfigMap` this way, with mode 0777.
fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_RDONLY))
}

fn distrust_owner(path: &Path, found: &Metadata, owner: u32) -> Option<Distrust> {
    let expected = if owner == 0 { "root".to_owned() } else { format!("root or user {owner}") };
    let reason = format!("belongs to user {}, and only {expected} may own it", found.uid());
    (!owned(found, owner)).then(|| Distrust::new(path, reason, &format!("chown {owner}")))
}

fn distrust(path: &Path, found: &Metadata, owner: u32) -> Option<Distrust> {
    let mode = found.mode() & 0o7777;
    let by_mode = if mode & 0o002 != 0 {
        Some((format!("is writable by everyone (mode {mode:04o})"), "chmod o-w"))
    } else if mode & 0o020 != 0 {
        Some((format!("is writable by group {} (mode {mode:04o})", found.gid()), "chmod g-w"))
    } else {
        None
    };
    let by_mode = by_mode.filter(|_| !is_read_only(path));
    distrust_owner(path, found, owner)
        .or_else(|| by_mode.map(|(reason, command)| Distrust::new(path, reason, command)))
}

#[cfg(test)]
mod tests;
