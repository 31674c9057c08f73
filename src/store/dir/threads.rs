//! Threads for system calls that the kernel may never finish: a network file system without its server answers no call,
//! and a thread that waits for one cannot be cancelled.
//!
//! They are few, and belong to the store: the runtime's blocking threads are shared by everything, and would be lost one
//! after the other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::store::StoreError;

/// Maximum number of threads, however many requests there are.
#[derive(Debug, Clone)]
pub struct Threads {
    free: Arc<Semaphore>,
}

impl Threads {
    /// The first one starts with the first request.
    pub fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)) }
    }

    /// Runs a closure about a directory as soon as a thread is free, which must happen within `wait`. Dropping the future does
    /// not stop the closure.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        root: &Path,
        wait: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let failed =
            |why: String| StoreError::Unavailable { what: format!("use directory {}", root.display()), why };
        let Ok(Ok(free)) = timeout(wait, Arc::clone(&self.free).acquire_owned()).await else {
            return Err(failed(
                "the system has not answered an earlier request for it yet; if it lies on a network file \
                 system, is its server there?"
                    .to_owned(),
            ));
        };
        let (answer, answered) = oneshot::channel();
        let thread = thread::Builder::new().name("dir store".to_owned()).spawn(move || {
            let done = work();
            // Release the slot first: the receiver of the answer may send more work at once.
            drop(free);
            // The receiver may be gone.
            let _unheard = answer.send(done);
        });
        thread.map_err(|error| failed(format!("no thread can be started: {error}")))?;
        answered.await.map_err(|_| failed("its thread ended early; this is a bug in twitcher".to_owned()))
    }
}

/// Counts completed steps, so that an observer can distinguish work from waiting.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Counts a step.
    pub(super) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Steps so far.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
