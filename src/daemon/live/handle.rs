//! The daemon's end of a live watch.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::event::{Circumstances, Event, Handover};
use super::mailbox::Mailbox;
use super::task::Task;
use crate::daemon::runs::Runs;
use crate::store::Store;
use crate::watch::WatchSpec;

/// A live watch; cheap to clone.
#[derive(Clone)]
pub(in crate::daemon) struct Live {
    pub(in crate::daemon) spec: Arc<WatchSpec>,
    pub(in crate::daemon) file: Arc<Path>,
    mailbox: Arc<Mailbox<Event>>,
}

impl Live {
    /// Sends an event. A watch that has just ended drops it.
    pub(in crate::daemon) fn tell(&self, event: Event) {
        self.mailbox.put(event);
    }

    /// Sends a request without waiting, so that many watches can be asked at once.
    pub(in crate::daemon) fn begin_ask<T>(
        &self,
        event: impl FnOnce(oneshot::Sender<T>) -> Event,
    ) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        self.tell(event(answer));
        answered
    }
}

#[cfg(test)]
impl Live {
    /// A watch that only answers [`Event::Look`], as long as the runtime lives.
    pub(in crate::daemon) fn answering(spec: Arc<WatchSpec>, file: Arc<Path>, runs: &Arc<Runs>) -> Self {
        let live = Self { spec, file, mailbox: Arc::new(Mailbox::default()) };
        let (asked, runs) = (live.clone(), Arc::clone(runs));
        tokio::spawn(async move {
            loop {
                let event = std::future::poll_fn(|context| asked.mailbox.poll_take(context)).await;
                if let Event::Look(answer) = event {
                    let _ = answer.send(super::unasked(&asked.spec, &asked.file, runs.ledger()));
                }
            }
        });
        live
    }
}

/// Makes a watch live: the handle, and the task that the daemon runs until the watch drains.
pub(in crate::daemon) fn begin(
    spec: Arc<WatchSpec>,
    file: Arc<Path>,
    store: &Store,
    runs: &Arc<Runs>,
    circumstances: Circumstances,
) -> (Live, impl Future<Output = Box<Handover>> + Send + use<>) {
    let mailbox = Arc::new(Mailbox::default());
    let task = Task::new(
        Arc::clone(&spec),
        Arc::clone(&file),
        store,
        Arc::clone(runs),
        circumstances,
        Arc::clone(&mailbox),
    );
    (Live { spec, file, mailbox }, Box::pin(task))
}
