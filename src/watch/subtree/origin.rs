//! The spelling and revision of a node.

use crate::watch::Spelling;

/// The spelling and revision of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Origin {
    /// How its key is written.
    pub spelling: Spelling,
    /// When it was last written: etcd's `mod_revision`, ZooKeeper's `mzxid`; 0 if the store has neither.
    pub revision: i64,
}
