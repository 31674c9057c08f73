//! What a reload changes: a difference in meaning, not in text (promise P7). Pure.

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
    /// Those whose meaning changed, in their new form.
    pub changed: Watches,
    /// Removed ones.
    pub removed: BTreeSet<WatchName>,
    /// Those with the same meaning: nothing of theirs may be touched.
    pub unchanged: BTreeSet<WatchName>,
}

impl Diff {
    /// The difference between `old` and `new`.
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

    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    /// Applies it to the old set.
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
