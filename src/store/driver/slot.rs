//! The states that a subscriber has not taken yet: the driver puts them in, the subscriber takes them out, and neither
//! waits for the other.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::watch::State;

/// Bytes of states that may wait for a subscriber who wants every update. What exceeds it is merged into the
/// newest state.
const MOST_BYTES: usize = 64 << 20;

/// A newer state than the one taken before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Update {
    /// The newest state (or, for a subscriber to every update, the next one).
    pub state: State,
    /// How many updates it stands for since the last one that was taken; at least 1.
    pub updates: u64,
}

/// There are thousands of subscriptions, most of them without a waiting state, so an empty slot is as small as possible.
#[derive(Debug)]
pub(super) struct Slot(Mutex<Inside>);

#[derive(Debug)]
struct Inside {
    every: bool,
    /// `None` while nothing waits, which is almost always.
    waiting: Option<Box<Waiting>>,
    shown: Shown,
    reader: Option<Waker>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The sum of the weights.
    bytes: usize,
    /// Each update with its weight.
    queue: VecDeque<(Update, usize)>,
}

/// When the target's state was last verified, and why its changes are not seen at present.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) verified: Option<Instant>,
    pub(super) refused: Option<Box<str>>,
}

impl Slot {
    pub(super) fn new(every: bool) -> Self {
        Self(Mutex::new(Inside { every, waiting: None, shown: Shown::default(), reader: None }))
    }

    /// Puts a state in. If there is no room, it replaces the newest waiting one and counts for both.
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

    /// Publishes how fresh the states are. A new refusal, or the end of one, wakes the waiting task as well.
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
        let (update, weight) = waiting.queue.pop_front()?;
        waiting.bytes -= weight;
        self.waiting.take_if(|waiting| waiting.queue.is_empty());
        Some(update)
    }

    fn put(&mut self, state: State) {
        let Waiting { bytes, queue } = &mut **self.waiting.get_or_insert_default();
        if let Some((newest, weight)) = queue.back_mut() {
            let heavier = newest.state.content.bytes_beside(&state.content);
            if !self.every || *bytes + heavier + OVERHEAD > MOST_BYTES {
                newest.state = state;
                newest.updates += 1;
                return;
            }
            *weight += heavier;
            *bytes += heavier;
        } else {
            // Most slots never hold more than one.
            queue.reserve_exact(1);
        }
        // The driver keeps the newest state too, so it weighs nothing until a newer one arrives.
        *bytes += OVERHEAD;
        queue.push_back((Update { state, updates: 1 }, OVERHEAD));
    }
}

/// What a waiting update weighs without its content.
const OVERHEAD: usize = size_of::<(Update, usize)>();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Content, Seq, Subtree, Version};

    fn state(seq: u64, size: usize) -> State {
        let content = Content::Value(vec![0; size].into());
        State { seq: Seq(seq), version: Version::Revision(1), content }
    }

    #[test]
    fn a_slot_keeps_the_newest_state_and_counts_the_replaced_ones() {
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
    fn a_queue_delivers_every_update_until_it_is_full_and_then_merges() {
        for (size, puts, fitting) in
            [(0, 10_000_u64, 10_000), (1 << 20, 200, 64), (100 << 20, 5, 1), (0, 1_000_000, 760_000)]
        {
            let slot = Slot::new(true);
            for seq in 1..=puts {
                slot.put(state(seq, size));
                let bytes = slot.lock().waiting.as_ref().map_or(0, |waiting| waiting.bytes);
                assert!(bytes <= MOST_BYTES, "{bytes} bytes of updates of {size} each");
            }
            let taken: Vec<Update> = std::iter::from_fn(|| slot.try_take()).collect();
            assert!(taken.len().abs_diff(fitting) <= fitting / 5, "{} of {size} bytes wait", taken.len());
            assert_eq!(taken.iter().map(|u| u.updates).sum::<u64>(), puts);
            assert!(taken.windows(2).all(|two| two[0].state.seq < two[1].state.seq));
            assert_eq!(taken.last().map(|u| u.state.seq), Some(Seq(puts)));
            assert!(slot.lock().waiting.is_none(), "the memory of a burst is released");
        }
    }

    /// States of one large tree share almost all of it; states that share nothing fill the slot.
    #[test]
    fn trees_are_weighed_by_the_pages_they_do_not_share() {
        let value = vec![b'x'; 1 << 20];
        let mut tree: Subtree = (0..64).map(|n| (format!("{n:02}"), Some(value.as_slice()))).collect();
        let mut put = |slot: &Slot, seq: u64, path: &str| {
            tree.insert(path, Some(&[&value, seq.to_be_bytes().as_slice()].concat()));
            let content = Content::Tree(tree.clone());
            slot.put(State { seq: Seq(seq), version: Version::Revision(1), content });
        };
        let slot = Slot::new(true);
        for seq in 1..=50 {
            put(&slot, seq, "07");
        }
        assert_eq!(std::iter::from_fn(|| slot.try_take()).count(), 50, "each replaces one megabyte");
        for seq in 51..=250 {
            put(&slot, seq, &format!("{:02}", seq % 64));
        }
        let taken: Vec<Update> = std::iter::from_fn(|| slot.try_take()).collect();
        assert!((50..70).contains(&taken.len()), "{} wait", taken.len());
        assert_eq!(taken.iter().map(|update| update.updates).sum::<u64>(), 200);
        assert_eq!(taken.last().map(|update| update.state.seq), Some(Seq(250)));
    }

    #[tokio::test]
    async fn waiting_is_cancel_safe() {
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
