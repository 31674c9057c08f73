//! Single requests to a store, for the tools and the library: read, write, compare-and-set, list, transact.
//!
//! Nothing is retried here: a request is answered or fails within its time limit.

use std::time::Duration;

use bytes::Bytes;

use super::{StoreError, StoreFiles, StoreKind, StoreSpec, StoreUrl, TenureId};
use crate::watch::{Key, Spelling, Version};

/// One key with its value and metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its value; `None` for a directory, and in a [`Listing`] for a node that only has children.
    pub value: Option<Bytes>,
    /// The version of the value, as a watch of it would show.
    pub version: Version,
    /// In a [`Listing`]: how its key is written, which the path does not say.
    pub spelling: Spelling,
    /// Further metadata by the store's own field names (`create_revision`, `lease`, `czxid`, `numChildren`, `mtime`…), in
    /// the store's order. Empty in a [`Listing`].
    pub metadata: Vec<(&'static str, String)>,
}

/// The condition of a write; the store checks it atomically with the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// No condition.
    Any,
    /// The key does not exist.
    Absent,
    /// The key has exactly this version.
    Version(Version),
}

/// One part of a transaction or of a series of writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Set a value, creating missing parents if the store needs them.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Bytes,
        /// The condition.
        condition: Condition,
        /// How long the key lives, and who may change it.
        options: PutOptions,
    },
    /// Delete one key.
    Delete {
        /// The key.
        key: Key,
        /// The condition.
        condition: Condition,
    },
    /// Write nothing, but fail the transaction unless the condition holds for this key. Only in
    /// [`Store::transact`](super::Store::transact).
    Require {
        /// The key; the transaction need not write it.
        key: Key,
        /// The condition.
        condition: Condition,
    },
}

/// How a key is put. By default it stays until it is deleted, and everyone may change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PutOptions {
    /// The [`Tenure`](super::Tenure) that the key belongs to; `None`: it stays until it is deleted.
    pub tenure: Option<TenureId>,
    /// The access list of the node if the put creates it; ZooKeeper only.
    pub acl: NodeAcl,
}

impl PutOptions {
    /// The defaults, for a key that belongs to a tenure.
    #[must_use]
    pub fn with_tenure(mut self, tenure: TenureId) -> Self {
        self.tenure = Some(tenure);
        self
    }

    /// The same with this access list.
    #[must_use]
    pub fn with_acl(mut self, acl: NodeAcl) -> Self {
        self.acl = acl;
        self
    }
}

/// The access list of a new ZooKeeper node. Missing parents are created open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NodeAcl {
    /// Everyone may do everything.
    #[default]
    Open,
    /// The identities of this connection (digest or certificate) may do everything, everyone else may read. The node above
    /// decides who may delete it.
    Creator,
    /// The access list of the node above it.
    Parent,
}

/// A name directly below a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The name.
    pub name: String,
    /// Whether a key that begins with it is spelled with a leading slash.
    pub slashed: bool,
    /// Whether a key that begins with it is spelled without one.
    pub plain: bool,
}

impl Child {
    /// The spellings of keys that begin with it; the path stands for the first one.
    pub fn spellings(&self) -> impl Iterator<Item = Spelling> {
        let slashed = self.slashed.then_some(Spelling::Slashed);
        slashed.into_iter().chain(self.plain.then_some(Spelling::Plain))
    }
}

impl Change {
    /// A put with the default [`PutOptions`].
    pub fn put(key: Key, value: impl Into<Bytes>, condition: Condition) -> Self {
        Self::Put { key, value: value.into(), condition, options: PutOptions::default() }
    }

    /// The key that is written, deleted or required.
    pub fn key(&self) -> &Key {
        let (Self::Put { key, .. } | Self::Delete { key, .. } | Self::Require { key, .. }) = self;
        key
    }

    /// Its condition.
    pub fn condition(&self) -> Condition {
        let (Self::Put { condition, .. } | Self::Delete { condition, .. } | Self::Require { condition, .. }) =
            self;
        *condition
    }

    /// The tenure of a put.
    pub(super) fn tenure(&self) -> Option<TenureId> {
        match self {
            Self::Put { options, .. } => options.tenure,
            Self::Delete { .. } | Self::Require { .. } => None,
        }
    }

    /// Whether it writes: a requirement does not.
    fn writes(&self) -> bool {
        match self {
            Self::Put { .. } | Self::Delete { .. } => true,
            Self::Require { .. } => false,
        }
    }
}

/// Progress of a series of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// This many are made or sent; whether the sent ones are made is unknown until the store answers.
    Sent(usize),
    /// This many are made.
    Made(usize),
}

/// A subtree read at one moment (etcd), or node by node (`ZooKeeper`, dir).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Listing {
    /// Entries by path relative to the requested key: `""` for itself, `"a/b"` below.
    pub entries: std::collections::BTreeMap<String, Entry>,
    /// The revision of the read; etcd only.
    pub revision: Option<i64>,
    /// Existing keys, escaped, that are not among the entries because they have no path of their own ([`LEFT_OUT`]); etcd
    /// only.
    pub left_out: Vec<String>,
    /// Other omitted entries, a sentence each: no permission, or a circle of symbolic links; dir only.
    pub unreadable: Vec<String>,
}

/// Why etcd's keys are left out.
pub const LEFT_OUT: &str = "a key that is not UTF-8, has a NUL character or ends with more than one slash is left out; so is `a` where there is `/a`";

