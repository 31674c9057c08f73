//! What is known of a node besides its value.

use crate::watch::Spelling;

/// What is known of a node besides its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Origin {
    /// How its key is written.
    pub spelling: Spelling,
    /// When it was written last: etcd's `mod_revision`, ZooKeeper's `mzxid`; 0 where the store has neither.
    pub revision: i64,
}
