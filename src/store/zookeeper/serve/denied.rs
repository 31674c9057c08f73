//! A refused tree whose denied node is polled, and the result of a batch of polls.

use std::sync::Arc;

use crate::store::session::TargetId;
use crate::store::zookeeper::poll::{NodeFingerprint, PollAnswer};
use crate::store::zookeeper::pool::Member;

/// A tree that is refused because the server denies reading one of its nodes. Until a poll finds that node changed, nothing
/// of the tree is read.
pub(super) struct DeniedTree {
    pub(super) top: Arc<str>,
    pub(super) member: Member,
    /// The denied node.
    pub(super) path: Arc<str>,
    /// That node when it was last polled.
    pub(super) fingerprint: Option<NodeFingerprint>,
}

/// Nodes that were polled; without those whose poll failed.
pub(super) type Polled = Vec<(TargetId, PollAnswer)>;
