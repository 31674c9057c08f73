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

    /// Writes a value [to the key](Snapshot::key_of) that was read, if it is still as it was read; else it is a
    /// [`StoreError::Conflict`], also where somebody wrote between a look at the store and the write. Returns the new
    /// version.
    pub async fn set(&self, value: impl Into<Bytes>) -> Result<Version, StoreError> {
        let (key, condition) = self.unchanged().await?;
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

    /// Deletes the node if it is still as it was read. Returns whether it existed.
    pub async fn delete(&self) -> Result<bool, StoreError> {
        let (key, condition) = self.unchanged().await?;
        if condition == Condition::Absent {
            return Ok(false);
        }
        self.store.delete(&key, condition).await
    }

    /// The key, and what a write must demand so that it replaces only what was read.
    ///
    /// The mirror holds values and no versions, which would cost it a fifth of its memory: so the store is
    /// asked for the version of what has this value.
    async fn unchanged(&self) -> Result<(Key, Condition), StoreError> {
        let key = self.snapshot.key_of(&self.path).map_err(|error| StoreError::Refused {
            what: format!("write {} of {}", self.path, self.snapshot.key()),
            why: error.to_string(),
        })?;
        let found = self.store.get(&key).await?;
        match (self.bytes(), found) {
            (None, None) => Ok((key, Condition::Absent)),
            (read, Some(found)) if read == found.value.as_deref() => {
                // A node without a value has no version that every store could compare.
                let condition =
                    if read.is_some() { Condition::Version(found.version) } else { Condition::Any };
                Ok((key, condition))
            }
            (read, found) => {
                let was = if read.is_some() { "the value that was read" } else { "no value" };
                let is = match found {
                    Some(found) => format!("another value, version {}", found.version),
                    None => "no such key".to_owned(),
                };
                Err(StoreError::Conflict { key: key.to_string(), expected: was.to_owned(), found: is })
            }
        }
    }
}
