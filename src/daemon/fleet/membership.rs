//! One host's membership of one group: performs what the pure member and conductor decide, on a real store.
//!
//! The task waits for the store, the live watch and the clock. Requests run concurrently, and each answer is an input of
//! the machine that made the request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::{mpsc, oneshot, watch};

use super::follow::{Followed, Mirror, One};
use super::place::MembershipSpec;
use super::requests::{self, All, OwnRead, StoreAnswer, StoreRequest};
use super::wire;
use super::word::{Listener, MembershipSettings, Recorded, ShownMembership, ToMember, ToWatch};
use crate::fleet::conduct::{self, Conductor, Moment};
use crate::fleet::member::{self, MemberMachine};
use crate::fleet::record::HostState;
use crate::fleet::{BootTime, GroupKey, KeyState, PermitId, Revision, StateId, TransactionOutcome, Value};
use crate::store::{Health, Store, Subscription, Tenure, Update};
use crate::watch::{Content, OnDelete};

/// Longest sleep. A timer stands still while the machine is suspended, `CLOCK_BOOTTIME` does not.
const LOOK: Duration = Duration::from_secs(20);
/// Longest time that a shutdown waits for the last write to the store.
const FINISH_WITHIN: Duration = Duration::from_secs(3);

/// The task.
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(super) struct Membership {
    pub(super) place: MembershipSpec,
    inbox: mpsc::UnboundedReceiver<ToMember>,
    pub(super) shown: Arc<Mutex<ShownMembership>>,
    listener: Option<Listener>,
    pub(super) member: MemberMachine,
    pub(super) conductor: Option<Conductor>,
    pub(super) tenure: Option<Tenure>,
    pub(super) requests: FuturesUnordered<StoreRequest>,
    /// The tenure was lost or the store reconnected since our record was last read.
    disturbed: bool,
    /// The revision of our record in the ledger.
    remembered: Option<Revision>,
    /// The own record has been read; and whether the ledger remembered it then.
    verified: Option<bool>,
    /// The connection of the store, and its number of reconnects when our keys were last read because of one.
    health: (watch::Receiver<Health>, u64),
    permit: One,
    /// The revision at which each permit was first seen.
    pub(super) fences: HashMap<PermitId, i64>,
    pub(super) seat: Option<One>,
    pub(super) mirror: Option<Mirror>,
    pub(super) target: Subscription,
    /// The newest state of the watched key.
    newest: Option<StateId>,
    /// The store has shown the watched key.
    seen: bool,
    verify_at: Instant,
    pub(super) asked: bool,
    /// Since when it asks for a permit.
    pub(super) asked_at: Option<BootTime>,
    finish: Option<(oneshot::Sender<()>, Instant)>,
    /// Our tenure is being revoked; the task ends after that.
    pub(super) leaving: bool,
    /// The watch was removed.
    leaves: bool,
    gone: bool,
}

enum Happened {
    Told(Option<ToMember>),
    Answered(StoreAnswer),
    Permit(Followed<KeyState>),
    Seat(Followed<KeyState>),
    Mirrored(Followed<Vec<(GroupKey, KeyState)>>),
    Target(Update),
    Lost,
    Connection,
    Time,
}

/// `CLOCK_BOOTTIME`, which includes the time that the machine was suspended.
pub(in crate::daemon) fn boot_time() -> BootTime {
    BootTime(clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default())
}

pub(super) fn moment() -> Moment {
    Moment { boot: boot_time(), wall: jiff::Timestamp::now(), chance: fastrand::u64(..) }
}

/// Waits for a future; for ever if there is none.
async fn optional<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

