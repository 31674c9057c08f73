//! The store as everybody else sees it: a cheap handle to subscribe with, and subscriptions.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::health::{Health, HealthKeeper, LinkState};
use super::link::{Link, Open, Request};
use super::slot::{Slot, Update};
use super::target::{Subscriber, SubscriberId, Wanted};
use crate::store::StoreSpec;
use crate::watch::{Detail, Key, WatchType};

/// A store that can be watched. Cloning is cheap; the connection is shared by all clones and all their
/// subscriptions, is made with the first subscription, and closed some time after the last one.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use twitcher::store::access::Condition;
/// use twitcher::store::{Store, StoreError, Subscribe};
/// use twitcher::watch::{Content, Key, WatchType};
///
/// # let dir = tempfile::tempdir()?;
/// # let url = format!("dir://{}", dir.path().display());
/// let store = Store::connect(&url).await?;
/// let key = Key::new("/git/head")?;
/// let mut states = store.subscribe(Subscribe::new(key.clone(), WatchType::Data));
/// assert_eq!(states.next().await.state.content, Content::Absent);
///
/// // Compare and set: of two who have read the same, one writes.
/// let version = store.put(&key, "4b825dc6", Condition::Absent).await?;
/// store.put(&key, "9c1185a5", Condition::Version(version)).await?;
/// let late = store.put(&key, "e69de29b", Condition::Version(version)).await;
/// assert!(matches!(late, Err(StoreError::Conflict { .. })));
///
/// // The newest state comes, however often and however fast it changed.
/// while states.next().await.state.content != Content::Value("9c1185a5".into()) {}
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    spec: Arc<StoreSpec>,
    driver: Arc<Driver>,
    next: Arc<AtomicU64>,
    pub(in crate::store) requester: Arc<crate::store::requests::Requester>,
}

/// The way to the driver. It ends when nobody has this any more.
#[derive(Debug)]
struct Driver {
    requests: mpsc::UnboundedSender<Request>,
    health: watch::Receiver<Health>,
}

/// The shortest and longest interval: less is a busy loop, and more exceeds what a clock can add.
const VERIFY_INTERVAL: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_hours(10 * 365 * 24));

/// What is subscribed to. Equal ones (but for `verify_interval`) share one watch in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscribe {
    /// The key.
    pub key: Key,
    /// How much of it.
    pub watch_type: WatchType,
    /// Whether values are wanted.
    pub detail: Detail,
    /// Whether every update counts, as far as the store tells them apart, or only the newest state.
    pub every: bool,
    /// After this long without proof of life the target is read again: 10 ms to 10 years, what lies outside is
    /// clamped.
    pub verify_interval: Duration,
}

impl Subscribe {
    /// The newest states of a key, with values, verified every five minutes.
    pub fn new(key: Key, watch_type: WatchType) -> Self {
        let verify_interval = Duration::from_mins(5);
        Self { key, watch_type, detail: Detail::Values, every: false, verify_interval }
    }

    /// The same with this much of each state.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.detail = detail;
        self
    }

    /// The same with every update, as far as the store tells them apart.
    #[must_use]
    pub fn with_every_update(mut self) -> Self {
        self.every = true;
        self
    }

    /// The same verified at this interval.
    #[must_use]
    pub fn with_verify_interval(mut self, interval: Duration) -> Self {
        self.verify_interval = interval;
        self
    }
}

/// A stream of states that does not end and does not fail. Dropping it ends the watch.
///
/// It is a [`Stream`](futures::Stream) too; [`next`](Self::next) needs no trait and no `Option`.
#[derive(Debug)]
pub struct Subscription {
    id: SubscriberId,
    slot: Arc<Slot>,
    driver: Arc<Driver>,
}

/// Where to see how far a subscription can be believed, without having it.
#[derive(Debug, Clone)]
pub struct Standings {
    slot: Arc<Slot>,
    health: watch::Receiver<Health>,
}

/// How far a subscription can be believed right now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// When the store last proved what the state is; `None`: not yet.
    pub verified: Option<Instant>,
    /// Whether the store is connected. While it is not, changes are not seen; they are when it is back.
    pub connected: bool,
    /// Why changes are not seen at the moment: this target is refused, or the store is down.
    pub error: Option<String>,
}

