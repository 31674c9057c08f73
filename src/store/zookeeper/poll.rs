//! Polls nodes with `exists` for changes whose event was not delivered: what to compare, and when to ask.
//!
//! A server since 3.8.4 and 3.9.2 (and distributions that backported CVE-2024-23944) does not deliver an event to a session
//! without READ on the node, but consumes its one-shot watch. `exists` shows what was missed: it needs no permission, or,
//! in the newest versions (ZOOKEEPER-2590), is denied, which shows as much.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use zookeeper_client::{Client, Stat};

use super::connect::{Meaning, meaning};
use super::look::{Seen, Want};

/// Every node is polled once in this time, unless there are too many. With the read that follows, a missed change is noticed
/// within ten seconds.
const ROUND: Duration = Duration::from_secs(8);
/// Nodes polled together, so that a few nodes cause few wake-ups.
const BATCH: usize = 100;
/// Nodes polled per second by the whole process.
const PER_SECOND: u32 = 100;

/// The answer to a poll.
#[derive(Debug, Clone, Copy)]
pub(super) enum PollAnswer {
    /// There is no node.
    Absent,
    /// A node.
    Node(Stat),
    /// The server denies even `exists`.
    Denied,
}

/// Polls a node; `None` without an answer. A later round polls the node again, and a lost connection either ends the session
/// or re-registers its watches.
pub(super) async fn poll(client: &Client, path: &str) -> Option<PollAnswer> {
    match client.check_stat(path).await {
        Ok(None) => Some(PollAnswer::Absent),
        Ok(Some(stat)) => Some(PollAnswer::Node(stat)),
        Err(error) => match meaning(&error) {
            Meaning::Denied => Some(PollAnswer::Denied),
            Meaning::Broken | Meaning::Over | Meaning::Refused => None,
        },
    }
}

/// What is known of a node's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeFingerprint {
    /// There is no node.
    Absent,
    /// The server denies even `exists`.
    Denied,
    /// A node.
    Node {
        /// The zxid of what is watched: `mzxid` of the value, `pzxid` of the children.
        zxid: i64,
        /// The version of the ACL: what could be read may no longer be readable, and the other way round.
        acl: i32,
    },
}

impl NodeFingerprint {
    /// Of the answer to a poll, for a node of which `want` is read.
    pub(super) fn of(want: Want, answer: PollAnswer) -> Self {
        match (want, answer) {
            (_, PollAnswer::Absent) => Self::Absent,
            (_, PollAnswer::Denied) => Self::Denied,
            (Want::Value | Want::Stat, PollAnswer::Node(stat)) => {
                Self::Node { zxid: stat.mzxid, acl: stat.aversion }
            }
            (Want::Children, PollAnswer::Node(stat)) => Self::Node { zxid: stat.pzxid, acl: stat.aversion },
        }
    }

    /// Of what was read.
    pub(super) fn seen(want: Want, seen: &Seen) -> Self {
        match seen {
            Seen::Absent => Self::Absent,
            Seen::Value(stat, _) | Seen::Stat(stat) | Seen::Children(stat, _) => {
                Self::of(want, PollAnswer::Node(*stat))
            }
        }
    }
}

/// How many nodes to poll together, of this many.
pub(super) fn batch(nodes: usize) -> usize {
    nodes.div_ceil(batches(nodes))
}

/// The time between two batches of this many nodes.
pub(super) fn interval(nodes: usize) -> Duration {
    ROUND / u32::try_from(batches(nodes)).unwrap_or(u32::MAX)
}

fn batches(nodes: usize) -> usize {
    nodes.div_ceil(BATCH).max(1)
}

/// Limits the rate at which the whole process polls nodes. Holds the time from which the next nodes may be polled; those who
/// wait for it queue for the lock.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    const fn new() -> Self {
        Self(Mutex::const_new(None))
    }

    /// Waits until this many nodes may be polled. A caller that is dropped before that uses none of the rate.
    pub(super) async fn turn(&'static self, nodes: usize) {
        // A task holds the lock, because a caller whose future is not polled for a while would block all others. Dropping the
        // set aborts the task.
        let mut waiting = JoinSet::new();
        waiting.spawn(async move {
            let mut free = self.0.lock().await;
            if let Some(free) = *free {
                sleep_until(free).await;
            }
            let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
            *free = Some(Instant::now() + Duration::from_secs(1) * nodes / PER_SECOND);
        });
        waiting.join_next().await;
    }
}

/// The pace of this process.
pub(super) static PACE: Pace = Pace::new();

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;

    #[test]
    fn all_batches_together_take_one_round() {
        for (nodes, together) in [(0, 0), (1, 1), (100, 100), (101, 51), (800, 100), (1000, 100), (1001, 91)]
        {
            assert_eq!(batch(nodes), together, "{nodes}");
            let batches = nodes.div_ceil(batch(nodes).max(1)).max(1);
            let round = interval(nodes) * u32::try_from(batches).unwrap();
            assert!(ROUND.checked_sub(round).unwrap() < Duration::from_millis(1), "{nodes}: {round:?}");
        }
    }

    /// A pace of its own for each test.
    fn pace() -> &'static Pace {
        Box::leak(Box::new(Pace::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn up_to_800_nodes_take_one_round_and_more_nodes_longer() {
        for (nodes, seconds) in [(800, 8), (1000, 10), (3000, 30), (100_000, 1000)] {
            let (pace, start) = (pace(), Instant::now());
            let mut polled = 0;
            while polled < nodes {
                let next = Instant::now() + interval(nodes);
                pace.turn(batch(nodes)).await;
                polled += batch(nodes);
                sleep_until(next).await;
            }
            pace.turn(0).await;
            let round = start.elapsed().as_secs_f64();
            assert!((round - f64::from(seconds)).abs() < 0.1, "{nodes} nodes took {round} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_stores_of_a_process_share_the_pace() {
        let (pace, start) = (pace(), Instant::now());
        for (nodes, after) in [(100, 0), (50, 1000), (1, 1500)] {
            pace.turn(nodes).await;
            assert_eq!(start.elapsed(), Duration::from_millis(after), "{nodes}");
        }
        let later = start + Duration::from_secs(9);
        sleep_until(later).await;
        for after in [0, 1000] {
            pace.turn(100).await;
            assert_eq!(later.elapsed(), Duration::from_millis(after), "unused turns are not saved");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_is_dropped_uses_none_of_the_rate() {
        let (pace, start) = (pace(), Instant::now());
        pace.turn(100).await;
        let mut waiting: Vec<_> = (0..1000).map(|_| Box::pin(pace.turn(100))).collect();
        for turn in &mut waiting {
            assert!(turn.now_or_never().is_none());
        }
        // By then, one holds the lock, and the others queue for it.
        sleep_until(start + Duration::from_millis(500)).await;
        waiting.truncate(990);
        let kept = waiting.split_off(985);
        drop(waiting);
        let turns = join_all(kept.into_iter().map(|turn| turn.map(|()| start.elapsed().as_millis()))).await;
        assert_eq!(turns, [1000, 2000, 3000, 4000, 5000]);
        pace.turn(1).await;
        assert_eq!(start.elapsed().as_millis(), 6000, "the dropped ones do not count");
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_whose_future_is_not_polled_blocks_no_other() {
        let (pace, start) = (pace(), Instant::now());
        pace.turn(100).await;
        let mut stuck = Box::pin(pace.turn(100));
        assert!((&mut stuck).now_or_never().is_none());
        pace.turn(100).await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }
}
