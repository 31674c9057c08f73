//! One session's work: arms, looks again at what fired, verifies, and reports.
//!
//! What it watches is in [`spots`]. Nothing here waits for an answer; every request and every watch is a future
//! in one of a few sets.

mod spots;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Abortable, BoxFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use zookeeper_client::{Client, Error, OneshotWatcher, SessionState, StateWatcher, WatchedEvent};

use super::connect::{Entrance, Meaning, failed, meaning};
use super::look::Seen;
use super::path::path_of;
use super::pool::{Member, Place, Pool};
use super::target::{Spot, SpotId, Target};
use crate::store::StoreError;
use crate::store::session::{Arm, Command, Proof, Report, TargetId};

/// Requests on their way at once, all sessions together.
const IN_FLIGHT: usize = 256;

/// Things that happened already are taken together, up to so many, before anything is reported.
const TOGETHER: usize = 1000;

/// How long a change in a tree waits for the other changes that are being looked at.
const HOLD_BACK: Duration = Duration::from_millis(500);

/// A node at which the connection is lost so often in a row is not the victim but the cause.
const MOST_LOSSES: u32 = 5;

struct Looked {
    spot: SpotId,
    result: Result<(Seen, OneshotWatcher), Error>,
}

/// A watch that is set. By hand, because an `async` block would keep its watcher twice, for each of thousands.
struct Waiting {
    spot: SpotId,
    turn: u64,
    event: BoxFuture<'static, WatchedEvent>,
}

impl Future for Waiting {
    type Output = Fired;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Fired> {
        let Self { spot, turn, .. } = *self;
        self.event.as_mut().poll(context).map(|event| Fired { spot, turn, event })
    }
}

struct Fired {
    spot: SpotId,
    turn: u64,
    event: WatchedEvent,
}

struct Synced {
    member: Member,
    asking: u64,
    result: Result<(), Error>,
}

/// How a session ends.
pub(super) enum Ended {
    /// Nobody listens any more.
    Unheard,
    /// With a doubt.
    Lost(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Lost(error)
    }
}

/// The work of a session. Fields are dropped in this order: the clients go before the watches, or each
/// watch would ask its server to be removed first.
pub(super) struct Serving {
    entrance: Entrance,
    looks: FuturesUnordered<BoxFuture<'static, Looked>>,
    syncs: FuturesUnordered<BoxFuture<'static, Synced>>,
    openings: FuturesUnordered<BoxFuture<'static, (Member, Result<Client, StoreError>)>>,
    pool: Pool,
    states: FuturesUnordered<BoxFuture<'static, NextState>>,
    watches: FuturesUnordered<Abortable<Waiting>>,
    /// Both apart from the nodes of the maps, which are half empty.
    targets: BTreeMap<TargetId, Box<Target>>,
    spots: BTreeMap<SpotId, Box<Spot>>,
    /// Spots that can be looked at now.
    due: VecDeque<SpotId>,
    /// Spots that wait for their session's opening or `sync`.
    unsynced: BTreeMap<Member, Vec<SpotId>>,
    /// Targets of which something was seen since they were last asked for a report.
    touched: BTreeSet<TargetId>,
    /// Whether something was seen since a report of what one is owed for.
    has_seen: bool,
    /// Targets that hold a change back, and until when.
    held: BTreeMap<TargetId, Instant>,
    /// Commands so far: what tells a `sync` from before one from a `sync` after it.
    asking: u64,
    next_spot: u64,
    next_turn: u64,
    reports: mpsc::Sender<Report>,
    /// `""`, a target's own node: shared by all spots there.
    own_node: Arc<str>,
}

impl Serving {
    /// Takes over with a first client.
    pub(super) fn new(entrance: Entrance, client: Client, reports: mpsc::Sender<Report>) -> Self {
        let mut serving = Self {
            entrance,
            looks: FuturesUnordered::new(),
            syncs: FuturesUnordered::new(),
            openings: FuturesUnordered::new(),
            pool: Pool::default(),
            states: FuturesUnordered::new(),
            watches: FuturesUnordered::new(),
            targets: BTreeMap::new(),
            spots: BTreeMap::new(),
            due: VecDeque::new(),
            unsynced: BTreeMap::new(),
            touched: BTreeSet::new(),
            has_seen: false,
            held: BTreeMap::new(),
            asking: 0,
            next_spot: 0,
            next_turn: 0,
            reports,
            own_node: "".into(),
        };
        match serving.pool.place(0) {
            Place::New(member) | Place::Known(member) => serving.join(member, client),
        }
        serving
    }

