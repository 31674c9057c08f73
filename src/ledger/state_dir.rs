//! The state directory: made so that nobody else can look into it, and refused where another could change what is in it.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Others may pass, to the default store in it, and see nothing.
const MODE: u32 = 0o711;

/// Makes the directory where it is missing, whatever the umask, and opens it.
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
    // A directory that was the daemon's before may have the mode of an earlier version, or of a fresh volume. One that is
    // used for something else too, such as /var, stays as it is.
    let is_ours = found.uid() == own && (is_new || is_empty(path)? || path.join("ledger").is_file());
    if is_ours && found.mode() & 0o777 & !MODE != 0 {
        let mode = found.mode() & 0o700 | 0o011;
        // On a read-only file system it stays as it is, and is judged below.
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

/// Why what is found may be changed by another account, if it may.
pub(super) fn objection(found: &Metadata, own: u32) -> Option<String> {
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    if owner != 0 && owner != own {
        return Some(format!("it belongs to user {owner}, who could change what the daemon remembers"));
    }
    (mode & 0o022 != 0).then(|| {
        format!("others can write it (mode {mode:04o}) and change what the daemon remembers; `chmod go-w` it")
    })
}

/// Opens a file of the state for reading: no link, no pipe, and nothing that another account could change.
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn the_directory_shows_others_nothing_whatever_its_mode_was() {
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
        // Also one that was used by an earlier version, but none that is used for something else.
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
