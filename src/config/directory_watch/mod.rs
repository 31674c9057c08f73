//! A hint to look again: something changed in a directory, below it, or on the way to it.
//!
//! inotify is believed in nothing else. What changed is found by reading ([`Loader`](super::Loader)); here only the
//! places to watch are kept up to date, and noise is gathered until it is quiet. Where watching fails, a hint comes
//! every [`Timing::degraded`], and the reason is said with what to do about it.

mod arm;
mod complaint;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::EventKind;
use notify::event::{AccessKind, AccessMode};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use arm::{Armed, Interest};
use complaint::complaint;

/// Something may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hint {
    /// What is wrong with watching, to be logged: said once, until it is something else.
    pub complaint: Option<String>,
}

/// How long to gather, and how often to look without being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A hint comes when no event came for this long …
    pub quiet: Duration,
    /// … or this long after the first one.
    pub longest: Duration,
    /// How often to look, and to try again, where watching fails.
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
    /// Starts to watch. The first hint comes when all is armed: whoever reads the directory after it misses
    /// nothing. The directory need not exist. Needs a tokio runtime.
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

/// What the thread of `notify` tells the task.
#[derive(Debug, Default)]
struct Heard {
    interest: Mutex<Interest>,
    error: Mutex<Option<String>>,
    something: Notify,
}

impl Heard {
    /// Takes an event. Reading the directory makes events of access itself: only the end of a write counts.
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

async fn watch(root: PathBuf, timing: Timing, hints: mpsc::Sender<Hint>) {
    let heard = Arc::new(Heard::default());
    let mut armed = Armed::new(root, Arc::clone(&heard));
    let mut said: Option<String> = None;
    loop {
        // Armed before the hint, so that nothing happens unseen between a look and a watch.
        let Ok((back, failure)) = tokio::task::spawn_blocking(move || {
            let failure = armed.arm();
            (armed, failure)
        })
        .await
        else {
            return;
        };
        armed = back;
        let error = heard.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        let failure = failure.or(error);
        let complaint = failure.clone().filter(|text| said.as_ref() != Some(text));
        said.clone_from(&failure);
        if hints.send(Hint { complaint }).await.is_err() {
            return;
        }
        if failure.is_some() {
            tokio::select! {
                () = heard.something.notified() => {}
                () = tokio::time::sleep(timing.degraded) => continue,
                () = hints.closed() => return,
            }
        } else {
            tokio::select! {
                () = heard.something.notified() => {}
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

#[cfg(test)]
mod tests;
