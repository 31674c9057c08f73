//! Threads for work that the kernel may hold for ever: a network file system whose server is gone answers no
//! system call, and a thread that waits for one cannot be called back.
//!
//! They are few, and the store's own: those that the runtime keeps for such work are everybody's, and would be
//! lost one after the other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::store::StoreError;

/// So many threads at most, however much is asked for.
#[derive(Debug, Clone)]
pub struct Threads {
    free: Arc<Semaphore>,
}

impl Threads {
    /// None is started before there is work for it.
    pub fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)) }
    }

    /// Does something with a directory as soon as a thread is free, which has to be within `wait`. Dropping the
    /// future leaves the work to itself.
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
            // First: who gets the answer may come with more work at once.
            drop(free);
            // Nobody may be left to hear it.
            let _unheard = answer.send(done);
        });
        thread.map_err(|error| failed(format!("no thread can be started: {error}")))?;
        answered
            .await
            .map_err(|_| failed("its thread ended early; this is a fault of the program".to_owned()))
    }
}

/// Counts what was done, so that somebody else can tell work from waiting.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Something was done.
    pub(super) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How much was done so far.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
