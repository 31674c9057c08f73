//! The loop of a live watch, and what it knows beside its machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{AcquireError, OwnedSemaphorePermit};

use super::mailbox::Mailbox;
use super::{Event, Legacy, bulk};
use crate::daemon::ground::Ground;
use crate::policy::{Baseline, Input, Machine, Source};
use crate::process::Leftovers;
use crate::store::{Store, Subscribe, Subscription, Update};
use crate::watch::{Detail, Order, RunId, RunMode, State, WatchSpec, is_same};

pub(super) struct Task {
    pub(super) spec: Arc<WatchSpec>,
    pub(super) file: PathBuf,
    pub(super) ground: Arc<Ground>,
    pub(super) machine: Machine<RunSource>,
    pub(super) subscription: Subscription,
    pub(super) slot: Slot,
    pub(super) runs: BTreeMap<RunId, super::perform::Running>,
    pub(super) outcomes: BTreeMap<&'static str, u64>,
    pub(super) leftovers: Leftovers,
    /// Also for the tasks that wait for runs.
    pub(super) mailbox: Arc<Mailbox<Event>>,
    /// What is known before the first state; judged when it comes.
    before: Option<Before>,
    /// When it looks at its store again after a fault in twitcher itself, if it met one.
    pub(super) rest: Option<Instant>,
    /// The newest state, under this watch's own order, which goes on where a store is replaced.
    pub(super) newest: Option<State>,
    /// What the run was given that is just ending.
    pub(super) ending: Option<State>,
    pub(super) drained: bool,
    /// The daemon stops: what is ended now is made good at the next start.
    pub(super) stopping: bool,
}

/// Ids of runs, and chance.
pub(super) struct RunSource(Arc<Ground>);

impl Source for RunSource {
    fn run_id(&mut self) -> RunId {
        self.0.next_run()
    }

    fn jitter(&mut self) -> f64 {
        fastrand::f64()
    }
}

/// What was there before this watch saw its first state.
struct Before {
    legacy: Option<Legacy>,
}

/// The place among `max_processes`.
pub(super) enum Slot {
    /// Not wanted.
    None,
    /// In the queue for one.
    Waiting(Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>),
    /// Granted, and not yet used by a run.
    Held(OwnedSemaphorePermit),
}

