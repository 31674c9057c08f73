//! One node that is watched in one way: what was seen of it, and whether that is worth a report. Pure.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::AbortHandle;

use super::look::{Seen, Want};
use super::pool::Member;
use crate::store::session::{Proof, Reading};
use crate::watch::{Content, Detail, Version, WatchType};

/// A target that is one node, as asked for, and what is known of it.
#[derive(Debug)]
pub(super) struct Single {
    pub(super) path: Arc<str>,
    pub(super) want: Want,
    pub(super) member: Member,
    /// What it takes of its session's room.
    pub(super) bytes: usize,
    pub(super) phase: Phase,
    /// The watch that is set, and which one that is.
    pub(super) watch: Option<AbortHandle>,
    pub(super) turn: u64,
    /// How often in a row the connection was lost while it was looked at.
    pub(super) losses: u32,
    /// The asking that the next report owed has to be newer than.
    pub(super) since: u64,
    /// Whether a report is owed, changed or not.
    pub(super) owed: bool,
    highest: i64,
    /// What was reported last, and whether that was an absence.
    reported: Option<(i64, bool)>,
}

/// What happens with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is to be looked at.
    Waiting,
    /// It is being looked at, in this turn, after a `sync` that came after this asking.
    Looking { turn: u64, synced: u64 },
    /// It was looked at and is watched.
    Armed,
}

impl Want {
    /// What has to be looked at for a target; `None` for a tree, which is more than one node.
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
    /// A node that has to be looked at.
    pub(super) fn new(path: Arc<str>, want: Want, member: Member, bytes: usize, since: u64) -> Self {
        Self {
            path,
            want,
            member,
            bytes,
            phase: Phase::Waiting,
            watch: None,
            turn: 0,
            losses: 0,
            since,
            owed: true,
            highest: 0,
            reported: None,
        }
    }

    /// Takes note of what was seen after a `sync` that came after this asking. Returns what is to be reported.
    pub(super) fn see(&mut self, seen: Seen, synced: u64) -> Option<(Reading, Proof)> {
        let (zxid, content) = match seen {
            // An absence has no zxid of its own; it comes after all that was there.
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
    fn a_report_is_owed_until_something_was_seen_after_the_asking() {
        let mut single = single();
        let proof = |report: Option<(Reading, Proof)>| report.map(|(_, proof)| proof);
        assert_eq!(proof(single.see(Seen::Absent, 1)), Some(Proof::Read));
        assert_eq!(proof(single.see(Seen::Absent, 1)), None, "nothing new");
        (single.since, single.owed) = (5, true);
        assert_eq!(proof(single.see(Seen::Absent, 4)), None, "seen before it was asked for");
        assert_eq!(proof(single.see(Seen::Absent, 5)), Some(Proof::Read));
        assert!(!single.owed);
    }

    #[test]
    fn an_absence_has_the_version_of_what_was_there() {
        let mut single = single();
        single.highest = 7;
        single.reported = Some((7, false));
        let (reading, proof) = single.see(Seen::Absent, 1).unwrap();
        assert_eq!(reading, Reading { version: Version::Revision(7), content: Content::Absent });
        assert_eq!(proof, Proof::Read);
    }
}
