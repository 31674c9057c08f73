//! The settings that are not known while `twitcher.conf` has errors and there is no earlier valid version. No watch that
//! depends on one of them is loaded.

use std::collections::BTreeSet;

use crate::watch::StoreName;

/// The store that exists without being written down.
pub(super) const LOCAL: &str = "local";

/// Stores that are configured, but whose tables have errors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::config) struct Missing {
    /// The stores whose names are known.
    pub(in crate::config) named: BTreeSet<StoreName>,
    /// There may be others, whose names are not known.
    pub(in crate::config) more: bool,
}

impl Missing {
    /// Whether a name that is not among the valid stores may be one of these.
    pub(in crate::config) fn may_be(&self, name: &str) -> bool {
        self.named.contains(name) || (self.more && name != LOCAL && StoreName::new(name).is_ok())
    }
}

/// The settings that are not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::config) struct Gaps {
    /// Those that every watch needs, in words.
    pub(in crate::config) total: Option<String>,
    /// `default_store`.
    pub(in crate::config) default_store: bool,
    /// `[fleet]`.
    pub(in crate::config) fleet: bool,
    /// `[store.NAME]`.
    pub(in crate::config) stores: Missing,
}
