//! Opens files name by name, by descriptor: the file that was checked is the file that is read, even if names are swapped
//! meanwhile.
//!
//! Symbolic links are followed by hand, because each hop must be watched and checked. A root daemon follows a link of
//! another account only to files of the link's owner: otherwise anyone who may create a link below the store could use
//! the daemon to read files that only root may read.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::geteuid;

use crate::store::StoreError;

/// The number of links that Linux follows on one path (`path_resolution(7)`).
const MOST_LINKS: u32 = 40;

/// Device and inode.
pub(super) type FileId = (u64, u64);

/// Why a path cannot be resolved.
#[derive(Debug)]
pub(super) enum ResolveError {
    /// The problem is this entry's own: its permissions, owner, size, or a circle of links. A tree is read without it.
    Blocked(StoreError),
    /// Any other error, which may be temporary: it proves nothing.
    Failed(StoreError),
}

impl ResolveError {
    fn of(path: &Path, errno: Errno) -> Self {
        let error = refused(path, &errno.into());
        if matches!(errno, Errno::EACCES | Errno::EPERM | Errno::ENAMETOOLONG) {
            Self::Blocked(error)
        } else {
            Self::Failed(error)
        }
    }
}

impl From<ResolveError> for StoreError {
    fn from(error: ResolveError) -> Self {
        let (ResolveError::Blocked(error) | ResolveError::Failed(error)) = error;
        error
    }
}

/// What names lead to.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing, or a parent is not a directory.
    Missing,
    /// A regular file, open for reading.
    File(FoundFile),
    /// A directory.
    Directory(FoundDirectory),
    /// A socket, a device, a FIFO: not a key.
    Special(PathBuf),
}

/// A regular file, open for reading.
#[derive(Debug)]
pub(super) struct FoundFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

/// An open directory and its path without symbolic links, valid at the moment of opening.
#[derive(Debug)]
pub(super) struct FoundDirectory {
    fd: OwnedFd,
    pub(super) path: PathBuf,
}

/// The type of a directory entry, by `lstat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A socket, a device, a FIFO.
    Special,
}

impl Kind {
    pub(super) fn of(stat: &FileStat) -> Self {
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Self::File,
            SFlag::S_IFDIR => Self::Directory,
            SFlag::S_IFLNK => Self::Link,
            _ => Self::Special,
        }
    }
}

impl FoundDirectory {
    /// The root of the file system.
    pub(super) fn top() -> Result<Self, ResolveError> {
        let path = PathBuf::from("/");
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match openat(AT_FDCWD, &path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(errno) => Err(ResolveError::of(&path, errno)),
        }
    }

