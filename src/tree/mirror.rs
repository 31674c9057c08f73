//! A live copy of a subtree, kept up to date by a subscription: reads cost nothing, writes go to the store.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::changes::Changes;
use super::node::Node;
use super::seen::Seen;
use super::snapshot::{ReadError, Scope, Snapshot};
use crate::store::{Freshness, Store, Subscribe, Subscription};
use crate::watch::{Content, Key, Version, WatchType};

/// How often a mirror's freshness is polled, and how long `sync` waits for a version before it reads again.
const LOOK: Duration = Duration::from_millis(500);

/// A live copy of a subtree. The watch ends when it is dropped.
///
/// It never fails: while the store is unreachable it shows the last known state, and [`Tree::freshness`] says so.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use twitcher::store::Store;
/// use twitcher::tree::Tree;
/// use twitcher::watch::Key;
///
/// # let dir = tempfile::tempdir()?;
/// # let url = format!("dir://{}", dir.path().display());
/// let store = Store::connect(&url).await?;
/// let tree = Tree::open(&store, Key::new("/nginx")?);
/// tree.loaded().await;
/// assert_eq!(tree.get::<u16>("port")?, None);
///
/// // The write demands that the key is still as it was read.
/// let version = tree.at("port").set("8080").await?;
/// tree.sync(version).await;
/// assert_eq!(tree.get::<u16>("port")?, Some(8080));
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug)]
pub struct Tree {
    store: Store,
    key: Key,
    seen: watch::Receiver<Seen>,
    demands: mpsc::UnboundedSender<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Tree {
    /// Starts to mirror a key and everything below it. The mirror is empty until it is [loaded](Tree::loaded).
    ///
    /// # Panics
    /// Outside of a tokio runtime: a task keeps the mirror.
    pub fn open(store: &Store, key: Key) -> Self {
        let subscription = store.subscribe(Subscribe::new(key.clone(), WatchType::Tree));
        let freshness = subscription.freshness();
        let seen = Seen { snapshot: Snapshot::empty(key.clone()), loaded: false, freshness };
        let (sender, seen) = watch::channel(seen);
        let (demands, demanded) = mpsc::unbounded_channel();
        let task = tokio::spawn(keep(key.clone(), subscription, sender, demanded));
        Self { store: store.clone(), key, seen, demands, task }
    }

    /// The key at its top.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The store it is in.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Waits for the first state, without a time limit.
    pub async fn loaded(&self) -> Snapshot {
        let mut seen = self.seen.clone();
        let loaded = seen.wait_for(|seen| seen.loaded).await;
        // The task holds the sender and ends only when this handle is dropped.
        loaded.map_or_else(|_| self.snapshot(), |seen| seen.snapshot.clone())
    }

    /// An immutable snapshot of the subtree; empty before it is loaded.
    pub fn snapshot(&self) -> Snapshot {
        self.seen.borrow().snapshot.clone()
    }

    /// How fresh the mirror is.
    pub fn freshness(&self) -> Freshness {
        self.seen.borrow().freshness.clone()
    }

    /// A value as a number, a boolean, or any other type of `serde`: see [`Snapshot::get`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ReadError> {
        self.seen.borrow().snapshot.get(path)
    }

    /// A node as it is now, to be read and then written only if it has not changed.
    pub fn at(&self, path: &str) -> Node<'_> {
        let snapshot = self.snapshot();
        Node::new(&self.store, snapshot, path)
    }

    /// Changes from now on at a path, or at and below it, delivered when nothing has changed for `settle`, but not later
    /// than `longest` after the first change. A `settle` of zero delivers at once; both are at most 10 years.
    pub fn changes(&self, path: &str, scope: Scope, settle: Duration, longest: Duration) -> Changes {
        Changes::new(self.seen.clone(), path, scope, settle, longest)
    }

    /// Waits until the mirror includes a write, by the version that the write returned. Waits while the store is
    /// unreachable.
    ///
    /// If versions have no order (`dir`), or the mirror's stays lower because the key was deleted again, the subtree is
    /// [read again](Self::verify).
    pub async fn sync(&self, version: Version) {
        let mut seen = self.seen.clone();
        let reached = seen.wait_for(|seen| match (version, seen.snapshot.version()) {
            (Version::Revision(wanted), Some(Version::Revision(seen))) => seen >= wanted,
            (Version::Revision(_) | Version::Hash(_), _) => false,
        });
        let in_time = match version {
            Version::Revision(_) => tokio::time::timeout(LOOK, reached).await.is_ok(),
            Version::Hash(_) => false,
        };
        if !in_time {
            self.verify().await;
        }
    }

    /// Reads the subtree again and waits until the mirror includes every write and deletion acknowledged before this call.
    /// Waits while the store is unreachable.
    pub async fn verify(&self) {
        let (answer, verified) = oneshot::channel();
        // The task answers, and ends only when this handle is dropped.
        let _ = self.demands.send(answer);
        drop(verified.await);
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(
    key: Key,
    mut subscription: Subscription,
    sender: watch::Sender<Seen>,
    mut demands: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
) {
    let mut look = tokio::time::interval(LOOK);
    let mut proofs = FuturesUnordered::new();
    loop {
        let (mut update, mut proved) = (None, None);
        tokio::select! {
            newest = subscription.next() => update = Some(newest),
            Some(answer) = demands.recv() => {
                let proof = subscription.prove();
                proofs.push(async move {
                    proof.await;
                    answer
                });
            }
            Some(answer) = proofs.next() => {
                update = subscription.try_next();
                proved = Some(answer);
            }
            _ = look.tick() => {}
        }
        let freshness = subscription.freshness();
        sender.send_if_modified(|seen| {
            let stands = |freshness: &Freshness| (freshness.connected, freshness.error.clone());
            let other = stands(&seen.freshness) != stands(&freshness);
            seen.freshness = freshness;
            let Some(update) = update else { return other };
            // Unknown is not absent.
            if update.state.content != Content::Unread {
                seen.snapshot = Snapshot::of(key.clone(), &update.state);
                seen.loaded = true;
            }
            true
        });
        if let Some(answer) = proved {
            // The caller may be gone.
            let _ = answer.send(());
        }
    }
}
