//! Follows one tree: a recursive watch on its top, a full walk, and re-reads of nodes that change.
//!
//! The client library loses such a watch when it reconnects, and the server loses the events in between
//! (ZOOKEEPER-4698). So the watch is set and everything is read again on every connection.

mod compare;
mod polls;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use zookeeper_client::{
    AddWatchMode, Client, Error, EventType, PersistentWatcher, SessionState, WatchedEvent,
};

use self::polls::Polls;
use super::announce::Announcement;
use super::connect::{MOST_LOSSES, Meaning, failed, lost_at, meaning};
use super::due::Due;
use super::nodes::{MOST_NODES, Node, Unread, read_nodes, read_values, walk};
use super::path::{below, place_in};
use super::session_end::SessionEnd;
use super::tree::{Found, Tree, parent};
use crate::store::StoreError;
use crate::store::session::{Reading, Report, TargetId, sleep_until};
use crate::watch::Version;

/// Requests for changed nodes in flight, per tree.
const LOOKS: usize = 4;

/// Queued events taken per batch, before anything is read or reported.
const TOGETHER: usize = 1000;

/// Memory for changed nodes that wait to be read. A server that fills it has not answered reads for a long time.
const MOST_DUE_BYTES: usize = 64 << 20;

/// Why a tree is no longer followed.
pub(super) enum Stopped {
    /// Nobody asks for it.
    Unasked,
    /// The tree cannot be read or watched; the session continues.
    Refused(StoreError),
    /// The server denies reading one of its nodes; the session continues.
    Denied {
        /// The path of that node.
        path: Arc<str>,
        /// As the store's error.
        error: StoreError,
    },
    /// The session is over.
    Session(SessionEnd),
}

impl From<SessionEnd> for Stopped {
    fn from(ended: SessionEnd) -> Self {
        Self::Session(ended)
    }
}

impl From<Unread> for Stopped {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Denied { path, error } => Self::Denied { path, error },
            Unread::Failed(error) => Self::Refused(error),
        }
    }
}

type Looked = (Vec<Arc<str>>, Result<Vec<Option<Node>>, Unread>);

/// Inputs for following a tree.
pub(super) struct Asked {
    pub(super) id: TargetId,
    pub(super) top: Arc<str>,
    pub(super) client: oneshot::Receiver<Result<Client, StoreError>>,
    /// Limits the requests in flight of all trees of the session.
    pub(super) requests: Arc<Semaphore>,
    pub(super) reports: mpsc::Sender<Report>,
    /// Verification requests; closed when the tree is disarmed.
    pub(super) demands: mpsc::UnboundedReceiver<()>,
}

/// Follows a tree until it is disarmed, refused, or the session ends.
pub(super) async fn follow(mut asked: Asked) -> Stopped {
    let client = match (&mut asked.client).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Stopped::Refused(error),
        Err(_) => return Stopped::Unasked,
    };
    let mut announcement = Announcement::default();
    announcement.owe();
    let following = Following {
        asked,
        client,
        tree: Tree::default(),
        announcement,
        due: Due::default(),
        walk: None,
        looks: FuturesUnordered::new(),
        losses: 0,
        polls: Polls::new(),
        touched: Some(BTreeSet::new()),
        with_unknown_children: Vec::new(),
    };
    match following.run().await {
        Ok(never) => match never {},
        Err(stopped) => stopped,
    }
}

/// A running walk.
struct Walk {
    found: BoxFuture<'static, Result<Found, Unread>>,
    /// Whether another one was requested after this one had begun.
    again: bool,
}

/// A tree and the requests in flight for it.
struct Following {
    asked: Asked,
    client: Client,
    tree: Tree,
    announcement: Announcement,
    due: Due,
    walk: Option<Walk>,
    looks: FuturesUnordered<BoxFuture<'static, Looked>>,
    /// Consecutive connection losses before a walk was complete.
    losses: u32,
    polls: Polls,
    /// Parents of nodes that events reported as created or deleted, and that may not have been read since: a poll that finds
    /// another number of children there proves no missed event. `None`: too many to remember, so that none proves one.
    touched: Option<BTreeSet<Arc<str>>>,
    /// Nodes that were read for the first time and have another number of children than are known.
    with_unknown_children: Vec<Arc<str>>,
}

