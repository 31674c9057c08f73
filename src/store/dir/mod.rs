//! The `dir` store: a directory's files as keys, with real file events.
//!
//! A key is a path below the root; names that begin with a dot are no keys. A file is a value. A directory has
//! children and no value: as `data` it is absent. Symbolic links are followed, also out of the root. Versions
//! are content hashes, so a file that is rewritten with the same bytes did not change.
//!
//! A session is an async task that waits, and an `engine` that it hands to a thread which may block.

mod access;
mod content;
mod engine;
mod interest;
mod place;
mod tree;
mod walk;
mod write;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

pub use access::Access;

use self::engine::{Engine, Step};
use self::interest::Interests;
use super::session::{Command, Report, Session};
use super::{StoreError, StoreSpec, StoreUrl};

/// Commands that are taken at once.
const COMMANDS: usize = 64;

/// Starts watching a directory. A root that does not exist yet is waited for.
pub fn session(spec: &StoreSpec, _attempt: u64) -> Session {
    let root = root_of(spec);
    Session::start(move |commands, reports| async move {
        let lost = match root {
            Ok(root) => serve(root, commands, &reports).await,
            Err(error) => Err(error),
        };
        if let Err(error) = lost {
            // Nobody may be left to hear it.
            let _unheard = reports.send(Report::Lost(error)).await;
        }
    })
}

/// The directory of a `dir` URL.
fn root_of(spec: &StoreSpec) -> Result<PathBuf, StoreError> {
    match &spec.url {
        StoreUrl::Dir { root } => Ok(root.clone()),
        url @ (StoreUrl::Etcd { .. } | StoreUrl::ZooKeeper { .. }) => Err(StoreError::Refused {
            what: format!("open store {} as a directory", spec.name),
            why: format!("its URL is {url}"),
        }),
    }
}

async fn serve(
    root: PathBuf,
    mut commands: mpsc::UnboundedReceiver<Command>,
    reports: &mpsc::Sender<Report>,
) -> Result<(), StoreError> {
    let failed = |what: &str, why: String| StoreError::Unavailable {
        what: format!("{what} directory {}", root.display()),
        why,
    };
    let interests = Interests::open(&root)?;
    let events =
        interests.descriptor().and_then(readable).map_err(|error| failed("watch", error.to_string()))?;
    let mut engine = Engine::new(root.clone(), interests);
    if reports.send(Report::Ready { server: root.display().to_string() }).await.is_err() {
        return Ok(());
    }
    let mut step = Step::Quiet;
    loop {
        let mut batch = Vec::new();
        match step {
            Step::Quiet => tokio::select! {
                received = commands.recv_many(&mut batch, COMMANDS) => {
                    if received == 0 {
                        return Ok(());
                    }
                }
                // Forgotten before the events are taken: one that comes meanwhile sets it again.
                ready = events.readable() => match ready {
                    Ok(mut ready) => ready.clear_ready(),
                    Err(error) => return Err(failed("watch", error.to_string())),
                },
            },
            Step::Busy => {
                while batch.len() < COMMANDS
                    && let Ok(command) = commands.try_recv()
                {
                    batch.push(command);
                }
            }
            Step::Unheard => return Ok(()),
        }
        let heard = reports.clone();
        let worked = spawn_blocking(move || {
            let step = engine.step(batch, &heard);
            (engine, step)
        });
        let (back, done) = worked.await.map_err(|error| failed("read", error.to_string()))?;
        engine = back;
        step = done?;
    }
}

#[expect(
    deprecated,
    reason = "the replacement is unsafe, for types whose descriptor may be closed under them; an OwnedFd's may not"
)]
fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
