//! The driver's task: opens sessions, sends requests to them and receives their reports, and never waits for a consumer of
//! states.
//!
//! A panic in it counts as a lost session: everything is armed again in a new one.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};

use super::health::HealthKeeper;
use super::pace::Pace;
use super::rotation::{self, Found, Rotation};
use super::table::{Observed, Table};
use super::target::{Subscriber, SubscriberId, Wanted};
use crate::store::session::{Command, Reading, Report, Session, TargetId, sleep_until};
use crate::store::{StoreError, StoreSpec};
use crate::watch::Content;

/// Opens a session, given the store and the number of earlier attempts, which rotates among its servers.
pub(in crate::store) type Open = Box<dyn Fn(&StoreSpec, u64) -> Session + Send>;

/// A new session must be ready within this plus the store's session time-out.
const ENTER: Duration = Duration::from_secs(30);
/// How long a session without subscriptions stays open: a reload may subscribe again.
const LINGER: Duration = Duration::from_secs(5);
/// Requests or reports handled per batch, between two looks at the clock.
const BATCH: usize = 1024;

#[derive(Debug)]
pub(super) enum Request {
    Join(Wanted, Subscriber),
    Leave(SubscriberId),
    /// Notified after a read that covers earlier writes.
    Prove(SubscriberId, oneshot::Sender<()>),
}

#[derive(Debug)]
enum SessionPhase {
    /// There are no subscriptions.
    Idle,
    /// When the next attempt is due.
    Waiting { until: Instant },
    /// A session was started and is not ready yet.
    Entering { session: Session, since: Instant },
    /// A session serves. When every target had been answered in it for the first time, and since when there is none.
    Serving { session: Session, read: Option<Instant>, idle_since: Option<Instant> },
}

pub(super) struct Link {
    spec: Arc<StoreSpec>,
    open: Open,
    health: HealthKeeper,
    rng: fastrand::Rng,
    pace: Pace,
    attempt: u64,
    table: Table,
    phase: SessionPhase,
    /// Requests that were received and not carried out yet.
    requests: VecDeque<Request>,
    /// The subscription that is being added.
    joining: Option<(Wanted, Subscriber)>,
    /// Looks at the store's certificates.
    looks: Option<mpsc::Receiver<Found>>,
    rotation: Rotation,
    /// A session with new certificates that takes the place of the serving one as soon as it is ready, and when it was
    /// started.
    successor: Option<(Session, Instant)>,
}

enum Woken {
    Requests,
    NoHandleLeft,
    Reports,
    SessionEnded,
    Looked(Found),
    /// `None`: it has ended.
    Successor(Option<Report>),
    Deadline,
}

impl Link {
    pub(super) fn new(
        spec: Arc<StoreSpec>,
        open: Open,
        health: HealthKeeper,
        mut rng: fastrand::Rng,
    ) -> Self {
        Self {
            spec,
            open,
            health,
            attempt: u64::from(rng.u32(..)),
            rng,
            pace: Pace::new(),
            table: Table::default(),
            phase: SessionPhase::Idle,
            requests: VecDeque::new(),
            joining: None,
            looks: None,
            rotation: Rotation::new(),
            successor: None,
        }
    }

    /// With these looks at the store's certificates.
    pub(super) fn rotating(mut self, looks: Option<mpsc::Receiver<Found>>) -> Self {
        self.looks = looks;
        self
    }

    /// Runs until the last handle and subscription are gone.
    pub(super) async fn run(mut self, mut requests_in: mpsc::UnboundedReceiver<Request>) {
        while let Err(panic) = AssertUnwindSafe(self.drive(&mut requests_in)).catch_unwind().await {
            self.recover(&*panic);
        }
    }