    /// Reopens a directory by its path without following symbolic links; `None` if the path is now another directory or
    /// missing.
    pub(super) fn again(path: &Path, identity: FileId) -> Result<Option<Self>, ResolveError> {
        // One system call: in a deep tree, one for each name would make the whole reading quadratic.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let at = match openat2(AT_FDCWD, path, how) {
            Ok(fd) => Some(Self { fd, path: path.to_path_buf() }),
            Err(errno) if is_gone(errno) => None,
            // Linux before 5.6, a sandbox that forbids the call, or a path too long for one.
            Err(Errno::ENOSYS | Errno::EPERM | Errno::ENAMETOOLONG) => Self::by_names(path)?,
            Err(errno) => return Err(ResolveError::of(path, errno)),
        };
        match at {
            Some(at) => Ok((at.identity()? == identity).then_some(at)),
            None => Ok(None),
        }
    }

    /// Opens a directory name by name, without following symbolic links.
    pub(super) fn by_names(path: &Path) -> Result<Option<Self>, ResolveError> {
        let mut at = Self::top()?;
        for name in names_of(path) {
            match at.open_name(name)? {
                Some((fd, stat)) if Kind::of(&stat) == Kind::Directory => at.descend(fd, name),
                Some(_) | None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// Its unique identity.
    pub(super) fn identity(&self) -> Result<FileId, ResolveError> {
        let stat = self.stat()?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// Its `fstat`.
    pub(super) fn stat(&self) -> Result<FileStat, ResolveError> {
        fstat(&self.fd).map_err(|errno| ResolveError::of(&self.path, errno))
    }

    /// The same in the standard library's type.
    pub(super) fn metadata(&self) -> Result<Metadata, ResolveError> {
        let failed = |error: io::Error| ResolveError::Failed(refused(&self.path, &error));
        File::from(self.fd.try_clone().map_err(failed)?).metadata().map_err(failed)
    }

    /// The sorted names in it with their types.
    pub(super) fn list(&self) -> Result<Vec<(OsString, Kind)>, ResolveError> {
        let failed = |errno| ResolveError::of(&self.path, errno);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = Dir::openat(&self.fd, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                Some(Type::File) => Kind::File,
                Some(Type::Directory) => Kind::Directory,
                Some(Type::Symlink) => Kind::Link,
                Some(Type::Fifo | Type::CharacterDevice | Type::BlockDevice | Type::Socket) => Kind::Special,
                // Some file systems do not report the type.
                None => match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(stat) => Kind::of(&stat),
                    Err(Errno::ENOENT) => continue,
                    Err(errno) => return Err(ResolveError::of(&self.path.join(name), errno)),
                },
            };
            names.push((name.to_owned(), kind));
        }
        names.sort_unstable_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
        Ok(names)
    }

    /// Opens a name that was a regular file by `lstat`; `None` if it no longer is.
    pub(super) fn open_file(&self, name: &OsStr) -> Result<Option<FoundFile>, ResolveError> {
        // Non-blocking: a FIFO that replaced the file must not block the thread.
        let flags =
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let path = self.path.join(name);
        match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => {
                let stat = fstat(&fd).map_err(|errno| ResolveError::of(&path, errno))?;
                let is_file = Kind::of(&stat) == Kind::File;
                Ok(is_file.then(|| FoundFile { file: File::from(fd), path }))
            }
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(ResolveError::of(&path, errno)),
        }
    }

    /// Opens a name as a reference (`O_PATH`) that neither reads nor follows it.
    pub(super) fn open_name(&self, name: &OsStr) -> Result<Option<(OwnedFd, FileStat)>, ResolveError> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened =
            openat(&self.fd, name, flags, Mode::empty()).and_then(|fd| fstat(&fd).map(|stat| (fd, stat)));
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(ResolveError::of(&self.path.join(name), errno)),
        }
    }

    /// Enters a directory in it.
    pub(super) fn descend(&mut self, fd: OwnedFd, name: &OsStr) {
        self.fd = fd;
        self.path.push(name);
    }

    fn ascend(&mut self) -> Result<(), ResolveError> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        self.fd = openat(&self.fd, "..", flags, Mode::empty())
            .map_err(|errno| ResolveError::of(&self.path, errno))?;
        self.path.pop();
        Ok(())
    }

    /// A second descriptor of the same directory.
    pub(super) fn try_clone(&self) -> Result<Self, ResolveError> {
        let fd = self.fd.try_clone().map_err(|error| ResolveError::Failed(refused(&self.path, &error)))?;
        Ok(Self { fd, path: self.path.clone() })
    }

    /// The descriptor.
    pub(super) fn fd(&self) -> impl AsFd {
        &self.fd
    }
}

/// A remaining step of a walk.
enum Step {
    Name(OsString),
    /// The target of a link is reached: check whether the link may be followed.
    Judge(Link),
}

/// A symbolic link on the way.
pub(super) struct Link {
    path: PathBuf,
    owner: u32,
}

impl Link {
    /// Opens a link and reads its target; `None` if it is gone.
    pub(super) fn read(
        path: PathBuf,
        (fd, stat): &(OwnedFd, FileStat),
    ) -> Result<Option<(Self, PathBuf)>, ResolveError> {
        // Its own descriptor, so that owner and target belong to the same link.
        match readlinkat(fd, "") {
            Ok(target) => Ok(Some((Self { path, owner: stat.st_uid }, target.into()))),
            Err(errno) if is_gone(errno) => Ok(None),
            Err(errno) => Err(ResolveError::of(&path, errno)),
        }
    }

    /// Whether it may be followed to the open file.
    pub(super) fn judge(&self, target: &FileStat) -> Result<(), ResolveError> {
        if !geteuid().is_root() || self.owner == 0 || self.owner == target.st_uid {
            return Ok(());
        }
        let (owner, other) = (self.owner, target.st_uid);
        Err(ResolveError::Blocked(StoreError::Refused {
            what: format!("follow the symbolic link {}", self.path.display()),
            why: format!(
                "it belongs to user {owner} and leads to what belongs to user {other}; root follows a link of \
                 another user only to what that user owns: `chown -h root` it if it is right"
            ),
        }))
    }
}