/// A connection to a store for single requests.
pub enum Access {
    /// etcd.
    Etcd(Box<super::etcd::Access>),
    /// `ZooKeeper`.
    ZooKeeper(Box<super::zookeeper::Access>),
    /// A directory.
    Dir(super::dir::Access),
}

impl Access {
    /// Connects. The limit applies to connecting and then to each request.
    pub async fn open(spec: &StoreSpec, limit: Duration) -> Result<Self, StoreError> {
        Self::open_with(spec, limit, &StoreFiles::default()).await
    }

    /// The same with a given thread for reading the store's files: attempts that share it block no second thread.
    pub(super) async fn open_with(
        spec: &StoreSpec,
        limit: Duration,
        files: &StoreFiles,
    ) -> Result<Self, StoreError> {
        match &spec.url {
            StoreUrl::Etcd { .. } => {
                Ok(Self::Etcd(Box::new(super::etcd::Access::open_with(spec, limit, files).await?)))
            }
            StoreUrl::Dir { .. } => Ok(Self::Dir(super::dir::Access::open(spec, limit).await?)),
            StoreUrl::ZooKeeper { .. } => {
                Ok(Self::ZooKeeper(Box::new(super::zookeeper::Access::open_with(spec, limit, files).await?)))
            }
        }
    }

    /// Ends the connection. A `ZooKeeper` session ends with it, where the server answers within a second.
    pub async fn close(self) {
        match self {
            Self::Etcd(_) | Self::Dir(_) => {}
            Self::ZooKeeper(access) => access.close().await,
        }
    }

    /// Fails if no key of this form can exist in this kind of store.
    pub fn admits(&self, key: &Key) -> Result<(), StoreError> {
        let kind = match self {
            Self::Etcd(_) => StoreKind::Etcd,
            Self::ZooKeeper(_) => StoreKind::ZooKeeper,
            Self::Dir(_) => StoreKind::Dir,
        };
        (kind.facts().admits)(key)
    }

    /// Fails if the store itself does not exist: only a directory can be missing. For a write its parent must exist.
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

    /// Reads many keys with few requests, each as [`Access::get`] does, not all at one moment.
    pub async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        match self {
            Self::Etcd(access) => access.get_many(keys).await,
            Self::ZooKeeper(access) => access.get_many(keys).await,
            Self::Dir(access) => access.get_many(keys).await,
        }
    }

    /// Writes one key, creating missing parents if the store needs them. Returns its new version.
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

    /// The same with the spellings of their keys.
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

    /// Makes all of these changes in one transaction, or none; see [`Store::transact`](super::Store::transact).
    pub async fn transact(&self, changes: &[Change]) -> Result<Vec<Version>, StoreError> {
        admit_transaction(changes)?;
        match self {
            Self::Etcd(access) => access.transact(changes).await,
            Self::ZooKeeper(access) => access.transact(changes).await,
            Self::Dir(access) => access.transact(changes).await,
        }
    }

    /// Makes changes in order, in as few transactions as the store allows. Calls `progress` before and after each.
    pub async fn apply(
        &self,
        changes: &[Change],
        progress: &mut (dyn FnMut(Reached) + Send),
    ) -> Result<(), StoreError> {
        if let Some(require) = changes.iter().find(|change| !change.writes()) {
            return Err(StoreError::Refused {
                what: format!("require {}", require.key()),
                why: "changes that are made in parts cannot have requirements; make them in one transaction"
                    .to_owned(),
            });
        }
        match self {
            Self::Etcd(access) => access.apply(changes, progress).await,
            Self::ZooKeeper(access) => access.apply(changes, progress).await,
            Self::Dir(access) => access.apply(changes, progress).await,
        }
    }
}

/// Finds changes that no transaction can combine: two writes of one key, or keys of two tenures.
pub(super) fn admit_transaction(changes: &[Change]) -> Result<(), StoreError> {
    let what = || format!("make {} changes in one transaction", changes.len());
    let mut written = std::collections::BTreeSet::new();
    if let Some(twice) =
        changes.iter().filter(|change| change.writes()).find(|change| !written.insert(change.key()))
    {
        return Err(StoreError::Refused { what: what(), why: format!("{} is written twice", twice.key()) });
    }
    let mut tenures = changes.iter().filter_map(Change::tenure);
    let first = tenures.next();
    if tenures.any(|other| Some(other) != first) {
        let why = "its keys belong to more than one tenure".to_owned();
        return Err(StoreError::Refused { what: what(), why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_writes_each_key_once_and_for_one_tenure() {
        let key = |name: &str| Key::new(name).unwrap();
        let put = |name: &str, tenure: Option<i64>| Change::Put {
            key: key(name),
            value: Bytes::new(),
            condition: Condition::Any,
            options: PutOptions { tenure: tenure.map(TenureId), acl: NodeAcl::Open },
        };
        let delete = |name: &str| Change::Delete { key: key(name), condition: Condition::Any };
        let require = |name: &str| Change::Require { key: key(name), condition: Condition::Absent };
        for (changes, admitted) in [
            (
                vec![put("/a", None), put("/b", Some(7)), put("/c", Some(7)), require("/a"), require("/a")],
                true,
            ),
            (vec![], true),
            (vec![put("/a", None), delete("/a")], false),
            (vec![put("/a", Some(7)), put("/b", Some(8))], false),
        ] {
            assert_eq!(admit_transaction(&changes).is_ok(), admitted, "{changes:?}");
        }
    }
}
