//! Lists a configuration directory recursively, and decides which of its entries are watch files.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::stall::{Progress, UNANSWERED};

/// Deepest nesting of directories, links included. Deeper nesting is a mistake, and paths must stay bounded.
const DEEPEST: usize = 32;
/// Directories and watch files, at most: a link to `/` by mistake must not hold up a reload.
const MOST_DIRECTORIES: usize = 10_000;
const MOST_FILES: usize = 100_000;

/// The content of a configuration directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Watch files, whether or not they can be read.
    pub(super) files: BTreeSet<PathBuf>,
    /// Directories that could not be read, and why.
    pub(super) unreadable: Vec<(PathBuf, String)>,
    /// Files that are passed over and have a name like one that would not be.
    pub(super) lookalikes: BTreeSet<PathBuf>,
    /// The directory itself is not there.
    pub(super) missing: bool,
}

/// Whether a directory entry with this name is a watch file: `*.toml`, but not hidden, and not a leftover of an editor or a
/// package manager.
pub(super) fn is_watch_file(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !is_ignored(name) && name.ends_with(b".toml")
}

/// Whether a file that is no watch file was most likely meant to be one, by its name.
fn looks_like_watch_file(name: &OsStr) -> bool {
    let Some(extension) = Path::new(name).extension().and_then(OsStr::to_str) else { return false };
    let extension = extension.to_lowercase();
    !is_watch_file(name) && (extension == "twc" || strsim::damerau_levenshtein(&extension, "toml") <= 1)
}

/// Hidden names (`.#x`, `.x.swp` and Kubernetes' `..data` among them), and leftovers.
pub(super) fn is_ignored(name: &[u8]) -> bool {
    name.starts_with(b".")
        || name.starts_with(b"#")
        || name.ends_with(b"~")
        || [&b".dpkg-"[..], b".rpmnew", b".rpmsave", b".rpmorig", b".ucf-"]
            .iter()
            .any(|part| find(name, part))
        || [&b".swp"[..], b".bak", b".orig"].iter().any(|end| name.ends_with(end))
}

fn find(name: &[u8], part: &[u8]) -> bool {
    name.windows(part.len()).any(|window| window == part)
}

/// Says whether a directory may be read, and is told before it is: what is put into it later is noticed by whoever
/// watches it from then on. An error is the reason why it may not.
pub(super) type Enter<'a> = &'a mut dyn FnMut(&Path) -> Result<(), String>;

/// Lists a directory. Each directory is read once, however many links lead to it: links are followed when all that is
/// below the root without them has been read.
pub(super) fn list(root: &Path, progress: &Progress, enter: Enter<'_>) -> Listing {
    let mut walk = Walk { listing: Listing::default(), seen: BTreeSet::new(), linked: VecDeque::new() };
    let mut ahead = vec![(root.to_owned(), 0)];
    while let Some((directory, depth)) = ahead.pop().or_else(|| walk.linked.pop_front()) {
        if walk.seen.len() >= MOST_DIRECTORIES || walk.listing.files.len() >= MOST_FILES {
            let why = format!(
                "more than {MOST_DIRECTORIES} directories or {MOST_FILES} files are below {}",
                root.display()
            );
            walk.listing.unreadable.push((directory, why));
            break;
        }
        match walk.read(&directory, depth, progress, enter) {
            Ok(below) => ahead.extend(below.into_iter().rev().map(|path| (path, depth + 1))),
            // Removed since its parent was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => {}
            Err(error) => walk.listing.unreadable.push((directory, error.to_string())),
        }
    }
    let mut listing = walk.listing;
    if let [(path, _)] = &listing.unreadable[..]
        && path == root
        && progress.may_touch(root)
        && matches!(fs::metadata(root), Err(error) if error.kind() == io::ErrorKind::NotFound)
    {
        listing.missing = true;
        listing.unreadable.clear();
    }
    listing
}

struct Walk {
    listing: Listing,
    /// Directories that were read, by device and inode.
    seen: BTreeSet<(u64, u64)>,
    /// Symbolic links to directories, with their depth.
    linked: VecDeque<(PathBuf, usize)>,
}

