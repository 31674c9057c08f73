//! The id of a state directory: the first part of the ids of all its runs, by which the next daemon finds them.
//!
//! It is random and stored in the directory beside the journal, so that it survives the loss of one of the two, and a
//! directory that is deleted and made again gets another one. Up to version 0.1.0 it was in the journal alone, and
//! derived from the directory.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::state_dir;

/// The file: the id and a newline.
const NAME: &str = "id";
/// The longest id, in bytes.
const LONGEST: usize = 64;

/// The id of the directory: that of its journal, that of its file, or else the `fresh` one. It is stored if it is not.
pub(super) fn of(path: &Path, directory: &File, journal: Option<String>, fresh: &str) -> String {
    let stored = read(path);
    let id = journal.or_else(|| stored.clone()).unwrap_or_else(|| fresh.to_owned());
    if stored.as_deref() == Some(id.as_str()) || state_dir::replace(path, NAME, &format!("{id}\n")).is_ok() {
        return id;
    }
    // Nothing can be stored here. The next daemon has to find the runs all the same.
    if id == fresh { derived(directory).unwrap_or(id) } else { id }
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let longest = u64::try_from(LONGEST + 1).unwrap_or(u64::MAX);
    state_dir::read(&path.join(NAME)).ok()?.take(longest).read_to_string(&mut text).ok()?;
    text.strip_suffix('\n').filter(|id| is_valid(id)).map(str::to_owned)
}

/// Whether a text can be an id: it goes into environments and the log.
pub(super) fn is_valid(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The id that version 0.1.0 gave a directory. It is not secret: adoption never relies on it.
fn derived(directory: &File) -> Option<String> {
    let metadata = directory.metadata().ok()?;
    let hash =
        Sha256::new().chain_update(metadata.dev().to_le_bytes()).chain_update(metadata.ino().to_le_bytes());
    Some(hash.finalize().iter().take(4).fold(String::new(), |id, byte| id + &format!("{byte:02x}")))
}

/// 64 random bits: the standard library seeds its hashers from the system's random source.
pub fn random() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn opened(path: &Path, fresh: &str) -> String {
        super::super::Ledger::open(path, fresh, |_| super::super::Holder::Unknown).unwrap().id().to_owned()
    }

    #[test]
    fn the_file_is_fixed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(opened(dir.path(), "00c0ffee00c0ffee"), "00c0ffee00c0ffee");
        assert_eq!(fs::read_to_string(dir.path().join("id")).unwrap(), "00c0ffee00c0ffee\n");
        assert_eq!(fs::metadata(dir.path().join("id")).unwrap().mode() & 0o7777, 0o600);
        // An empty one, garbage, and one that cannot be part of an environment are replaced.
        for text in ["", "\n", "a b\n", "../x\n", "abc", &format!("{}\n", "x".repeat(65))] {
            fs::write(dir.path().join("id"), text).unwrap();
            fs::remove_file(dir.path().join("ledger")).unwrap();
            assert_eq!(opened(dir.path(), "f"), "f", "{text:?}");
        }
    }

    /// Otherwise it would adopt what still runs of the deleted one.
    #[test]
    fn a_directory_that_is_made_again_in_the_same_inode_has_another_id() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        fs::create_dir(&state).unwrap();
        assert_eq!(opened(&state, "1a"), "1a");
        // The same inode, certainly, with nothing in it.
        for left in fs::read_dir(&state).unwrap() {
            fs::remove_file(left.unwrap().path()).unwrap();
        }
        assert_eq!(opened(&state, "2b"), "2b");
    }

    #[test]
    fn the_loss_of_the_journal_or_of_the_id_alone_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(opened(dir.path(), "1a"), "1a");
        for lost in ["ledger", "id"] {
            fs::remove_file(dir.path().join(lost)).unwrap();
            assert_eq!(opened(dir.path(), "2b"), "1a", "{lost}");
        }
    }

    /// A directory of version 0.1.0 has only the journal.
    #[test]
    fn an_older_journal_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ledger"), "{\"ledger\":\"0123abcd\"}\n").unwrap();
        assert_eq!(opened(dir.path(), "1a"), "0123abcd");
        assert_eq!(fs::read_to_string(dir.path().join("id")).unwrap(), "0123abcd\n");
        fs::remove_file(dir.path().join("ledger")).unwrap();
        assert_eq!(opened(dir.path(), "1a"), "0123abcd", "also if the journal is lost later");
    }

    /// A directory named `id.new` stands for a file that cannot be created.
    #[test]
    fn where_no_id_can_be_stored_it_is_derived_from_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("id.new")).unwrap();
        fs::create_dir(dir.path().join("ledger.new")).unwrap();
        let first = opened(dir.path(), "1a");
        assert_eq!((first.len(), opened(dir.path(), "2b")), (8, first));
    }
}
