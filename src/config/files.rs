//! Lists a configuration directory recursively, and decides which of its entries are watch files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::stall::{Progress, UNANSWERED};

/// Deepest nesting of directories, links included. Deeper nesting is a mistake, and paths must stay bounded.
const DEEPEST: usize = 32;

/// The content of a configuration directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Watch files, whether or not they can be read.
    pub(super) files: BTreeSet<PathBuf>,
    /// Directories that were read.
    pub(super) directories: BTreeSet<PathBuf>,
    /// Directories that could not be read, and why.
    pub(super) unreadable: Vec<(PathBuf, String)>,
    /// The directory itself does not exist.
    pub(super) missing: bool,
}

/// Whether a directory entry with this name is a watch file: `*.toml`, but not hidden, and not a leftover of an editor or a
/// package manager.
pub(super) fn is_watch_file(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !is_ignored(name) && name.ends_with(b".toml")
}

/// Hidden names (such as `.#x`, `.x.swp` and Kubernetes' `..data`), and leftovers.
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

/// Lists a directory. A directory that is reached through a link is read like any other, but never inside of
/// itself.
pub(super) fn list(root: &Path, progress: &Progress) -> Listing {
    let mut listing = Listing::default();
    descend(root, &mut Vec::new(), &mut listing, progress);
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

fn descend(directory: &Path, above: &mut Vec<(u64, u64)>, listing: &mut Listing, progress: &Progress) {
    match read(directory, above, progress) {
        Ok(None) => {}
        Ok(Some((identity, entries))) => {
            listing.directories.insert(directory.to_owned());
            above.push(identity);
            for (path, is_directory) in entries {
                if is_directory {
                    descend(&path, above, listing, progress);
                } else {
                    listing.files.insert(path);
                }
            }
            above.pop();
        }
        // Removed since its parent was read.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !above.is_empty() => {}
        Err(error) => listing.unreadable.push((directory.to_owned(), error.to_string())),
    }
}

type Entries = ((u64, u64), Vec<(PathBuf, bool)>);

fn read(directory: &Path, above: &[(u64, u64)], progress: &Progress) -> io::Result<Option<Entries>> {
    if !progress.may_touch(directory) {
        return Err(io::Error::other(UNANSWERED));
    }
    let found = fs::metadata(directory)?;
    let identity = (found.dev(), found.ino());
    if above.contains(&identity) {
        return Ok(None);
    }
    if above.len() >= DEEPEST {
        return Err(io::Error::other(format!("directories stand in each other at most {DEEPEST} deep")));
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_ignored(name.as_bytes()) {
            continue;
        }
        let path = entry.path();
        let mut kind = entry.file_type()?;
        if kind.is_symlink() {
            let found = if progress.may_touch(&path) {
                fs::metadata(&path)
            } else {
                Err(io::Error::other(UNANSWERED))
            };
            match found {
                Ok(found) => kind = found.file_type(),
                // A link to nothing that is named like a watch file is reported when it is opened.
                Err(_) if is_watch_file(&name) => {}
                Err(_) => continue,
            }
        }
        if kind.is_dir() || is_watch_file(&name) {
            entries.push((path, kind.is_dir()));
        }
    }
    Ok(Some((identity, entries)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn links_are_followed_once_and_hidden_directories_are_not_read() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path();
        for directory in ["sub/deeper", "..2024_1", ".hidden"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for file in ["a.toml", "sub/deeper/b.toml", "..2024_1/c.toml", ".hidden/d.toml", "twitcher.conf"] {
            fs::write(root.join(file), "").unwrap();
        }
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, root.join(name)).unwrap();
        link("..2024_1", "..data");
        link("..data/c.toml", "c.toml");
        link("..", "sub/loop");
        link("sub", "same");
        link("nowhere", "lost.toml");
        link("nowhere", "lost");
        let listing = list(root, &Progress::default());
        let names: Vec<String> = listing
            .files
            .iter()
            .map(|path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a.toml", "c.toml", "lost.toml", "same/deeper/b.toml", "sub/deeper/b.toml"]);
        assert_eq!(listing.unreadable, []);
    }

    #[test]
    fn a_directory_that_is_not_there_is_missing_and_not_unreadable() {
        let top = tempfile::tempdir().unwrap();
        let listing = list(&top.path().join("none"), &Progress::default());
        assert_eq!(listing, Listing { missing: true, ..Listing::default() });
        fs::write(top.path().join("file"), "").unwrap();
        let listing = list(&top.path().join("file"), &Progress::default());
        assert!(!listing.missing && listing.unreadable.len() == 1, "{listing:?}");
    }
}
