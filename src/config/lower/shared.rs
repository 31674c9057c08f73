//! Shares equal parts of definitions: of thousands of watches, most run as the same user in the same way.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use crate::watch::{PolicySpec, Surroundings};

/// The parts shared by the watches in effect.
#[derive(Debug, Default)]
pub(in crate::config) struct Shared {
    surroundings: HashSet<Arc<Surroundings>>,
    policies: HashSet<Arc<PolicySpec>>,
}

impl Shared {
    pub(super) fn surroundings(&mut self, surroundings: Surroundings) -> Arc<Surroundings> {
        share(&mut self.surroundings, surroundings)
    }

    pub(super) fn policy(&mut self, policy: PolicySpec) -> Arc<PolicySpec> {
        share(&mut self.policies, policy)
    }

    /// Drops parts that no watch uses any more.
    pub(in crate::config) fn forget_unused(&mut self) {
        self.surroundings.retain(|shared| Arc::strong_count(shared) > 1);
        self.policies.retain(|shared| Arc::strong_count(shared) > 1);
    }
}

fn share<T: Eq + Hash>(known: &mut HashSet<Arc<T>>, value: T) -> Arc<T> {
    if let Some(shared) = known.get(&value) {
        return Arc::clone(shared);
    }
    let shared = Arc::new(value);
    known.insert(Arc::clone(&shared));
    shared
}
