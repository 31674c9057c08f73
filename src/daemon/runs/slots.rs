//! `max_processes` and `mutex`: decides which waiting watch may start its action next.
//!
//! [`Queue`] decides, and is pure; [`Slots`] shares it among the watches' tasks and wakes them. Of `max` slots one watch
//! gets at most half and all watches of one account at most three quarters, each at least one. Among the requests that may
//! be granted, the watch with the fewest live runs is first, then the earliest request.
//!
//! A slot and the mutex of its watch are granted together, so that neither is held while waiting for the other. A watch
//! that waits for a mutex does not block others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::ledger::LiveRecord;
use crate::watch::{MutexName, RunId, WatchName};

/// A wait for a slot this long is worth a warning.
const LONG_WAIT: Duration = Duration::from_mins(1);

/// A request for a slot. Later requests have higher numbers.
type Ticket = u64;

/// The requester: the account that the action runs as, the watch, and its mutex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Owner {
    uid: u32,
    watch: WatchName,
    mutex: Option<MutexName>,
}

/// A holder of a mutex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Holder {
    /// A slot that was granted.
    Slot(Ticket),
    /// A run that has a process, of this daemon or of a former one.
    Run(RunId),
}

/// The holders of each held mutex. There may be several: the slot of a started run beside the run itself, and runs that were
/// started under a definition with another mutex.
type Mutexes = BTreeMap<MutexName, BTreeMap<Holder, WatchName>>;

/// One watch's slots and requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct WatchSlots {
    held: usize,
    waiting: BTreeSet<Ticket>,
}

/// One account's slots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct AccountSlots {
    held: usize,
    watches: BTreeMap<Owner, WatchSlots>,
    /// The first ticket of every waiting watch with the number of slots that the watch holds, in the order of service. By mutex,
    /// so that a thousand watches waiting for one mutex are skipped at once.
    next: BTreeMap<Option<MutexName>, BTreeSet<(usize, Ticket)>>,
}

/// The holders of slots, and the requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Queue {
    max: usize,
    held: usize,
    last: Ticket,
    accounts: BTreeMap<u32, AccountSlots>,
    /// The owner of every waiting ticket.
    waiting: BTreeMap<Ticket, Owner>,
    mutexes: Mutexes,
}

impl Queue {
    fn new(max: usize) -> Self {
        Self {
            max,
            held: 0,
            last: 0,
            accounts: BTreeMap::new(),
            waiting: BTreeMap::new(),
            mutexes: Mutexes::new(),
        }
    }

    fn most_of_a_watch(&self) -> usize {
        (self.max / 2).max(1)
    }

    fn most_of_an_account(&self) -> usize {
        (self.max - self.max.div_ceil(4)).max(1)
    }

    /// Changes `max`. Holders keep their slots, so there may temporarily be more of them than `max`.
    fn resize(&mut self, max: usize) {
        self.max = max.max(1);
    }

    fn ask(&mut self, owner: Owner) -> Ticket {
        self.last += 1;
        let ticket = self.last;
        self.change(&owner, |share| {
            share.waiting.insert(ticket);
        });
        self.waiting.insert(ticket, owner);
        ticket
    }

    /// Withdraws a request that was not granted.
    fn withdraw(&mut self, ticket: Ticket) {
        if let Some(owner) = self.waiting.remove(&ticket) {
            self.change(&owner, |share| {
                share.waiting.remove(&ticket);
            });
        }
    }

    /// Takes back a slot. The mutex stays with the run that was started in it, if there is one.
    fn give_back(&mut self, owner: &Owner, ticket: Ticket) {
        self.held -= 1;
        self.change(owner, |share| share.held -= 1);
        if let Some(mutex) = &owner.mutex {
            self.release(mutex, &Holder::Slot(ticket));
        }
    }

    /// Registers a holder that has the mutex in any case: a process that already lives.
    fn hold(&mut self, mutex: MutexName, holder: Holder, watch: WatchName) {
        self.mutexes.entry(mutex).or_default().insert(holder, watch);
    }

