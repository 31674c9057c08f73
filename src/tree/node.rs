//! One key as it was read, and writes that demand that it still is.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::snapshot::{ReadError, Snapshot};
use crate::store::access::Condition;
use crate::store::{Store, StoreError};
use crate::watch::{Key, Version};

/// A node of a [`Tree`](super::Tree) at the moment it was looked at.
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

    /// Whether it was there.
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

    /// Its value as a number, a truth value, or whatever `serde` makes of it: see [`Snapshot::get`].
    pub fn get<T: DeserializeOwned>(&self) -> Result<Option<T>, ReadError> {
        self.snapshot.get(&self.path)
    }

    /// Writes a value [to the key](Snapshot::key_of) that was read, if nobody has written it since; else it is a
    /// [`StoreError::Conflict`]. Returns the new version.
    ///
    /// In a directory, whose versions are hashes, somebody has written it if it holds another value.
    pub async fn set(&self, value: impl Into<Bytes>) -> Result<Version, StoreError> {
        let (key, condition) = self.unchanged()?;
        self.store.put(&key, value, condition).await
    }

    /// The same with a number, a truth value, or anything else as JSON. A string is written without quotes.
    pub async fn set_json<T: Serialize + Sync + ?Sized>(&self, value: &T) -> Result<Version, StoreError> {
        let what = || format!("write {} of {}", self.path, self.snapshot.key());
        let json = serde_json::to_value(value)
            .map_err(|error| StoreError::Refused { what: what(), why: error.to_string() })?;
        let text = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
        self.set(text).await
    }

    /// Deletes the node if nobody has written it since it was read. Returns whether it existed. The mirror shows it when
    /// it has been [verified](super::Tree::verify).
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

    /// The key, and what a write must demand so that it replaces only what was read.
    fn unchanged(&self) -> Result<(Key, Condition), StoreError> {
        let key = self.snapshot.key_of(&self.path).map_err(|error| StoreError::Refused {
            what: format!("write {} of {}", self.path, self.snapshot.key()),
            why: error.to_string(),
        })?;
        let version = self.snapshot.version_of(&self.path);
        Ok((key, version.map_or(Condition::Absent, Condition::Version)))
    }
}