/// Counts the links of one walk.
#[derive(Debug, Default)]
pub(super) struct LinkCount(u32);

impl LinkCount {
    /// Counts one more followed link.
    pub(super) fn add(&mut self, path: &Path) -> Result<(), ResolveError> {
        self.0 += 1;
        if self.0 <= MOST_LINKS {
            return Ok(());
        }
        Err(ResolveError::Blocked(StoreError::Refused {
            what: format!("follow the symbolic link {}", path.display()),
            why: format!("more than {MOST_LINKS} links follow one another, perhaps in a circle"),
        }))
    }
}

/// Walks `names` from `start`. Before each lookup, `before` gets the directory's path and the name, and returns whether the
/// directory still exists.
pub(super) fn resolve<'a>(
    start: &FoundDirectory,
    names: impl IntoIterator<Item = &'a OsStr>,
    mut before: impl FnMut(&Path, &OsStr) -> Result<bool, ResolveError>,
) -> Result<Found, ResolveError> {
    let mut at = start.try_clone()?;
    let mut ahead: VecDeque<Step> = names.into_iter().map(|name| Step::Name(name.to_owned())).collect();
    let mut links = LinkCount::default();
    while let Some(step) = ahead.pop_front() {
        let name = match step {
            Step::Name(name) if name == ".." => {
                at.ascend()?;
                continue;
            }
            Step::Name(name) => name,
            Step::Judge(link) => {
                link.judge(&at.stat()?)?;
                continue;
            }
        };
        if !before(&at.path, &name)? {
            return Ok(Found::Missing);
        }
        let Some(opened) = at.open_name(&name)? else { return Ok(Found::Missing) };
        let path = at.path.join(&name);
        match Kind::of(&opened.1) {
            Kind::Directory => at.descend(opened.0, &name),
            Kind::Link => {
                links.add(&path)?;
                let Some((link, target)) = Link::read(path, &opened)? else { return Ok(Found::Missing) };
                if target.is_absolute() {
                    at = FoundDirectory::top()?;
                }
                ahead.push_front(Step::Judge(link));
                for name in names_of(&target).collect::<Vec<_>>().into_iter().rev() {
                    ahead.push_front(Step::Name(name.to_owned()));
                }
            }
            Kind::File => return file(&at, &name, ahead),
            Kind::Special => {
                let is_last = ahead.iter().all(|step| matches!(step, Step::Judge(_)));
                return Ok(if is_last { Found::Special(path) } else { Found::Missing });
            }
        }
    }
    Ok(Found::Directory(at))
}

/// Opens a regular file at the end of a walk, and checks the links that led to it.
fn file(at: &FoundDirectory, name: &OsStr, ahead: VecDeque<Step>) -> Result<Found, ResolveError> {
    let Some(file) = at.open_file(name)? else { return Ok(Found::Missing) };
    let stat = fstat(&file.file).map_err(|errno| ResolveError::of(&file.path, errno))?;
    for step in ahead {
        match step {
            Step::Judge(link) => link.judge(&stat)?,
            // Nothing is below a file.
            Step::Name(_) => return Ok(Found::Missing),
        }
    }
    Ok(Found::File(file))
}

/// Walks without watching anything.
pub(super) fn look<'a>(
    start: &FoundDirectory,
    names: impl IntoIterator<Item = &'a OsStr>,
) -> Result<Found, ResolveError> {
    resolve(start, names, |_, _| Ok(true))
}

/// Whether an error means that the name now refers to something else or nothing: look again instead of concluding anything.
fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO | Errno::ESTALE)
}

/// Why a path cannot be read, and what to do.
pub(super) fn refused(path: &Path, error: &io::Error) -> StoreError {
    let why = if error.kind() == io::ErrorKind::PermissionDenied {
        "permission denied; a key's file must be readable, and so must the directory that contains it"
            .to_owned()
    } else {
        error.to_string()
    };
    StoreError::Refused { what: format!("read {}", path.display()), why }
}

/// The names of a path.
pub(super) fn names_of(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}
