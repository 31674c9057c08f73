//! One key as it was read, and writes that require it to be unchanged.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::snapshot::{ReadError, Snapshot};
use crate::store::access::Condition;
use crate::store::{Store, StoreError};
use crate::watch::{Key, Version};

/// A node of a [`Tree`](super::Tree) at the moment it was read.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    store: &'a Store,
    snapshot: Snapshot,
    path: String,
}

impl<'a> Node<'a> {
    pub(super) fn new(store: &'a Store, snapshot: Snapshot, path: &str) -> Self {
        Self { store, snapshot, path: path.to_owned() }
    }

    /// Whether it existed.
    pub fn exists(&self) -> bool {
        self.snapshot.contains(&self.path)
    }

    /// Its value byte for byte.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.snapshot.bytes(&self.path)
    }

    /// Its value as text.
    pub fn text(&self) -> Result<Option<&str>, ReadError> {
        self.snapshot.text(&self.path)
    }

    /// Its value as a number, a boolean, or any other type of `serde`: see [`Snapshot::get`].
    pub fn get<T: DeserializeOwned>(&self) -> Result<Option<T>, ReadError> {
        self.snapshot.get(&self.path)
    }

    /// Writes a value [to the key](Snapshot::key_of) that was read, unless it has been written since, which is a
    /// [`StoreError::Conflict`]. Returns the new version.
    ///
    /// In a directory, whose versions are hashes, only a different value counts as written.
    pub async fn set(&self, value: impl Into<Bytes>) -> Result<Version, StoreError> {
        let (key, condition) = self.unchanged()?;
        self.store.put(&key, value, condition).await
    }

    /// The same with a number, a boolean, or anything else as JSON. A string is written without quotes.
    pub async fn set_json<T: Serialize + Sync + ?Sized>(&self, value: &T) -> Result<Version, StoreError> {
        let what = || format!("write {} of {}", self.path, self.snapshot.key());
        let json = serde_json::to_value(value)
            .map_err(|error| StoreError::Refused { what: what(), why: error.to_string() })?;
        let text = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
        self.set(text).await
    }

    /// Deletes the node unless it has been written since it was read. Returns whether it existed. To see the deletion in
    /// the mirror, [verify](super::Tree::verify) it.
    pub async fn delete(&self) -> Result<bool, StoreError> {
        let (key, condition) = self.unchanged()?;
        if condition != Condition::Absent {
            return self.store.delete(&key, condition).await;
        }
        match self.store.get(&key).await? {
            None => Ok(false),
            Some(found) => Err(StoreError::Conflict {
                key: key.to_string(),
                expected: "no such key".to_owned(),
                found: format!("version {}", found.version),
            }),
        }
    }

    /// The key, and the condition under which a write replaces only the value that was read.
    fn unchanged(&self) -> Result<(Key, Condition), StoreError> {
        let key = self.snapshot.key_of(&self.path).map_err(|error| StoreError::Refused {
            what: format!("write {} of {}", self.path, self.snapshot.key()),
            why: error.to_string(),
        })?;
        let version = self.snapshot.version_of(&self.path);
        Ok((key, version.map_or(Condition::Absent, Condition::Version)))
    }
}
