//! The mounts that this process sees: a mount over a directory or a file causes no inotify event there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Each line describes one mount; a change of the list is reported as exceptional by poll(2): proc(5).
const LIST: &str = "/proc/self/mountinfo";

/// One mount: where it is, and which directory or file of which file system is mounted there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Mount {
    point: PathBuf,
    id: String,
    root: String,
    device: String,
}

/// The list as it was last read. Without `/proc` it stays empty.
#[derive(Debug)]
pub(crate) struct Mounts {
    list: Option<File>,
    known: BTreeSet<Mount>,
}

impl Mounts {
    pub(crate) fn open() -> Self {
        let mut mounts = Self { list: File::open(LIST).ok(), known: BTreeSet::new() };
        mounts.changed();
        mounts
    }

    /// A second descriptor of the list, to wait on.
    pub(crate) fn descriptor(&self) -> Option<io::Result<OwnedFd>> {
        self.list.as_ref().map(|list| list.try_clone().map(OwnedFd::from))
    }

    /// Whether something is mounted at a path, which has no symbolic link.
    pub(super) fn is_point(&self, path: &Path) -> bool {
        let first = Mount {
            point: path.to_path_buf(),
            id: String::new(),
            root: String::new(),
            device: String::new(),
        };
        self.known.range(first..).next().is_some_and(|mount| mount.point == path)
    }

    /// Reads the list again; returns where mounts came or went.
    pub(crate) fn changed(&mut self) -> BTreeSet<PathBuf> {
        let Some(now) = self.list.as_mut().and_then(|list| read(list).ok()) else { return BTreeSet::new() };
        let changed = self.known.symmetric_difference(&now).map(|mount| mount.point.clone()).collect();
        self.known = now;
        changed
    }
}

fn read(list: &mut File) -> io::Result<BTreeSet<Mount>> {
    let mut text = Vec::new();
    list.rewind()?;
    list.read_to_end(&mut text)?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// `36 35 98:0 /mnt1 /mnt/parent rw,noatime master:1 - ext3 /dev/root rw`
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut text = || Some(String::from_utf8_lossy(fields.next()?).into_owned());
    let (id, _parent, device, root) = (text()?, text()?, text()?, text()?);
    let point = PathBuf::from(OsString::from_vec(unescaped(fields.next()?)));
    Some(Mount { point, id, root, device })
}

/// Spaces and the like are written as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = (first == b'\\').then(|| after.get(..3)).flatten();
        let byte = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(byte.unwrap_or(first));
        rest = if byte.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_parsed_with_any_name() {
        let line =
            br"36 35 98:0 /a\040b /mnt/with\040space\134\011\012 rw,noatime master:1 - ext3 /dev/root rw";
        let mount = parse(line).unwrap();
        assert_eq!(mount.point, Path::new("/mnt/with space\\\t\n"));
        assert_eq!((mount.id.as_str(), mount.device.as_str()), ("36", "98:0"));
        for bad in [&b""[..], b"36", b"36 35 98:0 /a"] {
            assert_eq!(parse(bad), None);
        }
        assert_eq!(unescaped(br"a\04"), br"a\04");
        assert_eq!(unescaped(br"\999"), br"\999");
    }

    #[test]
    fn the_root_is_a_mount_and_a_new_mount_is_a_change() {
        let mut mounts = Mounts::open();
        assert!(mounts.is_point(Path::new("/")));
        assert!(!mounts.is_point(Path::new("/no/such/mount")));
        mounts.known.retain(|mount| mount.point != Path::new("/"));
        assert!(mounts.changed().contains(Path::new("/")));
    }
}
