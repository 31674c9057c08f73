//! One target in the driver: its last state, and what counts as a new one. Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::slot::{Shown, Slot};
use crate::store::StoreError;
use crate::store::session::{Arm, Proof, Reading, TargetId};
use crate::watch::{Detail, Key, Seq, State, Version, WatchType, is_same};

/// First and longest wait before a refused target is tried again.
const REFUSED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));
/// A costly target waits at least this many times as long as its last attempt took …
const COSTLY_WAITS: u32 = 50;
/// … but not longer than this because of its cost.
const LONGEST_COSTLY_WAIT: Duration = Duration::from_mins(10);

/// What makes two subscriptions the same target, and one watch in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub(super) key: Key,
    pub(super) watch_type: WatchType,
    pub(super) detail: Detail,
    pub(super) every: bool,
}

/// The driver's number for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SubscriberId(pub(super) u64);

#[derive(Debug, Clone)]
pub(super) struct Subscriber {
    pub(super) id: SubscriberId,
    pub(super) slot: Arc<Slot>,
    pub(super) verify_interval: Duration,
}

#[derive(Debug)]
pub(super) struct WatchedTarget {
    pub(super) id: TargetId,
    pub(super) wanted: Wanted,
    pub(super) subscribers: Vec<Subscriber>,
    /// The last state given to subscribers.
    emitted: Option<State>,
    /// The version of the last reading, which events are compared with. It differs from the emitted one if a reading had
    /// a new version of an unchanged state.
    seen: Option<Version>,
    pub(super) verified: Option<Instant>,
    /// When it is due for verification.
    pub(super) due: Option<Instant>,
    pub(super) refused: Option<Box<Refusal>>,
}

/// Why and since when a target is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: String,
    backoff: Backoff,
    /// When it is retried; `None` while a retry is in flight.
    pub(super) retry: Option<Instant>,
}

impl WatchedTarget {
    pub(super) fn new(id: TargetId, wanted: Wanted) -> Self {
        Self {
            id,
            wanted,
            // Most have one, and there are thousands of them.
            subscribers: Vec::with_capacity(1),
            emitted: None,
            seen: None,
            verified: None,
            due: None,
            refused: None,
        }
    }

    /// The request that arms it in a session.
    pub(super) fn arm(&self) -> Arm {
        let resume = self.emitted.as_ref().filter(|_| self.wanted.every);
        Arm {
            id: self.id,
            key: self.wanted.key.clone(),
            watch_type: self.wanted.watch_type,
            detail: self.wanted.detail,
            resume: resume
                .map(|state| Box::new(Reading { version: state.version, content: state.content.clone() })),
        }
    }

    /// The shortest interval among its subscribers.
    pub(super) fn verify_interval(&self) -> Option<Duration> {
        self.subscribers.iter().map(|subscriber| subscriber.verify_interval).min()
    }

    /// Adds a subscriber, which gets the current state at once.
    pub(super) fn join(&mut self, subscriber: Subscriber) {
        let state = self.emitted.clone();
        let slot = Arc::clone(&subscriber.slot);
        self.subscribers.push(subscriber);
        if let Some(state) = state {
            slot.put(state);
        }
        self.show();
    }

    /// Records a reading and gives it to the subscribers if it is new. Returns whether it was.
    pub(super) fn observe(&mut self, reading: Reading, proof: Proof, now: Instant, seq: Seq) -> bool {
        if proof == Proof::Event && self.seen.is_some_and(|seen| reading.version.is_before(seen)) {
            return false;
        }
        self.seen = Some(reading.version);
        self.verified = Some(now);
        self.refused = None;
        self.show();
        if self
            .emitted
            .as_ref()
            .is_some_and(|emitted| is_same(emitted.as_seen(), (reading.version, &reading.content)))
        {
            return false;
        }
        let state = State { seq, version: reading.version, content: reading.content };
        for subscriber in &self.subscribers {
            subscriber.slot.put(state.clone());
        }
        self.emitted = Some(state);
        true
    }

    /// Records a refusal; `took`: from the request to the answer. Returns whether its message is new.
    pub(super) fn refuse(
        &mut self,
        error: &StoreError,
        took: Duration,
        now: Instant,
        rng: &mut fastrand::Rng,
    ) -> bool {
        let for_cost = if self.is_costly(error) {
            took.saturating_mul(COSTLY_WAITS).min(LONGEST_COSTLY_WAIT)
        } else {
            Duration::ZERO
        };
        let error = error.to_string();
        let news = self.refused.as_ref().is_none_or(|refusal| refusal.error != error);
        let (first, longest) = REFUSED;
        let mut backoff =
            self.refused.take().map_or_else(|| Backoff::new(first, longest), |refusal| refusal.backoff);
        let retry = now + (first + backoff.next(rng)).max(for_cost);
        self.refused = Some(Box::new(Refusal { error, backoff, retry: Some(retry) }));
        self.show();
        news
    }

