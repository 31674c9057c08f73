//! Tenures: keys that live as long as their owner keeps in touch with the store, and a while longer.
//!
//! In etcd a tenure is a lease, renewed on the connection for requests; in ZooKeeper a session of its own with
//! ephemeral nodes; a directory has one member, whose tenure is never lost. An end that the server did not tell is
//! not known here: a tenure that is not lost proves nothing about its keys.

mod id;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use self::id::TenureId;
use super::driver::Backoff;
use super::{Access, Store, StoreError, StoreUrl};

/// The shortest and longest time to live: a server that is asked for less is asked too often, and for more takes none.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));
/// Renewals of a lease in its time to live. With three, one may fail.
const RENEWALS: u32 = 3;
/// A failed renewal is tried again after at least this; the longest wait is a part of the time to live.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// A hold on keys that were put with its [`id`](Self::id). Dropping it ends the renewals: the keys go when its time
/// to live is over, unless somebody puts them without it.
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
    /// Opens a tenure that the store ends when it has not heard of us for `ttl`, which it may lengthen or shorten
    /// (ZooKeeper: 2 to 20 ticks); between 1 second and 24 hours.
    ///
    /// An error is the answer to one attempt.
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
    /// What to put keys with.
    pub fn id(&self) -> TenureId {
        self.id
    }

    /// The time to live that the store has granted.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether the store has said that it is over: its keys are deleted, or will be at once.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until the store says that it is over; for a directory for ever.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut lost = self.lost.clone();
        async move {
            if lost.wait_for(|lost| *lost).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends it and deletes its keys. After an error they go when its time to live is over.
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

/// Renews a lease until the server does not know it any more. A failed renewal goes to the next member, which the
/// connection for requests is then made to.
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
                tracing::debug!(store = %store.spec().name, "lease {id} is not renewed: {error}");
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
