//! Single requests to a store, for the tools and the library: read, write, compare and set, list.
//!
//! Nothing is repeated here either: a request fails or is answered within its time limit.

use bytes::Bytes;

use crate::watch::{Key, Version};

/// One key with what the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its value; `None` for a node or directory that only has children.
    pub value: Option<Bytes>,
    /// The version of the value, as a watch of it would show.
    pub version: Version,
    /// What else the store tells of the key, by the store's own field names (`create_revision`, `lease`,
    /// `czxid`, `numChildren`, `mtime`…), in the store's order.
    pub metadata: Vec<(&'static str, String)>,
}

/// What must hold for a write to be done; checked by the store in the same step as the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Any,
    /// The key does not exist.
    Absent,
    /// The key has exactly this version.
    Version(Version),
}

/// A write out of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Set a value, making what is above it where the store needs that.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Bytes,
        /// What must hold.
        condition: Condition,
    },
    /// Delete one key.
    Delete {
        /// The key.
        key: Key,
        /// What must hold.
        condition: Condition,
    },
}

/// A subtree read at one moment (etcd), or node by node (`ZooKeeper`, dir).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Entries by path relative to the key that was asked for: `""` for itself, `"a/b"` below.
    pub entries: std::collections::BTreeMap<String, Entry>,
    /// The revision at which all of it held; etcd only.
    pub revision: Option<i64>,
}