impl Membership {
    /// Runs until the host has left the group, the daemon has stopped, or the last handle is dropped.
    pub(super) async fn run(
        mut place: MembershipSpec,
        mut inbox: mpsc::UnboundedReceiver<ToMember>,
        shown: Arc<Mutex<ShownMembership>>,
    ) {
        if let Some(after) = place.after.take() {
            drop(after.await);
        }
        let mut listener = None;
        let Recorded { applied, gave_up, adopted } = loop {
            match inbox.recv().await {
                Some(ToMember::Begin(recorded)) => break recorded,
                Some(ToMember::Listen(to)) => listener = Some(to),
                Some(ToMember::Finish { .. }) | None => return,
                Some(ToMember::Settings(settings)) => {
                    place.profile.ttl = settings.ttl;
                    place.settings = settings;
                }
                Some(ToMember::Input(_) | ToMember::Store(_)) => {}
            }
        };
        let (mut member, effects) =
            MemberMachine::new(place.profile.clone(), applied, jiff::Timestamp::now());
        let remembered = place.remembered();
        if let Some(at) = remembered {
            member.remember(at);
        }
        if let Some(state) = gave_up {
            member.give_up(state);
        }
        if let Some(run) = adopted {
            member.adopt(run.permit, run.state, run.attempt);
        }
        let conductor = place.settings.conduct.then(|| place.conductor());
        let (store, subscribe) = &place.watched;
        let mut task = Self {
            inbox,
            shown,
            listener,
            member,
            tenure: None,
            requests: FuturesUnordered::new(),
            // The store may have been restored before this start.
            disturbed: true,
            remembered,
            verified: None,
            health: place.health(),
            permit: place.follow_permit(),
            fences: HashMap::new(),
            seat: conductor.is_some().then(|| place.follow_seat()),
            conductor,
            mirror: None,
            target: store.subscribe(subscribe.clone()),
            newest: None,
            seen: false,
            verify_at: Instant::now() + place.verify_interval,
            asked: false,
            asked_at: None,
            finish: None,
            leaving: false,
            leaves: false,
            gone: false,
            place,
        };
        task.perform(effects);
        while !task.gone {
            let happened = task.next().await;
            task.take(happened);
            task.show();
        }
        if task.leaves {
            task.place.remember(None);
        }
        if let Some((done, _)) = task.finish.take() {
            let _ = done.send(());
        }
    }

    /// The next deadline.
    fn due(&self) -> Instant {
        let now = Instant::now();
        let boot = boot_time();
        let conductor = self.conductor.as_ref().and_then(Conductor::deadline);
        let machines = [self.member.deadline(), conductor].into_iter().flatten().min();
        let machines = machines.map(|at| now + at.since(boot).max(Duration::from_millis(1)));
        let finish = self.finish.as_ref().map(|(_, until)| *until);
        [machines, finish, Some(self.verify_at)].into_iter().flatten().fold(now + LOOK, Instant::min)
    }