    fn release(&mut self, mutex: &MutexName, holder: &Holder) {
        if let Some(holders) = self.mutexes.get_mut(mutex) {
            holders.remove(holder);
            if holders.is_empty() {
                self.mutexes.remove(mutex);
            }
        }
    }

    /// Grants a slot, with the mutex, to the next request, if a free slot is available to it.
    fn grant(&mut self) -> Option<(Ticket, Owner)> {
        if self.held >= self.max {
            return None;
        }
        let (of_a_watch, of_an_account) = (self.most_of_a_watch(), self.most_of_an_account());
        let (_, ticket) = self
            .accounts
            .values()
            .filter(|account| account.held < of_an_account)
            .flat_map(|account| &account.next)
            .filter(|(mutex, _)| mutex.as_ref().is_none_or(|mutex| !self.mutexes.contains_key(mutex)))
            .filter_map(|(_, next)| next.first())
            .filter(|(held, _)| *held < of_a_watch)
            .min()
            .copied()?;
        let owner = self.waiting.remove(&ticket)?;
        self.held += 1;
        self.change(&owner, |share| {
            share.waiting.remove(&ticket);
            share.held += 1;
        });
        if let Some(mutex) = &owner.mutex {
            self.hold(mutex.clone(), Holder::Slot(ticket), owner.watch.clone());
        }
        Some((ticket, owner))
    }

    /// Changes a watch's share, and updates the account's sums and the order.
    fn change(&mut self, owner: &Owner, change: impl FnOnce(&mut WatchSlots)) {
        let account = self.accounts.entry(owner.uid).or_default();
        let share = account.watches.entry(owner.clone()).or_default();
        if let Some(first) = share.waiting.first()
            && let Some(next) = account.next.get_mut(&owner.mutex)
        {
            next.remove(&(share.held, *first));
            if next.is_empty() {
                account.next.remove(&owner.mutex);
            }
        }
        account.held -= share.held;
        change(share);
        account.held += share.held;
        if let Some(first) = share.waiting.first() {
            account.next.entry(owner.mutex.clone()).or_default().insert((share.held, *first));
        } else if share.held == 0 {
            account.watches.remove(owner);
            if account.watches.is_empty() {
                self.accounts.remove(&owner.uid);
            }
        }
    }
}

/// The queue, shared by all watches.
#[derive(Debug)]
pub(in crate::daemon) struct Slots(Mutex<Inside>);

#[derive(Debug)]
struct Inside {
    queue: Queue,
    /// Granted, and not yet noticed by the requesting task.
    granted: BTreeSet<Ticket>,
    wakers: BTreeMap<Ticket, Waker>,
}

impl Slots {
    pub(in crate::daemon) fn new(max: usize) -> Arc<Self> {
        let queue = Queue::new(max.max(1));
        Arc::new(Self(Mutex::new(Inside { queue, granted: BTreeSet::new(), wakers: BTreeMap::new() })))
    }

    /// Unlimited slots.
    pub(in crate::daemon) fn unlimited() -> Arc<Self> {
        Self::new(usize::MAX)
    }

    /// Changes how many actions may run at once. Running ones continue; if there are fewer slots now, fewer start.
    pub(in crate::daemon) fn resize(&self, max: usize) {
        self.change(|queue| queue.resize(max));
    }

    /// Requests a slot for a run of this watch, as this user, and its mutex. Dropping the slot withdraws the request or gives
    /// both back.
    pub(in crate::daemon) fn ask(
        self: &Arc<Self>,
        watch: &WatchName,
        uid: u32,
        mutex: Option<&MutexName>,
    ) -> Slot {
        let owner = Owner { uid, watch: watch.clone(), mutex: mutex.cloned() };
        let ticket = self.change(|queue| queue.ask(owner.clone()));
        let progress = Progress::Waiting { ticket, since: Instant::now(), warned: false };
        Slot { slots: Arc::clone(self), owner, progress }
    }

