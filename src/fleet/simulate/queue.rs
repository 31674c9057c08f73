//! Virtual time: everything that is still to happen, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::network::Request;
use crate::fleet::{BootTime, StateId, TenureId, conduct, member};

/// Something that happens at its time. `(process, start, …)`: a message, dropped where that start is over.
pub(super) enum Event {
    Store(usize, u64, Request),
    Member(usize, u64, member::Input),
    Conductor(usize, u64, conduct::Input),
    Target(usize, u64, StateId),
    RunEnds(usize, u64),
    Timer(usize),
    /// The driver's verification; one chain a start.
    Verify(usize, u64),
    /// A frozen process goes on.
    Thaw(usize),
    Adversary,
    Restart(usize),
    End(TenureId),
    Version,
    Operator,
    BackUp,
    Restore,
    /// The store is back, and a process has connected to it again.
    Reconnected(usize, u64),
    /// A process has found that the store was restored.
    FoundRestored(usize, u64),
}

struct Queued {
    at: BootTime,
    number: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Events by their time; those of one time in the order in which they were put in.
#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Queued>>,
    number: u64,
}

impl Queue {
    pub fn put(&mut self, at: BootTime, event: Event) {
        self.number += 1;
        self.heap.push(Reverse(Queued { at, number: self.number, event }));
    }

    /// Replaces every event that is still to happen.
    pub fn replace(&mut self, mut with: impl FnMut(Event) -> Option<Event>) {
        let queued = std::mem::take(&mut self.heap).into_iter();
        let replaced = queued.filter_map(|Reverse(Queued { at, number, event })| {
            Some(Reverse(Queued { at, number, event: with(event)? }))
        });
        self.heap = replaced.collect();
    }

    pub fn next(&mut self) -> Option<(BootTime, Event)> {
        self.heap.pop().map(|Reverse(queued)| (queued.at, queued.event))
    }
}

/// Which process an event waits for while it is frozen.
pub(super) fn reaches(event: &Event) -> Option<usize> {
    match event {
        Event::Member(n, ..)
        | Event::Conductor(n, ..)
        | Event::Target(n, ..)
        | Event::Timer(n)
        | Event::Reconnected(n, _)
        | Event::FoundRestored(n, _)
        | Event::Verify(n, _) => Some(*n),
        Event::Store(..)
        | Event::RunEnds(..)
        | Event::Adversary
        | Event::Restart(_)
        | Event::End(_)
        | Event::Thaw(_)
        | Event::Version
        | Event::BackUp
        | Event::Restore
        | Event::Operator => None,
    }
}