    /// A panic may have interrupted any step, so only the subscriptions and their last states are kept: the session is closed,
    /// and the next one arms everything again.
    fn recover(&mut self, panic: &(dyn Any + Send)) {
        let message = panic.downcast_ref::<&str>().copied();
        let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let what = format!("watch the store {}", self.spec.name);
        let why = format!(
            "the program panicked ({}); reconnecting. This is a bug in twitcher: please report it",
            message.unwrap_or("without a message")
        );
        let error = StoreError::Unavailable { what, why };
        tracing::error!("{error}");
        self.table.rebuild();
        if let Some((wanted, subscriber)) = self.joining.take()
            && !self.table.has(subscriber.id)
        {
            self.requests.push_front(Request::Join(wanted, subscriber));
        }
        self.lost(&error, clock());
    }

    async fn drive(&mut self, requests_in: &mut mpsc::UnboundedReceiver<Request>) {
        let mut requests = Vec::new();
        let mut reports = Vec::new();
        loop {
            // Requests that a panic left behind.
            self.serve(clock());
            let deadline = self.next_deadline();
            let woken = tokio::select! {
                count = requests_in.recv_many(&mut requests, BATCH) => {
                    self.requests.extend(requests.drain(..));
                    if count == 0 { Woken::NoHandleLeft } else { Woken::Requests }
                }
                count = receive(&mut self.phase, &mut reports) => {
                    if count == 0 { Woken::SessionEnded } else { Woken::Reports }
                }
                found = rotation::next(&mut self.looks) => Woken::Looked(found),
                report = succeed(&mut self.successor) => Woken::Successor(report),
                () = sleep_until(deadline.map(Into::into)) => Woken::Deadline,
            };
            let now = clock();
            match woken {
                Woken::NoHandleLeft => return,
                Woken::Requests => self.serve(now),
                Woken::Reports => {
                    let owed = self.table.owes_answers();
                    for report in reports.drain(..) {
                        self.report(report, now);
                    }
                    if owed && !self.table.owes_answers() {
                        tracing::debug!(store = %self.spec.name, "all targets are armed: {}", self.table.len());
                    }
                }
                Woken::SessionEnded => {
                    let what = format!("watch the store {}", self.spec.name);
                    let why = "its session ended without a reason; this is a bug in twitcher".to_owned();
                    self.lost(&StoreError::Unavailable { what, why }, now);
                }
                Woken::Looked(found) => self.looked(found, now),
                Woken::Successor(report) => self.succeeded(report, now),
                Woken::Deadline => {}
            }
            self.act(now);
        }
    }

    fn serve(&mut self, now: Instant) {
        let mut added = Vec::new();
        let mut removed = Vec::new();
        while let Some(request) = self.requests.pop_front() {
            match request {
                Request::Join(wanted, subscriber) => {
                    self.joining = Some((wanted.clone(), subscriber.clone()));
                    added.extend(self.table.join(wanted, subscriber, now));
                    self.joining = None;
                }
                Request::Leave(subscriber) => removed.extend(self.table.leave(subscriber)),
                Request::Prove(subscriber, answer) => self.table.demand(subscriber, answer),
            }
        }
        added.retain(|id| !removed.contains(id));
        self.arm(&added, now);
        if !removed.is_empty() {
            self.command(Command::Disarm(removed));
        }
    }

    fn report(&mut self, report: Report, now: Instant) {
        match report {
            Report::Ready { server } => self.enter(server, now),
            Report::State { id, reading, proof } => {
                if let Err(error) = self.admit(&reading) {
                    // Not followed any further: the session drops what it holds of it.
                    self.command(Command::Disarm(vec![id]));
                    self.refused(id, &error, now);
                } else if let Observed::Recovered(wanted) = self.table.observe(id, reading, proof, now) {
                    tracing::info!(store = %self.spec.name, key = %wanted.key, "the key can be watched again");
                }
            }
            Report::Refused { id, error } => self.refused(id, &error, now),
            Report::Progress => self.table.progress(now),
            Report::Polls(why) => self.health.polls(why),
            Report::Lost(error) => self.lost(&error, now),
        }
    }

