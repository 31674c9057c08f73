//! Where a subscriber finds its newest state: filled by the driver, emptied by the subscriber, and
//! neither ever waits for the other.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;

use crate::watch::{Content, State};

/// Updates that may wait for a subscriber who wants every one.
const LONGEST_QUEUE: usize = 4096;
/// Bytes of values that may wait for it.
const HEAVIEST_QUEUE: usize = 64 << 20;

/// A newer state than the one taken before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What is there now (or, for a subscriber who wants every update, was there next).
    pub state: State,
    /// How many updates it stands for since the last one that was taken; at least 1.
    pub updates: u64,
}

/// One for each subscription, of which there are thousands: it has no part that is not needed while it waits.
#[derive(Debug)]
pub(super) struct Slot(Mutex<Inside>);

#[derive(Debug)]
struct Inside {
    every: bool,
    /// None while nothing waits, as almost always.
    waiting: Option<Box<Waiting>>,
    shown: Shown,
    reader: Option<Waker>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: usize,
    queue: VecDeque<Update>,
}

/// How far a subscriber can believe what it got, as far as its target is concerned.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) verified: Option<Instant>,
    pub(super) refused: Option<Box<str>>,
}

impl Slot {
    pub(super) fn new(every: bool) -> Self {
        Self(Mutex::new(Inside { every, waiting: None, shown: Shown::default(), reader: None }))
    }

    /// Puts a state in. What does not fit any more is counted into the newest.
    pub(super) fn put(&self, state: State) {
        let reader = {
            let mut inside = self.lock();
            inside.put(state);
            inside.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Takes a state, or wakes the task as soon as there is one.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Update> {
        let mut inside = self.lock();
        if let Some(update) = inside.take() {
            return Poll::Ready(update);
        }
        inside.reader = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn try_take(&self) -> Option<Update> {
        self.lock().take()
    }

    /// Shows how far the states can be believed. Who waits for one is woken by news of a refusal, too.
    pub(super) fn show(&self, shown: Shown) {
        let reader = {
            let mut inside = self.lock();
            let news = inside.shown.refused != shown.refused;
            inside.shown = shown;
            inside.reader.take_if(|_| news)
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(super) fn shown(&self) -> Shown {
        self.lock().shown.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn take(&mut self) -> Option<Update> {
        let waiting = self.waiting.as_mut()?;
        let update = waiting.queue.pop_front()?;
        waiting.bytes -= weight(&update.state.content);
        self.waiting.take_if(|waiting| waiting.queue.is_empty());
        Some(update)
    }

    fn put(&mut self, state: State) {
        let new_weight = weight(&state.content);
        let Waiting { bytes, queue } = &mut **self.waiting.get_or_insert_default();
        let full =
            !self.every || queue.len() >= LONGEST_QUEUE || bytes.saturating_add(new_weight) > HEAVIEST_QUEUE;
        *bytes += new_weight;
        match queue.back_mut() {
            Some(newest) if full => {
                *bytes -= weight(&newest.state.content);
                newest.state = state;
                newest.updates += 1;
            }
            Some(_) | None => {
                // Most slots never hold more than one.
                if queue.is_empty() {
                    queue.reserve_exact(1);
                }
                queue.push_back(Update { state, updates: 1 });
            }
        }
    }
}

/// Bytes that a waiting state holds on to, about. States of one tree share what did not change, so a
/// tree counts as little here; its slot is bounded by count.
fn weight(content: &Content) -> usize {
    match content {
        Content::Absent | Content::Unread | Content::Tree(_) => 0,
        Content::Value(value) => Bytes::len(value),
        Content::Children(names) => names.len() * size_of::<std::sync::Arc<str>>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Seq, Version};

    fn state(seq: u64, size: usize) -> State {
        let content = Content::Value(vec![0; size].into());
        State { seq: Seq(seq), version: Version::Revision(1), content }
    }

    #[test]
    fn a_slot_keeps_the_newest_and_counts_what_it_replaced() {
        let slot = Slot::new(false);
        assert_eq!(slot.try_take(), None);
        for seq in 1..=3 {
            slot.put(state(seq, 10));
        }
        assert_eq!(slot.try_take(), Some(Update { state: state(3, 10), updates: 3 }));
        assert_eq!(slot.try_take(), None);
        slot.put(state(4, 10));
        assert_eq!(slot.try_take(), Some(Update { state: state(4, 10), updates: 1 }));
    }

    #[test]
    fn a_queue_gives_every_update_until_it_is_full_and_loses_no_count() {
        for (size, puts) in [(0, 10_000_u64), (1 << 20, 200), (100 << 20, 5)] {
            let slot = Slot::new(true);
            for seq in 1..=puts {
                slot.put(state(seq, size));
            }
            let taken: Vec<Update> = std::iter::from_fn(|| slot.try_take()).collect();
            assert!(taken.len() <= LONGEST_QUEUE && !taken.is_empty());
            let kept: usize = taken[..taken.len() - 1].iter().map(|u| weight(&u.state.content)).sum();
            assert!(kept <= HEAVIEST_QUEUE, "{kept} bytes of updates of {size} each");
            assert_eq!(taken.iter().map(|u| u.updates).sum::<u64>(), puts);
            assert!(taken.windows(2).all(|two| two[0].state.seq < two[1].state.seq));
            assert_eq!(taken.last().map(|u| u.state.seq), Some(Seq(puts)));
            assert!(slot.lock().waiting.is_none(), "the memory of a burst is not kept");
        }
    }

    #[tokio::test]
    async fn a_dropped_wait_loses_nothing() {
        let slot = Slot::new(false);
        let take = || std::future::poll_fn(|context| slot.poll_take(context));
        tokio::select! {
            biased;
            _ = take() => panic!("nothing was put"),
            () = std::future::ready(()) => {}
        }
        slot.put(state(1, 0));
        assert_eq!(take().await.updates, 1);
    }
}
