//! One target of a session: what is watched for it, what was seen, and when that is worth a report.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::AbortHandle;

use super::look::{Seen, Want};
use super::pool::Member;
use super::tree::{Moves, Tree};
use crate::store::session::{Arm, Proof, Reading, TargetId};
use crate::watch::{Content, Detail, Version, WatchType};

/// A session's number for one spot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SpotId(pub(super) u64);

/// One node that is watched in one way for one target.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) target: TargetId,
    /// Its place in the target; `""` is the target's own node.
    pub(super) at: Arc<str>,
    pub(super) path: Arc<str>,
    pub(super) want: Want,
    pub(super) member: Member,
    pub(super) bytes: usize,
    pub(super) phase: Phase,
    /// The watch that is set, and which one that is.
    pub(super) watch: Option<AbortHandle>,
    pub(super) turn: u64,
    /// How often in a row the connection was lost while it was looked at.
    pub(super) losses: u32,
}

/// What happens with a spot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is to be looked at.
    Waiting,
    /// It is being looked at, after a `sync` that came after this asking.
    Looking { synced: u64 },
    /// It was looked at and is watched.
    Armed,
}

/// A target as asked for, and what is known of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) top: String,
    /// The asking that the next report owed has to be newer than.
    pub(super) since: u64,
    /// Whether a report is owed, changed or not.
    pub(super) owed: bool,
    pub(super) spots: BTreeMap<(Arc<str>, Want), SpotId>,
    /// Spots that are not armed.
    pub(super) waiting: usize,
    changed: bool,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Single { highest: i64, fresh: Option<Reading>, reported: Option<(Version, bool)> },
    Tree { tree: Box<Tree>, loaded: bool },
}

impl Target {
    pub(super) fn new(arm: &Arm, top: String, since: u64) -> Self {
        let shape = match arm.watch_type {
            WatchType::Data | WatchType::Children => {
                Shape::Single { highest: 0, fresh: None, reported: None }
            }
            WatchType::Tree => Shape::Tree { tree: Box::new(Tree::new()), loaded: false },
        };
        Self { top, since, owed: true, spots: BTreeMap::new(), waiting: 0, changed: false, shape }
    }

    /// What has to be looked at first.
    ///
    /// A tree's values are always read: of two updates that are seen in another order than they were made, only
    /// the values tell that the second reading is another one.
    pub(super) fn wants(arm: &Arm) -> &'static [Want] {
        match (arm.watch_type, arm.detail) {
            (WatchType::Data, Detail::Values) => &[Want::Value],
            (WatchType::Data, Detail::Versions) => &[Want::Stat],
            (WatchType::Children, Detail::Values | Detail::Versions) => &[Want::Children],
            (WatchType::Tree, Detail::Values | Detail::Versions) => &[Want::Value, Want::Children],
        }
    }

    /// Takes note of what was seen at a place; says what else has to be watched now, and what no more.
    pub(super) fn see(&mut self, at: &Arc<str>, want: Want, seen: Seen) -> Moves {
        match &mut self.shape {
            Shape::Single { highest, fresh, reported } => {
                let (zxid, content) = match seen {
                    Seen::Absent => (*highest, Content::Absent),
                    Seen::Value(stat, value) => (stat.mzxid, Content::Value(Bytes::from(value))),
                    Seen::Stat(stat) => (stat.mzxid, Content::Unread),
                    Seen::Children(stat, mut names) => {
                        names.sort_unstable();
                        (stat.pzxid, Content::Children(names.into_iter().map(Arc::from).collect()))
                    }
                };
                // An absence has no zxid of its own; it comes after all that was there.
                *highest = zxid;
                let version = Version::Revision(zxid);
                self.changed |= *reported != Some((version, content.is_absent()));
                *fresh = Some(Reading { version, content });
                Moves::default()
            }
            Shape::Tree { tree, .. } => {
                let moves = match (want, seen) {
                    (Want::Value | Want::Stat, Seen::Value(stat, value)) => {
                        tree.value(at, Some((&stat, value)))
                    }
                    (Want::Children, Seen::Children(stat, names)) => tree.children(at, Some((&stat, names))),
                    (Want::Children, Seen::Absent | Seen::Value(..) | Seen::Stat(_)) => {
                        tree.children(at, None)
                    }
                    (Want::Value | Want::Stat, Seen::Absent | Seen::Children(..) | Seen::Stat(_)) => {
                        tree.value(at, None)
                    }
                };
                self.changed |= moves.changed;
                moves
            }
        }
    }

    /// A report, if one is due: everything that was touched has been looked at.
    pub(super) fn settled(&mut self) -> Option<(Reading, Proof)> {
        if self.waiting > 0 || !(self.owed || self.changed) {
            return None;
        }
        let reading = self.reading()?;
        let proof = if std::mem::take(&mut self.owed) { Proof::Read } else { Proof::Event };
        Some((reading, proof))
    }

    /// Whether a change waits for other parts of a tree that is complete, so that it must not wait for ever.
    pub(super) fn holds_back(&self) -> bool {
        match self.shape {
            Shape::Single { .. } => false,
            Shape::Tree { loaded, .. } => loaded && self.changed && self.waiting > 0,
        }
    }

    /// A report of what is known although not everything that was touched has been looked at.
    pub(super) fn so_far(&mut self) -> Option<Reading> {
        if self.holds_back() { self.reading() } else { None }
    }

    fn reading(&mut self) -> Option<Reading> {
        self.changed = false;
        match &mut self.shape {
            Shape::Single { fresh, reported, .. } => {
                let reading = fresh.take()?;
                *reported = Some((reading.version, reading.content.is_absent()));
                Some(reading)
            }
            Shape::Tree { tree, loaded } => {
                *loaded = true;
                Some(Reading { version: Version::Revision(tree.highest()), content: tree.content() })
            }
        }
    }
}
