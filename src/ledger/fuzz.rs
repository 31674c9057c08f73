//! Journals of any bytes, for fuzzing.

use super::journal;

/// Whatever a journal holds, the entries that are read from it can be written and are read back.
pub(crate) fn journal(bytes: &[u8]) {
    let read = journal::parse(bytes);
    let id = read.id.clone().unwrap_or_else(|| "id".to_owned());
    let written = journal::encode_all(&id, read.entries.iter());
    let again = journal::parse(&written);
    assert_eq!(again.damaged, 0);
    assert_eq!(again.id, Some(id));
    assert_eq!(again.entries.keys().collect::<Vec<_>>(), read.entries.keys().collect::<Vec<_>>());
    for (name, entry) in &read.entries {
        let other = &again.entries[name];
        assert_eq!((other.ended, other.failed, &other.paused), (entry.ended, entry.failed, &entry.paused));
        assert_eq!((&other.applied, &other.stopped), (&entry.applied, &entry.stopped));
        assert_eq!((&other.live, other.history.len()), (&entry.live, entry.history.len()));
        let _ = journal::runs(bytes, name);
    }
}
