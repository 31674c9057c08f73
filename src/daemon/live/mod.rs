//! One live watch: a task that feeds its machine and performs what the machine decides.
//!
//! The task never waits for anything but its own inputs: states, ended runs, a slot, the clock, and what the
//! daemon asks of it. Nothing that it does can hold up another watch.

mod alarm;
mod bulk;
mod mailbox;
mod perform;
mod recover;
mod task;
mod view;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::ground::Ground;
use crate::policy::Control;
use crate::status::{Explanation, WatchStatus};
use crate::store::Store;
use crate::watch::{Outcome, RunId, State, WatchSpec};
use mailbox::Mailbox;
pub(super) use recover::fingerprint;
pub(super) use task::subscribe;
pub(super) use view::{HANGS, unasked};

/// What a live watch is told.
pub(super) enum Event {
    /// A run of its action is over.
    Ended { run: RunId, outcome: Outcome, output: String },
    /// An operator asks.
    Control(Control, oneshot::Sender<Result<String, String>>),
    /// Somebody looks at it.
    Look(oneshot::Sender<WatchStatus>),
    /// Somebody wants to know why.
    Explain(oneshot::Sender<Explanation>),
    /// Its store was configured anew.
    Store(Store),
    /// It means what it meant, in other words or in another file.
    Described { spec: Arc<WatchSpec>, file: Arc<Path> },
    /// Its definition was changed or removed. Live runs finish; those without a timeout end at the deadline.
    Retire { deadline: Option<Instant> },
    /// The daemon stops.
    Stop { deadline: Instant },
    /// Whoever waits for its stop waits no longer.
    Kill,
    /// A fault in twitcher itself.
    #[cfg(test)]
    Fault,
}

/// What a retired watch leaves to a successor of the same name.
#[derive(Debug, Clone)]
pub(super) struct Handover {
    pub(super) spec: Arc<WatchSpec>,
    /// The newest state that it saw.
    pub(super) newest: Option<State>,
    /// Whether that state was still to be applied.
    pub(super) unserved: bool,
}

/// The daemon's end of a live watch; cheap to clone.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) spec: Arc<WatchSpec>,
    pub(super) file: Arc<Path>,
    mailbox: Arc<Mailbox<Event>>,
}

impl Live {
    /// Tells the watch. One that has just ended does not hear it.
    pub(super) fn tell(&self, event: Event) {
        self.mailbox.put(event);
    }

    /// Asks without waiting, so that many can be asked at once.
    pub(super) fn begin_ask<T>(
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
    /// One that only says that it is there, as long as the runtime lives.
    pub(super) fn answering(definition: super::supervisor::Definition, ground: &Arc<Ground>) -> Self {
        let super::supervisor::Definition { spec, file } = definition;
        let live = Self { spec, file, mailbox: Arc::new(Mailbox::default()) };
        let (asked, ground) = (live.clone(), Arc::clone(ground));
        tokio::spawn(async move {
            loop {
                let event = std::future::poll_fn(|context| asked.mailbox.poll_take(context)).await;
                if let Event::Look(answer) = event {
                    let _ = answer.send(unasked(&asked.spec, &asked.file, &ground));
                }
            }
        });
        live
    }
}

/// Makes a watch live: the handle, and the task that the daemon is to run until it drains. With a `rest` it met a
/// fault before, and hears nothing from its store until then.
pub(super) fn begin(
    spec: Arc<WatchSpec>,
    file: Arc<Path>,
    store: &Store,
    ground: &Arc<Ground>,
    handover: Option<Box<Handover>>,
    rest: Option<Instant>,
) -> (Live, impl Future<Output = Box<Handover>> + Send + use<>) {
    let mailbox = Arc::new(Mailbox::default());
    let task = task::Task::new(
        Arc::clone(&spec),
        Arc::clone(&file),
        store,
        Arc::clone(ground),
        handover,
        rest,
        Arc::clone(&mailbox),
    );
    (Live { spec, file, mailbox }, Box::pin(task))
}
