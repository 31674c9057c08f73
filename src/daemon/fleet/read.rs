//! Reads the fleet's keys, each with the revision that a later change of it exceeds.
//!
//! etcd tells the revision at which a key is absent. ZooKeeper does not: there it is that of the last creation or
//! deletion among the nodes beside it, read before the key itself.

use crate::fleet::member::Own;
use crate::fleet::stored::{decode, entries, revision};
use crate::fleet::{GroupKey, GroupKeys, HostName, KeyState, Revision, Value};
use crate::store::{Store, StoreError, StoreUrl};
use crate::watch::Key;

/// The last write of a ZooKeeper node, or of the list of its children.
async fn last_write(store: &Store, key: &Key) -> Result<i64, StoreError> {
    let Some(entry) = store.get(key).await? else { return Ok(0) };
    let children = entry.metadata.iter().find(|(name, _)| *name == "pZxid");
    let children = children.and_then(|(_, text)| i64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    Ok(revision(entry.version).0.max(children.unwrap_or_default()))
}

/// One key.
async fn one(store: &Store, keys: &GroupKeys, key: GroupKey) -> Result<KeyState, StoreError> {
    let place = keys.of(&key);
    match &store.spec().url {
        StoreUrl::Etcd { .. } => {
            let listing = store.list(&place).await?;
            let read = listing.entries.get("").map(|entry| (revision(entry.version), entry.value.clone()));
            Ok(match read {
                Some((at, value)) => KeyState { at, value: Some(decode(&key, &value.unwrap_or_default())) },
                None => KeyState { at: Revision(listing.revision.unwrap_or_default()), value: None },
            })
        }
        StoreUrl::ZooKeeper { .. } | StoreUrl::Dir { .. } => {
            let above = key.to_string();
            let above =
                above.rsplit_once('/').map_or_else(|| keys.top().clone(), |(above, _)| keys.at(above));
            let before = last_write(store, &above).await?;
            Ok(match store.get(&place).await? {
                Some(entry) => KeyState {
                    at: revision(entry.version),
                    value: Some(decode(&key, &entry.value.unwrap_or_default())),
                },
                None => KeyState { at: Revision(before), value: None },
            })
        }
    }
}

/// The keys of our host.
pub(super) async fn own(store: &Store, keys: &GroupKeys, host: &HostName) -> Result<Own, StoreError> {
    let host = || host.clone();
    // Boxed: the future of one request is large, and each of many memberships would hold four of them.
    let read = |key| Box::pin(one(store, keys, key));
    let (record, alive, permit, control) = tokio::try_join!(
        read(GroupKey::Host(host())),
        read(GroupKey::Alive(host())),
        read(GroupKey::Permit(host())),
        read(GroupKey::Control),
    )?;
    Ok(Own { record, alive, permit, control: control.revision() })
}

/// `summary`.
pub(super) async fn summary(store: &Store, keys: &GroupKeys) -> Result<Option<Value>, StoreError> {
    Ok(one(store, keys, GroupKey::Summary).await?.value)
}

/// `alive/HOST`.
pub(super) async fn alive(store: &Store, keys: &GroupKeys, host: HostName) -> Result<KeyState, StoreError> {
    one(store, keys, GroupKey::Alive(host)).await
}

/// Every key of the group.
pub(in crate::daemon) async fn group(
    store: &Store,
    keys: &GroupKeys,
) -> Result<Vec<(GroupKey, KeyState)>, StoreError> {
    Ok(entries(&store.list(keys.top()).await?))
}

/// Every key of the group, and a revision that none of its later changes is before.
pub(super) async fn all(
    store: &Store,
    keys: &GroupKeys,
) -> Result<(Vec<(GroupKey, KeyState)>, Revision), StoreError> {
    let mut before = 0;
    if let StoreUrl::ZooKeeper { .. } = &store.spec().url {
        for key in ["hosts", "alive", "permits", "rollout", "control"] {
            before = last_write(store, &keys.at(key)).await?.max(before);
        }
        before = last_write(store, keys.top()).await?.max(before);
    }
    let listing = store.list(keys.top()).await?;
    Ok((entries(&listing), Revision(listing.revision.unwrap_or(before))))
}
