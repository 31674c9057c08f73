//! What is not known while `twitcher.conf` has errors and there is no earlier valid version: no watch that depends on it is
//! loaded.

use std::collections::BTreeSet;

use crate::watch::StoreName;

/// The store that exists without being written down.
pub(super) const LOCAL: &str = "local";

/// Stores that are configured, and whose tables cannot be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::config) struct Missing {
    /// Those whose names are known.
    pub(in crate::config) named: BTreeSet<StoreName>,
    /// There may be more.
    pub(in crate::config) more: bool,
}

impl Missing {
    /// Whether a name that is not among the stores may be one of these.
    pub(in crate::config) fn may_be(&self, name: &str) -> bool {
        self.named.contains(name) || (self.more && name != LOCAL && StoreName::new(name).is_ok())
    }
}

/// What is not known of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::config) struct Gaps {
    /// What no watch can do without, in words.
    pub(in crate::config) total: Option<String>,
    /// `default_store`.
    pub(in crate::config) default_store: bool,
    /// `[fleet]`.
    pub(in crate::config) fleet: bool,
    /// `[store.NAME]`.
    pub(in crate::config) stores: Missing,
}
