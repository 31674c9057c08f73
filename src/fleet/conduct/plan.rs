//! A transaction of the conductor, and what it means once it is applied.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::fleet::record::{Permit, Rollout, Summary};
use crate::fleet::{GroupKey, HostName, Revision, Transaction, Value, Write};

/// Permits that one transaction changes.
pub(super) const BATCH: usize = 32;

/// A transaction, and what it means once it is applied.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Plan {
    pub(super) transaction: Transaction,
    /// Hosts whose permit is touched.
    pub(super) hosts: BTreeSet<HostName>,
    pub(super) rollout: Option<Arc<Rollout>>,
    pub(super) summary: Option<Arc<Summary>>,
    /// Hosts whose run must have ended.
    pub(super) released: Vec<HostName>,
    /// The `control` that it was planned by must still hold.
    pub(super) controlled: bool,
}

impl Plan {
    /// Makes an empty `control`, because its absence is dear to prove: on `ZooKeeper` each grant and claim would create and
    /// delete it.
    pub(super) fn of_empty_control() -> Self {
        let mut plan = Self::default();
        plan.require(GroupKey::Control, Revision::ABSENT);
        plan.transaction.write.push(Write::put(GroupKey::Control, Value::Control(Arc::default())));
        plan
    }

    /// Whether it is the plan of an empty `control`.
    pub(super) fn makes_control(&self) -> bool {
        self.transaction.write.iter().any(|write| *write.key() == GroupKey::Control)
    }

    pub(super) fn room(&self) -> usize {
        BATCH.saturating_sub(self.hosts.len())
    }

    pub(super) fn require(&mut self, key: GroupKey, at: Revision) {
        self.transaction.require.push((key, at));
    }

    pub(super) fn delete(&mut self, host: &HostName, at: Revision) {
        self.require(GroupKey::Permit(host.clone()), at);
        self.transaction.write.push(Write::Delete { key: GroupKey::Permit(host.clone()) });
        self.hosts.insert(host.clone());
    }

    pub(super) fn put(&mut self, host: &HostName, at: Revision, permit: Permit) {
        self.require(GroupKey::Permit(host.clone()), at);
        self.transaction
            .write
            .push(Write::put(GroupKey::Permit(host.clone()), Value::Permit(Arc::new(permit))));
        self.hosts.insert(host.clone());
        self.controlled = true;
    }
}