impl Slot {
    /// Resolves when a slot that is waited for is granted; never, else.
    async fn granted(&mut self) {
        if let Self::Waiting(place) = self {
            // The semaphore is never closed.
            if let Ok(permit) = place.await {
                *self = Self::Held(permit);
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

enum Next {
    Event(Event),
    Slot,
    Wakeup,
    Update(Update),
}

impl Task {
    pub(super) fn new(
        spec: Arc<WatchSpec>,
        file: PathBuf,
        store: &Store,
        ground: Arc<Ground>,
        legacy: Option<Legacy>,
        rest: Option<Instant>,
        mailbox: Arc<Mailbox<Event>>,
    ) -> Self {
        let subscription = subscribe(&spec, store);
        let machine = super::recover::machine(&spec, RunSource(Arc::clone(&ground)), &ground);
        Self {
            spec,
            file,
            ground,
            machine,
            subscription,
            slot: Slot::None,
            runs: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            leftovers: Leftovers::default(),
            mailbox,
            before: Some(Before { legacy }),
            rest,
            newest: None,
            ending: None,
            drained: false,
            stopping: false,
        }
    }

    pub(super) async fn run(mut self: Box<Self>) -> Legacy {
        self.adopt();
        while !self.drained {
            let resting = self.resting();
            let deadline = self.machine.poll_timeout().into_iter().chain(resting).min();
            let next = tokio::select! {
                biased;
                event = self.mailbox.take() => Next::Event(event),
                () = self.slot.granted() => Next::Slot,
                () = until(deadline) => Next::Wakeup,
                update = self.subscription.next(), if resting.is_none() => Next::Update(update),
            };
            match next {
                Next::Event(event) => self.take(event),
                Next::Slot => self.decide(Input::Slot),
                Next::Wakeup => self.decide(Input::Wakeup),
                Next::Update(update) => self.see(update),
            }
        }
        // Retired before it saw anything: what it inherited goes on to the next.
        let inherited = self.before.take().and_then(|before| before.legacy);
        if let Some(legacy) = inherited.filter(|legacy| legacy.spec.target == self.spec.target) {
            return Legacy { spec: self.spec, ..legacy };
        }
        let unserved = self.machine.unserved().is_some();
        Legacy { spec: self.spec, newest: self.newest, unserved }
    }

    /// Until when it does not look at its store.
    pub(super) fn resting(&self) -> Option<Instant> {
        self.rest.filter(|until| *until > Instant::now())
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Ended { run, outcome, output } => self.ended(&run, &outcome, output),
            Event::Control(control, answer) => {
                let _ = answer.send(self.controlled(control));
            }
            Event::Look(answer) => {
                let _ = answer.send(self.view());
            }
            Event::Explain(answer) => {
                let _ = answer.send(self.explain());
            }
            Event::Store(store) => self.subscription = subscribe(&self.spec, &store),
            Event::Described { spec, file } => {
                self.spec = spec;
                self.file = file;
            }
            Event::Retire { deadline } => self.decide(Input::Retire { deadline }),
            Event::Stop { deadline } => {
                self.stopping = true;
                self.decide(Input::Stop { deadline });
            }
            #[cfg(test)]
            Event::Fault => panic!("a fault for a test"),
        }
    }

    /// A state of the subscription, under the watch's own order.
    fn see(&mut self, update: Update) {
        let Update { mut state, updates } = update;
        let last = self.newest.as_ref();
        if last.is_some_and(|last| is_same(last.as_seen(), state.as_seen())) {
            // A new subscription on a store that was configured anew shows what is known already.
            return;
        }
        state.order = Order(last.map_or(1, |last| last.order.0 + 1));
        self.newest = Some(state.clone());
        let baseline = match self.before.take() {
            Some(before) => self.judge(&state, before.legacy.as_ref()),
            None => Baseline::Unknown,
        };
        self.decide(Input::State { state, updates, baseline });
    }

    /// What is known of the first state.
    fn judge(&self, state: &State, legacy: Option<&Legacy>) -> Baseline {
        if let Some(legacy) = legacy.filter(|legacy| legacy.spec.target == self.spec.target) {
            let seen = legacy.newest.as_ref();
            let same = seen.is_some_and(|seen| is_same(seen.as_seen(), state.as_seen()));
            if legacy.unserved || (seen.is_some() && !same) {
                return Baseline::Pending;
            }
        }
        let known = bulk::with(&state.content, || super::recover::baseline(&self.spec, &self.ground, state));
        match known {
            // A fault forgot what was still to be applied: once too often is better than never.
            Baseline::Changed if self.rest.is_some() => Baseline::Pending,
            Baseline::Unknown if self.rest.is_some() && !state.content.is_absent() => Baseline::Pending,
            Baseline::Unknown
            | Baseline::Applied
            | Baseline::Changed
            | Baseline::Interrupted
            | Baseline::Pending => known,
        }
    }
}

pub(in crate::daemon) fn subscribe(spec: &WatchSpec, store: &Store) -> Subscription {
    let every = match spec.policy.run_mode {
        RunMode::Parallel { .. } => true,
        RunMode::Queue | RunMode::Discard | RunMode::Restart => false,
    };
    store.subscribe(Subscribe {
        key: spec.target.key.clone(),
        watch_type: spec.target.watch_type,
        // Also where the action does not read it: a restored store may use a version a second time, and then only
        // the value tells that something changed.
        detail: Detail::Values,
        every,
        verify_interval: spec.verify_interval,
    })
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
