//! The interface between the driver and a back end: commands and reports of one session.
//!
//! A session is a task that owns its connections. It repairs nothing: at the first doubt about the connection it sends
//! [`Report::Lost`] and ends. The driver then waits, opens another session and arms everything again, which reads
//! everything.

use tokio::sync::mpsc;

use super::StoreError;
use crate::watch::{Content, Detail, Key, Version, WatchType};

/// The driver's id of a target, the same in every session of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u64);

/// A target to read and watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// The driver's number for it.
    pub id: TargetId,
    /// The key, as configured (without the store's prefix).
    pub key: Key,
    /// How much of it.
    pub watch_type: WatchType,
    /// Whether values are needed.
    pub detail: Detail,
    /// Where to resume a stream of every update (etcd, parallel mode): the last delivered update. A session may only
    /// resume if it finds exactly this in the store's history. `None`: read the current state and watch from there.
    pub resume: Option<Box<Reading>>,
}

/// A command of the driver to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Read these, report each, and report every change from exactly there. In batches if the store can.
    Arm(Vec<Arm>),
    /// Stop watching these; reports already sent may still arrive.
    Disarm(Vec<TargetId>),
    /// Read these again (linearizable), report each with [`Proof::Read`], and re-arm any whose watch
    /// turns out to have been deaf.
    Verify(Vec<TargetId>),
}

/// The source of a reading, which decides what it proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A read that cannot be older than anything acknowledged before it was sent (etcd: linearizable range; ZooKeeper: after
    /// `sync`). After it, "different" means "newer", even if its version is lower.
    Read,
    /// An event of the watch, or a read in response to one on the same session: never older than what this session showed of
    /// the target before.
    Event,
}

/// A target's state as a session saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The store's version of it.
    pub version: Version,
    /// The content.
    pub content: Content,
}

/// A session's report to the driver.
#[derive(Debug)]
pub enum Report {
    /// Connected; commands are being served.
    Ready {
        /// The server that answered, for the log.
        server: String,
    },
    /// A target's state.
    State {
        /// The target.
        id: TargetId,
        /// The state.
        reading: Reading,
        /// What it proves.
        proof: Proof,
    },
    /// Another part of an answer that takes many requests has arrived: the store is alive, so that a large tree is not mistaken
    /// for silence.
    Progress,
    /// This target cannot be read or watched (permission, invalid key); all others continue. The driver retries it with
    /// back-off.
    Refused {
        /// Which target.
        id: TargetId,
        /// Why.
        error: StoreError,
    },
    /// Why some targets are polled; `None`: none is any more.
    Polls(Option<String>),
    /// The session is over.
    Lost(StoreError),
}

/// The driver's end of a session. Dropping it ends the session's task and closes its connections.
#[derive(Debug)]
pub struct Session {
    /// To the session; unbounded, because commands are small.
    pub commands: mpsc::UnboundedSender<Command>,
    /// From the session; bounded. The driver always drains it, because it only moves values into slots.
    pub reports: mpsc::Receiver<Report>,
    task: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Capacity of the channel of reports.
    pub const REPORTS: usize = 1024;

    /// Starts a session's task.
    pub fn start<F>(task: impl FnOnce(mpsc::UnboundedReceiver<Command>, mpsc::Sender<Report>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (commands, commands_in) = mpsc::unbounded_channel();
        let (reports_out, reports) = mpsc::channel(Self::REPORTS);
        let task = tokio::spawn(task(commands_in, reports_out));
        Self { commands, reports, task }
    }
}

/// Sleeps until a deadline; forever if there is none.
pub(super) async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}
