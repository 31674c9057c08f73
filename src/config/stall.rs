//! Reads on a separate thread: a path on a dead mount blocks nothing but the files on it.
//!
//! The thread announces each path before it touches it. If it makes no progress for a while, it is abandoned, and a new
//! thread reads everything but that path. While the old thread is blocked, its path is not touched again.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The message about such a path.
pub(super) const UNANSWERED: &str =
    "the file system does not answer; if it is a network file system, is its server there?";

/// Time limits for the file system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The first system call that does not return.
    pub(super) first: Duration,
    /// Each further one of the same reading.
    pub(super) brief: Duration,
    /// Maximum number of blocked threads.
    pub(super) blocked: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_secs(3), brief: Duration::from_millis(500), blocked: 8 }
    }
}

/// What a reading thread announces, and what it must skip.
#[derive(Debug, Default)]
pub(super) struct Progress {
    skipped: Vec<PathBuf>,
    at: Mutex<At>,
}

#[derive(Debug, Default)]
struct At {
    steps: u64,
    path: PathBuf,
}

impl Progress {
    /// Announces that this path is touched next. False if it must not be touched.
    #[must_use]
    pub(super) fn may_touch(&self, path: &Path) -> bool {
        if self.skipped.iter().any(|skipped| path.starts_with(skipped)) {
            return false;
        }
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.steps += 1;
        path.clone_into(&mut at.path);
        true
    }

    /// Number of the last step, and its path.
    fn at(&self) -> (u64, PathBuf) {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        (at.steps, at.path.clone())
    }
}

/// Runs readings on threads that may block.
#[derive(Debug)]
pub(super) struct ReadingThreads {
    patience: Patience,
    blocked: Vec<Blocked>,
}

#[derive(Debug)]
struct Blocked {
    path: PathBuf,
    thread: JoinHandle<()>,
}

impl ReadingThreads {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, blocked: Vec::new() }
    }

    /// Whether a path is not read because a thread is blocked on it.
    pub(super) fn has_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Runs a reading. An error says why nothing could be read at all.
    pub(super) fn run<T: Send + 'static>(
        &mut self,
        read: impl Fn(&Progress) -> T + Clone + Send + 'static,
    ) -> Result<T, String> {
        self.blocked.retain(|blocked| !blocked.thread.is_finished());
        let mut patience = self.patience.first;
        while self.blocked.len() < self.patience.blocked {
            let skipped = self.blocked.iter().map(|blocked| blocked.path.clone()).collect();
            let progress = Arc::new(Progress { skipped, at: Mutex::default() });
            let (results, result) = sync_channel(1);
            let work = {
                let (read, progress) = (read.clone(), Arc::clone(&progress));
                // Fails only if this thread was abandoned.
                move || drop(results.send(read(&progress)))
            };
            let thread = thread::Builder::new().name("configuration".to_owned()).spawn(work);
            let thread = thread.map_err(|error| format!("no thread can be started: {error}"))?;
            let mut seen = progress.at().0;
            let path = loop {
                match result.recv_timeout(patience) {
                    Ok(read) => return Ok(read),
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err("reading it failed through a bug in twitcher".to_owned());
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        let (steps, path) = progress.at();
                        // Before its first step a thread touches nothing: it only waits for CPU time.
                        if std::mem::replace(&mut seen, steps) == steps && steps > 0 {
                            break path;
                        }
                    }
                }
            };
            self.blocked.push(Blocked { path, thread });
            patience = self.patience.brief;
        }
        Err(UNANSWERED.to_owned())
    }
}

#[cfg(test)]
mod tests;
