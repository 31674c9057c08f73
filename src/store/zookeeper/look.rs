//! One look at a node: what is there, and a one-shot watch that was set in the same request.
//!
//! One-shot watches only. The library loses persistent ones when it reconnects, without a word.

use std::sync::Arc;

use zookeeper_client::{Client, Error, OneshotWatcher, Stat};

/// What of a node is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Want {
    /// Its value.
    Value,
    /// Only whether it is there, and its versions.
    Stat,
    /// The names of its children.
    Children,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// There is no such node; its creation is watched for.
    Absent,
    /// A node, with its value.
    Value(Stat, Vec<u8>),
    /// A node.
    Stat(Stat),
    /// A node with these children, in no order.
    Children(Stat, Vec<String>),
}

/// Looks and watches. The watch covers every change after what is returned.
pub(super) async fn look(
    client: Client,
    path: Arc<str>,
    want: Want,
) -> Result<(Seen, OneshotWatcher), Error> {
    // Kept until the next watch is set, so that it takes nothing away from it.
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
            // A node that is missing cannot be watched by reading it.
            Err(Error::NoNode) => {}
            other => return other,
        }
        match (client.check_and_watch_stat(&path).await?, want) {
            ((None, watcher), _) => return Ok((Seen::Absent, watcher)),
            ((Some(stat), watcher), Want::Stat) => return Ok((Seen::Stat(stat), watcher)),
            // It was made between the two requests.
            ((Some(_), watcher), Want::Value | Want::Children) => _existence = Some(watcher),
        }
    }
}
