//! One watched node: its last state, and whether a new read must be reported. Pure.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::AbortHandle;

use super::look::{Seen, Want};
use super::poll::NodeFingerprint;
use super::pool::Member;
use crate::store::session::{Proof, Reading};
use crate::watch::{Content, Detail, Version, WatchType};

/// A single-node target and its state.
#[derive(Debug)]
pub(super) struct Single {
    pub(super) path: Arc<str>,
    pub(super) want: Want,
    pub(super) member: Member,
    /// Its path bytes in the session's room.
    pub(super) bytes: usize,
    pub(super) phase: LookPhase,
    /// The watch that is set.
    pub(super) watch: Option<AbortHandle>,
    pub(super) turn: u64,
    /// Consecutive connection losses while it was being read.
    pub(super) losses: u32,
    /// Command counter at the last request; the report that is still due must come from a read whose `sync` started
    /// after it.
    pub(super) since: u64,
    /// Whether the driver waits for a report, even if nothing changed.
    pub(super) owed: bool,
    /// What polls are compared with: the node when it was last read, or a denied node when it was last polled.
    pub(super) fingerprint: Option<NodeFingerprint>,
    highest: i64,
    /// The last reported zxid, and whether the node was absent.
    reported: Option<(i64, bool)>,
}

/// Progress of reading a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LookPhase {
    /// It must be read.
    Waiting,
    /// A read is in flight: its number, and the command counter that its `sync` covers.
    Looking { turn: u64, synced: u64 },
    /// It was read and is watched.
    Armed,
    /// The server denied reading it. It is polled, and read again once its ACL or the node changes.
    Denied,
}

impl Want {
    /// What to read for a target; `None` for a tree, which is more than one node.
    pub(super) fn of(watch_type: WatchType, detail: Detail) -> Option<Self> {
        match (watch_type, detail) {
            (WatchType::Data, Detail::Values) => Some(Self::Value),
            (WatchType::Data, Detail::Versions) => Some(Self::Stat),
            (WatchType::Children, Detail::Values | Detail::Versions) => Some(Self::Children),
            (WatchType::Tree, Detail::Values | Detail::Versions) => None,
        }
    }
}

impl Single {
    /// A node that must be read.
    pub(super) fn new(path: Arc<str>, want: Want, member: Member, bytes: usize, since: u64) -> Self {
        Self {
            path,
            want,
            member,
            bytes,
            phase: LookPhase::Waiting,
            watch: None,
            turn: 0,
            losses: 0,
            since,
            owed: true,
            fingerprint: None,
            highest: 0,
            reported: None,
        }
    }

    /// Records that the server denied reading it. The next report needs a read whose `sync` starts after this command
    /// counter, because until then nothing is known about the node.
    pub(super) fn deny(&mut self, since: u64) {
        self.phase = LookPhase::Denied;
        self.watch = None;
        self.losses = 0;
        (self.since, self.owed, self.reported) = (since, true, None);
    }

    /// Compares a poll with the fingerprint. Returns whether the node must be read again.
    pub(super) fn polled(&mut self, now: NodeFingerprint) -> bool {
        match self.phase {
            // The read that is due or in flight is newer than the poll.
            LookPhase::Waiting | LookPhase::Looking { .. } => false,
            LookPhase::Armed => self.fingerprint != Some(now),
            LookPhase::Denied => self.fingerprint.replace(now) != Some(now),
        }
    }

    /// Records the result of a read whose `sync` covers this command counter. Returns what to report.
    pub(super) fn see(&mut self, seen: Seen, synced: u64) -> Option<(Reading, Proof)> {
        self.fingerprint = Some(NodeFingerprint::seen(self.want, &seen));
        let (zxid, content) = match seen {
            // An absence has no zxid of its own; it follows the last one seen.
            Seen::Absent => (self.highest, Content::Absent),
            Seen::Value(stat, value) => (stat.mzxid, Content::Value(Bytes::from(value))),
            Seen::Stat(stat) => (stat.mzxid, Content::Unread),
            Seen::Children(stat, mut names) => {
                names.sort_unstable();
                (stat.pzxid, Content::Children(names.into_iter().map(Arc::from).collect()))
            }
        };
        self.highest = zxid;
        let mark = Some((zxid, content.is_absent()));
        let owed = self.owed && synced >= self.since;
        if !owed && self.reported == mark {
            return None;
        }
        self.reported = mark;
        self.owed &= !owed;
        let proof = if owed { Proof::Read } else { Proof::Event };
        Some((Reading { version: Version::Revision(zxid), content }, proof))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::zookeeper::pool::Pool;

    fn single() -> Single {
        Single::new("/a".into(), Want::Children, Pool::default().found(), 2, 1)
    }

    #[test]
    fn a_report_is_due_until_a_read_started_after_the_request() {
        let mut single = single();
        let proof = |report: Option<(Reading, Proof)>| report.map(|(_, proof)| proof);
        assert_eq!(proof(single.see(Seen::Absent, 1)), Some(Proof::Read));
        assert_eq!(proof(single.see(Seen::Absent, 1)), None, "no change");
        (single.since, single.owed) = (5, true);
        assert_eq!(proof(single.see(Seen::Absent, 4)), None, "seen before the request");
        assert_eq!(proof(single.see(Seen::Absent, 5)), Some(Proof::Read));
        assert!(!single.owed);
    }

    #[test]
    fn a_poll_that_differs_from_the_last_read_asks_for_another_read() {
        let mut single = single();
        let node = |zxid, acl| NodeFingerprint::Node { zxid, acl };
        assert!(!single.polled(node(1, 0)), "it is about to be read");
        single.see(Seen::Absent, 1);
        single.phase = LookPhase::Armed;
        assert!(!single.polled(NodeFingerprint::Absent));
        assert!(single.polled(node(1, 0)), "its creation was missed");
        single.fingerprint = Some(node(1, 0));
        for (poll, differs) in
            [(node(1, 0), false), (node(2, 0), true), (node(1, 1), true), (NodeFingerprint::Absent, true)]
        {
            assert_eq!(single.polled(poll), differs, "{poll:?}");
            assert_eq!(single.fingerprint, Some(node(1, 0)), "only a read replaces what was seen");
        }
    }

    #[test]
    fn a_denied_node_is_read_once_for_each_change_that_a_poll_shows() {
        let mut single = single();
        single.see(Seen::Absent, 1);
        single.deny(4);
        let node = |acl| NodeFingerprint::Node { zxid: 1, acl };
        assert!(single.polled(node(0)));
        assert!(!single.polled(node(0)));
        assert!(single.polled(node(1)), "its ACL changed");
        let report = single.see(Seen::Absent, 4);
        assert_eq!(
            report.map(|(_, proof)| proof),
            Some(Proof::Read),
            "even the content that was reported before"
        );
    }

    #[test]
    fn an_absence_keeps_the_version_of_the_deleted_node() {
        let mut single = single();
        single.highest = 7;
        single.reported = Some((7, false));
        let (reading, proof) = single.see(Seen::Absent, 1).unwrap();
        assert_eq!(reading, Reading { version: Version::Revision(7), content: Content::Absent });
        assert_eq!(proof, Proof::Read);
    }
}
