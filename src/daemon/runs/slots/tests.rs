//! Every short sequence of requests, grants and returns, and the shared queue with real tasks.

use std::collections::HashSet;

use super::*;

fn owner(uid: u32, watch: &str) -> Owner {
    Owner { uid, watch: WatchName::new(watch).unwrap(), mutex: None }
}

/// Two watches of one account, and one of another.
fn owners() -> [Owner; 3] {
    [owner(0, "a"), owner(0, "b"), owner(1, "c")]
}

fn mutex() -> MutexName {
    MutexName::new("m").unwrap()
}

/// The same, with one mutex for two watches of different accounts.
fn owners_with_a_mutex() -> [Owner; 3] {
    let [a, b, c] = owners();
    [Owner { mutex: Some(mutex()), ..a }, b, Owner { mutex: Some(mutex()), ..c }]
}

/// The queue as specified: no order is maintained, everything is counted again each time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Plain {
    max: usize,
    held: Vec<(Ticket, Owner)>,
    waiting: Vec<(Ticket, Owner)>,
    /// A process holds the mutex without a slot: an adopted run.
    adopted: bool,
}

impl Plain {
    fn of_a_watch(&self, owner: &Owner) -> usize {
        self.held.iter().filter(|(_, held)| held == owner).count()
    }

    fn may_start(&self, owner: &Owner) -> bool {
        let of_the_account = self.held.iter().filter(|(_, held)| held.uid == owner.uid).count();
        let mutex_is_held = self.adopted || self.held.iter().any(|(_, held)| held.mutex.is_some());
        self.held.len() < self.max
            && self.of_a_watch(owner) < (self.max / 2).max(1)
            && of_the_account < (self.max * 3 / 4).max(1)
            && !(owner.mutex.is_some() && mutex_is_held)
    }

