//! The loop of a live watch: its subscription, its machine, its runs.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::alarm::Alarm;
use super::bulk;
use super::event::{Circumstances, Event, Handover};
use super::mailbox::{Mailbox, Reader};
use super::party::Party;
use super::reading::{Readings, Wanted};
use super::remembered::{self, RunSource};
use crate::daemon::runs::{Judged, OwnRuns, Runs};
use crate::policy::{Baseline, Input, Machine, Past, Predecessor};
use crate::process::Ended;
use crate::store::{Store, Subscribe, Subscription, Update};
use crate::watch::{Detail, Outcome, RunId, RunMode, Seq, State, WatchSpec, is_same};

pub(super) struct Task {
    pub(super) spec: Arc<WatchSpec>,
    pub(super) file: Arc<Path>,
    pub(super) machine: Machine<RunSource>,
    pub(super) subscription: Subscription,
    pub(super) runs: OwnRuns,
    mailbox: Reader<Event>,
    /// What is known before the first state; judged when that arrives.
    before: Option<Before>,
    alarm: Alarm,
    /// Until when it ignores its store, after a bug in twitcher.
    rest: Option<Box<Instant>>,
    /// How long a run for another target may continue.
    pub(super) grace: Duration,
    /// Its first run, with the retries of that, is its only one, and its outcomes go here.
    pub(super) once: Option<mpsc::UnboundedSender<Outcome>>,
    /// Called with the first state, before anything runs for it.
    announce: Option<fn(&WatchSpec, &State)>,
    /// Boxed: none takes one word, ten thousand times.
    pub(super) readings: Option<Box<Readings>>,
    /// Its part in a fleet's group.
    pub(super) party: Option<Box<Party>>,
    /// The last refusal of `validate`, for the log, `status` and the report.
    pub(super) refused: Option<Box<Judged>>,
    /// It has looked for runs of a former daemon.
    begun: bool,
    /// The machine is done.
    pub(super) drained: bool,
}

/// What its predecessor left.
struct Before {
    handover: Option<Box<Handover>>,
}

enum Next {
    Event(Event),
    Ended(RunId, Ended),
    Slot,
    /// `validate` has judged a state, or (`None`) has started or ended otherwise.
    Validation(Option<Judged>),
    Wakeup,
    Read,
    Update(Update),
}

impl Task {
    pub(super) fn new(
        spec: Arc<WatchSpec>,
        file: Arc<Path>,
        store: &Store,
        runs: Arc<Runs>,
        circumstances: Circumstances,
        mailbox: Arc<Mailbox<Event>>,
    ) -> Self {
        let Circumstances { handover, rest, grace, once, announce, fleet } = circumstances;
        let subscription = subscribe(&spec, store);
        let mut machine = remembered::machine(&spec, &runs);
        let party = fleet.and_then(|fleet| Party::new(fleet, &spec, Arc::clone(&mailbox))).map(Box::new);
        if party.as_ref().is_some_and(|party| party.needs_permits()) {
            machine.need_permits();
        }
        let mut own = OwnRuns::new(runs);
        own.defined_in(&file);
        Self {
            spec,
            file,
            machine,
            subscription,
            runs: own,
            mailbox: Reader(mailbox),
            before: Some(Before { handover }),
            alarm: Alarm::default(),
            rest: rest.map(Box::new),
            grace,
            once,
            announce,
            readings: None,
            party,
            refused: None,
            begun: false,
            drained: false,
        }
    }

    fn handover(&mut self) -> Handover {
        let spec = Arc::clone(&self.spec);
        // Retired before it saw anything: its successor inherits what it inherited.
        let fleet = self.party.as_ref().map(|party| party.membership());
        let inherited = self.before.take().and_then(|before| before.handover);
        if let Some(handover) = inherited.filter(|handover| handover.spec.target == spec.target) {
            return Handover { spec, fleet, ..*handover };
        }
        let unserved = self.machine.unserved().is_some();
        Handover { spec, newest: self.machine.newest().cloned(), unserved, fleet }
    }

