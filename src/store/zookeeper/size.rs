//! What fits into one request. Pure.

use crate::store::StoreError;
use crate::store::access::Change;

/// Bytes of one transaction, half of what a server takes by default (`jute.maxbuffer`, 1 MiB), or else one change.
const TRANSACTION_BYTES: usize = 512 << 10;

/// Bytes of a value that every server takes, unless it was told otherwise.
const SMALLER_THAN_LIMIT: usize = 1_000_000;

/// Changes of one transaction.
const TRANSACTION_CHANGES: usize = 500;

/// How many of the first changes go into one transaction; at least one.
pub(super) fn fitting(changes: &[Change]) -> usize {
    let mut bytes = 0;
    let fits = changes.iter().take(TRANSACTION_CHANGES).take_while(|change| {
        bytes += match change {
            // 64 bytes for what is around them, and the same again for each node above that may be made.
            Change::Put { key, value, .. } => {
                let nodes = key.as_str().matches('/').count().max(1);
                value.len() + nodes * (key.as_str().len() + 64)
            }
            Change::Delete { key, .. } => key.as_str().len() + 64,
        };
        bytes <= TRANSACTION_BYTES
    });
    fits.count().max(1)
}

/// A server hangs up on a request that is too large for it, and says nothing: what must be why a write failed that is
/// larger than most servers take.
pub(super) fn too_large(changes: &[Change]) -> Option<StoreError> {
    let [Change::Put { key, value, .. }] = changes else { return None };
    (value.len() > SMALLER_THAN_LIMIT).then(|| StoreError::Refused {
        what: format!("write {key}"),
        why: format!(
            "its value has {} bytes, and a request may have 1 MiB, unless ZooKeeper is started with a larger jute.maxbuffer",
            value.len()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::access::Condition;
    use crate::watch::Key;

    fn put(key: &str, size: usize) -> Change {
        Change::Put { key: Key::new(key).unwrap(), value: vec![0; size].into(), condition: Condition::Any }
    }

    #[test]
    fn a_transaction_holds_what_fits_and_at_least_one_change() {
        assert_eq!(fitting(&[put("/a", 1 << 20)]), 1);
        assert_eq!(fitting(&[put("/a", 300 << 10), put("/b", 300 << 10)]), 1);
        assert_eq!(fitting(&vec![put("/a", 10); 2000]), TRANSACTION_CHANGES);
    }

    #[test]
    fn only_a_value_alone_can_be_what_is_too_large() {
        assert!(too_large(&[put("/a", 1 << 20)]).is_some());
        assert!(too_large(&[put("/a", 1000)]).is_none());
        assert!(too_large(&[put("/a", 1 << 20), put("/b", 1)]).is_none());
    }
}