    /// Serves until there is a doubt, or nobody asks any more.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) -> Ended {
        let mut asked = Vec::new();
        loop {
            self.start_looks();
            let deadline = self.deadline();
            let done = tokio::select! {
                biased;
                received = commands.recv_many(&mut asked, TOGETHER) => {
                    if received == 0 {
                        return Ended::Unheard;
                    }
                    self.commands(asked.drain(..)).await
                }
                Some((member, watcher, state)) = self.states.next() => self.state(member, watcher, state),
                Some(fired) = self.watches.next() => self.fired(fired),
                Some(synced) = self.syncs.next() => self.synced(synced),
                Some((member, client)) = self.openings.next() => self.opened(member, client).await,
                Some(looked) = self.looks.next() => self.looked(looked).await,
                () = sleep_until(deadline) => self.overdue().await,
            };
            if let Err(ended) = self.take_what_is_there(done).await {
                return ended;
            }
        }
    }

    /// A burst of events is one report: what happened already is taken first.
    async fn take_what_is_there(&mut self, mut done: Result<(), Ended>) -> Result<(), Ended> {
        for _ in 0..TOGETHER {
            done?;
            if let Some(Some(fired)) = self.watches.next().now_or_never() {
                done = self.fired(fired);
            } else if let Some(Some(looked)) = self.looks.next().now_or_never() {
                done = self.looked(looked).await;
            } else {
                return self.report().await;
            }
        }
        done?;
        self.report().await
    }

    fn deadline(&self) -> Option<Instant> {
        let down = self.pool.down_since().map(|since| since + self.entrance.session_timeout());
        self.held.values().copied().chain(down).min()
    }

    async fn overdue(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        let limit = self.entrance.session_timeout();
        if self.pool.down_since().is_some_and(|since| since + limit <= now) {
            // The library would go on until the session has expired for sure; a new one is opened sooner.
            return Err(self.entrance.lost(format!("no connection for {limit:?}")).await.into());
        }
        let due: Vec<TargetId> =
            self.held.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect();
        for id in due {
            self.held.remove(&id);
            if let Some(reading) = self.targets.get_mut(&id).and_then(|target| target.so_far()) {
                self.send(Report::State { id, reading, proof: Proof::Event }).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, report: Report) -> Result<(), Ended> {
        self.has_seen = false;
        self.reports.send(report).await.map_err(|_| Ended::Unheard)
    }

    async fn report(&mut self) -> Result<(), Ended> {
        for id in std::mem::take(&mut self.touched) {
            let Some(target) = self.targets.get_mut(&id) else { continue };
            if let Some((reading, proof)) = target.settled() {
                self.held.remove(&id);
                self.send(Report::State { id, reading, proof }).await?;
            } else if target.holds_back() {
                self.held.entry(id).or_insert_with(|| Instant::now() + HOLD_BACK);
            }
        }
        if self.has_seen {
            self.send(Report::Progress).await?;
        }
        Ok(())
    }

    async fn commands(&mut self, commands: impl Iterator<Item = Command>) -> Result<(), Ended> {
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

    async fn arm(&mut self, arm: &Arm) -> Result<(), Ended> {
        self.disarm(arm.id);
        match path_of(&arm.key) {
            Ok(top) => {
                self.targets.insert(arm.id, Box::new(Target::new(arm, top, self.asking)));
                for want in Target::wants(arm) {
                    self.watch(arm.id, Arc::clone(&self.own_node), *want);
                }
                Ok(())
            }
            Err(error) => self.send(Report::Refused { id: arm.id, error }).await,
        }
    }

    /// Looks at everything again. A watch that is set stays until the look has set the next one.
    fn verify(&mut self, id: TargetId) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        target.since = self.asking;
        target.owed = true;
        for spot in target.spots() {
            self.look_again(spot);
        }
    }

    fn disarm(&mut self, id: TargetId) {
        self.held.remove(&id);
        self.touched.remove(&id);
        for spot in self.targets.remove(&id).into_iter().flat_map(|target| target.spots()) {
            self.unwatch(spot);
        }
    }

    async fn refuse(&mut self, id: TargetId, error: StoreError) -> Result<(), Ended> {
        self.disarm(id);
        self.send(Report::Refused { id, error }).await
    }

    /// Makes a session's server catch up with the leader. Requests on a session are answered in order, so
    /// what is read after this is not older.
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

    fn synced(&mut self, synced: Synced) -> Result<(), Ended> {
        let Synced { member, asking, result } = synced;
        let Some(joined) = self.pool.get_mut(member) else { return Ok(()) };
        if joined.syncing == Some(asking) {
            joined.syncing = None;
        }
        match result {
            Ok(()) => joined.synced = joined.synced.max(asking),
            Err(error) => match meaning(&error) {
                // Asked again below; it waits in the client for the next connection.
                Meaning::Broken => {}
                Meaning::Over | Meaning::Refused | Meaning::Denied => {
                    return Err(failed(format!("sync with {}", self.entrance.servers()), &error).into());
                }
            },
        }
        for spot in self.unsynced.remove(&member).unwrap_or_default() {
            self.queue(spot);
        }
        Ok(())
    }

    fn join(&mut self, member: Member, client: Client) {
        self.states.push(next_state(member, client.state_watcher()));
        if let Some(joined) = self.pool.get_mut(member) {
            joined.client = Some(client);
        }
        if self.unsynced.contains_key(&member) {
            self.sync(member);
        }
    }

    async fn opened(&mut self, member: Member, client: Result<Client, StoreError>) -> Result<(), Ended> {
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
        // The others live: not the store is at fault but the number of sessions, and only what needs
        // this one has to do without.
        self.pool.remove(member);
        let waiting = self.unsynced.remove(&member).unwrap_or_default();
        let targets: BTreeSet<TargetId> =
            waiting.iter().filter_map(|spot| self.spots.get(spot)).map(|spot| spot.target).collect();
        for id in targets {
            self.refuse(id, error.clone()).await?;
        }
        Ok(())
    }

    fn state(&mut self, member: Member, watcher: StateWatcher, state: SessionState) -> Result<(), Ended> {
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
        StoreError::Unavailable {
            what: format!("stay connected to {}", self.entrance.servers()),
            why: format!("the session ended: {how}"),
        }
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

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
