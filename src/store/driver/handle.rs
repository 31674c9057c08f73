//! The store's public handle, and subscriptions.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::health::{Health, HealthKeeper, LinkState};
use super::link::{Link, Open, Request};
use super::rotation::{self, Found};
use super::slot::{Slot, Update};
use super::target::{Subscriber, SubscriberId, Wanted};
use crate::store::StoreSpec;
use crate::watch::{Detail, Key, WatchType};

/// A store that can be watched. Cloning is cheap; the connection is shared by all clones and all their
/// subscriptions, is made with the first subscription, and closed some time after the last one.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use twitcher::store::{Condition, Store, StoreError, Subscribe};
/// use twitcher::watch::{Content, Key, WatchType};
///
/// # let dir = tempfile::tempdir()?;
/// # let url = format!("dir://{}", dir.path().display());
/// let store = Store::connect(&url).await?;
/// let key = Key::new("/git/head")?;
/// let mut states = store.subscribe(Subscribe::new(key.clone(), WatchType::Data));
/// assert_eq!(states.next().await.state.content, Content::Absent);
///
/// // Compare and set: if two clients have read the same version, one of them fails.
/// let version = store.put(&key, "4b825dc6", Condition::Absent).await?;
/// store.put(&key, "9c1185a5", Condition::Version(version)).await?;
/// let late = store.put(&key, "e69de29b", Condition::Version(version)).await;
/// assert!(matches!(late, Err(StoreError::Conflict { .. })));
///
/// // The newest state arrives, however often and fast it changed.
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

/// The channel to the driver's task, which ends when the last of these is dropped.
#[derive(Debug)]
struct Driver {
    requests: mpsc::UnboundedSender<Request>,
    health: watch::Receiver<Health>,
}

/// Bounds of `verify_interval`: less is a busy loop, more overflows the clock.
const VERIFY_INTERVAL: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_hours(10 * 365 * 24));

/// What to subscribe to. Subscriptions that differ only in `verify_interval` share one watch in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscribe {
    /// The key.
    pub key: Key,
    /// How much of it.
    pub watch_type: WatchType,
    /// Whether values are needed.
    pub detail: Detail,
    /// Deliver every update that the store distinguishes, or only the newest state.
    pub every: bool,
    /// Re-read the target after this long without proof of life. Clamped to 10 ms – 10 years.
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

/// A stream of states that never ends or fails. Dropping it ends the watch.
///
/// It is a [`Stream`](futures::Stream) too; [`next`](Self::next) needs no trait and no `Option`.
#[derive(Debug)]
pub struct Subscription {
    id: SubscriberId,
    slot: Arc<Slot>,
    driver: Arc<Driver>,
}

/// Reads a subscription's freshness without owning the subscription.
#[derive(Debug, Clone)]
pub struct FreshnessReader {
    slot: Arc<Slot>,
    health: watch::Receiver<Health>,
}

/// How fresh a subscription's last state is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Freshness {
    /// When the state was last verified; `None`: not yet.
    pub verified: Option<Instant>,
    /// Whether the store is connected. While it is not, changes are not seen until it is back.
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

    /// Like [`open`](Self::open), for an etcd whose targets start at a revision, followed by every later update, as far as
    /// its history goes. Only for subscriptions to every update: others would return to that revision at each
    /// reconnect.
    #[cfg(feature = "daemon")]
    pub(crate) fn open_since(spec: StoreSpec, revision: i64) -> Self {
        let files = crate::store::StoreFiles::default();
        let open = move |spec: &StoreSpec, attempt| {
            crate::store::etcd::session(spec, attempt, Some(revision), &files)
        };
        Self::open_with(spec, Box::new(open))
    }

    pub(in crate::store) fn open_with(spec: StoreSpec, open: Open) -> Self {
        let looks = rotation::looks(&spec);
        Self::open_rotating(spec, open, looks)
    }

    /// With these looks at the store's certificates.
    pub(super) fn open_rotating(spec: StoreSpec, open: Open, looks: Option<mpsc::Receiver<Found>>) -> Self {
        let spec = Arc::new(spec.clamped());
        let (requests, requests_in) = mpsc::unbounded_channel();
        let (health_out, health) = watch::channel(Health::default());
        let keeper = HealthKeeper::new(spec.name.to_string(), health_out);
        let link = Link::new(Arc::clone(&spec), open, keeper, fastrand::Rng::new()).rotating(looks);
        tokio::spawn(link.run(requests_in));
        let driver = Arc::new(Driver { requests, health });
        Self { spec, driver, next: Arc::default(), requester: Arc::default() }
    }

    /// Its address.
    pub fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    /// Starts a subscription. Returns at once; the first state follows after the first read.
    pub fn subscribe(&self, subscribe: Subscribe) -> Subscription {
        let Subscribe { key, watch_type, detail, every, verify_interval } = subscribe;
        let (shortest, longest) = VERIFY_INTERVAL;
        let verify_interval = verify_interval.clamp(shortest, longest);
        let id = SubscriberId(self.next.fetch_add(1, Ordering::Relaxed));
        let slot = Arc::new(Slot::new(every));
        let subscriber = Subscriber { id, slot: Arc::clone(&slot), verify_interval };
        let wanted = Wanted { key, watch_type, detail, every };
        // The driver ends only after the last handle and subscription, so the channel is open.
        let _ = self.driver.requests.send(Request::Join(wanted, subscriber));
        Subscription { id, slot, driver: Arc::clone(&self.driver) }
    }

    /// The store's state as a whole, now and whenever it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.driver.health.clone()
    }
}

impl Subscription {
    /// Waits for a state that was not taken yet. Cancel-safe.
    pub async fn next(&mut self) -> Update {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Polling variant. The last task to poll is woken, also when the target becomes refused or is no longer refused, as
    /// its [`Freshness`] tells.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Update> {
        self.slot.poll_take(context)
    }

    /// Takes the waiting state, without waiting for one.
    pub fn try_next(&mut self) -> Option<Update> {
        self.slot.try_take()
    }

    /// Reads the target again and waits until every write that was acknowledged before this call is included in the
    /// states. Waits while the store is unreachable or refuses the target.
    pub fn prove(&self) -> impl Future<Output = ()> + Send + use<> {
        let (answer, proved) = oneshot::channel();
        let _ = self.driver.requests.send(Request::Prove(self.id, answer));
        // The driver keeps the request as long as the subscription.
        async move { drop(proved.await) }
    }

    /// How fresh the last state is.
    pub fn freshness(&self) -> Freshness {
        self.freshness_reader().now()
    }

    /// A reader of it that does not own the subscription.
    pub fn freshness_reader(&self) -> FreshnessReader {
        FreshnessReader { slot: Arc::clone(&self.slot), health: self.driver.health.clone() }
    }
}

impl FreshnessReader {
    /// How fresh the last state is now.
    pub fn now(&self) -> Freshness {
        let shown = self.slot.shown();
        let health = self.health.borrow();
        let connected = health.state == LinkState::Connected;
        let store_error = if connected { None } else { health.error.clone() };
        Freshness {
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
