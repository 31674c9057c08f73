//! A hint to read again: something changed in a directory, below it, or on the way to it.
//!
//! An inotify event is only a hint: reading finds out what changed ([`Loader`](super::Loader)). This room keeps the set of
//! watched directories up to date and debounces events. Where watching fails, hints come every [`Timing::degraded`], with
//! the reason and what to do about it.

mod arm;
mod complaint;
mod interest;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use arm::{Armed, Taken};

use crate::store::dir::{Mounts, await_on, happens};

/// Something may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hint {
    /// Why changes are not noticed immediately, while that holds.
    pub complaint: Option<String>,
}

/// Debounce times, and the poll interval where watching fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A hint follows when no event came for this long …
    pub quiet: Duration,
    /// … or this long after the first event.
    pub longest: Duration,
    /// How often to poll, and to try again, where watching fails.
    pub degraded: Duration,
    /// Events of what lies beside the directory are taken at most this often.
    pub beside: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(250),
            longest: Duration::from_secs(2),
            degraded: Duration::from_secs(10),
            beside: Duration::from_millis(50),
        }
    }
}

/// Watches a directory until it is dropped.
#[derive(Debug)]
pub struct DirectoryWatch {
    task: JoinHandle<()>,
}

impl Drop for DirectoryWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DirectoryWatch {
    /// Starts to watch. The first hint comes when everything is armed: reading the directory after it misses no change. The
    /// directory need not exist. Needs a tokio runtime.
    pub fn start(root: impl Into<PathBuf>) -> (Self, mpsc::Receiver<Hint>) {
        Self::start_with(root, Timing::default())
    }

    /// The same with other times.
    pub fn start_with(root: impl Into<PathBuf>, timing: Timing) -> (Self, mpsc::Receiver<Hint>) {
        let root = root.into();
        let root = std::path::absolute(&root).unwrap_or(root);
        let (hints, receiver) = mpsc::channel(1);
        let task = tokio::spawn(watch(root, timing, hints));
        (Self { task }, receiver)
    }
}

/// The watches, which a thread arms while the task waits.
type Shared = Arc<Mutex<Armed>>;

fn lock(armed: &Shared) -> MutexGuard<'_, Armed> {
    armed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reports mounts over watched directories and files, which cause no inotify event.
struct Remounts {
    mounts: Mounts,
    changes: Option<AsyncFd<OwnedFd>>,
}

impl Remounts {
    fn open() -> Self {
        let mounts = Mounts::open();
        let changes = mounts.descriptor().and_then(Result::ok);
        // Without it, a later mount is noticed at the next reload.
        let changes = changes.and_then(|list| await_on(list, Interest::PRIORITY).ok());
        Self { mounts, changes }
    }

    /// Waits until a mount that counts is added or removed.
    async fn changed(&mut self, armed: &Shared) {
        loop {
            if happens(self.changes.as_ref(), Interest::PRIORITY).await.is_err() {
                self.changes = None;
            }
            let changed = self.mounts.changed();
            let armed = lock(armed);
            if changed.iter().any(|point| armed.has(point)) {
                return;
            }
        }
    }
}

/// The queue of events.
struct Events {
    armed: Shared,
    queue: Option<AsyncFd<OwnedFd>>,
    beside: Duration,
}

impl Events {
    /// Waits on the queue of what is armed now.
    fn follow(&mut self) -> io::Result<()> {
        if self.queue.is_none() {
            let queue = lock(&self.armed).descriptor().transpose()?;
            self.queue = queue.map(|queue| await_on(queue, Interest::READABLE)).transpose()?;
        }
        Ok(())
    }

    /// Waits for an event that counts. Dropped while it waits, it loses none.
    async fn something(&mut self) {
        loop {
            if happens(self.queue.as_ref(), Interest::READABLE).await.is_err() {
                self.queue = None;
            }
            let taken = lock(&self.armed).take();
            if taken == Taken::Something {
                return;
            }
            tokio::time::sleep(self.beside).await;
        }
    }
}

async fn watch(root: PathBuf, timing: Timing, hints: mpsc::Sender<Hint>) {
    let armed = Arc::new(Mutex::new(Armed::new(root)));
    let mut remounts = Remounts::open();
    let mut events = Events { armed: Arc::clone(&armed), queue: None, beside: timing.beside };
    loop {
        // Arm before the hint, so that no change falls between a reading and the watch.
        let Some(failure) = arm(&armed, timing, &hints).await else { return };
        let failure =
            failure.or_else(|| events.follow().err().map(|error| complaint::late(&error.to_string())));
        if hints.send(Hint { complaint: failure.clone() }).await.is_err() {
            return;
        }
        if failure.is_some() {
            tokio::select! {
                () = events.something() => {}
                () = remounts.changed(&armed) => {}
                () = tokio::time::sleep(timing.degraded) => continue,
                () = hints.closed() => return,
            }
        } else {
            tokio::select! {
                () = events.something() => {}
                () = remounts.changed(&armed) => {}
                () = hints.closed() => return,
            }
        }
        let latest = Instant::now() + timing.longest;
        loop {
            let quiet = (Instant::now() + timing.quiet).min(latest);
            if tokio::time::timeout_at(quiet, events.something()).await.is_err() {
                break;
            }
        }
    }
}

/// Arms on a separate thread, which a dead mount may block, and returns what prevents it. Until that is done, hints come
/// every [`Timing::degraded`]. `None` if the receiver of the hints is gone.
async fn arm(armed: &Shared, timing: Timing, hints: &mpsc::Sender<Hint>) -> Option<Option<String>> {
    loop {
        let (results, mut result) = oneshot::channel();
        let armed = Arc::clone(armed);
        // Sending fails only if the directory is no longer watched.
        let work = move || drop(results.send(lock(&armed).arm()));
        let thread = std::thread::Builder::new().name("directory watch".to_owned()).spawn(work);
        let complaint = match &thread {
            Ok(_) => complaint::unanswered(),
            Err(error) => complaint::late(&format!("no thread can be started: {error}")),
        };
        loop {
            match tokio::time::timeout(timing.degraded, &mut result).await {
                Ok(Ok(failure)) => return Some(failure),
                Ok(Err(_)) => {
                    tokio::time::sleep(timing.degraded).await;
                    hints.send(Hint { complaint: Some(complaint) }).await.ok()?;
                    break;
                }
                Err(_) => hints.send(Hint { complaint: Some(complaint.clone()) }).await.ok()?,
            }
        }
    }
}

#[cfg(test)]
mod tests;
