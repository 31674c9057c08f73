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
    pub(super) top: Arc<str>,
    /// The asking that the next report owed has to be newer than.
    pub(super) since: u64,
    /// Whether a report is owed, changed or not.
    pub(super) owed: bool,
    /// Spots that are not armed.
    pub(super) waiting: usize,
    changed: bool,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Single(Single),
    Tree(Box<WholeTree>),
}

/// One node, looked at in one way.
#[derive(Debug, Default)]
struct Single {
    spot: Option<SpotId>,
    highest: i64,
    /// What was seen and not reported yet.
    fresh: Option<Box<Reading>>,
    /// What was reported last, and whether that was an absence.
    reported: Option<(i64, bool)>,
}

#[derive(Debug)]
struct WholeTree {
    spots: BTreeMap<(Arc<str>, Want), SpotId>,
    tree: Tree,
    loaded: bool,
}

impl Target {
    pub(super) fn new(arm: &Arm, top: Arc<str>, since: u64) -> Self {
        let shape = match arm.watch_type {
            WatchType::Data | WatchType::Children => Shape::Single(Single::default()),
            WatchType::Tree => {
                let tree = WholeTree { spots: BTreeMap::new(), tree: Tree::new(), loaded: false };
                Shape::Tree(Box::new(tree))
            }
        };
        Self { top, since, owed: true, waiting: 0, changed: false, shape }
    }

    pub(super) fn add_spot(&mut self, at: Arc<str>, want: Want, spot: SpotId) {
        match &mut self.shape {
            Shape::Single(single) => single.spot = Some(spot),
            Shape::Tree(whole) => drop(whole.spots.insert((at, want), spot)),
        }
    }

    pub(super) fn remove_spot(&mut self, at: &Arc<str>, want: Want) -> Option<SpotId> {
        match &mut self.shape {
            Shape::Single(single) => single.spot.take(),
            Shape::Tree(whole) => whole.spots.remove(&(Arc::clone(at), want)),
        }
    }

    pub(super) fn spots(&self) -> Vec<SpotId> {
        match &self.shape {
            Shape::Single(single) => single.spot.into_iter().collect(),
            Shape::Tree(whole) => whole.spots.values().copied().collect(),
        }
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
            Shape::Single(Single { highest, fresh, reported, .. }) => {
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
                self.changed |= *reported != Some((zxid, content.is_absent()));
                *fresh = Some(Box::new(Reading { version: Version::Revision(zxid), content }));
                Moves::default()
            }
            Shape::Tree(whole) => {
                let tree = &mut whole.tree;
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
        match &self.shape {
            Shape::Single(_) => false,
            Shape::Tree(whole) => whole.loaded && self.changed && self.waiting > 0,
        }
    }

    /// A report of what is known although not everything that was touched has been looked at.
    pub(super) fn so_far(&mut self) -> Option<Reading> {
        if self.holds_back() { self.reading() } else { None }
    }

    fn reading(&mut self) -> Option<Reading> {
        self.changed = false;
        match &mut self.shape {
            Shape::Single(Single { fresh, highest, reported, .. }) => {
                let reading = *fresh.take()?;
                *reported = Some((*highest, reading.content.is_absent()));
                Some(reading)
            }
            Shape::Tree(whole) => {
                let WholeTree { tree, loaded, .. } = &mut **whole;
                *loaded = true;
                Some(Reading { version: Version::Revision(tree.highest()), content: tree.content() })
            }
        }
    }
}
