//! The `zookeeper` store: nodes as keys; one-shot watches for nodes, recursive ones for trees.
//!
//! A node that exists has a value, which may be empty. Versions are zxids: `mzxid` of a value, `pzxid` of children, the
//! highest of both for a tree. `ZooKeeper` reports that something changed and not what, so of updates in quick succession
//! only the last is certain to be seen.
//!
//! A session here uses as many ZooKeeper sessions as its watches need (see `pool`).

mod access;
mod announce;
mod condition;
mod connect;
mod due;
mod follow;
mod look;
mod nodes;
mod path;
mod poll;
mod pool;
mod serve;
mod session_end;
mod single;
mod size;
mod tree;

use tokio::sync::mpsc;

pub use access::Access;

use self::connect::Entrance;
use self::path::path_of;
use self::serve::Serving;
use self::session_end::SessionEnd;
use super::session::{Command, Report, Session};
use super::{StoreError, StoreFiles, StoreSpec};
use crate::watch::Key;

/// Fails if no node can have this key.
pub(super) fn admits(key: &Key) -> Result<(), StoreError> {
    path_of(key).map(drop)
}

/// Starts a session. Each attempt begins with a random server.
pub fn session(spec: &StoreSpec, files: &StoreFiles) -> Session {
    let (spec, files) = (spec.clone(), files.clone());
    Session::start(move |commands, reports| async move {
        match serve(&spec, &files, commands, &reports).await {
            SessionEnd::Unheard => {}
            // The receiver may be gone.
            SessionEnd::Lost(error) => drop(reports.send(Report::Lost(error)).await),
        }
    })
}

async fn serve(
    spec: &StoreSpec,
    files: &StoreFiles,
    commands: mpsc::UnboundedReceiver<Command>,
    reports: &mpsc::Sender<Report>,
) -> SessionEnd {
    let entrance = match Entrance::of(spec, files).await {
        Ok(entrance) => entrance,
        Err(error) => return SessionEnd::Lost(error),
    };
    let client = match entrance.clone().open(None).await {
        Ok(client) => client,
        Err(error) => return SessionEnd::Lost(error),
    };
    if reports.send(Report::Ready { server: entrance.servers() }).await.is_err() {
        return SessionEnd::Unheard;
    }
    Serving::new(entrance, client, reports.clone()).run(commands).await
}
