//! Inline programs in private files: written for one account, readable and executable for nobody else.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use sha2::{Digest as _, Sha256};

use super::SpawnError;
use crate::watch::Account;

/// Owner may read (an interpreter does) and execute; nobody may write, which a change makes anew.
const MODE: u32 = 0o500;

/// The directory of the script files.
#[derive(Debug, Clone)]
pub struct Scripts {
    directory: PathBuf,
}

impl Scripts {
    /// Scripts below `<state_dir>/scripts`, which is made when the first one is written. Users other than
    /// the daemon's must be able to pass through `state_dir` (mode 0711).
    pub fn new(state_dir: &Path) -> Self {
        Self { directory: state_dir.join("scripts") }
    }

    /// Where a script of this text is for this account: the name is made of both.
    pub fn path(&self, text: &str, account: &Account) -> PathBuf {
        let hash = Sha256::digest(text.as_bytes());
        let start = hash.iter().take(16).fold(0u128, |start, byte| start << 8 | u128::from(*byte));
        self.directory.join(format!("{start:032x}-{}-{}", account.uid, account.gid))
    }

    /// Makes sure that the file is there and right, and says where. Its owner could have changed it: so it
    /// is compared before each use.
    pub fn ensure(&self, text: &str, account: &Account) -> Result<PathBuf, SpawnError> {
        let path = self.path(text, account);
        if is_right(&path, text, account) {
            return Ok(path);
        }
        self.write(&path, text, account)
            .map_err(|error| SpawnError::before(format!("write the script to {}", path.display()), error))?;
        Ok(path)
    }

    /// Deletes all files but these; what cannot be deleted is left.
    pub fn retain(&self, keep: &BTreeSet<PathBuf>) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| !keep.contains(path)) {
            let _ = fs::remove_file(path);
        }
    }

    fn write(&self, path: &Path, text: &str, account: &Account) -> io::Result<()> {
        match DirBuilder::new().mode(0o711).create(&self.directory) {
            // The mask of the daemon may have taken away what others need to get in.
            Ok(()) => fs::set_permissions(&self.directory, Permissions::from_mode(0o711))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let (file, unfinished) = self.create()?;
        let written = fill(file, text, account).and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// A new file under a name that nobody uses.
    fn create(&self) -> io::Result<(File, PathBuf)> {
        let mut number = 0u32;
        loop {
            let path = self.directory.join(format!(".unfinished-{}-{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes the file along, so that it is closed before anybody executes it (ETXTBSY).
fn fill(mut file: File, text: &str, account: &Account) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    if account.uid != geteuid().as_raw() {
        fchown(&file, Some(account.uid), Some(account.gid))?;
    }
    file.set_permissions(Permissions::from_mode(MODE))
}

fn is_right(path: &Path, text: &str, account: &Account) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else { return false };
    found.is_file()
        && found.uid() == account.uid
        && found.mode() & 0o7777 == MODE
        && found.len() == text.len() as u64
        && fs::read(path).is_ok_and(|bytes| bytes == text.as_bytes())
}
