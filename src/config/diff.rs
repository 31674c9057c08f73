//! What a reload changes: a difference of meaning, not of text (promise P7). Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::watch::{WatchName, WatchSpec};

/// Watches by name.
pub type Watches = BTreeMap<WatchName, Arc<WatchSpec>>;

/// The difference between two sets of watches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Diff {
    /// New ones.
    pub added: Watches,
    /// Those that mean something else now, as they are now.
    pub changed: Watches,
    /// Those that are gone.
    pub removed: BTreeSet<WatchName>,
    /// Those that mean the same: nothing of theirs may be touched.
    pub unchanged: BTreeSet<WatchName>,
}

impl Diff {
    /// What leads from `old` to `new`.
    pub fn between(old: &Watches, new: &Watches) -> Self {
        let mut diff = Self::default();
        for (name, spec) in new {
            match old.get(name) {
                None => {
                    diff.added.insert(name.clone(), Arc::clone(spec));
                }
                Some(before) if before.is_defined_as(spec) => {
                    diff.unchanged.insert(name.clone());
                }
                Some(_) => {
                    diff.changed.insert(name.clone(), Arc::clone(spec));
                }
            }
        }
        diff.removed = old.keys().filter(|name| !new.contains_key(*name)).cloned().collect();
        diff
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    /// Makes the new set out of the old one.
    #[cfg(test)]
    pub fn apply(&self, watches: &mut Watches) {
        watches.retain(|name, _| !self.removed.contains(name));
        for (name, spec) in self.added.iter().chain(&self.changed) {
            watches.insert(name.clone(), Arc::clone(spec));
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
