//! Whether a file may tell a privileged daemon what to run: nobody but its owner may be able to change it, or the
//! way to it.
//!
//! A path is walked as the kernel walks it, symbolic links included: every directory that is passed and every
//! link that is followed could lead somewhere else tomorrow if somebody else may write there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// As many as Linux itself follows: `path_resolution(7)`.
const MOST_LINKS: usize = 40;

/// Whose files are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Everybody's: a daemon that is not root can do no more than who writes its files lets it.
    Anyone,
    /// Root's and this user's.
    Owner(u32),
}

impl Trust {
    /// What this process has to ask for: as root, that the files are root's.
    pub fn of_process() -> Self {
        if nix::unistd::geteuid().is_root() { Self::Owner(0) } else { Self::Anyone }
    }
}

/// Why something is not believed or not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// It could be changed by somebody else.
    #[error("refused: {0}")]
    Refused(Distrust),
    /// The system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is wrong with an owner or a mode.
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
        let help = format!("who can write it could have the daemon run anything: `{command} '{place}'`");
        Self { path: path.to_owned(), reason, help }
    }
}

/// Opens what may be believed; remembers what it saw of directories for as long as it lives, which is one reload.
#[derive(Debug)]
pub(super) struct TrustedOpen {
    trust: Trust,
    seen: BTreeMap<PathBuf, Metadata>,
}

impl TrustedOpen {
    pub(super) fn new(trust: Trust) -> Self {
        Self { trust, seen: BTreeMap::new() }
    }

    /// Opens a file for reading: first opened, then looked at, so that nobody can swap it in between. A pipe or
    /// device is not waited for.
    pub(super) fn file(&mut self, path: &Path) -> Result<(File, Metadata), OpenError> {
        let flags = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC | nix::libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let opened = file.metadata()?;
        if let Trust::Owner(owner) = self.trust {
            let walked = self.walk(path, owner)?;
            if (walked.dev(), walked.ino()) != (opened.dev(), opened.ino()) {
                return Err(OpenError::Io(io::Error::other("it was replaced while it was opened")));
            }
            distrust(path, &opened, owner).map_or(Ok(()), |why| Err(OpenError::Refused(why)))?;
        }
        Ok((file, opened))
    }

    /// Checks a directory and the way to it.
    pub(super) fn directory(&mut self, path: &Path) -> Result<(), OpenError> {
        let Trust::Owner(owner) = self.trust else { return Ok(()) };
        let found = self.walk(path, owner)?;
        distrust(path, &found, owner).map_or(Ok(()), |why| Err(OpenError::Refused(why)))
    }

    /// Follows a path from the root, and refuses at the first step that somebody else could change. What is at
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
                // In a sticky directory nobody can replace what belongs to another.
                let sticky = directory.mode() & 0o1000 != 0 && owned(&directory, owner);
                let why = if sticky { distrust_owner(&next, &entry, owner) } else { Some(why) };
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

fn distrust_owner(path: &Path, found: &Metadata, owner: u32) -> Option<Distrust> {
    let expected = if owner == 0 { "root".to_owned() } else { format!("root or user {owner}") };
    let reason = format!("belongs to user {}, and only {expected} may own it", found.uid());
    (!owned(found, owner)).then(|| Distrust::new(path, reason, &format!("chown {owner}")))
}

fn distrust(path: &Path, found: &Metadata, owner: u32) -> Option<Distrust> {
    let mode = found.mode() & 0o7777;
    let by_mode = if mode & 0o002 != 0 {
        Some((format!("can be written by everybody (mode {mode:04o})"), "chmod o-w"))
    } else if mode & 0o020 != 0 {
        Some((format!("can be written by group {} (mode {mode:04o})", found.gid()), "chmod g-w"))
    } else {
        None
    };
    distrust_owner(path, found, owner)
        .or_else(|| by_mode.map(|(reason, command)| Distrust::new(path, reason, command)))
}

#[cfg(test)]
mod tests;
