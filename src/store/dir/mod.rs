//! The `dir` store: a directory's files as keys, with real file events.
//!
//! A key is a path below the root; names that begin with a dot are not keys. A file is a value. A directory has children
//! and no value: as `data` it is absent. Reading follows symbolic links, even out of the root; writing stays in the root,
//! and a deletion follows none. Versions are content hashes, so rewriting a file with the same bytes is not a change.
//!
//! A session is an async task that waits, and an `engine` that it passes to the store's only blocking thread: while that
//! thread hangs, there is no other session.

mod access;
mod content;
mod engine;
mod inotify_limits;
mod interest;
mod mask;
mod mounts;
mod place;
mod polled;
mod ready;
mod resolve;
mod single;
mod target;
mod threads;
mod tree;
mod unfinished;
mod write;

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

pub use access::Access;
pub(crate) use content::{NOTHING, value_version};
pub(crate) use inotify_limits::{NO_INSTANCE, NO_WATCH};
pub(crate) use mounts::Mounts;
pub(crate) use ready::{await_on, happens};
pub use threads::Threads;

use self::engine::{Engine, Step};
use self::interest::Interests;
use self::threads::Pulse;
use super::session::{Command, Report, Session};
use super::{StoreError, StoreSpec, StoreUrl, TreeLimits};
use crate::watch::Key;

/// Commands received per batch.
const COMMANDS: usize = 64;

/// Time limit for the thread to become free.
const FREE: Duration = Duration::from_secs(1);

/// Time limit of the first read of the root.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Interval of progress reports.
const AT_WORK: Duration = Duration::from_secs(5);

/// Fails if no file can be a key of this form.
pub(super) fn admits(key: &Key) -> Result<(), StoreError> {
    place::KeyPath::of(key).map(drop)
}

