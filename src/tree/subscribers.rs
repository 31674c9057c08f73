//! Publish and subscribe by key: many named subscribers share one watch in the store for each key.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::store::access::Condition;
use crate::store::{Freshness, FreshnessReader, Store, StoreError, Subscribe};
use crate::watch::{Key, State, Version, WatchType};

/// Delay before another attempt to start a thread for a callback.
const NO_THREAD: Duration = Duration::from_secs(1);

/// What to subscribe to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// The key.
    pub key: Key,
    /// How much of it.
    pub watch_type: WatchType,
}

/// The name is already registered on this topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is subscribed to {key} already; unregister it first, or take another name", key = .1.key)]
pub struct NameTaken(pub String, pub Topic);

/// A subscriber, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// States delivered to it.
    pub given: u64,
    /// How often its callback panicked.
    pub panics: u64,
}

/// Named subscribers by topic, which can be added and removed at any time; clones share them.
///
/// Every subscriber gets the newest state, starting with the current one. A slow subscriber skips states that were
/// replaced meanwhile and delays no other subscriber. A callback that panics is called again with the next state.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use twitcher::store::Store;
/// use twitcher::tree::{Subscribers, Topic};
/// use twitcher::watch::{Content, Key, WatchType};
///
/// # let dir = tempfile::tempdir()?;
/// # let url = format!("dir://{}", dir.path().display());
/// let subscribers = Subscribers::new(&Store::connect(&url).await?);
/// let topic = Topic { key: Key::new("/motd")?, watch_type: WatchType::Data };
///
/// subscribers.register("printer", &topic, |state| println!("{:?}", state.content))?;
/// let mut reader = subscribers.channel("reader", &topic)?;
/// subscribers.publish(&topic.key, "hello").await?;
/// while reader.next().await.map(|state| state.content) != Some(Content::Value("hello".into())) {}
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Subscribers {
    store: Store,
    topics: Arc<Mutex<BTreeMap<Topic, Watched>>>,
}

/// A topic with at least one subscriber.
#[derive(Debug)]
struct Watched {
    states: watch::Receiver<Option<State>>,
    freshness: FreshnessReader,
    listeners: BTreeMap<String, Listener>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Listener {
    counts: Arc<Counts>,
    /// Dropping it ends the subscriber: its task, or the stream of its receiver.
    _until: Until,
}

#[derive(Debug)]
enum Until {
    Callback { _task: Abort },
    Channel { _open: watch::Sender<()> },
}

#[derive(Debug)]
struct Abort(JoinHandle<()>);

#[derive(Debug, Default)]
struct Counts {
    given: AtomicU64,
    panics: AtomicU64,
    /// No further callback starts.
    ended: AtomicBool,
}

/// A subscriber's states. Dropping it unregisters the subscriber.
#[derive(Debug)]
pub struct Receiver {
    states: watch::Receiver<Option<State>>,
    open: watch::Receiver<()>,
    counts: Arc<Counts>,
    subscribers: Subscribers,
    topic: Topic,
    name: String,
}

impl Subscribers {
    /// Starts without subscribers.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), topics: Arc::default() }
    }

    /// Calls back with the newest state, one call at a time, each on its own thread, so that the callback may block.
    ///
    /// # Panics
    /// Outside of a tokio runtime: subscribers are tasks.
    pub fn register(
        &self,
        name: &str,
        topic: &Topic,
        callback: impl FnMut(&State) + Send + 'static,
    ) -> Result<(), NameTaken> {
        self.enter(name, topic, |states, counts| {
            let task = tokio::spawn(call(states, Box::new(callback), counts));
            (Until::Callback { _task: Abort(task) }, ())
        })
    }

    /// Returns a receiver of the newest state.
    ///
    /// # Panics
    /// Outside of a tokio runtime: a task keeps the watch.
    pub fn channel(&self, name: &str, topic: &Topic) -> Result<Receiver, NameTaken> {
        self.enter(name, topic, |states, counts| {
            let (still, open) = watch::channel(());
            let (topic, name) = (topic.clone(), name.to_owned());
            let receiver = Receiver { states, open, counts, subscribers: self.clone(), topic, name };
            (Until::Channel { _open: still }, receiver)
        })
    }

    /// Removes a subscriber, and with the last one the watch. A running callback finishes; none starts afterwards. Returns
    /// whether the subscriber existed.
    pub fn unregister(&self, name: &str, topic: &Topic) -> bool {
        let mut topics = self.topics();
        let Some(watched) = topics.get_mut(topic) else { return false };
        let removed = watched.listeners.remove(name).is_some();
        if watched.listeners.is_empty() {
            topics.remove(topic);
        }
        removed
    }