    /// Whether the store may have read a tree up to its limit before it refused it. Any other refusal is cheap: how long it
    /// took only depends on how many requests were queued before it.
    fn is_costly(&self, error: &StoreError) -> bool {
        let is_tree = match self.wanted.watch_type {
            WatchType::Tree => true,
            WatchType::Data | WatchType::Children => false,
        };
        is_tree && matches!(error, StoreError::Refused { .. })
    }

    fn show(&self) {
        for subscriber in &self.subscribers {
            let refused = self.refused.as_ref().map(|refusal| refusal.error.as_str().into());
            subscriber.slot.show(Shown { verified: self.verified, refused });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Content, ContentHash};

    fn value(version: i64, text: &str) -> Reading {
        let content = Content::Value(text.to_owned().into());
        Reading { version: Version::Revision(version), content }
    }

    fn absent(version: i64) -> Reading {
        Reading { version: Version::Revision(version), content: Content::Absent }
    }

    fn unread(version: i64) -> Reading {
        Reading { version: Version::Revision(version), content: Content::Unread }
    }

    fn children(version: i64, names: &[&str]) -> Reading {
        let names = names.iter().map(|&name| name.into()).collect();
        Reading { version: Version::Revision(version), content: Content::Children(names) }
    }

    fn tree(version: i64, pairs: &[(&str, &str)]) -> Reading {
        let pairs = pairs.iter().map(|&(key, text)| (key, Some(text)));
        Reading { version: Version::Revision(version), content: Content::Tree(pairs.collect()) }
    }

    fn hashed(hash: u128, text: &str) -> Reading {
        Reading { version: Version::Hash(ContentHash::new(hash)), ..value(0, text) }
    }

    #[test]
    fn a_reading_is_emitted_if_it_is_new_and_not_stale() {
        use Proof::{Event, Read};
        let table = [
            (value(5, "a"), value(5, "a"), Read, false, "the same"),
            (value(5, "a"), value(6, "a"), Read, true, "the same value written again"),
            (value(5, "a"), value(6, "a"), Event, true, "the same value written again"),
            (value(5, "a"), value(4, "b"), Event, false, "an old event"),
            (value(5, "a"), value(4, "b"), Read, true, "a store restored to another value"),
            (value(5, "a"), value(5, "b"), Read, true, "a restored store that reached the same revision"),
            (value(5, "a"), value(4, "a"), Read, false, "a store restored to the same value"),
            (value(5, "a"), absent(7), Event, true, "deleted"),
            (value(5, "a"), absent(3), Read, true, "restored to a time before it existed"),
            (absent(5), absent(9), Read, false, "still absent"),
            (absent(5), value(6, "a"), Event, true, "created"),
            (unread(5), unread(5), Read, false, "the same version"),
            (unread(5), unread(4), Read, true, "another version"),
            (unread(5), unread(4), Event, false, "an older event"),
            (children(5, &["a"]), children(9, &["a"]), Read, false, "something below a child"),
            (children(5, &["a"]), children(9, &["a", "b"]), Event, true, "a new child"),
            (children(5, &["a"]), children(9, &[]), Event, true, "the child is gone, the node stays"),
            (tree(5, &[("", "x")]), tree(4, &[("", "x")]), Read, false, "the deletion at 5 left no mark"),
            (tree(5, &[("", "x")]), tree(6, &[("", "x")]), Read, true, "the same value written again"),
            (tree(5, &[("", "x")]), tree(4, &[("", "y")]), Read, true, "restored"),
            (hashed(9, "a"), hashed(3, "b"), Event, true, "hashes have no order"),
            (hashed(9, "a"), hashed(9, "a"), Event, false, "the same hash"),
        ];
        for (first, second, proof, emitted, why) in table {
            let mut target = WatchedTarget::new(
                TargetId(1),
                Wanted {
                    key: Key::new("/k").unwrap(),
                    watch_type: WatchType::Data,
                    detail: Detail::Values,
                    every: false,
                },
            );
            let now = Instant::now();
            assert!(target.observe(first, Read, now, Seq(1)), "a first state is new");
            assert_eq!(target.observe(second, proof, now, Seq(2)), emitted, "{why}");
        }
    }

    #[test]
    fn after_a_restore_to_the_same_value_lower_versions_count_as_new() {
        let wanted = Wanted {
            key: Key::new("/k").unwrap(),
            watch_type: WatchType::Data,
            detail: Detail::Values,
            every: false,
        };
        let mut target = WatchedTarget::new(TargetId(1), wanted);
        let now = Instant::now();
        assert!(target.observe(value(9000, "a"), Proof::Read, now, Seq(1)));
        assert!(!target.observe(value(2, "a"), Proof::Read, now, Seq(2)));
        assert!(target.observe(value(3, "b"), Proof::Event, now, Seq(3)));
    }
}
