//! A tree that a session follows, and one that it no longer follows.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::store::session::TargetId;
use crate::store::zookeeper::follow::Stopped;
use crate::store::zookeeper::poll::NodeFingerprint;
use crate::store::zookeeper::pool::Member;

/// A tree that is followed.
pub(super) struct Followed {
    /// Counts how often it was armed.
    pub(super) turn: u64,
    /// Requests a verification. Dropping it ends the following.
    pub(super) demands: mpsc::UnboundedSender<()>,
    /// If it was refused before: the denied node, as it was at the last poll.
    pub(super) denied_before: Option<(Arc<str>, NodeFingerprint)>,
}

/// A tree that is no longer followed.
pub(super) struct Left {
    pub(super) id: TargetId,
    pub(super) top: Arc<str>,
    pub(super) turn: u64,
    pub(super) member: Member,
    pub(super) bytes: usize,
    pub(super) how: Stopped,
}