    /// Lets a run hold the mutex of the definition that it was started under until [`Slots::release`], independent of its slot
    /// and of its watch's task.
    pub(super) fn hold(&self, watch: &WatchName, live: &LiveRecord) {
        if let Some(mutex) = live.mutex() {
            let (holder, watch) = (Holder::Run(live.run.clone()), watch.clone());
            self.change(|queue| queue.hold(mutex, holder, watch));
        }
    }

    /// The run is over.
    pub(super) fn release(&self, live: &LiveRecord) {
        if let Some(mutex) = live.mutex() {
            let holder = Holder::Run(live.run.clone());
            self.change(|queue| queue.release(&mutex, &holder));
        }
    }

    /// Changes the queue, and wakes the tasks of the requests that this grants.
    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut woken = Vec::new();
        let mut inside = self.lock();
        let result = change(&mut inside.queue);
        while let Some((ticket, _)) = inside.queue.grant() {
            inside.granted.insert(ticket);
            woken.extend(inside.wakers.remove(&ticket));
        }
        drop(inside);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A requested slot: first waited for, then held.
#[derive(Debug)]
pub(in crate::daemon) struct Slot {
    slots: Arc<Slots>,
    owner: Owner,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Waiting { ticket: Ticket, since: Instant, warned: bool },
    Held { ticket: Ticket },
}

impl Slot {
    /// Ready once: when the slot is granted.
    pub(in crate::daemon) fn poll_granted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Progress::Waiting { ticket, .. } = self.progress else { return Poll::Pending };
        let mut inside = self.slots.lock();
        if inside.granted.remove(&ticket) {
            drop(inside);
            self.progress = Progress::Held { ticket };
            return Poll::Ready(());
        }
        inside.wakers.insert(ticket, context.waker().clone());
        Poll::Pending
    }

    /// Whether it was granted, and the task knows.
    pub(in crate::daemon) fn is_held(&self) -> bool {
        match self.progress {
            Progress::Held { .. } => true,
            Progress::Waiting { .. } => false,
        }
    }

    /// When the wait becomes worth a warning.
    pub(in crate::daemon) fn warn_at(&self) -> Option<Instant> {
        match self.progress {
            Progress::Waiting { since, warned: false, .. } => since.checked_add(LONG_WAIT),
            Progress::Waiting { warned: true, .. } | Progress::Held { .. } => None,
        }
    }

    /// The watch whose run holds the mutex that this waits for.
    pub(in crate::daemon) fn mutex_held_by(&self) -> Option<(MutexName, WatchName)> {
        let mutex = self.owner.mutex.as_ref()?;
        match self.progress {
            Progress::Held { .. } => None,
            Progress::Waiting { ticket, .. } => {
                let inside = self.slots.lock();
                let holders = inside.queue.mutexes.get(mutex)?;
                let other = |(holder, _): &(&Holder, &WatchName)| **holder != Holder::Slot(ticket);
                holders.iter().find(other).map(|(_, watch)| (mutex.clone(), watch.clone()))
            }
        }
    }

    /// Whether a warning is due now: once for each wait.
    pub(in crate::daemon) fn is_overdue(&mut self, now: Instant) -> bool {
        let due = self.warn_at().is_some_and(|at| at <= now);
        if let Progress::Waiting { warned, .. } = &mut self.progress {
            *warned |= due;
        }
        due
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let owner = &self.owner;
        match self.progress {
            Progress::Held { ticket } => self.slots.change(|queue| queue.give_back(owner, ticket)),
            Progress::Waiting { ticket, .. } => {
                let granted = {
                    let mut inside = self.slots.lock();
                    inside.wakers.remove(&ticket);
                    inside.granted.remove(&ticket)
                };
                self.slots.change(|queue| {
                    if granted {
                        queue.give_back(owner, ticket);
                    } else {
                        queue.withdraw(ticket);
                    }
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
