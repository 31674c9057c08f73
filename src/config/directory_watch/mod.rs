//! A hint to read again: something changed in a directory, below it, or on the way to it.
//!
//! An inotify event is only a hint: reading finds out what changed ([`Loader`](super::Loader)). This room keeps the set of
//! watched directories up to date and debounces events. Where watching fails, hints come every [`Timing::degraded`], with
//! the reason and what to do about it.

mod arm;
mod complaint;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::store::dir::{Mounts, await_on, happens};
use notify::EventKind;
use notify::event::{AccessKind, AccessMode};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use arm::{Armed, Interest};
use complaint::complaint;

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
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(250),
            longest: Duration::from_secs(2),
            degraded: Duration::from_secs(10),
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

/// Messages from the thread of `notify` to the task.
#[derive(Debug, Default)]
struct Heard {
    interest: Mutex<Interest>,
    error: Mutex<Option<String>>,
    something: Notify,
}

impl Heard {
    /// Takes an event. Reading the directory causes access events: of those only the end of a write counts.
    fn take(&self, event: notify::Result<notify::Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.something.notify_one(),
            Ok(event) => {
                let counts = match event.kind {
                    EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
                    EventKind::Any
                    | EventKind::Create(_)
                    | EventKind::Modify(_)
                    | EventKind::Remove(_)
                    | EventKind::Other => true,
                };
                let interest = self.interest.lock().unwrap_or_else(PoisonError::into_inner);
                if counts && event.paths.iter().any(|path| interest.is_in(path)) {
                    self.something.notify_one();
                }
            }
            Err(error) => {
                *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(complaint(&error));
                self.something.notify_one();
            }
        }
    }
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
        let changes = changes.and_then(|list| await_on(list, tokio::io::Interest::PRIORITY).ok());
        Self { mounts, changes }
    }

    /// Waits until a mount that counts is added or removed.
    async fn changed(&mut self, heard: &Heard) {
        loop {
            if happens(self.changes.as_ref(), tokio::io::Interest::PRIORITY).await.is_err() {
                self.changes = None;
            }
            let changed = self.mounts.changed();
            let counts = {
                let interest = heard.interest.lock().unwrap_or_else(PoisonError::into_inner);
                changed.iter().any(|point| interest.is_in(point))
            };
            if counts {
                return;
            }
        }
    }
}

async fn watch(root: PathBuf, timing: Timing, hints: mpsc::Sender<Hint>) {
    let heard = Arc::new(Heard::default());
    let armed = Arc::new(Mutex::new(Armed::new(root, Arc::clone(&heard))));
    let mut remounts = Remounts::open();
    loop {
        // Arm before the hint, so that no change falls between a reading and the watch.
        let Some(failure) = arm(&armed, timing, &hints).await else { return };
        let error = heard.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failure = failure.or(error);
        if hints.send(Hint { complaint: failure.clone() }).await.is_err() {
            return;
        }
        if failure.is_some() {
            tokio::select! {
                () = heard.something.notified() => {}
                () = remounts.changed(&heard) => {}
                () = tokio::time::sleep(timing.degraded) => continue,
                () = hints.closed() => return,
            }
        } else {
            tokio::select! {
                () = heard.something.notified() => {}
                () = remounts.changed(&heard) => {}
                () = hints.closed() => return,
            }
        }
        let latest = Instant::now() + timing.longest;
        loop {
            let quiet = (Instant::now() + timing.quiet).min(latest);
            if tokio::time::timeout_at(quiet, heard.something.notified()).await.is_err() {
                break;
            }
        }
    }
}

/// Arms on a separate thread, which a dead mount may block, and returns what prevents it. Until that is done, hints come
/// every [`Timing::degraded`]. `None` if the receiver of the hints is gone.
async fn arm(
    armed: &Arc<Mutex<Armed>>,
    timing: Timing,
    hints: &mpsc::Sender<Hint>,
) -> Option<Option<String>> {
    loop {
        let (results, mut result) = oneshot::channel();
        let armed = Arc::clone(armed);
        // Sending fails only if the directory is no longer watched.
        let work = move || drop(results.send(armed.lock().unwrap_or_else(PoisonError::into_inner).arm()));
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