    /// Removes all subscribers of a topic and its watch. Returns how many there were.
    pub fn remove(&self, topic: &Topic) -> usize {
        self.topics().remove(topic).map_or(0, |watched| watched.listeners.len())
    }

    /// All subscribers by topic.
    pub fn list(&self) -> BTreeMap<Topic, Vec<Listed>> {
        let listed = |(name, listener): (&String, &Listener)| Listed {
            name: name.clone(),
            given: listener.counts.given.load(Ordering::Relaxed),
            panics: listener.counts.panics.load(Ordering::Relaxed),
        };
        let topics = self.topics();
        let listed = topics
            .iter()
            .map(|(topic, watched)| (topic.clone(), watched.listeners.iter().map(listed).collect()));
        listed.collect()
    }

    /// How fresh the states of a topic are; `None` if it has no subscriber.
    pub fn freshness(&self, topic: &Topic) -> Option<Freshness> {
        self.topics().get(topic).map(|watched| watched.freshness.now())
    }

    /// Writes a value, which every subscriber of its key receives, in this and other programs.
    pub async fn publish(&self, key: &Key, value: impl Into<Bytes>) -> Result<Version, StoreError> {
        self.store.put(key, value, Condition::Any).await
    }

    fn enter<T>(
        &self,
        name: &str,
        topic: &Topic,
        begin: impl FnOnce(watch::Receiver<Option<State>>, Arc<Counts>) -> (Until, T),
    ) -> Result<T, NameTaken> {
        let mut topics = self.topics();
        let watched = topics.entry(topic.clone()).or_insert_with(|| Watched::begin(&self.store, topic));
        if watched.listeners.contains_key(name) {
            return Err(NameTaken(name.to_owned(), topic.clone()));
        }
        let mut states = watched.states.clone();
        // Deliver the current state first.
        states.mark_changed();
        let counts = Arc::<Counts>::default();
        let (until, result) = begin(states, Arc::clone(&counts));
        watched.listeners.insert(name.to_owned(), Listener { counts, _until: until });
        Ok(result)
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<Topic, Watched>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn begin(store: &Store, topic: &Topic) -> Self {
        let mut subscription = store.subscribe(Subscribe::new(topic.key.clone(), topic.watch_type));
        let freshness = subscription.freshness_reader();
        let (sender, states) = watch::channel(None);
        let task = tokio::spawn(async move {
            loop {
                let update = subscription.next().await;
                sender.send_replace(Some(update.state));
            }
        });
        Self { states, freshness, listeners: BTreeMap::new(), task }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.counts.ended.store(true, Ordering::Release);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Receiver {
    /// Waits for a state newer than the last one; `None` once it is unregistered.
    pub async fn next(&mut self) -> Option<State> {
        loop {
            tokio::select! {
                biased;
                _ = self.open.changed() => return None,
                changed = self.states.changed() => changed.ok()?,
            }
            if let Some(state) = self.states.borrow_and_update().clone() {
                self.counts.given.fetch_add(1, Ordering::Relaxed);
                return Some(state);
            }
        }
    }

    /// The same as a [`Stream`](futures::Stream).
    pub fn into_stream(self) -> impl futures::Stream<Item = State> {
        futures::stream::unfold(self, async |mut receiver| Some((receiver.next().await?, receiver)))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // After unregistering, the name may belong to another subscriber.
        if self.open.has_changed().is_ok() {
            self.subscribers.unregister(&self.name, &self.topic);
        }
    }
}

type Callback = Box<dyn FnMut(&State) + Send>;

/// Calls back on its own thread: callbacks that hang would exhaust a pool.
async fn call(mut states: watch::Receiver<Option<State>>, callback: Callback, counts: Arc<Counts>) {
    let callback = Arc::new(Mutex::new(callback));
    while states.changed().await.is_ok() {
        let Some(state) = states.borrow_and_update().clone() else { continue };
        let (done, called) = oneshot::channel();
        let work = {
            let (callback, counts) = (Arc::clone(&callback), Arc::clone(&counts));
            move || {
                // Nothing else locks it, and a panic is caught before it gets here.
                let mut callback = callback.lock().unwrap_or_else(PoisonError::into_inner);
                if !counts.ended.load(Ordering::Acquire) {
                    counts.given.fetch_add(1, Ordering::Relaxed);
                    let _ = done.send(catch_unwind(AssertUnwindSafe(|| callback(&state))).err());
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("subscriber".to_owned()).spawn(work) {
            tracing::warn!("cannot call a subscriber: no thread for it ({error}); it is called again later");
            tokio::time::sleep(NO_THREAD).await;
            states.mark_changed();
            continue;
        }
        // It was unregistered before the call.
        let Ok(panic) = called.await else { return };
        if let Some(panic) = panic {
            counts.panics.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                panic = said(&*panic),
                "a subscriber panicked; it is called again with the next state"
            );
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
