//! Follows keys of a group by subscription, each change with a revision above that of the one before.

use super::wire::{Keys, decode};
use crate::fleet::{Entry, GroupKey, Revision};
use crate::store::{Store, Subscribe, Subscription, Update};
use crate::watch::{Content, Subtree, Version, WatchType};

fn revision(version: Version) -> i64 {
    match version {
        Version::Revision(revision) => revision,
        Version::Hash(_) => 0,
    }
}

/// One key.
pub(super) struct One {
    key: GroupKey,
    subscription: Subscription,
    last: i64,
}

impl One {
    pub(super) fn new(store: &Store, keys: &Keys, key: GroupKey) -> Self {
        let subscription = store.subscribe(Subscribe::new(keys.of(&key), WatchType::Data));
        Self { key, subscription, last: 0 }
    }

    /// Waits for its next state. Cancel-safe.
    pub(super) async fn next(&mut self) -> Entry {
        let Update { state, .. } = self.subscription.next().await;
        let shown = revision(state.version);
        if let Content::Value(value) = &state.content {
            self.last = shown;
            return Entry { at: Revision(shown), value: Some(decode(&self.key, value)) };
        }
        // ZooKeeper does not say when a node was deleted: it was after its last write.
        self.last = if shown > self.last || self.last == 0 { shown } else { self.last + 1 };
        Entry { at: Revision(self.last), value: None }
    }
}

/// All keys of the group.
pub(super) struct Mirror {
    subscription: Subscription,
    seen: Subtree,
}

impl Mirror {
    pub(super) fn new(store: &Store, keys: &Keys) -> Self {
        let subscription = store.subscribe(Subscribe::new(keys.top().clone(), WatchType::Tree));
        Self { subscription, seen: Subtree::new() }
    }

    /// Waits for changes. Cancel-safe.
    pub(super) async fn next(&mut self) -> Vec<(GroupKey, Entry)> {
        let Update { state, .. } = self.subscription.next().await;
        let now = match state.content {
            Content::Tree(tree) => tree,
            Content::Absent | Content::Unread | Content::Value(_) | Content::Children(_) => Subtree::new(),
        };
        let changes = self.seen.written(&now).filter_map(|(path, before, after)| {
            let key = GroupKey::parse(path)?;
            let entry = match (before, after) {
                (_, Some(node)) => {
                    let value = decode(&key, node.value?);
                    Entry { at: Revision(node.origin.revision), value: Some(value) }
                }
                (Some(node), None) => Entry { at: Revision(node.origin.revision + 1), value: None },
                (None, None) => return None,
            };
            Some((key, entry))
        });
        let mut changes: Vec<_> = changes.collect();
        // Tenures first: a record seen before its host's tenure would show a silent host.
        changes.sort_by_key(|(key, _)| !matches!(key, GroupKey::Alive(_)));
        self.seen = now;
        changes
    }
}
