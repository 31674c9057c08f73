//! The fleet's values and transactions in the words of a store.

use bytes::Bytes;

use crate::fleet::record::Record;
use crate::fleet::{
    GroupKey, GroupKeys, Revision, TenureId, Transaction, TransactionOutcome, Value, Write, stored,
};
use crate::store::{Change, Condition, NodeAcl, PutOptions, Store, StoreError, TenureId as StoreTenureId};
use crate::watch::Version;

/// `None`: it cannot be written, because it is too long or is none of ours.
fn encode(value: &Value) -> Option<Bytes> {
    let bytes = match value {
        Value::Host(record) => record.encode(),
        Value::Alive(record) => record.encode(),
        Value::Permit(record) => record.encode(),
        Value::Twin(record) => record.encode(),
        Value::Rollout(record) => record.encode(),
        Value::Summary(record) => record.encode(),
        Value::Conductor(record) => record.encode(),
        Value::Control(record) => record.encode(),
        Value::Later | Value::Unreadable => return None,
    };
    match bytes {
        Ok(bytes) => Some(bytes.into()),
        Err(error) => {
            tracing::error!("a record of the fleet is not written: {error}");
            None
        }
    }
}

/// A tenure as its store calls it. Both are written as the same hexadecimal digits.
pub(super) fn to_store(tenure: TenureId) -> Option<StoreTenureId> {
    format!("{:x}", tenure.0).parse().ok()
}

/// The other way round.
pub(super) fn from_store(tenure: StoreTenureId) -> TenureId {
    let bits = u64::from_str_radix(&tenure.to_string(), 16).unwrap_or_default();
    TenureId(bits.cast_signed())
}

fn condition(at: Revision) -> Condition {
    if at == Revision::ABSENT { Condition::Absent } else { Condition::Version(Version::Revision(at.0)) }
}

/// The changes of a transaction. A requirement on a key that is written goes with the write.
fn changes(keys: &GroupKeys, transaction: &Transaction, acl: NodeAcl) -> Option<Vec<Change>> {
    let required = |key: &GroupKey| transaction.require.iter().find(|(required, _)| required == key);
    let mut changes = Vec::new();
    for (key, at) in &transaction.require {
        if !transaction.write.iter().any(|write| write.key() == key) {
            changes.push(Change::Require { key: keys.of(key), condition: condition(*at) });
        }
    }
    for write in &transaction.write {
        let condition = required(write.key()).map_or(Condition::Any, |(_, at)| condition(*at));
        changes.push(match write {
            Write::Put { key, value, tenure } => {
                // Operators write it, whoever made it.
                let acl = if *key == GroupKey::Control { NodeAcl::Parent } else { acl };
                let mut options = PutOptions::default().with_acl(acl);
                if let Some(tenure) = tenure {
                    options = options.with_tenure(to_store(*tenure)?);
                }
                Change::Put { key: keys.of(key), value: encode(value)?, condition, options }
            }
            Write::Delete { key } => Change::Delete { key: keys.of(key), condition },
        });
    }
    Some(changes)
}

/// Sends a transaction.
pub(super) async fn commit(
    store: &Store,
    keys: &GroupKeys,
    transaction: &Transaction,
    acl: NodeAcl,
) -> TransactionOutcome {
    let Some(changes) = changes(keys, transaction, acl) else { return TransactionOutcome::Refused };
    match store.transact(&changes).await {
        Ok(versions) => TransactionOutcome::Applied(applied_at(&versions, transaction)),
        Err(StoreError::Conflict { .. }) => TransactionOutcome::Refused,
        // A conductor need not be allowed to make `control`.
        Err(StoreError::Denied { .. }) if transaction.write.iter().all(|w| *w.key() == GroupKey::Control) => {
            TransactionOutcome::Refused
        }
        Err(error @ (StoreError::Refused { .. } | StoreError::Denied { .. })) => {
            tracing::warn!(store = %store.spec().name, "the fleet's record is not written: {error}");
            TransactionOutcome::Refused
        }
        Err(error) => {
            tracing::debug!(store = %store.spec().name, "the fleet's record is not written: {error}");
            TransactionOutcome::Unanswered
        }
    }
}

/// The revision of an applied transaction. Deletions are answered without one: it is later than all that they required,
/// and what is written next is later still.
fn applied_at(versions: &[Version], transaction: &Transaction) -> Revision {
    let written = versions.iter().map(|version| stored::revision(*version)).max();
    let required = transaction.require.iter().map(|(_, at)| at.0).max().unwrap_or_default();
    written.unwrap_or(Revision(required + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{GroupName, HostName};
    use crate::watch::Key;

    #[test]
    fn a_requirement_goes_with_the_write_of_its_key() {
        let keys =
            GroupKeys::new(&Key::new("/twitcher/fleet").unwrap(), &GroupName::new("git").unwrap()).unwrap();
        let host = || HostName::new("a").unwrap();
        let transaction = Transaction {
            require: vec![(GroupKey::Permit(host()), Revision(7)), (GroupKey::Control, Revision::ABSENT)],
            write: vec![Write::Delete { key: GroupKey::Permit(host()) }],
        };
        let key = |text: &str| Key::new(text).unwrap();
        assert_eq!(
            changes(&keys, &transaction, NodeAcl::Open).unwrap(),
            [
                Change::Require { key: key("/twitcher/fleet/git/control"), condition: Condition::Absent },
                Change::Delete {
                    key: key("/twitcher/fleet/git/permits/a"),
                    condition: Condition::Version(Version::Revision(7))
                },
            ]
        );
        assert_eq!(applied_at(&[], &transaction), Revision(8));
        assert_eq!(applied_at(&[Version::Revision(12)], &transaction), Revision(12));
    }

    #[test]
    fn a_tenure_keeps_all_its_bits() {
        for id in [1, i64::MIN, -1, 0x7fff_0000_1234_5678] {
            assert_eq!(from_store(to_store(TenureId(id)).unwrap()), TenureId(id));
        }
    }
}