/// Starts watching a directory on the store's only thread. Waits for a root that does not exist yet.
pub fn session(spec: &StoreSpec, threads: &Threads) -> Session {
    let (root, limits) = (root_of(spec), spec.tree_limits);
    let threads = threads.clone();
    Session::start(move |commands, reports| async move {
        let lost = match root {
            Ok(root) => serve(root, limits, &threads, commands, &reports).await,
            Err(error) => Err(error),
        };
        if let Err(error) = lost {
            // The receiver may be gone.
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
    limits: TreeLimits,
    threads: &Threads,
    mut commands: mpsc::UnboundedReceiver<Command>,
    reports: &mpsc::Sender<Report>,
) -> Result<(), StoreError> {
    let failed = |what: &str, why: String| StoreError::Unavailable {
        what: format!("{what} directory {}", root.display()),
        why,
    };
    let interests = Interests::open();
    // A directory that hangs is not reported as ready.
    let path = root.clone();
    let look = threads.run(&root, FREE, move || drop(path.symlink_metadata()));
    timeout(FIRST_LOOK, look)
        .await
        .map_err(|_| failed("look at", format!("no answer within {} seconds", FIRST_LOOK.as_secs())))??;
    let pulse = Pulse::default();
    let mut engine = Engine::new(root.clone(), limits, interests, pulse.clone());
    let awaited = |descriptor: Option<io::Result<OwnedFd>>, interest| {
        let descriptor = descriptor.map(|descriptor| descriptor.and_then(|file| await_on(file, interest)));
        descriptor.transpose().map_err(|error| failed("watch", error.to_string()))
    };
    // A change of the mounts is an exceptional condition.
    let mounts = awaited(engine.mounts(), Interest::PRIORITY)?;
    let mut events = None;
    if reports.send(Report::Ready { server: root.display().to_string() }).await.is_err() {
        return Ok(());
    }
    let mut step = Step::Quiet;
    let mut telling = pin!(tell_of(&pulse, reports));
    loop {
        let mut batch = Vec::new();
        if events.is_none() {
            events = awaited(engine.descriptor(), Interest::READABLE)?;
        }
        match step {
            Step::Quiet => tokio::select! {
                received = commands.recv_many(&mut batch, COMMANDS) => {
                    if received == 0 {
                        return Ok(());
                    }
                }
                ready = happens(events.as_ref(), Interest::READABLE) => {
                    ready.map_err(|error| failed("watch", error.to_string()))?;
                }
                ready = happens(mounts.as_ref(), Interest::PRIORITY) => {
                    ready.map_err(|error| failed("watch the mounts around", error.to_string()))?;
                    engine.remounted();
                }
                () = moment(engine.next_look()) => {}
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
        let work = threads.run(&root, FREE, move || {
            let step = engine.step(batch, &heard);
            (engine, step)
        });
        let (back, done) = tokio::select! {
            done = work => done?,
            never = &mut telling => match never {},
        };
        engine = back;
        step = done?;
    }
}

/// Reports progress from time to time, if there is any.
async fn tell_of(pulse: &Pulse, reports: &mpsc::Sender<Report>) -> Infallible {
    let mut told = pulse.count();
    loop {
        tokio::time::sleep(AT_WORK).await;
        let count = pulse.count();
        if count != told {
            told = count;
            // If the channel is full, the reports in it show progress as well.
            let _full = reports.try_send(Report::Progress);
        }
    }
}

async fn moment(look: Option<std::time::Instant>) {
    match look {
        Some(look) => sleep_until(Instant::from_std(look)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc as blocking;

    use super::*;
    use crate::store::Store;
    use crate::store::driver::{LinkState, Subscribe};
    use crate::watch::{Content, Key, StoreName, WatchType};

    fn spec(root: &std::path::Path) -> StoreSpec {
        StoreSpec::new(StoreName::new("test").unwrap(), StoreUrl::Dir { root: root.to_path_buf() })
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_reported_as_progress_and_waiting_is_not() {
        let pulse = Pulse::default();
        let (reports, mut told) = mpsc::channel(8);
        let mut count = async |pulse: &Pulse| {
            let _goes_on = timeout(AT_WORK * 3, tell_of(pulse, &reports)).await;
            let mut count = 0;
            while let Ok(Report::Progress) = told.try_recv() {
                count += 1;
            }
            count
        };
        assert_eq!(count(&pulse).await, 0);
        let (working, at_work) = (pulse.clone(), AT_WORK / 2);
        let work = tokio::spawn(async move {
            loop {
                tokio::time::sleep(at_work).await;
                working.beat();
            }
        });
        assert!(count(&pulse).await >= 2);
        work.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_directory_holds_one_thread_despite_repeated_attempts() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "x").unwrap();
        let threads = Threads::new(1);
        let (release, held) = blocking::channel::<()>();
        let (started, start) = tokio::sync::oneshot::channel();
        let hung = {
            let (threads, root) = (threads.clone(), folder.path().to_path_buf());
            tokio::spawn(async move {
                let hang = move || {
                    started.send(()).unwrap();
                    held.recv()
                };
                threads.run(&root, FREE, hang).await
            })
        };
        start.await.unwrap();
        // The caller has gone; the system call has not returned.
        hung.abort();
        let opener = threads.clone();
        let store = Store::open_with(spec(folder.path()), Box::new(move |spec, _| session(spec, &opener)));
        let subscribe = Subscribe::new(Key::new("/a").unwrap(), WatchType::Data);
        let mut subscription = store.subscribe(subscribe);
        let mut health = store.health();
        health.wait_for(|health| health.state == LinkState::Down).await.unwrap();
        tokio::time::sleep(Duration::from_hours(1)).await;
        let error = subscription.freshness().error.unwrap();
        assert!(error.contains("has not answered an earlier request"), "{error}");
        assert_eq!(health.borrow().state, LinkState::Down);

        tokio::time::resume();
        release.send(()).unwrap();
        assert_eq!(subscription.next().await.state.content, Content::Value("x".into()));
    }
}
