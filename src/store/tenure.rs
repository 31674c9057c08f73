//! Tenures: keys that live as long as their owner stays in contact with the store, plus a time to live.
//!
//! In etcd a tenure is a lease, renewed on the connection for requests; in ZooKeeper a session of its own with ephemeral
//! nodes; a directory has a single member, whose tenure is never lost. Until the server reports the end, it is unknown
//! here: a tenure that is not known to be lost proves nothing about its keys.

mod id;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use self::id::TenureId;
use super::driver::Backoff;
use super::{Access, Store, StoreError, StoreUrl};

/// The shortest and longest time to live: renewing a shorter one costs too much, and servers refuse a longer one.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));
/// Renewals of a lease per time to live. With three, one may fail.
const RENEWALS: u32 = 3;
/// Minimum delay before a failed renewal is retried; the longest delay is a fraction of the time to live.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// Ownership of the keys that were put with its [`id`](Self::id). Dropping it ends the renewals: the keys expire after its
/// time to live, unless they are put again without it.
#[derive(Debug)]
pub struct Tenure {
    store: Store,
    id: TenureId,
    ttl: Duration,
    lost: watch::Receiver<bool>,
    keeper: Option<tokio::task::JoinHandle<()>>,
    session: Option<Arc<super::zookeeper::Access>>,
}

impl Store {
    /// Opens a tenure that the store ends when it has not heard from this program for `ttl`; the store may lengthen or shorten
    /// it (ZooKeeper: 2 to 20 ticks). Between 1 second and 24 hours.
    ///
    /// Makes one attempt and returns its error.
    pub async fn tenure(&self, ttl: Duration) -> Result<Tenure, StoreError> {
        let (shortest, longest) = TTL;
        let ttl = ttl.clamp(shortest, longest);
        let (ended, lost) = watch::channel(false);
        match &self.spec().url {
            StoreUrl::Etcd { .. } => {
                let (id, ttl) = self.ask(|access| async move { access.grant_lease(ttl).await }).await?;
                let keeper = tokio::spawn(renew(self.clone(), id, ttl, ended));
                Ok(Tenure { store: self.clone(), id, ttl, lost, keeper: Some(keeper), session: None })
            }
            StoreUrl::ZooKeeper { .. } => {
                let limit = super::requests::REQUEST_LIMIT;
                let session =
                    super::zookeeper::Access::open_tenure(self.spec(), ttl, limit, &self.requester.files)
                        .await?;
                let session = Arc::new(session);
                let (id, ttl) = session.tenure();
                self.requester.add_session(id, &session);
                let watched = Arc::clone(&session);
                let keeper = tokio::spawn(async move {
                    watched.over().await;
                    ended.send_replace(true);
                });
                Ok(Tenure {
                    store: self.clone(),
                    id,
                    ttl,
                    lost,
                    keeper: Some(keeper),
                    session: Some(session),
                })
            }
            StoreUrl::Dir { .. } => {
                // Fails as any request would.
                self.ask(|access| async move { access.has_root(true).await }).await?;
                drop(ended);
                let id = TenureId::OF_DIRECTORY;
                Ok(Tenure { store: self.clone(), id, ttl, lost, keeper: None, session: None })
            }
        }
    }
}

impl Tenure {
    /// The id to put keys with.
    pub fn id(&self) -> TenureId {
        self.id
    }

    /// The time to live that the store has granted.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether the store has reported its end: its keys are deleted, or are about to be.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until the store reports its end; for a directory forever.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut lost = self.lost.clone();
        async move {
            if lost.wait_for(|lost| *lost).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends it and deletes its keys. After an error they expire with its time to live.
    pub async fn revoke(mut self) -> Result<(), StoreError> {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        match (&self.store.spec().url, &self.session) {
            (StoreUrl::Etcd { .. }, _) => {
                let id = self.id;
                self.store.ask(|access| async move { access.revoke_lease(id).await }).await
            }
            (StoreUrl::ZooKeeper { .. }, Some(session)) => session.end_tenure().await,
            (StoreUrl::ZooKeeper { .. } | StoreUrl::Dir { .. }, _) => Ok(()),
        }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.abort();
        }
    }
}

/// Renews a lease until the server no longer knows it. A failed renewal moves to the next member, as does the connection
/// for requests.
async fn renew(store: Store, id: TenureId, ttl: Duration, ended: watch::Sender<bool>) {
    let pause = ttl / RENEWALS;
    let limit = (ttl / (2 * RENEWALS)).min(super::requests::REQUEST_LIMIT);
    let mut backoff = Backoff::new(FIRST_RETRY, limit);
    let mut rng = fastrand::Rng::new();
    let mut wait = pause;
    loop {
        tokio::time::sleep(wait).await;
        let renewed = store.ask(|access| async move { access.renew_lease(id, limit).await }).await;
        wait = match renewed {
            Ok(true) => {
                backoff.reset();
                pause
            }
            Ok(false) => {
                tracing::warn!(store = %store.spec().name, "lease {id} is over");
                ended.send_replace(true);
                return;
            }
            Err(error) => {
                tracing::debug!(store = %store.spec().name, "cannot renew lease {id}: {error}");
                FIRST_RETRY + backoff.next(&mut rng)
            }
        };
    }
}

impl Access {
    async fn grant_lease(&self, ttl: Duration) -> Result<(TenureId, Duration), StoreError> {
        match self {
            Self::Etcd(access) => access.grant(ttl).await,
            Self::ZooKeeper(_) | Self::Dir(_) => Err(no_lease()),
        }
    }

    async fn renew_lease(&self, id: TenureId, limit: Duration) -> Result<bool, StoreError> {
        match self {
            Self::Etcd(access) => access.renew(id, limit).await,
            Self::ZooKeeper(_) | Self::Dir(_) => Err(no_lease()),
        }
    }

    async fn revoke_lease(&self, id: TenureId) -> Result<(), StoreError> {
        match self {
            Self::Etcd(access) => access.revoke(id).await,
            Self::ZooKeeper(_) | Self::Dir(_) => Err(no_lease()),
        }
    }
}

fn no_lease() -> StoreError {
    StoreError::Refused { what: "use a lease".to_owned(), why: "only etcd has leases".to_owned() }
}