    /// Fails where a reading is a tree larger than the store's limits, however it grew.
    fn admit(&self, reading: &Reading) -> Result<(), StoreError> {
        match &reading.content {
            Content::Tree(tree) => {
                let bytes = u64::try_from(tree.value_bytes()).unwrap_or(u64::MAX);
                self.spec.tree_limits.admit(bytes, tree.len())
            }
            Content::Absent | Content::Unread | Content::Value(_) | Content::Children(_) => Ok(()),
        }
    }

    fn refused(&mut self, id: TargetId, error: &StoreError, now: Instant) {
        let refused = self.table.refuse(id, error, now, &mut self.rng);
        if let Observed::NewlyRefused(wanted) = refused {
            tracing::warn!(store = %self.spec.name, key = %wanted.key, "the key cannot be watched: {error}");
        }
    }

    fn enter(&mut self, server: String, now: Instant) {
        self.phase = match std::mem::replace(&mut self.phase, SessionPhase::Idle) {
            SessionPhase::Entering { session, .. } => {
                self.health.connected(server);
                let idle_since = self.table.is_empty().then_some(now);
                SessionPhase::Serving { session, read: None, idle_since }
            }
            phase @ (SessionPhase::Idle | SessionPhase::Waiting { .. } | SessionPhase::Serving { .. }) => {
                phase
            }
        };
        let arms = self.table.arm_all(now);
        if !arms.is_empty() {
            self.command(Command::Arm(arms));
        }
    }

    /// The store's certificates were read.
    fn looked(&mut self, found: Found, now: Instant) {
        let serves = matches!(self.phase, SessionPhase::Serving { .. });
        if let Some(why) = self.rotation.look(found, now, &mut self.rng) {
            tracing::warn!(store = %self.spec.name, "{}", rotation::unusable(&why, serves));
        }
    }

    /// When a session with new certificates is to be opened to take the place of the serving one.
    fn renewal(&self) -> Option<Instant> {
        let serves = matches!(self.phase, SessionPhase::Serving { .. });
        self.rotation.due().filter(|_| serves && self.successor.is_none())
    }

    /// The session with new certificates has reported, or ended.
    fn succeeded(&mut self, report: Option<Report>, now: Instant) {
        match report {
            Some(Report::Ready { server }) => {
                let Some((session, _)) = self.successor.take() else { return };
                tracing::info!(store = %self.spec.name, "the certificates were replaced: connected with the new ones");
                self.rotation.renewed();
                // Whatever the old session has not told yet is read again in the new one.
                self.table.disconnect();
                self.phase = SessionPhase::Entering { session, since: now };
                self.enter(server, now);
            }
            Some(Report::Lost(error)) => self.unrenewed(&error.to_string()),
            None => self.unrenewed("its session ended without a reason; this is a bug in twitcher"),
            Some(Report::State { .. } | Report::Progress | Report::Refused { .. } | Report::Polls(_)) => {}
        }
    }

    /// The connection with new certificates could not be made.
    fn unrenewed(&mut self, why: &str) {
        self.successor = None;
        if self.rotation.refused() {
            tracing::warn!(
                store = %self.spec.name,
                "the certificates were replaced, and no connection can be made with the new ones; the open one stays, and they are tried ever more rarely, up to 5 min apart: {why}"
            );
        }
    }

    fn lost(&mut self, error: &StoreError, now: Instant) {
        self.successor = None;
        let wait = match self.phase {
            SessionPhase::Serving { read, .. } => self.pace.lost(read, now, &mut self.rng),
            SessionPhase::Idle | SessionPhase::Waiting { .. } | SessionPhase::Entering { .. } => {
                self.pace.failed(now, &mut self.rng)
            }
        };
        self.table.disconnect();
        self.health.down(error);
        self.phase = SessionPhase::Waiting { until: now + wait };
    }

