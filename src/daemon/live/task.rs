//! The loop of a live watch, and what it knows beside its machine.

use std::cell::OnceCell;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::sync::{AcquireError, OwnedSemaphorePermit};

use super::alarm::Alarm;
use super::mailbox::{Mailbox, Reader};
use super::{Event, Handover, bulk};
use crate::daemon::ground::Ground;
use crate::policy::{Baseline, Entropy, Input, Machine};
use crate::process::Leftovers;
use crate::store::{Store, Subscribe, Subscription, Update};
use crate::watch::{Detail, RunId, RunMode, Seq, State, WatchSpec, is_same};

pub(super) struct Task {
    pub(super) spec: Arc<WatchSpec>,
    pub(super) file: Arc<Path>,
    pub(super) ground: Arc<Ground>,
    pub(super) machine: Machine<RunSource>,
    pub(super) subscription: Subscription,
    pub(super) slot: Slot,
    /// In the order of their starts.
    pub(super) runs: Vec<super::perform::Running>,
    /// How often each came, by its word.
    pub(super) outcomes: Vec<(&'static str, u64)>,
    /// None before the first run.
    pub(super) leftovers: OnceCell<Leftovers>,
    /// Also for the tasks that wait for runs.
    pub(super) mailbox: Reader<Event>,
    /// What is known before the first state; judged when it comes.
    before: Option<Before>,
    alarm: Alarm,
    /// When it looks at its store again after a fault in twitcher itself, if it met one.
    rest: Option<Box<Instant>>,
    /// What the run was given that is just ending.
    pub(super) ending: Option<Box<State>>,
    /// It has looked for runs of a former daemon.
    begun: bool,
    pub(super) drained: bool,
    /// The daemon stops: what is ended now is made good at the next start.
    pub(super) stopping: bool,
}

/// Ids of runs, and chance.
pub(super) struct RunSource(Arc<Ground>);

impl Entropy for RunSource {
    fn run_id(&mut self) -> RunId {
        self.0.next_run()
    }

    fn jitter(&mut self) -> f64 {
        fastrand::f64()
    }
}

/// What was there before this watch saw its first state.
struct Before {
    handover: Option<Box<Handover>>,
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
    /// Ready when a slot that is waited for is granted; never, else.
    fn poll_granted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Waiting(place) = self
            // The semaphore is never closed.
            && let Poll::Ready(Ok(permit)) = place.as_mut().poll(context)
        {
            *self = Self::Held(permit);
            return Poll::Ready(());
        }
        Poll::Pending
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
        file: Arc<Path>,
        store: &Store,
        ground: Arc<Ground>,
        handover: Option<Box<Handover>>,
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
            runs: Vec::new(),
            outcomes: Vec::new(),
            leftovers: OnceCell::new(),
            mailbox: Reader(mailbox),
            before: Some(Before { handover }),
            alarm: Alarm::default(),
            rest: rest.map(Box::new),
            ending: None,
            begun: false,
            drained: false,
            stopping: false,
        }
    }

    fn handover(&mut self) -> Handover {
        let spec = Arc::clone(&self.spec);
        // Retired before it saw anything: what it inherited goes on to the next.
        let inherited = self.before.take().and_then(|before| before.handover);
        if let Some(handover) = inherited.filter(|handover| handover.spec.target == spec.target) {
            return Handover { spec, ..*handover };
        }
        let unserved = self.machine.unserved().is_some();
        Handover { spec, newest: self.machine.newest().cloned(), unserved }
    }

    /// What comes first of all that this waits for.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if let Poll::Ready(event) = self.mailbox.0.poll_take(context) {
            return Poll::Ready(Next::Event(event));
        }
        if self.slot.poll_granted(context).is_ready() {
            return Poll::Ready(Next::Slot);
        }
        if self.alarm.poll_ring(context).is_ready() {
            return Poll::Ready(Next::Wakeup);
        }
        if self.resting().is_some() {
            return Poll::Pending;
        }
        self.subscription.poll_next(context).map(Next::Update)
    }

    /// Until when it does not look at its store.
    pub(super) fn resting(&self) -> Option<Instant> {
        self.rest.as_deref().copied().filter(|until| *until > Instant::now())
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
            Event::Kill => self.kill(),
            #[cfg(test)]
            Event::Fault => panic!("a fault for a test"),
        }
    }

    /// A state of the subscription, under the watch's own order.
    fn see(&mut self, update: Update) {
        let Update { mut state, updates } = update;
        let last = self.machine.newest();
        if last.is_some_and(|last| is_same(last.as_seen(), state.as_seen())) {
            // A new subscription on a store that was configured anew shows what is known already.
            return;
        }
        state.seq = Seq(last.map_or(1, |last| last.seq.0 + 1));
        let baseline = match self.before.take() {
            Some(before) => self.judge(&state, before.handover.as_deref()),
            None => Baseline::Unknown,
        };
        self.decide(Input::State { state, updates, baseline });
    }

    /// What is known of the first state.
    fn judge(&self, state: &State, handover: Option<&Handover>) -> Baseline {
        if let Some(handover) = handover.filter(|handover| handover.spec.target == self.spec.target) {
            let seen = handover.newest.as_ref();
            let same = seen.is_some_and(|seen| is_same(seen.as_seen(), state.as_seen()));
            if handover.unserved || (seen.is_some() && !same) {
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

/// By hand: the future of an `async` function with a `select!` is several times as large, and thousands wait.
impl Future for Task {
    type Output = Box<Handover>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Box<Handover>> {
        if !self.begun {
            self.begun = true;
            self.adopt();
        }
        while !self.drained {
            let deadline = self.machine.poll_timeout().into_iter().chain(self.resting()).min();
            self.alarm.set(deadline);
            match ready!(self.poll_next(context)) {
                Next::Event(event) => self.take(event),
                Next::Slot => self.decide(Input::Slot),
                Next::Wakeup => self.decide(Input::Wakeup),
                Next::Update(update) => self.see(update),
            }
        }
        Poll::Ready(Box::new(self.handover()))
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
