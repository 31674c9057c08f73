//! How much fits into one request. Pure.

use crate::store::StoreError;
use crate::store::access::Change;

/// Bytes per transaction: half of a server's default limit (`jute.maxbuffer`, 1 MiB). A single change may be larger.
const TRANSACTION_BYTES: usize = 512 << 10;

/// Values up to this many bytes are below the server's default limit.
const SMALLER_THAN_LIMIT: usize = 1_000_000;

/// Changes per transaction.
const TRANSACTION_CHANGES: usize = 500;

/// How many of the first changes go into one transaction; at least one.
pub(super) fn fitting(changes: &[Change]) -> usize {
    let mut bytes = 0;
    let fits = changes.iter().take(TRANSACTION_CHANGES).take_while(|change| {
        bytes += match change {
            // 64 bytes of overhead, and the same again for each missing parent.
            Change::Put { key, value, .. } => {
                let nodes = key.as_str().matches('/').count().max(1);
                value.len() + nodes * (key.as_str().len() + 64)
            }
            Change::Delete { key, .. } => key.as_str().len() + 64,
            Change::Require { key, .. } => 2 * key.as_str().len() + 128,
        };
        bytes <= TRANSACTION_BYTES
    });
    fits.count().max(1)
}

/// Whether a transaction fits into one request, including its overhead.
pub(super) fn fits(changes: &[Change]) -> bool {
    changes.len() <= fitting(changes)
}

/// A server drops the connection on a request that is too large, without giving a reason. So the error of a write over the
/// default limit mentions its size.
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
        Change::put(Key::new(key).unwrap(), vec![0; size], Condition::Any)
    }

    #[test]
    fn a_transaction_holds_what_fits_and_at_least_one_change() {
        assert_eq!(fitting(&[put("/a", 1 << 20)]), 1);
        assert_eq!(fitting(&[put("/a", 300 << 10), put("/b", 300 << 10)]), 1);
        assert_eq!(fitting(&vec![put("/a", 10); 2000]), TRANSACTION_CHANGES);
    }

    #[test]
    fn only_a_single_large_value_is_explained_by_its_size() {
        assert!(too_large(&[put("/a", 1 << 20)]).is_some());
        assert!(too_large(&[put("/a", 1000)]).is_none());
        assert!(too_large(&[put("/a", 1 << 20), put("/b", 1)]).is_none());
    }
}
