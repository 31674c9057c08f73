//! What the HTTP server asks the daemon's loop.

use tokio::sync::{mpsc, oneshot};

use crate::fleet::{GroupKeys, GroupName};
use crate::store::Store;

/// A request of the HTTP server to the daemon's loop. An answer proves that the loop runs.
#[derive(Debug)]
pub(in crate::daemon) enum Probe {
    /// The metrics page.
    Metrics(oneshot::Sender<String>),
    /// Why the daemon is not ready, if so.
    Ready(oneshot::Sender<Result<(), String>>),
    /// Whether the loop runs.
    Health(oneshot::Sender<()>),
    /// The groups of fleets that this host takes part in; `None` where their page is not served.
    Fleets(oneshot::Sender<Option<Vec<GroupPlace>>>),
}

/// A group, and where its keys are.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct GroupPlace {
    pub(in crate::daemon) name: GroupName,
    pub(in crate::daemon) store: Store,
    pub(in crate::daemon) keys: GroupKeys,
}

/// Asks the loop; `None` while the daemon stops.
pub(super) async fn ask<T>(
    probes: mpsc::Sender<Probe>,
    probe: impl FnOnce(oneshot::Sender<T>) -> Probe,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    probes.send(probe(answer)).await.ok()?;
    answered.await.ok()
}
