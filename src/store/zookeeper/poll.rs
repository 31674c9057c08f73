//! Polls nodes with `exists` for changes whose event was not delivered: what to compare, and when to ask.
//!
//! A server since 3.8.4 and 3.9.2 (and distributions that backported CVE-2024-23944) does not deliver an event to a session
//! without READ on the node, but consumes its one-shot watch. `exists` shows what was missed: it needs no permission, or,
//! in the newest versions (ZOOKEEPER-2590), is denied, which shows as much.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zookeeper_client::{Client, Stat};

use super::connect::{Meaning, meaning};
use super::look::{Seen, Want};

/// Every node is polled once in this time, unless there are too many. A missed change is to be noticed within ten seconds,
/// including the read that follows.
const ROUND: Duration = Duration::from_secs(8);
/// Nodes polled together, so that a few nodes cause few wake-ups.
const BATCH: usize = 100;
/// Nodes polled per second by the whole process.
const PER_SECOND: u32 = 100;

/// The answer to a poll.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// There is no node.
    Absent,
    /// A node.
    Node(Stat),
    /// A node that may not even be asked for.
    Denied,
}

/// Polls a node; `None` without an answer: a lost connection ends the session or re-registers its watches, and a later
/// round polls the node again.
pub(super) async fn poll(client: &Client, path: &str) -> Option<Answer> {
    match client.check_stat(path).await {
        Ok(None) => Some(Answer::Absent),
        Ok(Some(stat)) => Some(Answer::Node(stat)),
        Err(error) => match meaning(&error) {
            Meaning::Denied => Some(Answer::Denied),
            Meaning::Broken | Meaning::Over | Meaning::Refused => None,
        },
    }
}

/// What is known of a node's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fingerprint {
    /// There is no node.
    Absent,
    /// A node that may not even be asked for.
    Denied,
    /// A node.
    Node {
        /// The zxid of what is watched: `mzxid` of the value, `pzxid` of the children.
        zxid: i64,
        /// The version of the ACL: what could be read may no longer be readable, and the other way round.
        acl: i32,
    },
}

impl Fingerprint {
    /// Of a node of which this is read.
    pub(super) fn of(want: Want, answer: Answer) -> Self {
        match (want, answer) {
            (_, Answer::Absent) => Self::Absent,
            (_, Answer::Denied) => Self::Denied,
            (Want::Value | Want::Stat, Answer::Node(stat)) => {
                Self::Node { zxid: stat.mzxid, acl: stat.aversion }
            }
            (Want::Children, Answer::Node(stat)) => Self::Node { zxid: stat.pzxid, acl: stat.aversion },
        }
    }

    /// Of what was read.
    pub(super) fn seen(want: Want, seen: &Seen) -> Self {
        match seen {
            Seen::Absent => Self::Absent,
            Seen::Value(stat, _) | Seen::Stat(stat) | Seen::Children(stat, _) => {
                Self::of(want, Answer::Node(*stat))
            }
        }
    }
}

/// How many of these nodes to poll together.
pub(super) fn batch(nodes: usize) -> usize {
    nodes.div_ceil(batches(nodes))
}

/// The time between two batches of these nodes.
pub(super) fn interval(nodes: usize) -> Duration {
    ROUND / u32::try_from(batches(nodes)).unwrap_or(u32::MAX)
}

fn batches(nodes: usize) -> usize {
    nodes.div_ceil(BATCH).max(1)
}

/// Limits the polls of all stores of the process together.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// When this many nodes may be polled. The time that they take up is reserved.
    pub(super) fn reserve(&self, nodes: usize, now: Instant) -> Instant {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = free.map_or(now, |free| free.max(now));
        *free = Some(start + Duration::from_secs(1) * u32::try_from(nodes).unwrap_or(u32::MAX) / PER_SECOND);
        start
    }
}

/// The pace of this process.
pub(super) static PACE: Pace = Pace::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_800_nodes_are_polled_within_a_round_and_few_nodes_at_once() {
        for (nodes, together) in [(0, 0), (1, 1), (100, 100), (101, 51), (800, 100), (1000, 100), (1001, 91)]
        {
            assert_eq!(batch(nodes), together, "{nodes}");
            let batches = nodes.div_ceil(batch(nodes).max(1)).max(1);
            let round = interval(nodes) * u32::try_from(batches).unwrap();
            assert!(ROUND.checked_sub(round).unwrap() < Duration::from_millis(1), "{nodes}: {round:?}");
        }
    }

    #[test]
    fn a_thousand_nodes_take_ten_seconds_and_more_of_them_longer() {
        for (nodes, seconds) in [(800, 8), (1000, 10), (3000, 30), (100_000, 1000)] {
            let (pace, start) = (Pace::new(), Instant::now());
            let mut now = start;
            let mut polled = 0;
            while polled < nodes {
                now = pace.reserve(batch(nodes), now) + interval(nodes);
                polled += batch(nodes);
            }
            let round = pace.reserve(0, now).duration_since(start).as_secs_f64();
            assert!((round - f64::from(seconds)).abs() < 0.1, "{nodes} nodes took {round} s");
        }
    }

    #[test]
    fn all_stores_of_a_process_share_the_pace() {
        let (pace, now) = (Pace::new(), Instant::now());
        assert_eq!(pace.reserve(100, now), now);
        assert_eq!(pace.reserve(50, now), now + Duration::from_secs(1));
        assert_eq!(pace.reserve(1, now), now + Duration::from_millis(1500));
        let later = now + Duration::from_secs(9);
        assert_eq!(pace.reserve(1, later), later, "what was not used is not saved up");
    }
}
