//! The state directory: created private, and refused if another account could change its contents.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Others may traverse it, to reach the default store below, but not list it.
const MODE: u32 = 0o711;

/// Creates the directory if it is missing, whatever the umask, and opens it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above)?;
    }
    let is_new = match DirBuilder::new().mode(MODE).create(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_DIRECTORY | nix::libc::O_CLOEXEC)
        .open(path)?;
    let mut found = directory.metadata()?;
    let own = nix::unistd::geteuid().as_raw();
    // An existing directory of the daemon may have the mode of an earlier version, or of a fresh volume. A directory that is
    // also used for other things, such as /var, keeps its mode.
    let is_ours = found.uid() == own && (is_new || is_empty(path)? || path.join("ledger").is_file());
    if is_ours && found.mode() & 0o777 & !MODE != 0 {
        let mode = found.mode() & 0o700 | 0o011;
        // On a read-only file system the mode stays, and is checked below.
        let _ = directory.set_permissions(Permissions::from_mode(mode));
        found = directory.metadata()?;
    }
    match objection(&found, own) {
        Some(why) => Err(io::Error::other(why)),
        None => Ok(directory),
    }
}

fn is_empty(path: &Path) -> io::Result<bool> {
    Ok(std::fs::read_dir(path)?.next().is_none())
}

/// Why another account may change the directory or file, if so.
pub(super) fn objection(found: &Metadata, own: u32) -> Option<String> {
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    if owner != 0 && owner != own {
        return Some(format!("it belongs to user {owner}, who could change the daemon's records"));
    }
    (mode & 0o022 != 0).then(|| {
        format!("others can write it (mode {mode:04o}) and so change the daemon's records; `chmod go-w` it")
    })
}

/// Opens the directory as it is, if no other account could change its contents.
pub(super) fn judged(path: &Path) -> io::Result<File> {
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_DIRECTORY | nix::libc::O_CLOEXEC)
        .open(path)?;
    match objection(&directory.metadata()?, nix::unistd::geteuid().as_raw()) {
        Some(why) => Err(io::Error::other(why)),
        None => Ok(directory),
    }
}

/// Opens a state file for reading: no symbolic link, no pipe, and nothing that another account could change.
pub(super) fn read(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    match objection(&found, nix::unistd::geteuid().as_raw()) {
        Some(why) => Err(io::Error::other(why)),
        None => Ok(file),
    }
}

/// Replaces the content of a file of the daemon. A crash or a power failure leaves the old one or the new one.
pub(super) fn replace(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let beside = directory.join(format!("{name}.new"));
    let open = || {
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o600);
        options
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC)
            .open(&beside)
    };
    let put = |mut file: File| {
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        std::fs::rename(&beside, directory.join(name))
    };
    open().and_then(put).inspect_err(|_| {
        // On a full disk the failed attempt must not take the last free space.
        let _ = std::fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn the_directory_is_made_unreadable_for_others() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("above/state");
        open(&state).unwrap();
        assert_eq!(mode(&state), 0o711);
        for (before, after) in
            [(0o755, 0o711), (0o777, 0o711), (0o775, 0o711), (0o700, 0o700), (0o711, 0o711)]
        {
            fs::set_permissions(&state, Permissions::from_mode(before)).unwrap();
            open(&state).unwrap();
            assert_eq!(mode(&state), after, "{before:o}");
        }
        // That includes one of an earlier version, but not one that is used for other things.
        fs::write(state.join("ledger"), "").unwrap();
        fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        open(&state).unwrap();
        assert_eq!(mode(&state), 0o711);
        let above = place.path().join("above");
        fs::set_permissions(&above, Permissions::from_mode(0o755)).unwrap();
        open(&above).unwrap();
        assert_eq!(mode(&above), 0o755);
    }

    #[test]
    fn a_directory_or_file_that_others_can_change_is_refused() {
        assert!(nix::unistd::geteuid().is_root(), "this test changes owners: run it as root");
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("other"), "").unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o1777)).unwrap();
        let refused = open(place.path()).unwrap_err().to_string();
        assert!(refused.contains("others can write it (mode 1777)"), "{refused}");
        let state = place.path().join("state");
        open(&state).unwrap();
        chown(&state, Some(4321), None).unwrap();
        let refused = open(&state).unwrap_err().to_string();
        assert!(refused.contains("belongs to user 4321"), "{refused}");

        let file = place.path().join("file");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        read(&file).unwrap();
        symlink(&file, place.path().join("link")).unwrap();
        read(&place.path().join("link")).unwrap_err();
        chown(&file, Some(4321), None).unwrap();
        read(&file).unwrap_err();
        nix::unistd::mkfifo(&place.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        read(&place.path().join("fifo")).unwrap_err();
    }
}
