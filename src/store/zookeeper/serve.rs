//! The main loop of a session: arms, re-reads nodes whose watch fired, verifies, and reports.
//!
//! Nothing here waits for an answer: every request, watch and tree is a future in one of a few sets.

mod denied;
mod followed;
mod polls;
mod singles;
mod trees;

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{Abortable, BoxFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use zookeeper_client::{Client, Error, OneshotWatcher, SessionState, StateWatcher, WatchedEvent};

use self::denied::{DeniedTree, Polled};
use self::followed::{Followed, Left};
use super::connect::{Entrance, Meaning, failed, meaning};
use super::look::{Seen, Want};
use super::path::path_of;
use super::poll::interval;
use super::pool::{Manner, Member, Pool, Room};
use super::session_end::SessionEnd;
use super::single::Single;
use crate::store::StoreError;
use crate::store::session::{Arm, Command, Report, TargetId, sleep_until};

/// Reads of single nodes in flight, over all sessions of the pool.
const IN_FLIGHT: usize = 256;

/// Requests for several nodes in flight, over all trees.
const TREE_REQUESTS: usize = 16;

/// Ready futures taken per batch.
const TOGETHER: usize = 1000;

struct Looked {
    id: TargetId,
    turn: u64,
    result: Result<(Seen, OneshotWatcher), Error>,
}

/// A watch that is set. A hand-written future, because an `async` block would store its watcher twice, for each of
/// thousands.
struct Waiting {
    id: TargetId,
    turn: u64,
    event: BoxFuture<'static, WatchedEvent>,
}

impl Future for Waiting {
    type Output = Fired;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Fired> {
        let Self { id, turn, .. } = *self;
        self.event.as_mut().poll(context).map(|event| Fired { id, turn, event })
    }
}

struct Fired {
    id: TargetId,
    turn: u64,
    event: WatchedEvent,
}

struct Synced {
    member: Member,
    asking: u64,
    result: Result<(), Error>,
}

/// The state of a session. Fields are dropped in this order: clients before watches, because otherwise each watch would
/// first send a request to remove itself.
pub(super) struct Serving {
    entrance: Entrance,
    looks: FuturesUnordered<BoxFuture<'static, Looked>>,
    syncs: FuturesUnordered<BoxFuture<'static, Synced>>,
    openings: FuturesUnordered<BoxFuture<'static, (Member, Result<Client, StoreError>)>>,
    trees: FuturesUnordered<BoxFuture<'static, Left>>,
    pool: Pool,
    states: FuturesUnordered<BoxFuture<'static, NextState>>,
    watches: FuturesUnordered<Abortable<Waiting>>,
    /// The poll in flight; at most one.
    polls: FuturesUnordered<BoxFuture<'static, Polled>>,
    /// Boxed, because the nodes of a `BTreeMap` are half empty.
    singles: BTreeMap<TargetId, Box<Single>>,
    followed: BTreeMap<TargetId, Followed>,
    /// Trees that are refused because the server denies reading a node.
    denied_trees: BTreeMap<TargetId, DeniedTree>,
    /// When the next batch is polled, and the last target of the batch before.
    next_poll: Instant,
    last_polled: TargetId,
    /// Single nodes that can be read now.
    due: VecDeque<TargetId>,
    /// Single nodes waiting for their session to open or to `sync`.
    unsynced: BTreeMap<Member, Vec<TargetId>>,
    /// Trees waiting for their session to open.
    awaited: BTreeMap<Member, Vec<oneshot::Sender<Result<Client, StoreError>>>>,
    tree_requests: Arc<Semaphore>,
    /// Number of commands so far; a `sync` that started after the n-th one covers it.
    asking: u64,
    next_turn: u64,
    reports: mpsc::Sender<Report>,
}

impl Serving {
    /// Starts with the first client.
    pub(super) fn new(entrance: Entrance, client: Client, reports: mpsc::Sender<Report>) -> Self {
        let mut serving = Self {
            entrance,
            looks: FuturesUnordered::new(),
            syncs: FuturesUnordered::new(),
            openings: FuturesUnordered::new(),
            trees: FuturesUnordered::new(),
            pool: Pool::default(),
            states: FuturesUnordered::new(),
            watches: FuturesUnordered::new(),
            polls: FuturesUnordered::new(),
            singles: BTreeMap::new(),
            followed: BTreeMap::new(),
            denied_trees: BTreeMap::new(),
            next_poll: Instant::now() + interval(0).mul_f64(fastrand::f64()),
            last_polled: TargetId(0),
            due: VecDeque::new(),
            unsynced: BTreeMap::new(),
            awaited: BTreeMap::new(),
            tree_requests: Arc::new(Semaphore::new(TREE_REQUESTS)),
            asking: 0,
            next_turn: 0,
            reports,
        };
        let first = serving.pool.found();
        serving.join(first, client);
        serving
    }

    /// Runs until the connection is in doubt or the driver drops its end.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) -> SessionEnd {
        let mut asked = Vec::new();
        loop {
            self.start_looks();
            let patience = self.pool.down_since().map(|since| since + self.entrance.session_timeout());
            let poll_due = self.poll_due();
            let done = tokio::select! {
                biased;
                received = commands.recv_many(&mut asked, TOGETHER) => {
                    if received == 0 {
                        return SessionEnd::Unheard;
                    }
                    self.commands(asked.drain(..)).await
                }
                Some((member, watcher, state)) = self.states.next() => self.state(member, watcher, state),
                Some(fired) = self.watches.next() => self.fired(fired),
                Some(synced) = self.syncs.next() => self.synced(synced),
                Some((member, client)) = self.openings.next() => self.opened(member, client).await,
                Some(looked) = self.looks.next() => self.looked(looked).await,
                Some(left) = self.trees.next() => self.left(left).await,
                Some(polled) = self.polls.next() => {
                    self.polled(polled);
                    Ok(())
                }
                () = sleep_until(poll_due) => {
                    self.poll();
                    Ok(())
                }
                () = sleep_until(patience) => {
                    // The library would wait until the session has certainly expired; a new one can be opened sooner.
                    let why = format!("no connection for {:?}", self.entrance.session_timeout());
                    Err(self.entrance.lost(why).await.into())
                }
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    async fn send(&mut self, report: Report) -> Result<(), SessionEnd> {
        self.reports.send(report).await.map_err(|_| SessionEnd::Unheard)
    }

    async fn commands(&mut self, commands: impl Iterator<Item = Command>) -> Result<(), SessionEnd> {
        for command in commands {
            self.asking += 1;
            match command {
                Command::Arm(arms) => {
                    for arm in arms {
                        self.arm(&arm).await?;
                    }
                }
                Command::Disarm(ids) => {
                    for id in ids {
                        self.disarm(id);
                    }
                }
                Command::Verify(ids) => {
                    for id in ids {
                        self.verify(id);
                    }
                }
            }
        }
        Ok(())
    }

    async fn arm(&mut self, arm: &Arm) -> Result<(), SessionEnd> {
        let id = arm.id;
        self.disarm(id);
        let path = match path_of(&arm.key) {
            Ok(path) => path,
            Err(error) => return self.send(Report::Refused { id, error }).await,
        };
        match Want::of(arm.watch_type, arm.detail) {
            None => self.follow(id, path, None),
            Some(want) => {
                let bytes = self.entrance.chroot_bytes() + path.len();
                let member = self.place(Manner::Nodes, bytes);
                let single = Single::new(path, want, member, bytes, self.asking);
                self.singles.insert(id, Box::new(single));
                self.queue(id);
            }
        }
        Ok(())
    }

    fn verify(&mut self, id: TargetId) {
        self.verify_tree(id);
        let Some(single) = self.singles.get_mut(&id) else { return };
        single.since = self.asking;
        single.owed = true;
        self.look_again(id);
    }

    fn disarm(&mut self, id: TargetId) {
        self.followed.remove(&id);
        self.denied_trees.remove(&id);
        let Some(single) = self.singles.remove(&id) else { return };
        self.pool.leave(single.member, single.bytes);
        if let Some(watch) = single.watch {
            watch.abort();
        }
    }

    async fn refuse(&mut self, id: TargetId, error: StoreError) -> Result<(), SessionEnd> {
        self.disarm(id);
        self.send(Report::Refused { id, error }).await
    }

    /// Finds a session with room for a path, or opens one.
    fn place(&mut self, manner: Manner, bytes: usize) -> Member {
        match self.pool.place(manner, bytes) {
            Room::Known(member) => member,
            Room::New(member) => {
                let opening = self.entrance.clone().open(None);
                self.openings.push(async move { (member, opening.await) }.boxed());
                member
            }
        }
    }

    /// Sends `sync`, so that the session's server catches up with the leader. Answers keep the order of requests, so
    /// reads sent after this are not older.
    fn sync(&mut self, member: Member) {
        let asking = self.asking;
        let Some(joined) = self.pool.get_mut(member) else { return };
        let Some(client) = joined.client.clone() else { return };
        if joined.syncing.is_some_and(|under_way| under_way >= asking) {
            return;
        }
        joined.syncing = Some(asking);
        self.syncs.push(async move { Synced { member, asking, result: client.sync("/").await } }.boxed());
    }

    fn synced(&mut self, synced: Synced) -> Result<(), SessionEnd> {
        let Synced { member, asking, result } = synced;
        let Some(joined) = self.pool.get_mut(member) else { return Ok(()) };
        if joined.syncing == Some(asking) {
            joined.syncing = None;
        }
        match result {
            Ok(()) => joined.synced = joined.synced.max(asking),
            Err(error) => match meaning(&error) {
                // The request below waits in the client for the next connection.
                Meaning::Broken => {}
                Meaning::Over | Meaning::Refused | Meaning::Denied => {
                    return Err(failed(format!("sync with {}", self.entrance.servers()), &error).into());
                }
            },
        }
        for id in self.unsynced.remove(&member).unwrap_or_default() {
            self.queue(id);
        }
        Ok(())
    }

    fn join(&mut self, member: Member, client: Client) {
        self.states.push(next_state(member, client.state_watcher()));
        for waiting in self.awaited.remove(&member).unwrap_or_default() {
            let _ = waiting.send(Ok(client.clone()));
        }
        if let Some(joined) = self.pool.get_mut(member) {
            joined.client = Some(client);
        }
        if self.unsynced.contains_key(&member) {
            self.sync(member);
        }
    }

    async fn opened(&mut self, member: Member, client: Result<Client, StoreError>) -> Result<(), SessionEnd> {
        let error = match client {
            Ok(client) => {
                self.join(member, client);
                return Ok(());
            }
            Err(error) => error,
        };
        if !self.pool.is_connected() {
            return Err(error.into());
        }
        // The other sessions live: the number of sessions is the problem, not the store, so only targets that need this one are
        // refused.
        self.pool.remove(member);
        self.cannot_follow(member, &error);
        for id in self.unsynced.remove(&member).unwrap_or_default() {
            if self.singles.get(&id).is_some_and(|single| single.member == member) {
                self.refuse(id, error.clone()).await?;
            }
        }
        Ok(())
    }

    fn state(
        &mut self,
        member: Member,
        watcher: StateWatcher,
        state: SessionState,
    ) -> Result<(), SessionEnd> {
        if state.is_terminated() {
            return Err(self.ended(&format!("{state:?}")).into());
        }
        if let Some(joined) = self.pool.get_mut(member) {
            joined.down = (state == SessionState::Disconnected).then(Instant::now);
        }
        self.states.push(next_state(member, watcher));
        Ok(())
    }

    fn ended(&self, how: &str) -> StoreError {
        let what = format!("stay connected to {}", self.entrance.servers());
        let why = match self.pool.failure() {
            Some(failure) => failure.to_owned(),
            None => format!("the session ended: {how}"),
        };
        StoreError::Unavailable { what, why }
    }
}

type NextState = (Member, StateWatcher, SessionState);

fn next_state(member: Member, mut watcher: StateWatcher) -> BoxFuture<'static, NextState> {
    async move {
        let state = watcher.changed().await;
        (member, watcher, state)
    }
    .boxed()
}
