//! Threads for system calls that the kernel may never finish: a network file system without its server answers no call,
//! and a thread that waits for one cannot be cancelled.
//!
//! They are few, and belong to the store: the runtime's blocking threads are shared by everything, and would be lost one
//! after the other.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::store::StoreError;

/// How long a thread waits for more work: to start one takes longer than to read a small file.
const IDLE: Duration = Duration::from_secs(10);

/// Does something, and returns what answers it.
type Work = Box<dyn FnOnce() -> Answer + Send>;
type Answer = Box<dyn FnOnce() + Send>;

/// Maximum number of threads, however many requests there are.
#[derive(Debug, Clone)]
pub struct Threads {
    free: Arc<Semaphore>,
    idle: Idle,
}

/// The threads that wait for more work.
#[derive(Debug, Clone, Default)]
struct Idle(Arc<Mutex<Vec<IdleThread>>>);

type IdleThread = (ThreadId, Sender<Work>);

impl Threads {
    /// The first one starts with the first request.
    pub fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), idle: Idle::default() }
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
        let work = move || -> Answer {
            let done = work();
            Box::new(move || {
                // Release the slot first: the receiver of the answer may send more work at once.
                drop(free);
                // The receiver may be gone.
                let _unheard = answer.send(done);
            })
        };
        self.idle
            .take(Box::new(work))
            .map_err(|error| failed(format!("no thread can be started: {error}")))?;
        answered.await.map_err(|_| failed("its thread ended early; this is a bug in twitcher".to_owned()))
    }
}

impl Idle {
    /// Gives work to a thread that waits, or else to a new one.
    fn take(&self, work: Work) -> io::Result<()> {
        let waiting = self.lock().pop();
        let work = match waiting {
            // Only a thread that has ended returns the work, and none in the list has ended.
            Some((_, thread)) => match thread.send(work) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(work)) => work,
            },
            None => work,
        };
        let idle = self.clone();
        thread::Builder::new().name("dir store".to_owned()).spawn(move || idle.serve(work)).map(drop)
    }

    /// The life of a thread.
    fn serve(&self, first: Work) {
        let (own, more) = mpsc::channel();
        let number = thread::current().id();
        let mut work = first;
        loop {
            let answer = work();
            // Before the answer, so that what follows from that finds this thread.
            self.lock().push((number, own.clone()));
            answer();
            work = match more.recv_timeout(IDLE) {
                Ok(work) => work,
                Err(_) if self.withdraw(number) => return,
                // Somebody took it at this very moment: the work comes.
                Err(_) => match more.recv() {
                    Ok(work) => work,
                    Err(_) => return,
                },
            };
        }
    }

    /// Whether the thread was in the list.
    fn withdraw(&self, number: ThreadId) -> bool {
        self.lock().extract_if(.., |(other, _)| *other == number).count() > 0
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(ThreadId, Sender<Work>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_request_after_another_uses_one_thread_and_two_at_once_use_two() {
        let threads = Threads::new(2);
        let root = Path::new("/");
        let mut used = Vec::new();
        for _ in 0..20 {
            used.push(threads.run(root, IDLE, || thread::current().id()).await.unwrap());
        }
        used.dedup();
        assert_eq!(used.len(), 1);
        let both = Arc::new(std::sync::Barrier::new(2));
        let meet = || {
            let both = Arc::clone(&both);
            threads.run(root, IDLE, move || {
                both.wait();
                thread::current().id()
            })
        };
        let (one, other) = tokio::join!(meet(), meet());
        assert_ne!(one.unwrap(), other.unwrap());
        assert_eq!(threads.idle.lock().len(), 2);
    }

    #[tokio::test]
    async fn a_panic_ends_its_thread_and_no_other_request() {
        let threads = Threads::new(1);
        let failed = threads.run(Path::new("/"), IDLE, || panic!("a fault for a test")).await;
        assert!(failed.is_err());
        assert_eq!(threads.run(Path::new("/"), IDLE, || 7).await.unwrap(), 7);
    }
}