    /// Waits for the next of its inputs.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if let Poll::Ready(event) = self.mailbox.0.poll_take(context) {
            return Poll::Ready(Next::Event(event));
        }
        if let Poll::Ready((run, ended)) = self.runs.poll_ended(context) {
            return Poll::Ready(Next::Ended(run, ended));
        }
        if self.runs.poll_slot(context).is_ready() {
            return Poll::Ready(Next::Slot);
        }
        if let Poll::Ready(judged) = self.runs.poll_judged(&self.spec, context) {
            return Poll::Ready(Next::Validation(judged));
        }
        if self.alarm.poll_ring(context).is_ready() {
            return Poll::Ready(Next::Wakeup);
        }
        if self.poll_readings(context).is_ready() {
            return Poll::Ready(Next::Read);
        }
        if self.has_nothing_live()
            && let Some(party) = self.party.as_mut().filter(|party| party.is_finishing())
            && party.poll_finished(context).is_ready()
        {
            self.party = None;
            return Poll::Ready(Next::Read);
        }
        if self.resting().is_some() {
            return Poll::Pending;
        }
        self.subscription.poll_next(context).map(Next::Update)
    }

    /// Until when it ignores its store.
    pub(super) fn resting(&self) -> Option<Instant> {
        self.rest.as_deref().copied().filter(|until| *until > Instant::now())
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Control(control, answer) => {
                let _ = answer.send(self.controlled(control));
            }
            Event::Trigger { cached: false, permission, answer } => self.trigger(permission, answer),
            Event::Trigger { cached: true, permission, answer } => self.trigger_cached(permission, answer),
            Event::Preview { cached: false, answer } => self.read_for(Wanted::Preview(answer)),
            Event::Preview { cached: true, answer } => {
                let _ = answer.send(self.preview(true));
            }
            Event::Look(answer) => {
                let _ = answer.send(self.view());
            }
            Event::Explain(answer) => {
                let _ = answer.send(self.explain());
            }
            Event::Store(store) => {
                self.subscription = subscribe(&self.spec, &store);
                self.read_again();
            }
            Event::Described { spec, file } => {
                self.spec = spec;
                self.runs.defined_in(&file);
                self.file = file;
                if let Some(party) = &self.party {
                    party.described(&self.spec);
                }
            }
            Event::Retire { deadline } => {
                self.runs.retire(&self.spec, deadline);
                self.decide(Input::Retire { deadline });
            }
            Event::Stop { deadline } => {
                if let Some(party) = &mut self.party {
                    party.stop();
                }
                self.runs.stop(&self.spec, deadline);
                self.decide(Input::Stop { deadline });
            }
            Event::Fleet(word) => self.hear_group(word),
            Event::Kill => self.runs.kill(),
            #[cfg(test)]
            Event::Fault => panic!("a fault for a test"),
        }
    }

    /// Gives the machine a state of the subscription, with the watch's own sequence number.
    pub(super) fn see(&mut self, update: Update) {
        let Update { mut state, updates } = update;
        if let Some(announce) = self.announce.take() {
            announce(&self.spec, &state);
        }
        let last = self.machine.newest();
        if last.is_some_and(|last| is_same(last.as_seen(), state.as_seen())) {
            // A new subscription, after a new configuration of the store, starts with a known state.
            return;
        }
        state.seq = Seq(last.map_or(1, |last| last.seq.0 + 1));
        let baseline = match self.before.take() {
            Some(before) => self.judge(&state, before.handover.as_deref()),
            None if self.machine.held().is_some() && self.is_back_at(&state) => Baseline::Applied,
            None => Baseline::Unknown,
        };
        self.decide(Input::State { state, updates, baseline });
    }

    /// Whether a state has the content that was last applied.
    fn is_back_at(&self, state: &State) -> bool {
        let (ledger, spec) = (self.runs.shared().ledger(), &self.spec);
        let Some(entry) = ledger.entry(spec.name.as_str()) else { return false };
        bulk::with(&state.content, || entry.is_back_at(&spec.target, state))
    }

    /// What is known about the first state.
    fn judge(&self, first: &State, handover: Option<&Handover>) -> Baseline {
        let target = &self.spec.target;
        let ledger = self.runs.shared().ledger().entry(self.spec.name.as_str()).unwrap_or_default();
        let predecessor = handover.map(|Handover { spec, newest, unserved, fleet: _ }| Predecessor {
            target: &spec.target,
            newest: newest.as_ref(),
            unserved: *unserved,
        });
        let definition = ledger.gave_up.as_ref().map(|_| self.spec.fingerprint());
        let definition = definition.as_ref();
        let past = Past { ledger: &ledger, definition, predecessor, fault: self.rest.is_some() };
        bulk::with(&first.content, || past.baseline(target, first))
    }

    fn has_nothing_live(&self) -> bool {
        self.drained && !self.runs.has_foreign() && !self.runs.has_validation()
    }

    /// Whether nothing of it lives any more, and its group knows.
    fn is_over(&self) -> bool {
        let finishing = self.party.as_ref().is_some_and(|party| party.is_finishing());
        self.has_nothing_live() && !finishing
    }
}

/// Written by hand: the future of an `async` function with a `select!` is several times as large, and there are thousands
/// of tasks.
impl Future for Task {
    type Output = Box<Handover>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Box<Handover>> {
        if !self.begun {
            self.begun = true;
            self.adopt();
            if self.before.as_ref().is_some_and(|before| before.handover.is_some()) {
                // Its predecessor's watch in the store may have missed a change.
                self.read_before_starts();
            }
        }
        while !self.is_over() {
            let reading = self.readings.as_ref().and_then(|readings| readings.deadline(Instant::now()));
            let validation = self.runs.validation_deadline();
            let deadlines =
                [self.machine.poll_timeout(), self.resting(), self.runs.warn_at(), reading, validation];
            self.alarm.set(deadlines.into_iter().flatten().min());
            match ready!(self.poll_next(context)) {
                Next::Event(event) => self.take(event),
                Next::Ended(run, ended) => self.ended(&run, ended),
                Next::Slot => self.decide(Input::Slot),
                Next::Wakeup => {
                    let Self { runs, spec, .. } = &mut *self;
                    runs.warn(spec, Instant::now());
                    runs.hurry_validation(spec, Instant::now());
                    self.decide(Input::Wakeup);
                }
                Next::Validation(Some(judged)) => self.judged(judged),
                Next::Validation(None) | Next::Read => {}
                Next::Update(update) => self.see(update),
            }
        }
        Poll::Ready(Box::new(self.handover()))
    }
}

pub(in crate::daemon) fn subscribe(spec: &WatchSpec, store: &Store) -> Subscription {
    store.subscribe(subscribed(spec))
}

/// What a watch subscribes to.
pub(in crate::daemon) fn subscribed(spec: &WatchSpec) -> Subscribe {
    let every = match spec.policy.run_mode {
        RunMode::Parallel { .. } => true,
        RunMode::Queue | RunMode::Discard | RunMode::Restart => false,
    };
    Subscribe {
        key: spec.target.key.clone(),
        watch_type: spec.target.watch_type,
        // Also if the action does not read it: a restored store may use a version a second time, and then only the value shows
        // that something changed.
        detail: Detail::Values,
        every,
        verify_interval: spec.verify_interval,
    }
}