impl Store {
    /// Makes a handle. Nothing is connected until something is subscribed to.
    ///
    /// # Panics
    /// Outside of a tokio runtime: the driver is a task.
    pub fn open(spec: StoreSpec) -> Self {
        let open = crate::store::opener(&spec);
        Self::open_with(spec, open)
    }

    /// The same with an etcd whose targets are shown as they were at a revision, and then every update since, as
    /// far as its history goes. Only for subscriptions to every update: those to states would go back to it
    /// whenever they connect anew.
    #[cfg(feature = "daemon")]
    pub(crate) fn open_since(spec: StoreSpec, revision: i64) -> Self {
        let open =
            move |spec: &StoreSpec, attempt| crate::store::etcd::session(spec, attempt, Some(revision));
        Self::open_with(spec, Box::new(open))
    }

    pub(in crate::store) fn open_with(spec: StoreSpec, open: Open) -> Self {
        let spec = Arc::new(spec.clamped());
        let (requests, requests_in) = mpsc::unbounded_channel();
        let (health_out, health) = watch::channel(Health::default());
        let keeper = HealthKeeper::new(spec.name.to_string(), health_out);
        tokio::spawn(Link::new(Arc::clone(&spec), open, keeper, fastrand::Rng::new()).run(requests_in));
        let driver = Arc::new(Driver { requests, health });
        Self { spec, driver, next: Arc::default(), requester: Arc::default() }
    }

    /// Where it is.
    pub fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    /// Begins to watch. Returns at once; the first state comes when the store has told it.
    pub fn subscribe(&self, subscribe: Subscribe) -> Subscription {
        let Subscribe { key, watch_type, detail, every, verify_interval } = subscribe;
        let (shortest, longest) = VERIFY_INTERVAL;
        let verify_interval = verify_interval.clamp(shortest, longest);
        let id = SubscriberId(self.next.fetch_add(1, Ordering::Relaxed));
        let slot = Arc::new(Slot::new(every));
        let subscriber = Subscriber { id, slot: Arc::clone(&slot), verify_interval };
        let wanted = Wanted { key, watch_type, detail, every };
        // The driver ends only after the last handle and subscription: there is always one to receive.
        let _ = self.driver.requests.send(Request::Join(wanted, subscriber));
        Subscription { id, slot, driver: Arc::clone(&self.driver) }
    }

    /// The store's state as a whole, now and whenever it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.driver.health.clone()
    }
}

impl Subscription {
    /// Waits for a state that was not taken yet. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Update {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The same for those who wait by hand. The task that asked last is woken; also where the target begins or ceases
    /// to be refused, which its [`Standing`] tells.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Update> {
        self.slot.poll_take(context)
    }

    /// Takes what is there, without waiting.
    pub fn try_next(&mut self) -> Option<Update> {
        self.slot.try_take()
    }

    /// Reads the target again, and waits until everything that was written before this was called is in the states
    /// that can be taken: for as long as the store cannot be reached or refuses it.
    pub fn prove(&self) -> impl Future<Output = ()> + Send + use<> {
        let (answer, proved) = oneshot::channel();
        let _ = self.driver.requests.send(Request::Prove(self.id, answer));
        // Only with the subscription does the driver forget it.
        async move { drop(proved.await) }
    }

    /// How far the last state can be believed.
    pub fn standing(&self) -> Standing {
        self.standings().now()
    }

    /// The same for somebody else to look at, for as long as they like.
    pub fn standings(&self) -> Standings {
        Standings { slot: Arc::clone(&self.slot), health: self.driver.health.clone() }
    }
}

impl Standings {
    /// How far the last state can be believed.
    pub fn now(&self) -> Standing {
        let shown = self.slot.shown();
        let health = self.health.borrow();
        let connected = health.state == LinkState::Connected;
        let store_error = if connected { None } else { health.error.clone() };
        Standing {
            verified: shown.verified,
            connected,
            error: store_error.or(shown.refused.map(String::from)),
        }
    }
}

impl futures::Stream for Subscription {
    type Item = Update;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update>> {
        self.slot.poll_take(context).map(Some)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let _ = self.driver.requests.send(Request::Leave(self.id));
    }
}
