//! What is watched: a key of a store, and which part of the tree at that key.

use std::fmt;
use std::sync::Arc;

use super::StoreName;
use super::words::choice;

/// The longest key that is accepted, in bytes.
const LONGEST_KEY: usize = 4096;

/// A key as the user wrote it, relative to the store's prefix or chroot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// A key that no store can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The key is empty.
    #[error("a key must not be empty; the top of a store is `/`")]
    Empty,
    /// A NUL byte would truncate the key in C programs.
    #[error("a key must not contain a NUL character")]
    Nul,
    /// Longer than 4096 bytes.
    #[error("a key has at most {LONGEST_KEY} bytes, this one has {0}")]
    TooLong(usize),
}

impl Key {
    /// Accepts 1 to 4096 bytes without NUL. Each store checks its own rules in addition.
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        if text.is_empty() {
            Err(InvalidKey::Empty)
        } else if text.contains('\0') {
            Err(InvalidKey::Nul)
        } else if text.len() > LONGEST_KEY {
            Err(InvalidKey::TooLong(text.len()))
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, shared.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The key without slashes at its end: the base of its children. `/` becomes empty.
    pub fn base(&self) -> &str {
        self.0.trim_end_matches('/')
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The spelling of the key of a path in the tree of `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Spelling {
    /// With a slash before the path, as in all other trees.
    #[default]
    Slashed,
    /// Equal to the path. Only an etcd without a prefix has such keys.
    Plain,
}

choice! {
    /// How much of a key is watched.
    #[non_exhaustive]
    pub enum WatchType {
        Data = "data": "the value of exactly this key",
        Children = "children": "the names of what is directly below the key",
        Tree = "tree": "the key itself and everything below it",
    }
}

/// Whether a target's values are needed, or only the fact that they changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Detail {
    /// Values are read and delivered.
    Values,
    /// Only versions: a store may skip reading values, and the content may be [`Content::Unread`].
    ///
    /// [`Content::Unread`]: super::Content::Unread
    Versions,
}

/// The target of a watch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The store by its configured name.
    pub store: StoreName,
    /// The key.
    pub key: Key,
    /// Which part of the tree at the key.
    pub watch_type: WatchType,
}
