//! Reads a node and sets a one-shot watch in the same request.
//!
//! One-shot watches only: the client library silently loses persistent ones when it reconnects.

use std::sync::Arc;

use zookeeper_client::{Client, Error, OneshotWatcher, Stat};

/// What to read of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Want {
    /// Its value.
    Value,
    /// Only its existence and versions.
    Stat,
    /// The names of its children.
    Children,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// The node does not exist; the watch fires when it is created.
    Absent,
    /// A node, with its value.
    Value(Stat, Vec<u8>),
    /// A node.
    Stat(Stat),
    /// A node with these children, in no order.
    Children(Stat, Vec<String>),
}

/// Reads and watches. The watch covers every change after the returned state.
pub(super) async fn look(
    client: Client,
    path: Arc<str>,
    want: Want,
) -> Result<(Seen, OneshotWatcher), Error> {
    // Kept until the next watch is set, so that dropping it does not remove that one.
    let mut _existence = None;
    loop {
        let seen = match want {
            Want::Value => client
                .get_and_watch_data(&path)
                .await
                .map(|(value, stat, watcher)| (Seen::Value(stat, value), watcher)),
            Want::Children => client
                .get_and_watch_children(&path)
                .await
                .map(|(names, stat, watcher)| (Seen::Children(stat, names), watcher)),
            Want::Stat => Err(Error::NoNode),
        };
        match seen {
            // Reading a missing node sets no watch.
            Err(Error::NoNode) => {}
            other => return other,
        }
        match (client.check_and_watch_stat(&path).await?, want) {
            ((None, watcher), _) => return Ok((Seen::Absent, watcher)),
            ((Some(stat), watcher), Want::Stat) => return Ok((Seen::Stat(stat), watcher)),
            // It was created between the two requests.
            ((Some(_), watcher), Want::Value | Want::Children) => _existence = Some(watcher),
        }
    }
}