    fn grant(&mut self) -> Option<(Ticket, Owner)> {
        let first = self
            .waiting
            .iter()
            .filter(|(_, owner)| self.may_start(owner))
            .min_by_key(|(ticket, owner)| (self.of_a_watch(owner), *ticket))?
            .clone();
        self.waiting.retain(|waiting| *waiting != first);
        self.held.push(first.clone());
        Some(first)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ask(Owner),
    Withdraw(Ticket),
    GiveBack(Ticket, Owner),
    Resize(usize),
    Adopt,
    AdoptedEnds,
}

fn steps(plain: &Plain, owners: &[Owner; 3]) -> Vec<Step> {
    let mut steps = Vec::new();
    if plain.waiting.len() < 4 {
        steps.extend(owners.clone().map(Step::Ask));
    }
    steps.extend(plain.waiting.iter().map(|(ticket, _)| Step::Withdraw(*ticket)));
    // It does not matter which slot of a watch.
    let held: BTreeMap<_, _> = plain.held.iter().map(|(ticket, owner)| (owner, *ticket)).collect();
    steps.extend(held.into_iter().map(|(owner, ticket)| Step::GiveBack(ticket, owner.clone())));
    if owners.iter().any(|owner| owner.mutex.is_some()) {
        steps.push(if plain.adopted { Step::AdoptedEnds } else { Step::Adopt });
    }
    steps.extend([1, 2, 4].into_iter().filter(|max| *max != plain.max).map(Step::Resize));
    steps
}

#[test]
fn every_short_sequence_grants_what_the_contract_says() {
    let adopted = Holder::Run(RunId("l-1-1".into()));
    for (max, owners) in (1..=8).flat_map(|max| [(max, owners()), (max, owners_with_a_mutex())]) {
        let start = (Queue::new(max), Plain { max, ..Plain::default() });
        let mut level = vec![start];
        for _ in 0..6 {
            let mut next = HashSet::new();
            for (queue, plain) in level {
                for step in steps(&plain, &owners) {
                    let (mut queue, mut plain) = (queue.clone(), plain.clone());
                    match &step {
                        Step::Ask(owner) => {
                            let ticket = queue.ask(owner.clone());
                            plain.waiting.push((ticket, owner.clone()));
                        }
                        Step::Withdraw(ticket) => {
                            queue.withdraw(*ticket);
                            plain.waiting.retain(|(waiting, _)| waiting != ticket);
                        }
                        Step::GiveBack(ticket, owner) => {
                            queue.give_back(owner, *ticket);
                            plain.held.retain(|(held, _)| held != ticket);
                        }
                        Step::Adopt => {
                            queue.hold(mutex(), adopted.clone(), name("a"));
                            plain.adopted = true;
                        }
                        Step::AdoptedEnds => {
                            queue.release(&mutex(), &adopted);
                            plain.adopted = false;
                        }
                        Step::Resize(max) => {
                            queue.resize(*max);
                            plain.max = *max;
                        }
                    }
                    loop {
                        let granted = queue.grant();
                        assert_eq!(granted, plain.grant(), "{step:?}: {plain:?}");
                        if granted.is_none() {
                            break;
                        }
                    }
                    plain.held.sort();
                    assert_eq!(queue.held, plain.held.len());
                    next.insert((queue, plain));
                }
            }
            level = next.into_iter().take(4000).collect();
        }
    }
}

#[test]
fn two_endless_watches_of_one_account_leave_room_for_another_account() {
    for max in 2..=300 {
        let mut queue = Queue::new(max);
        for watch in ["a", "b"] {
            for _ in 0..max {
                queue.ask(owner(0, watch));
            }
        }
        while queue.grant().is_some() {}
        let held = queue.accounts[&0].held;
        assert!(held <= (max * 3 / 4).max(1) && held >= 1, "{held} of {max}");
        for share in queue.accounts[&0].watches.values() {
            assert!(share.held <= (max / 2).max(1));
        }
        let third = queue.ask(owner(1, "c"));
        assert_eq!(queue.grant(), Some((third, owner(1, "c"))), "{max}");
    }
}

#[test]
fn a_queue_without_watches_is_empty_again() {
    let mut queue = Queue::new(3);
    let tickets = owners_with_a_mutex().map(|owner| queue.ask(owner));
    let (granted, first) = queue.grant().unwrap();
    for ticket in tickets {
        queue.withdraw(ticket);
    }
    queue.give_back(&first, granted);
    assert_eq!(queue, Queue { last: queue.last, ..Queue::new(3) });
}

#[test]
fn shares_of_any_number_of_slots_do_not_overflow() {
    for max in [1, 2, 3, 4, 5, usize::MAX - 1, usize::MAX] {
        let queue = Queue::new(max);
        assert!((1..=max).contains(&queue.most_of_a_watch()));
        assert!((1..=max).contains(&queue.most_of_an_account()));
    }
}

fn name(watch: &str) -> WatchName {
    WatchName::new(watch).unwrap()
}

async fn granted(slot: &mut Slot) {
    std::future::poll_fn(|context| slot.poll_granted(context)).await;
}

#[tokio::test]
async fn a_slot_that_is_given_back_wakes_the_next_task() {
    let slots = Slots::new(1);
    let mut first = slots.ask(&name("a"), 0, None);
    granted(&mut first).await;
    let mut second = slots.ask(&name("b"), 0, None);
    let withdrawn = slots.ask(&name("c"), 0, None);
    let waiting = tokio::spawn(async move {
        granted(&mut second).await;
        second
    });
    tokio::task::yield_now().await;
    drop(withdrawn);
    assert!(!waiting.is_finished());
    drop(first);
    drop(waiting.await.unwrap());
    assert_eq!(slots.lock().queue.held, 0);
}

#[tokio::test]
async fn a_slot_that_was_granted_and_not_noticed_is_given_back_too() {
    let slots = Slots::new(1);
    drop(slots.ask(&name("a"), 0, None));
    let mut next = slots.ask(&name("b"), 0, None);
    granted(&mut next).await;
    slots.resize(2);
    let mut other = slots.ask(&name("c"), 1, None);
    granted(&mut other).await;
}

#[test]
fn a_wait_of_a_minute_is_warned_of_once() {
    let slots = Slots::new(1);
    let _first = slots.ask(&name("a"), 0, None);
    let mut second = slots.ask(&name("b"), 0, None);
    let at = second.warn_at().unwrap();
    assert!(!second.is_overdue(Instant::now()));
    assert!(second.is_overdue(at));
    assert!(!second.is_overdue(at + LONG_WAIT));
    assert_eq!(second.warn_at(), None);
}

#[tokio::test]
async fn a_mutex_is_handed_on_in_the_order_of_the_requests_and_holds_up_nobody_else() {
    let slots = Slots::new(8);
    let ask = |watch: &str, uid| slots.ask(&name(watch), uid, Some(&mutex()));
    let mut first = ask("a", 0);
    granted(&mut first).await;
    assert_eq!(first.mutex_held_by(), None);
    let (mut second, mut third) = (ask("b", 1), ask("c", 0));
    assert_eq!(second.mutex_held_by(), Some((mutex(), name("a"))));
    let mut without = slots.ask(&name("d"), 0, None);
    granted(&mut without).await;
    drop(first);
    granted(&mut second).await;
    assert_eq!(third.mutex_held_by(), Some((mutex(), name("b"))));
    drop(second);
    granted(&mut third).await;
    drop(third);
    assert!(slots.lock().queue.mutexes.is_empty());
}

#[test]
fn who_waits_for_a_mutex_holds_no_slot() {
    let mut queue = Queue::new(1);
    let [a, b, c] = owners_with_a_mutex();
    queue.hold(mutex(), Holder::Run(RunId("l-1-1".into())), name("z"));
    let (first, other) = (queue.ask(a.clone()), queue.ask(b.clone()));
    assert_eq!(queue.grant(), Some((other, b.clone())), "it needs no mutex");
    let last = queue.ask(c.clone());
    queue.release(&mutex(), &Holder::Run(RunId("l-1-1".into())));
    assert_eq!(queue.grant(), None, "the mutex is free, and no slot is");
    assert!(queue.mutexes.is_empty(), "nobody holds it meanwhile");
    queue.give_back(&b, other);
    assert_eq!(queue.grant(), Some((first, a.clone())));
    queue.resize(8);
    assert_eq!(queue.grant(), None, "slots are free, and the mutex is not");
    queue.give_back(&a, first);
    assert_eq!(queue.grant(), Some((last, c)));
}
