//! Single requests to a store, for the tools and the library: read, write, compare and set, list.
//!
//! Nothing is repeated here either: a request fails or is answered within its time limit.

use std::time::Duration;

use bytes::Bytes;

use super::{StoreError, StoreSpec, StoreUrl};
use crate::watch::{Key, Spelling, Version};

/// One key with what the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its value; `None` for a directory, and in a [`Listing`] for a node that only has children.
    pub value: Option<Bytes>,
    /// The version of the value, as a watch of it would show.
    pub version: Version,
    /// In a [`Listing`]: how its key is written, which the path does not say.
    pub spelling: Spelling,
    /// What else the store tells of the key, by the store's own field names (`create_revision`, `lease`,
    /// `czxid`, `numChildren`, `mtime`…), in the store's order. Empty in a [`Listing`].
    pub metadata: Vec<(&'static str, String)>,
}

/// What must hold for a write to be done; checked by the store in the same step as the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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

/// A name directly below a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The name.
    pub name: String,
    /// Whether a key that begins with it is written behind a slash.
    pub slashed: bool,
    /// Whether one is written as it is.
    pub plain: bool,
}

impl Child {
    /// How keys that begin with it are written: the first that is there has its path.
    pub fn spellings(&self) -> impl Iterator<Item = Spelling> {
        let slashed = self.slashed.then_some(Spelling::Slashed);
        slashed.into_iter().chain(self.plain.then_some(Spelling::Plain))
    }
}

impl Change {
    /// What is written or deleted.
    pub fn key(&self) -> &Key {
        let (Self::Put { key, .. } | Self::Delete { key, .. }) = self;
        key
    }
}

/// How far a series of changes has come, counted from its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// So many are made or on their way: whether the latter are made is not known until the store answers.
    Sent(usize),
    /// So many are made.
    Made(usize),
}

/// A subtree read at one moment (etcd), or node by node (`ZooKeeper`, dir).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Listing {
    /// Entries by path relative to the key that was asked for: `""` for itself, `"a/b"` below.
    pub entries: std::collections::BTreeMap<String, Entry>,
    /// The revision at which all of it held; etcd only.
    pub revision: Option<i64>,
    /// Keys that are there and not among the entries, because they have no path of their own ([`LEFT_OUT`]); etcd only.
    pub left_out: u64,
}

/// Why etcd's keys are left out.
pub const LEFT_OUT: &str = "a key that is not UTF-8, has a NUL character or ends with more than one slash is left out; so is `a` where there is `/a`";

/// A store that single requests can be sent to.
pub enum Access {
    /// etcd.
    Etcd(Box<super::etcd::Access>),
    /// `ZooKeeper`.
    ZooKeeper(Box<super::zookeeper::Access>),
    /// A directory.
    Dir(super::dir::Access),
}

impl Access {
    /// Connects. The limit holds for this, and then for each request.
    pub async fn open(spec: &StoreSpec, limit: Duration) -> Result<Self, StoreError> {
        match &spec.url {
            StoreUrl::Etcd { .. } => Ok(Self::Etcd(Box::new(super::etcd::Access::open(spec, limit).await?))),
            StoreUrl::Dir { .. } => Ok(Self::Dir(super::dir::Access::open(spec, limit).await?)),
            StoreUrl::ZooKeeper { .. } => {
                Ok(Self::ZooKeeper(Box::new(super::zookeeper::Access::open(spec, limit).await?)))
            }
        }
    }

    /// Fails where no key of this form can ever be read from a store of this kind, whatever becomes of the store.
    pub fn admits(&self, key: &Key) -> Result<(), StoreError> {
        match self {
            Self::Etcd(_) => Ok(()),
            Self::ZooKeeper(_) => super::zookeeper::admits(key),
            Self::Dir(_) => super::dir::admits(key),
        }
    }

    /// Whether there is a store at all: a directory may be missing, or none. Who writes may make its last name.
    pub async fn has_root(&self, writing: bool) -> Result<(), StoreError> {
        match self {
            Self::Etcd(_) | Self::ZooKeeper(_) => Ok(()),
            Self::Dir(access) => access.has_root(writing).await,
        }
    }

    /// Reads one key; `None` if it does not exist.
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        match self {
            Self::Etcd(access) => access.get(key).await,
            Self::ZooKeeper(access) => access.get(key).await,
            Self::Dir(access) => access.get(key).await,
        }
    }

    /// Reads many keys, each as [`Access::get`] does and not all at one moment, with few requests.
    pub async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        match self {
            Self::Etcd(access) => access.get_many(keys).await,
            Self::ZooKeeper(access) => access.get_many(keys).await,
            Self::Dir(access) => access.get_many(keys).await,
        }
    }

    /// Writes one key, making what is above it where the store needs that. Returns its new version.
    pub async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        match self {
            Self::Etcd(access) => access.put(key, value, condition).await,
            Self::ZooKeeper(access) => access.put(key, value, condition).await,
            Self::Dir(access) => access.put(key, value, condition).await,
        }
    }

    /// Deletes one key. Returns whether it existed.
    pub async fn delete(&self, key: &Key, condition: Condition) -> Result<bool, StoreError> {
        match self {
            Self::Etcd(access) => access.delete(key, condition).await,
            Self::ZooKeeper(access) => access.delete(key, condition).await,
            Self::Dir(access) => access.delete(key, condition).await,
        }
    }

    /// The names of a key's direct children, sorted; `None` if neither it nor anything below it exists.
    pub async fn children(&self, key: &Key) -> Result<Option<Vec<String>>, StoreError> {
        let children = self.spelled_children(key).await?;
        Ok(children.map(|children| children.into_iter().map(|child| child.name).collect()))
    }

    /// The same with how their keys are written.
    pub async fn spelled_children(&self, key: &Key) -> Result<Option<Vec<Child>>, StoreError> {
        let names = match self {
            Self::Etcd(access) => return access.children(key).await,
            Self::ZooKeeper(access) => access.children(key).await?,
            Self::Dir(access) => access.children(key).await?,
        };
        let child = |name| Child { name, slashed: true, plain: false };
        Ok(names.map(|names| names.into_iter().map(child).collect()))
    }

    /// Reads a key and everything below it.
    pub async fn tree(&self, key: &Key) -> Result<Listing, StoreError> {
        match self {
            Self::Etcd(access) => access.tree(key).await,
            Self::ZooKeeper(access) => access.tree(key).await,
            Self::Dir(access) => access.tree(key).await,
        }
    }

    /// Makes changes in order; those that the store can make at once are made together or not at all.
    /// `progress` is told of each part before and after it is made.
    pub async fn apply(
        &self,
        changes: &[Change],
        progress: &mut (dyn FnMut(Reached) + Send),
    ) -> Result<(), StoreError> {
        match self {
            Self::Etcd(access) => access.apply(changes, progress).await,
            Self::ZooKeeper(access) => access.apply(changes, progress).await,
            Self::Dir(access) => access.apply(changes, progress).await,
        }
    }
}
