//! Inline programs in private files, each readable and executable by one account only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::unistd::geteuid;
use sha2::{Digest as _, Sha256};

use super::SpawnError;
use crate::watch::Account;

/// The owner may read it (an interpreter does) and execute it. A changed text gets a new file.
const MODE: u32 = 0o500;

/// The directory of the script files.
#[derive(Debug, Clone)]
pub struct Scripts {
    directory: PathBuf,
    uses: Arc<Mutex<Uses>>,
}

/// Files in use, which must not be deleted.
#[derive(Debug, Default)]
struct Uses {
    /// Number of holders of each file.
    held: BTreeMap<PathBuf, usize>,
    /// Files to delete when their last holder is gone.
    unwanted: BTreeSet<PathBuf>,
}

/// A script's file, which is not deleted while this lives. A run holds it until its end, because an interpreter opens
/// the file some time after the run has started.
#[derive(Debug)]
pub struct Script {
    path: PathBuf,
    uses: Arc<Mutex<Uses>>,
}

impl Script {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let mut uses = lock(&self.uses);
        let Some(count) = uses.held.get_mut(&self.path) else { return };
        *count -= 1;
        if *count == 0 {
            uses.held.remove(&self.path);
            if uses.unwanted.remove(&self.path) {
                let _ = fs::remove_file(&self.path);
            }
        }
    }
}

fn lock(uses: &Mutex<Uses>) -> MutexGuard<'_, Uses> {
    uses.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scripts {
    /// Scripts below `<state_dir>/scripts`, which is created when the first one is written. Users other than the daemon's
    /// must be able to traverse `state_dir` (mode 0711).
    pub fn new(state_dir: &Path) -> Self {
        Self { directory: state_dir.join("scripts"), uses: Arc::default() }
    }

    /// The path of a script with this text for this account; its name is a hash of both.
    pub fn path(&self, text: &str, account: &Account) -> PathBuf {
        let hash = Sha256::digest(text.as_bytes());
        let start = hash.iter().take(16).fold(0u128, |start, byte| start << 8 | u128::from(*byte));
        self.directory.join(format!("{start:032x}-{}-{}", account.uid, account.gid))
    }

    /// Ensures that the file exists with the right text, owner and mode. Its owner can change it, so it is compared before
    /// each use.
    pub fn ensure(&self, text: &str, account: &Account) -> Result<Script, SpawnError> {
        // Hold it before checking, so that it is not deleted in between.
        let script = self.hold(self.path(text, account));
        let path = script.path();
        if !is_right(path, text, account) {
            self.write(path, text, account).map_err(|error| {
                SpawnError::preparing(format!("write the script to {}", path.display()), &error)
            })?;
        }
        Ok(script)
    }

    /// Deletes all files but these. A file in use is deleted when its last run ends; one that cannot be deleted stays.
    pub fn retain(&self, keep: &BTreeSet<PathBuf>) {
        lock(&self.uses).unwanted.clear();
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| !keep.contains(path)) {
            let mut uses = lock(&self.uses);
            if uses.held.contains_key(&path) {
                uses.unwanted.insert(path);
            } else {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn hold(&self, path: PathBuf) -> Script {
        *lock(&self.uses).held.entry(path.clone()).or_default() += 1;
        Script { path, uses: Arc::clone(&self.uses) }
    }

    fn write(&self, path: &Path, text: &str, account: &Account) -> io::Result<()> {
        match DirBuilder::new().mode(0o711).create(&self.directory) {
            // The daemon's umask may have removed the permission to traverse.
            Ok(()) => fs::set_permissions(&self.directory, Permissions::from_mode(0o711))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let (file, unfinished) = self.create()?;
        let written = fill(file, text, account).and_then(|()| fs::rename(unfinished.path(), path));
        if written.is_err() {
            let _ = fs::remove_file(unfinished.path());
        }
        written
    }

    /// A new file under an unused name.
    fn create(&self) -> io::Result<(File, Script)> {
        let mut number = 0u32;
        loop {
            let unfinished =
                self.hold(self.directory.join(format!(".unfinished-{}-{number}", std::process::id())));
            let mut options = OpenOptions::new();
            match options.write(true).create_new(true).mode(0o600).open(unfinished.path()) {
                Ok(file) => return Ok((file, unfinished)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Consumes the file, so that it is closed before it is executed (ETXTBSY).
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

#[cfg(test)]
mod tests {
    use super::*;

    fn own_account() -> Account {
        let (uid, gid) = (geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Account { uid, gid, groups: None, user: "own".into(), home: "/".into(), shell: "/bin/sh".into() }
    }

    #[test]
    fn a_script_in_use_is_deleted_when_its_last_run_ends() {
        let place = tempfile::tempdir().unwrap();
        let (scripts, account) = (Scripts::new(place.path()), own_account());
        let ensure = || scripts.ensure("#!/bin/sh\n", &account).unwrap();
        let (first, second) = (ensure(), ensure());
        let path = first.path().to_owned();
        let nothing = BTreeSet::new();
        scripts.retain(&nothing);
        drop(first);
        assert!(path.exists(), "the second run may not have opened it yet");
        drop(second);
        assert!(!path.exists());

        let wanted_again = ensure();
        scripts.retain(&nothing);
        scripts.retain(&BTreeSet::from([path.clone()]));
        drop(wanted_again);
        assert!(path.exists(), "a later configuration uses it");
        scripts.retain(&nothing);
        assert!(!path.exists());
    }

    /// A reload deletes scripts again and again while runs start.
    #[test]
    fn a_script_exists_until_its_run_ends_despite_concurrent_deletions() {
        let place = tempfile::tempdir().unwrap();
        let (scripts, account) = (Scripts::new(place.path()), own_account());
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    scripts.retain(&BTreeSet::new());
                }
            });
            let missing = (0..2000).filter(|number| {
                let text = format!("#!/bin/sh\n# {}\n", number % 3);
                !scripts.ensure(&text, &account).is_ok_and(|script| script.path().exists())
            });
            let missing = missing.count();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(missing, 0);
        });
    }
}
