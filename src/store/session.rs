//! What the driver and a back end say to each other during one connected life of a store.
//!
//! A session is a task that owns its connections. It never repairs anything: the first doubt about the
//! connection as a whole is [`Report::Lost`], its last word. The driver then waits, opens another
//! session and arms everything again, which reads everything again.

use tokio::sync::mpsc;

use super::StoreError;
use crate::watch::{Content, Detail, Key, Version, WatchType};

/// The driver's number for one target; the same in every session of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u64);

/// A target to read and to keep watching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// The driver's number for it.
    pub id: TargetId,
    /// The key, as configured (without the store's prefix).
    pub key: Key,
    /// How much of it.
    pub watch_type: WatchType,
    /// Whether values are wanted.
    pub detail: Detail,
    /// Where to take up a stream in which every update counts (etcd, parallel mode): the last update that
    /// was delivered. Only a session that finds exactly this in the store's history may go on from there.
    /// `None`: read the state and watch from there.
    pub resume: Option<Box<Reading>>,
}

/// What the driver asks of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Read these, report each, and report every change from exactly there. In batches where the store can.
    Arm(Vec<Arm>),
    /// Stop watching these; reports on the way may still arrive.
    Disarm(Vec<TargetId>),
    /// Read these again (linearizable), report each with [`Proof::Read`], and re-arm any whose watch
    /// turns out to have been deaf.
    Verify(Vec<TargetId>),
}

/// How a reading came about, which says how far it may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A read that cannot be older than anything acknowledged before it was sent (etcd: linearizable
    /// range; ZooKeeper: after `sync`). After it, "different" means "newer", also if its version is lower.
    Read,
    /// An event of the watch, or a read in answer to one on the same session: never older than what this
    /// session showed of the target before.
    Event,
}

/// A target's state as a session saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The store's mark.
    pub version: Version,
    /// What was there.
    pub content: Content,
}

/// What a session tells the driver.
#[derive(Debug)]
pub enum Report {
    /// Connected and entered; commands are being served.
    Ready {
        /// Which server answered, for the log.
        server: String,
    },
    /// A target's state.
    State {
        /// Which target.
        id: TargetId,
        /// What was seen.
        reading: Reading,
        /// How.
        proof: Proof,
    },
    /// Of an answer that takes many requests, another part came. Says that the store is alive and at work,
    /// so that only silence is taken for a loss, and not the size of a tree.
    Progress,
    /// This target cannot be read or watched (permission, impossible key); all others go on. The driver
    /// arms it again after a while.
    Refused {
        /// Which target.
        id: TargetId,
        /// Why.
        error: StoreError,
    },
    /// The session is over.
    Lost(StoreError),
}

/// The driver's end of a session. Dropping it ends the session's task and closes its connections.
#[derive(Debug)]
pub struct Session {
    /// To the session; unbounded because a command is as small as the targets it names.
    pub commands: mpsc::UnboundedSender<Command>,
    /// From the session; bounded, and always drained by the driver, which only moves values into slots.
    pub reports: mpsc::Receiver<Report>,
    task: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Reports that may wait for the driver.
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

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}