    async fn next(&mut self) -> Happened {
        let due = self.due();
        let lost = self.tenure.as_ref().map(Tenure::lost);
        tokio::select! {
            // After [`ToMember::Finish`] no handle is left, and the store still has to be told.
            told = self.inbox.recv(), if self.finish.is_none() => Happened::Told(told),
            Some(answer) = self.requests.next() => Happened::Answered(answer),
            entry = self.permit.next_change() => Happened::Permit(entry),
            entry = optional(self.seat.as_mut().map(One::next)) => Happened::Seat(entry),
            changes = optional(self.mirror.as_mut().map(Mirror::next)) => Happened::Mirrored(changes),
            update = self.target.next() => Happened::Target(update),
            () = optional(lost) => Happened::Lost,
            Ok(()) = self.health.0.changed() => Happened::Connection,
            () = tokio::time::sleep_until(due.into()) => Happened::Time,
        }
    }

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Told(Some(message)) => self.told(message),
            // The last handle was dropped without a farewell: the keys stay until the tenure expires.
            Happened::Told(None) => self.gone = true,
            Happened::Answered(answer) => self.answered(answer),
            Happened::Permit(Followed { is_back: true, .. })
            | Happened::Seat(Followed { is_back: true, .. })
            | Happened::Mirrored(Followed { is_back: true, .. }) => self.restored(),
            Happened::Permit(Followed { now: entry, .. }) => {
                self.note_fence(&entry);
                self.member(member::Input::Permit(entry));
            }
            Happened::Seat(Followed { now: entry, .. }) => {
                self.conductor(conduct::Input::Changed(GroupKey::Conductor, entry));
            }
            Happened::Mirrored(Followed { now: changes, .. }) => {
                for (key, entry) in changes {
                    self.conductor(conduct::Input::Changed(key, entry));
                }
            }
            Happened::Target(update) => self.shown_target(update),
            Happened::Lost => {
                self.disturbed = true;
                self.tenure = None;
                self.conductor(conduct::Input::Tenure(None));
                self.member(member::Input::TenureLost);
            }
            Happened::Connection => {
                let connections = self.health.0.borrow_and_update().reconnects;
                if connections > std::mem::replace(&mut self.health.1, connections) {
                    // Another server may answer, or the same one after a restore.
                    self.disturbed = true;
                    self.conductor(conduct::Input::Reconnected);
                    self.verify();
                }
            }
            Happened::Time => self.time(),
        }
    }

    /// A read has shown that the store was restored from a backup.
    fn restored(&mut self) {
        self.disturbed = false;
        let first = self.verified.replace(true).is_none();
        let or = if first { ", or this host was forgotten" } else { "" };
        tracing::warn!(
            store = %self.place.store.spec().name,
            "the store was restored from a backup{or}: reading group {} again; as its conductor this host starts \
             nothing until every former run is certain to have ended",
            self.place.group
        );
        self.conductor(conduct::Input::Restored);
        self.show_permit();
        self.member(member::Input::Restored);
    }

    /// Lets the ledger follow our record, but not while an action is about to start: a start waits for the ledger.
    pub(super) fn follow_record(&mut self) {
        let held = self.member.held().filter(|_| self.member.record().state != HostState::Running);
        if held.is_some() && held != self.remembered {
            self.remembered = held;
            self.place.remember(held);
        }
    }

    /// Shows our permit once more, whatever its revision.
    fn show_permit(&mut self) {
        self.permit = self.place.follow_permit();
    }

    /// Reads our keys, to find what the watches missed.
    fn verify(&mut self) {
        let (store, keys, host) = self.own_keys();
        self.requests.push(requests::verify_own(store, keys, host, self.member.known()));
    }

    /// A store has a new configuration.
    fn renew(&mut self, store: &Store) {
        let name = &store.spec().name;
        if self.place.watched.0.spec().name == *name {
            let subscribe = self.place.watched.1.clone();
            self.target = store.subscribe(subscribe.clone());
            self.place.watched = (store.clone(), subscribe);
        }
        if self.place.store.spec().name == *name {
            self.place.store = store.clone();
            self.health = self.place.health();
            self.show_permit();
            self.seat = self.conductor.is_some().then(|| self.place.follow_seat());
            if self.mirror.is_some() {
                self.mirror = Some(Mirror::new(&self.place.store, &self.place.keys));
            }
            self.take(Happened::Lost);
        }
    }

    fn take_settings(&mut self, settings: MembershipSettings) {
        let former = std::mem::replace(&mut self.place.settings, settings);
        if settings.ttl != former.ttl {
            self.place.profile.ttl = settings.ttl;
            self.conductor(conduct::Input::Ttl(settings.ttl));
            self.member(member::Input::Ttl(settings.ttl));
            if let Some(own) = self.tenure.take() {
                self.requests.push(Box::pin(async move {
                    drop(own.revoke().await);
                    StoreAnswer::Nothing
                }));
                self.take(Happened::Lost);
            }
        }
        match (settings.conduct, self.conductor.is_some()) {
            (true, false) => {
                self.conductor = Some(self.place.conductor());
                self.seat = Some(self.place.follow_seat());
                let tenure = self.tenure.as_ref().map(|tenure| wire::from_store(tenure.id()));
                self.conductor(conduct::Input::Tenure(tenure));
                if self.verified.is_some() {
                    self.conductor(conduct::Input::Verified { remembered: true });
                }
                if self.seen {
                    self.conductor(conduct::Input::Target(self.newest));
                }
                self.conductor(conduct::Input::Waiting(self.asked));
            }
            (false, true) => {
                // Resigns, so that another member can take over at once.
                self.conductor(conduct::Input::Blind);
                (self.conductor, self.seat, self.mirror) = (None, None, None);
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Records the revision at which a permit was first seen.
    fn note_fence(&mut self, entry: &KeyState) {
        if let Some(Value::Permit(permit)) = &entry.value {
            let back = self.member.record().back;
            self.fences.retain(|id, _| *id == permit.id || Some(*id) > back);
            self.fences.entry(permit.id).or_insert(entry.at.0);
        }
    }

    fn told(&mut self, message: ToMember) {
        match message {
            ToMember::Begin(_) => {}
            ToMember::Input(input) => self.member(input),
            ToMember::Listen(listener) => self.listener = Some(listener),
            ToMember::Store(store) => self.renew(&store),
            ToMember::Settings(settings) => self.take_settings(settings),
            ToMember::Finish { leaves, done } => {
                self.finish = Some((done, Instant::now() + FINISH_WITHIN));
                self.leaves = leaves;
                if self.conductor.as_ref().is_some_and(Conductor::conducts) {
                    // Resigns, so that another member can take over at once.
                    self.conductor(conduct::Input::Blind);
                }
                self.member(if leaves { member::Input::Leave } else { member::Input::Stop });
            }
        }
    }

    fn time(&mut self) {
        let (now, boot) = (Instant::now(), boot_time());
        if self.finish.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.gone = true;
            return;
        }
        if self.verify_at <= now {
            self.verify_at = now + self.place.verify_interval;
            self.verify();
            let freshness = self.target.freshness();
            if self.seen && freshness.error.is_some() {
                self.seen = false;
                self.conductor(conduct::Input::Blind);
            } else if !self.seen && freshness.error.is_none() && freshness.verified.is_some() {
                self.seen = true;
                self.conductor(conduct::Input::Target(self.newest));
            }
        }
        if self.member.deadline().is_some_and(|at| at <= boot) {
            self.member(member::Input::Wakeup);
        }
        if self.conductor.as_ref().and_then(Conductor::deadline).is_some_and(|at| at <= boot) {
            self.conductor(conduct::Input::Wakeup);
        }
    }

    /// The watched key changed. With `on_delete = "ignore"` a deletion leaves the last state in effect.
    fn shown_target(&mut self, update: Update) {
        let state = update.state;
        let ignored = state.content == Content::Absent && self.place.on_delete == OnDelete::Ignore;
        if !ignored {
            self.newest = Some(StateId::new(state.version, &state.content));
        }
        self.seen = true;
        self.conductor(conduct::Input::Target(self.newest));
    }

    fn answered(&mut self, answer: StoreAnswer) {
        match answer {
            StoreAnswer::Tenure(tenure) => {
                let id = wire::from_store(tenure.id());
                self.place.ledger.tenure(&self.place.watch, &tenure.id().to_string());
                self.tenure = Some(tenure);
                self.conductor(conduct::Input::Tenure(Some(id)));
                self.member(member::Input::Tenure(id));
            }
            StoreAnswer::Revoked if self.leaving => self.gone = true,
            StoreAnswer::Revoked => self.member(member::Input::Revoked),
            StoreAnswer::Nothing => {}
            StoreAnswer::Own(read) if read.is_restored(self.disturbed) => self.restored(),
            StoreAnswer::Own(read) => {
                let OwnRead { own, known: _ } = *read;
                self.disturbed &= own.record.value.is_none();
                self.note_fence(&own.permit);
                self.member(member::Input::Own(own));
                if self.verified.is_none() {
                    let remembered = self.remembered.is_some();
                    self.verified = Some(remembered);
                    self.conductor(conduct::Input::Verified { remembered });
                }
            }
            StoreAnswer::Away(again) => {
                self.say(ToWatch::Offline);
                self.requests.push(again);
            }
            StoreAnswer::Member(ticket, outcome) => {
                if outcome == TransactionOutcome::Unanswered {
                    self.say(ToWatch::Offline);
                }
                self.member(member::Input::Committed(ticket, outcome));
            }
            StoreAnswer::Conductor(ticket, outcome) => {
                self.conductor(conduct::Input::Committed(ticket, outcome));
            }
            StoreAnswer::All(Some(all)) if all.is_restored(self.disturbed) => self.restored(),
            StoreAnswer::All(Some(All { entries, at, proved: true, fence: _ })) => {
                while let Some(update) = self.target.try_next() {
                    self.shown_target(update);
                }
                let target = self.newest;
                self.conductor(conduct::Input::All { entries, at, target });
            }
            StoreAnswer::All(_) => self.conductor(conduct::Input::NotRead),
            StoreAnswer::Summary(summary) => self.conductor(conduct::Input::Summary(summary)),
        }
    }

    pub(super) fn say(&self, word: ToWatch) {
        if let Some(listener) = &self.listener {
            listener(word);
        }
    }

    fn show(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.state = state_word(self.member.record().state);
        shown.figures.registered = self.member.is_registered();
        let conductor = self.conductor.as_ref().filter(|conductor| conductor.conducts());
        shown.figures.conducted = conductor.map(|conductor| conductor.figures(jiff::Timestamp::now()));
    }
}

/// The word for a record's state in `status`.
fn state_word(state: HostState) -> &'static str {
    match state {
        HostState::Converged => "converged",
        HostState::Asking => "asking",
        HostState::Running | HostState::Over => "running",
        HostState::Retrying => "retrying",
        HostState::Hold => "hold",
        HostState::Behind | HostState::Down => "behind",
        HostState::Failed => "failed",
        HostState::Conflict => "conflict",
    }
}
