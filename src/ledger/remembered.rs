//! The last valid settings in the state directory, for a start with a bad `twitcher.conf`.
//!
//! What the text means is up to `config`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::state_dir;

const NAME: &str = "settings";
/// The most that is read; no configuration file is longer.
const LONGEST: u64 = 2 << 20;

/// The file with the settings.
pub fn path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// The text that was written last, if the directory and the file are the daemon's own. Nothing is created.
pub fn read(directory: &Path) -> io::Result<Option<String>> {
    let file = match state_dir::judged(directory).and_then(|_| state_dir::read(&path(directory))) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Replaces the text. A crash or a power failure leaves the old one or the new one.
pub fn write(directory: &Path, text: &str) -> io::Result<()> {
    state_dir::replace(directory, NAME, text)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_text_is_replaced_and_only_the_daemon_can_read_it() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(read(place.path()).unwrap(), None);
        assert_eq!(read(&place.path().join("none")).unwrap(), None);
        for text in ["one", "two\n"] {
            write(place.path(), text).unwrap();
            assert_eq!(read(place.path()).unwrap().as_deref(), Some(text));
        }
        assert_eq!(fs::metadata(path(place.path())).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn no_link_is_followed_and_what_others_can_change_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        let (outside, state) = (place.path().join("outside"), place.path().join("state"));
        fs::create_dir(&state).unwrap();
        fs::write(&outside, "outside").unwrap();
        fs::set_permissions(&outside, Permissions::from_mode(0o600)).unwrap();
        symlink(&outside, path(&state)).unwrap();
        read(&state).unwrap_err();
        symlink(&outside, state.join("settings.new")).unwrap();
        write(&state, "text").unwrap_err();
        assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
        // The link was removed, so that the next attempt succeeds, and replaces the other link.
        write(&state, "text").unwrap();
        assert_eq!(
            (read(&state).unwrap().as_deref(), fs::read_to_string(&outside).unwrap().as_str()),
            (Some("text"), "outside")
        );
        fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
        read(&state).unwrap_err();
    }
}