    /// Does what is due.
    fn act(&mut self, now: Instant) {
        if self.successor.as_ref().is_some_and(|(_, since)| *since + self.time_to_enter() <= now) {
            self.unrenewed("it was not made in time");
        }
        if self.renewal().is_some_and(|due| due <= now) {
            self.rotation.renews();
            self.successor = Some((self.open_session(), now));
        }
        match &mut self.phase {
            SessionPhase::Idle if !self.table.is_empty() => self.start(now),
            SessionPhase::Waiting { .. } if self.table.is_empty() => self.close(),
            SessionPhase::Waiting { until } if *until <= now => self.start(now),
            SessionPhase::Idle | SessionPhase::Waiting { .. } => {}
            SessionPhase::Entering { since, .. } => {
                if *since + self.time_to_enter() <= now {
                    self.unanswered("the connection was not made", now);
                }
            }
            SessionPhase::Serving { read, idle_since, .. } => {
                if !self.table.owes_answers() {
                    read.get_or_insert(now);
                }
                *idle_since = if self.table.is_empty() { idle_since.or(Some(now)) } else { None };
                if idle_since.is_some_and(|since| since + LINGER <= now) {
                    self.close();
                } else if self.table.answer_deadline().is_some_and(|deadline| deadline <= now) {
                    self.unanswered("a read was not answered", now);
                } else {
                    let retries = self.table.take_retries(now);
                    self.arm(&retries, now);
                    let mut due = self.table.take_due(now);
                    due.extend(self.table.take_demanded(now));
                    if !due.is_empty() {
                        self.command(Command::Verify(due));
                    }
                }
            }
        }
    }

    fn start(&mut self, now: Instant) {
        self.rotation.opened();
        let session = self.open_session();
        self.phase = SessionPhase::Entering { session, since: now };
    }

    fn open_session(&mut self) -> Session {
        let session = (self.open)(&self.spec, self.attempt);
        self.attempt = self.attempt.wrapping_add(1);
        session
    }

    fn close(&mut self) {
        self.successor = None;
        self.table.disconnect();
        self.health.closed();
        self.phase = SessionPhase::Idle;
    }

    fn unanswered(&mut self, why: &str, now: Instant) {
        let what = format!("watch {} keys of the store {}", self.table.len(), self.spec.name);
        let why = format!("{why} in time; reconnecting");
        self.lost(&StoreError::Unavailable { what, why }, now);
    }

    fn arm(&mut self, ids: &[TargetId], now: Instant) {
        if let (SessionPhase::Serving { .. }, false) = (&self.phase, ids.is_empty()) {
            let arms = self.table.arm(ids, now);
            self.command(Command::Arm(arms));
        }
    }

    fn command(&mut self, command: Command) {
        match &self.phase {
            // If the session has ended, its reports end, which is handled there.
            SessionPhase::Serving { session, .. } => drop(session.commands.send(command)),
            SessionPhase::Idle | SessionPhase::Waiting { .. } | SessionPhase::Entering { .. } => {}
        }
    }

    fn time_to_enter(&self) -> Duration {
        ENTER + self.spec.session_timeout
    }

    fn next_deadline(&self) -> Option<Instant> {
        let successor = self.successor.as_ref().map(|(_, since)| *since + self.time_to_enter());
        let phase = match &self.phase {
            SessionPhase::Idle => None,
            SessionPhase::Waiting { until } => Some(*until),
            SessionPhase::Entering { since, .. } => Some(*since + self.time_to_enter()),
            SessionPhase::Serving { idle_since: Some(since), .. } => Some(*since + LINGER),
            SessionPhase::Serving { idle_since: None, .. } => self.table.next_deadline(),
        };
        [phase, successor, self.renewal()].into_iter().flatten().min()
    }
}

fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn receive(phase: &mut SessionPhase, reports: &mut Vec<Report>) -> usize {
    match phase {
        SessionPhase::Idle | SessionPhase::Waiting { .. } => std::future::pending().await,
        SessionPhase::Entering { session, .. } | SessionPhase::Serving { session, .. } => {
            session.reports.recv_many(reports, BATCH).await
        }
    }
}

async fn succeed(successor: &mut Option<(Session, Instant)>) -> Option<Report> {
    match successor {
        Some((session, _)) => session.reports.recv().await,
        None => std::future::pending().await,
    }
}
