//! Single requests through the store's handle.
//!
//! They use a connection of their own beside that of the subscriptions, opened at the first request and again after a
//! failure. A request is sent once: only the caller knows whether it may be repeated.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;

use super::access::{Access, Change, Condition, Entry, Listing, Reached};
use super::{Store, StoreError, StoreFiles, StoreSpec, StoreUrl, TenureId, zookeeper};
use crate::watch::{Key, StoreName, Version};

/// Time limit for connecting, and then for each request.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The connection for single requests, if open, and the ZooKeeper sessions of tenures.
#[derive(Default)]
pub(super) struct Requester {
    access: Mutex<Option<Arc<Access>>>,
    sessions: SyncMutex<BTreeMap<TenureId, Weak<zookeeper::Access>>>,
    pub(super) files: StoreFiles,
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
        let opened = Arc::new(Access::open_with(spec, REQUEST_LIMIT, &self.files).await?);
        Ok(Arc::clone(access.insert(opened)))
    }

    /// Keys of this tenure must be put by its own session.
    pub(super) fn add_session(&self, id: TenureId, session: &Arc<zookeeper::Access>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.strong_count() > 0);
        sessions.insert(id, Arc::downgrade(session));
    }

    /// The session that puts a tenure's keys.
    fn session(&self, id: TenureId) -> Result<Arc<zookeeper::Access>, StoreError> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&id).and_then(Weak::upgrade).ok_or_else(|| StoreError::Refused {
            what: format!("put a key for tenure {id}"),
            why: "this store did not open it, or it was dropped; open another one".to_owned(),
        })
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
    /// `dir:///var/lib/keys`, and fails if it does not answer within 5 seconds.
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

    /// Writes one key, creating missing parents if the store needs them. Returns its new version.
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

    /// Reads a key and everything below it, with the metadata of each entry.
    pub async fn list(&self, key: &Key) -> Result<Listing, StoreError> {
        self.ask(|access| async move { access.tree(key).await }).await
    }

    /// Makes changes in order, in as few transactions as the store allows. Calls `progress` before and after each.
    pub async fn apply(
        &self,
        changes: &[Change],
        progress: &mut (dyn FnMut(Reached) + Send),
    ) -> Result<(), StoreError> {
        self.ask(|access| async move { access.apply(changes, progress).await }).await
    }

    /// Makes all of these changes in one transaction, or none, including when a [`Change::Require`] does not hold. Returns the
    /// version of each key that was put, in order.
    ///
    /// Sent once. [`StoreError::Conflict`]: a condition does not hold, and nothing was changed.
    /// [`StoreError::Unanswered`]: it may have been made, so read before sending it again.
    /// [`StoreError::Refused`]: it does not fit into one transaction (more than about a hundred changes or a
    /// megabyte; in a `dir` store, more than one write), or its tenure is over.
    pub async fn transact(&self, changes: &[Change]) -> Result<Vec<Version>, StoreError> {
        let tenure = changes.iter().find_map(Change::tenure);
        match (&self.spec().url, tenure) {
            (StoreUrl::ZooKeeper { .. }, Some(id)) => {
                let session = self.requester.session(id)?;
                super::access::admit_transaction(changes)?;
                session.transact(changes).await
            }
            (StoreUrl::Etcd { .. } | StoreUrl::ZooKeeper { .. } | StoreUrl::Dir { .. }, _) => {
                self.ask(|access| async move { access.transact(changes).await }).await
            }
        }
    }

    pub(super) async fn ask<T, F>(&self, request: impl FnOnce(Arc<Access>) -> F) -> Result<T, StoreError>
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
