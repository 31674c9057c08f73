//! Subscriptions to keys of a group. The revisions of successive changes rise, unless the store is restored from a backup.

use crate::fleet::stored::{decode, revision};
use crate::fleet::{GroupKey, GroupKeys, KeyState, Revision};
use crate::store::{Store, Subscribe, Subscription, Update};
use crate::watch::{Content, Subtree, WatchType};

/// What a subscription shows.
pub(super) struct Followed<T> {
    pub(super) now: T,
    /// A key has a lower revision than before: the store was restored.
    pub(super) is_back: bool,
}

/// One key.
pub(super) struct One {
    key: GroupKey,
    subscription: Subscription,
    last: Revision,
}

impl One {
    pub(super) fn new(store: &Store, keys: &GroupKeys, key: GroupKey) -> Self {
        let subscription = store.subscribe(Subscribe::new(keys.of(&key), WatchType::Data));
        Self { key, subscription, last: Revision::ABSENT }
    }

    /// Waits for its next state. Cancel-safe.
    pub(super) async fn next(&mut self) -> Followed<KeyState> {
        let Update { state, .. } = self.subscription.next().await;
        let shown = revision(state.version);
        if let Content::Value(value) = &state.content {
            let is_back = shown < std::mem::replace(&mut self.last, shown);
            return Followed { now: KeyState { at: shown, value: Some(decode(&self.key, value)) }, is_back };
        }
        // ZooKeeper does not say when a node was deleted: it was after its last write.
        let is_told = shown > self.last || self.last == Revision::ABSENT;
        self.last = if is_told { shown } else { Revision(self.last.0 + 1) };
        Followed { now: KeyState { at: self.last, value: None }, is_back: false }
    }

    /// Waits for its next state, but not for an absence at first: the driver may have that from before a restore, with
    /// a revision that no later change of the restored store exceeds. Cancel-safe.
    pub(super) async fn next_change(&mut self) -> Followed<KeyState> {
        loop {
            let nothing_known = self.last == Revision::ABSENT;
            let entry = self.next().await;
            if entry.now.value.is_some() || !nothing_known {
                return entry;
            }
        }
    }
}

/// All keys of the group.
pub(super) struct Mirror {
    subscription: Subscription,
    seen: Subtree,
}

impl Mirror {
    pub(super) fn new(store: &Store, keys: &GroupKeys) -> Self {
        let subscription = store.subscribe(Subscribe::new(keys.top().clone(), WatchType::Tree));
        Self { subscription, seen: Subtree::new() }
    }

    /// Waits for changes. Cancel-safe.
    pub(super) async fn next(&mut self) -> Followed<Vec<(GroupKey, KeyState)>> {
        let Update { state, .. } = self.subscription.next().await;
        let now = match state.content {
            Content::Tree(tree) => tree,
            Content::Absent | Content::Unread | Content::Value(_) | Content::Children(_) => Subtree::new(),
        };
        let mut is_back = false;
        let changes = self.seen.written(&now).filter_map(|(path, before, after)| {
            let key = GroupKey::parse(path)?;
            is_back |= before
                .zip(after)
                .is_some_and(|(before, after)| after.origin.revision < before.origin.revision);
            let entry = match (before, after) {
                (_, Some(node)) => {
                    let value = decode(&key, node.value?);
                    KeyState { at: Revision(node.origin.revision), value: Some(value) }
                }
                (Some(node), None) => KeyState { at: Revision(node.origin.revision + 1), value: None },
                (None, None) => return None,
            };
            Some((key, entry))
        });
        let mut changes: Vec<_> = changes.collect();
        // Tenures first: a record seen before its host's tenure would show a silent host.
        changes.sort_by_key(|(key, _)| !matches!(key, GroupKey::Alive(_)));
        self.seen = now;
        Followed { now: changes, is_back }
    }
}