impl Following {
    async fn run(mut self) -> Result<std::convert::Infallible, Stopped> {
        let mut watcher = self.watch().await?;
        loop {
            self.begin_walk();
            self.until_disconnected(&mut watcher).await?;
            self.walk = None;
            self.looks.clear();
            self.polls.in_flight = None;
            self.touched = Some(BTreeSet::new());
            self.due = Due::default();
            self.announcement.unload();
            watcher = self.watch().await?;
        }
    }

    /// Sets the watch.
    async fn watch(&mut self) -> Result<PersistentWatcher, Stopped> {
        let what = format!("watch {} and everything below it", self.asked.top);
        loop {
            let error = match self.client.watch(&self.asked.top, AddWatchMode::PersistentRecursive).await {
                Ok(watcher) => return Ok(watcher),
                Err(error) => error,
            };
            match meaning(&error) {
                // The client queues the request for the next connection.
                Meaning::Broken => {}
                Meaning::Over => return Err(SessionEnd::Lost(failed(what, &error)).into()),
                Meaning::Refused if matches!(error, Error::Unimplemented) => {
                    let why =
                        "the server is older than ZooKeeper 3.6 and cannot watch a whole tree".to_owned();
                    return Err(Stopped::Refused(StoreError::Refused { what, why }));
                }
                Meaning::Refused | Meaning::Denied => return Err(Stopped::Refused(failed(what, &error))),
            }
        }
    }

    async fn until_disconnected(&mut self, watcher: &mut PersistentWatcher) -> Result<(), Stopped> {
        loop {
            self.begin_looks();
            let (mut event, mut polled) = (None, None);
            let poll_due = self.poll_due();
            tokio::select! {
                biased;
                demand = self.asked.demands.recv() => match demand {
                    None => return Err(Stopped::Unasked),
                    Some(()) => self.verify(),
                },
                heard = watcher.changed() => event = Some(heard),
                found = under_way(&mut self.walk) => self.walked(found)?,
                Some(looked) = self.looks.next() => self.looked(looked)?,
                done = polls::in_flight(&mut self.polls) => polled = Some(done),
                () = sleep_until(self.announcement.held()) => {}
                () = sleep_until(poll_due) => self.poll(),
            }
            // Events from before an answer are older than the answer.
            for _ in 0..TOGETHER {
                let Some(heard) = event.take().or_else(|| watcher.changed().now_or_never()) else { break };
                let Some(heard) = heard else { return Err(self.session_over("its watch was closed")) };
                if self.heard(&heard)? == Connection::Lost {
                    return Ok(());
                }
            }
            if let Some(polled) = polled {
                self.polled(polled);
            }
            self.check_new();
            self.report().await?;
        }
    }

    fn verify(&mut self) {
        self.announcement.owe();
        match &mut self.walk {
            Some(walk) => walk.again = true,
            None => self.begin_walk(),
        }
    }

    fn begin_walk(&mut self) {
        self.due.begin_walk();
        // The walk replaces the tree that the answers would be compared with.
        self.polls.in_flight = None;
        let (client, top) = (self.client.clone(), Arc::clone(&self.asked.top));
        let (requests, reports) = (Arc::clone(&self.asked.requests), self.asked.reports.clone());
        // Nodes that are too large together may be read one by one.
        let most = (MOST_NODES >> (2 * self.losses)).max(1);
        let found = async move {
            // Reads after this are not older than any acknowledged write.
            client.sync(&top).await.map_err(|error| failed(format!("sync {top}"), &error))?;
            let mut found = Found::default();
            let request = |paths: Vec<Arc<str>>| {
                let (client, requests, reports) = (&client, &requests, &reports);
                async move {
                    let _permit = requests.acquire().await;
                    let nodes = read_nodes(client, &paths).await;
                    // If the driver is behind, it has enough to do.
                    let _ = reports.try_send(Report::Progress);
                    nodes
                }
            };
            walk(&top, most, request, |at, node| found.add(at, &node.stat, node.value)).await?;
            Ok(found)
        };
        self.walk = Some(Walk { found: found.boxed(), again: false });
    }

    fn walked(&mut self, found: Result<Found, Unread>) -> Result<(), Stopped> {
        let again = self.walk.take().is_some_and(|walk| walk.again);
        match found {
            Ok(found) => {
                self.losses = 0;
                let changed = self.tree.take(&found, &self.due.end_walk());
                self.announcement.change(changed);
                self.announcement.load();
                if again {
                    self.begin_walk();
                }
                Ok(())
            }
            // The connection breaks; on the next one everything is read again.
            Err(Unread::Failed(StoreError::Unavailable { what, why })) => {
                self.losses += 1;
                if self.losses < MOST_LOSSES {
                    return Ok(());
                }
                let path = what.strip_prefix("read ").unwrap_or(&self.asked.top);
                Err(Stopped::Refused(lost_at(path, &why)))
            }
            Err(unread) => Err(unread.into()),
        }
    }

