//! Single requests through the same handle that is subscribed with.
//!
//! A connection of its own, apart from that of the subscriptions; made when it is first needed, and made
//! again after it failed. A request is sent once: whoever asks knows whether it may be repeated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;

use super::access::{Access, Change, Condition, Entry, Listing, Reached};
use super::{Store, StoreError, StoreSpec, StoreUrl};
use crate::watch::{Key, StoreName, Version};

/// How long connecting, and then each request, may take.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The connection for single requests, while there is one.
#[derive(Default)]
pub(super) struct Requester {
    access: Mutex<Option<Arc<Access>>>,
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requester")
    }
}

impl Requester {
    async fn access(&self, spec: &StoreSpec) -> Result<Arc<Access>, StoreError> {
        let mut access = self.access.lock().await;
        if let Some(access) = &*access {
            return Ok(Arc::clone(access));
        }
        let opened = Arc::new(Access::open(spec, REQUEST_LIMIT).await?);
        Ok(Arc::clone(access.insert(opened)))
    }

    async fn forget(&self, failed: &Arc<Access>) {
        let mut access = self.access.lock().await;
        if access.as_ref().is_some_and(|access| Arc::ptr_eq(access, failed)) {
            *access = None;
        }
    }
}

impl Store {
    /// Connects to the store at a URL such as `etcd://localhost:2379/prefix`, `zookeeper://localhost:2181` or
    /// `dir:///var/lib/keys`, and fails if it does not answer within [`REQUEST_LIMIT`].
    ///
    /// Users and certificates are not part of a URL: see [`Store::open`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let refused = |why: String| StoreError::Refused { what: "open the store".to_owned(), why };
        let url: StoreUrl =
            url.parse().map_err(|error: super::InvalidStoreUrl| refused(error.to_string()))?;
        let name = StoreName::new("store").map_err(|error| refused(error.to_string()))?;
        let store = Self::open(StoreSpec::new(name, url));
        store.requester.access(store.spec()).await?;
        Ok(store)
    }

    /// Reads one key; `None` if it does not exist.
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.ask(|access| async move { access.get(key).await }).await
    }

    /// Writes one key, making what is above it where the store needs that. Returns its new version.
    ///
    /// Compare and set: [`Condition::Version`] with the version that was read, or [`Condition::Absent`].
    pub async fn put(
        &self,
        key: &Key,
        value: impl Into<Bytes>,
        condition: Condition,
    ) -> Result<Version, StoreError> {
        let value = value.into();
        self.ask(|access| async move { access.put(key, value, condition).await }).await
    }

    /// Deletes one key. Returns whether it existed.
    pub async fn delete(&self, key: &Key, condition: Condition) -> Result<bool, StoreError> {
        self.ask(|access| async move { access.delete(key, condition).await }).await
    }

    /// The names of a key's direct children, sorted; `None` if neither it nor anything below it exists.
    pub async fn children(&self, key: &Key) -> Result<Option<Vec<String>>, StoreError> {
        self.ask(|access| async move { access.children(key).await }).await
    }

    /// Reads a key and everything below it, with all that the store knows of each.
    pub async fn list(&self, key: &Key) -> Result<Listing, StoreError> {
        self.ask(|access| async move { access.tree(key).await }).await
    }

    /// Makes changes in order; those that the store can make at once are made together or not at all.
    /// `progress` is told of each part before and after it is made.
    pub async fn apply(
        &self,
        changes: &[Change],
        progress: &mut (dyn FnMut(Reached) + Send),
    ) -> Result<(), StoreError> {
        self.ask(|access| async move { access.apply(changes, progress).await }).await
    }

    async fn ask<T, F>(&self, request: impl FnOnce(Arc<Access>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let access = self.requester.access(self.spec()).await?;
        let answer = request(Arc::clone(&access)).await;
        if let Err(StoreError::Unavailable { .. } | StoreError::Unanswered { .. }) = answer {
            self.requester.forget(&access).await;
        }
        answer
    }
}