impl Walk {
    /// Reads a directory and returns those in it, in order.
    fn read(
        &mut self,
        directory: &Path,
        depth: usize,
        progress: &Progress,
        enter: Enter<'_>,
    ) -> io::Result<Vec<PathBuf>> {
        if !progress.may_touch(directory) {
            return Err(io::Error::other(UNANSWERED));
        }
        let found = fs::metadata(directory)?;
        if !self.seen.insert((found.dev(), found.ino())) {
            return Ok(Vec::new());
        }
        if depth >= DEEPEST {
            let why = format!("directories stand in each other at most {DEEPEST} deep");
            return Err(io::Error::other(why));
        }
        enter(directory).map_err(io::Error::other)?;
        let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut below = Vec::new();
        for entry in entries {
            let name = entry.file_name();
            if is_ignored(name.as_bytes()) {
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                below.push(path);
            } else if kind.is_symlink() && Self::leads_to_directory(&path, progress) {
                self.linked.push_back((path, depth + 1));
            } else if is_watch_file(&name) {
                // Also a link to nothing: that is reported when it is opened.
                self.listing.files.insert(path);
            } else if kind.is_file() && looks_like_watch_file(&name) {
                self.listing.lookalikes.insert(path);
            }
        }
        Ok(below)
    }

    fn leads_to_directory(path: &Path, progress: &Progress) -> bool {
        progress.may_touch(path) && fs::metadata(path).is_ok_and(|found| found.is_dir())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(root: &Path) -> Listing {
        list(root, &Progress::default(), &mut |_| Ok(()))
    }

    #[test]
    fn leftovers_are_no_watch_files() {
        for name in ["a.toml", "a.b.toml", "ä.toml", "web@17.toml"] {
            assert!(is_watch_file(name.as_ref()), "{name}");
        }
        for name in [
            "a",
            "a.conf",
            "a.toml~",
            ".a.toml",
            ".#a.toml",
            "#a.toml#",
            "a.toml.dpkg-new",
            "a.dpkg-dist.toml",
            "a.toml.rpmnew",
            "a.toml.rpmsave",
            ".a.toml.swp",
            "a.toml.swp",
            "..data",
            "a.toml.ucf-old",
            "a.TOML",
        ] {
            assert!(!is_watch_file(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn names_that_look_like_mistakes_are_told_apart() {
        for name in ["a.tml", "a.TOML", "a.Toml", "a.twc", "a.tolm", "a.toml1", "a.tomll"] {
            assert!(looks_like_watch_file(name.as_ref()), "{name}");
        }
        for name in [
            "a.toml",
            "a",
            "toml",
            "a.conf",
            "a.txt",
            "a.yaml",
            "a.json",
            "a.toml.off",
            "README.md",
            "a.html",
        ] {
            assert!(!looks_like_watch_file(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn links_are_followed_once_and_hidden_directories_are_not_read() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path();
        for directory in ["sub/deeper", "..2024_1", ".hidden"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for file in
            ["a.toml", "sub/deeper/b.toml", "..2024_1/c.toml", ".hidden/d.toml", "twitcher.conf", "sub/x.tml"]
        {
            fs::write(root.join(file), "").unwrap();
        }
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, root.join(name)).unwrap();
        link("..2024_1", "..data");
        link("..data/c.toml", "c.toml");
        link("..", "sub/loop");
        link("sub", "same");
        link("nowhere", "lost.toml");
        link("nowhere", "lost");
        let listing = all(root);
        let names: Vec<String> = listing
            .files
            .iter()
            .map(|path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a.toml", "c.toml", "lost.toml", "sub/deeper/b.toml"]);
        assert_eq!(listing.unreadable, []);
        let lookalikes: Vec<_> =
            listing.lookalikes.iter().filter_map(|path| path.strip_prefix(root).ok()).collect();
        assert_eq!(lookalikes, [Path::new("sub/x.tml")]);
    }

    #[test]
    fn a_directory_that_is_not_there_is_missing_and_not_unreadable() {
        let top = tempfile::tempdir().unwrap();
        let listing = all(&top.path().join("none"));
        assert_eq!(listing, Listing { missing: true, ..Listing::default() });
        fs::write(top.path().join("file"), "").unwrap();
        let listing = all(&top.path().join("file"));
        assert!(!listing.missing && listing.unreadable.len() == 1, "{listing:?}");
    }

    #[test]
    fn a_mesh_of_links_costs_each_directory_once_and_a_refused_one_nothing() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path();
        for one in 0..12 {
            fs::create_dir(root.join(format!("d{one}"))).unwrap();
            fs::write(root.join(format!("d{one}/w.toml")), "").unwrap();
            for other in 0..12 {
                let to = format!("../d{other}");
                std::os::unix::fs::symlink(to, root.join(format!("d{one}/l{other}"))).unwrap();
            }
        }
        let mut entered = Vec::new();
        let listing = list(root, &Progress::default(), &mut |directory| {
            entered.push(directory.to_owned());
            if directory.ends_with("d3") { Err("not this one".to_owned()) } else { Ok(()) }
        });
        assert_eq!(entered.len(), 13);
        assert_eq!(listing.files.len(), 11);
        assert_eq!(listing.unreadable, [(root.join("d3"), "not this one".to_owned())]);
    }
}