    fn begin_looks(&mut self) {
        while self.looks.len() < LOOKS {
            let most = (MOST_NODES >> (2 * self.losses)).max(1);
            let places = self.due.take(most);
            if places.is_empty() {
                return;
            }
            let (client, requests) = (self.client.clone(), Arc::clone(&self.asked.requests));
            let paths: Vec<Arc<str>> = places.iter().map(|at| below(&self.asked.top, at)).collect();
            let look = async move {
                let _permit = requests.acquire().await;
                let nodes = read_values(&client, &paths).await;
                (places, nodes)
            };
            self.looks.push(look.boxed());
        }
    }

    fn looked(&mut self, (places, nodes): Looked) -> Result<(), Stopped> {
        match nodes {
            Ok(nodes) => {
                for (at, node) in places.iter().zip(nodes) {
                    self.due.looked(at);
                    let seen = node.as_ref().map(|node| (&node.stat, &*node.value));
                    let is_new = !self.tree.contains(at);
                    self.announcement.change(self.tree.see(at, seen));
                    let stat = node.as_ref().map(|node| &node.stat);
                    if is_new && stat.is_some_and(|stat| !self.tree.knows_children(at, stat)) {
                        self.with_unknown_children.push(Arc::clone(at));
                    }
                }
                Ok(())
            }
            Err(Unread::Failed(StoreError::Unavailable { .. })) => {
                for at in places {
                    self.due.failed(at);
                }
                Ok(())
            }
            Err(unread) => Err(unread.into()),
        }
    }

    fn heard(&mut self, event: &WatchedEvent) -> Result<Connection, Stopped> {
        if event.event_type == EventType::Session {
            let state = event.session_state;
            if state.is_terminated() {
                return Err(self.session_over(&format!("{state:?}")));
            }
            let lost = state == SessionState::Disconnected;
            return Ok(if lost { Connection::Lost } else { Connection::Kept });
        }
        let Some(at) = place_in(&self.asked.top, &event.path) else { return Ok(Connection::Kept) };
        let comes_or_goes = matches!(event.event_type, EventType::NodeCreated | EventType::NodeDeleted);
        if comes_or_goes && let Some(parent) = parent(at) {
            let parent = parent.into();
            // Only the parent's zxid shows when a node was deleted.
            if event.event_type == EventType::NodeDeleted {
                self.due.add(&parent);
            }
            self.touch(parent);
        }
        self.due.add(&at.into());
        if self.due.bytes() > MOST_DUE_BYTES {
            let what = format!("watch {} and everything below it", self.asked.top);
            let why = "the server sends events faster than it answers reads: more than 64 MiB of events wait";
            return Err(SessionEnd::Lost(StoreError::Unavailable { what, why: why.to_owned() }).into());
        }
        Ok(Connection::Kept)
    }

    fn session_over(&self, how: &str) -> Stopped {
        let what = format!("watch {} and everything below it", self.asked.top);
        let why = match self.client.failure() {
            Some(failure) => failure.to_owned(),
            None => format!("the session ended: {how}"),
        };
        SessionEnd::Lost(StoreError::Unavailable { what, why }).into()
    }

    async fn report(&mut self) -> Result<(), Stopped> {
        let Some(proof) = self.announcement.take(Instant::now(), self.due.is_empty(), self.due.is_proved())
        else {
            return Ok(());
        };
        if self.due.is_empty() {
            self.tree.rest();
        }
        let version = Version::Revision(self.tree.whole());
        let reading = Reading { version, content: self.tree.content() };
        let report = Report::State { id: self.asked.id, reading, proof };
        self.asked.reports.send(report).await.map_err(|_| SessionEnd::Unheard.into())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Connection {
    Kept,
    Lost,
}

/// The result of the running walk; pending forever while there is none.
async fn under_way(walk: &mut Option<Walk>) -> Result<Found, Unread> {
    match walk {
        Some(walk) => (&mut walk.found).await,
        None => std::future::pending().await,
    }
}
