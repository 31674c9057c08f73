//! The trees of a session: one that is followed, and one whose following has ended.

use tokio::sync::mpsc;

use crate::store::session::TargetId;
use crate::store::zookeeper::follow::Stopped;
use crate::store::zookeeper::pool::Member;

/// A tree that is followed.
pub(super) struct Followed {
    /// Which time it is followed.
    pub(super) turn: u64,
    /// To demand that it is verified. Dropping it ends the work.
    pub(super) demands: mpsc::UnboundedSender<()>,
}

/// A tree that is followed no more.
pub(super) struct Left {
    pub(super) id: TargetId,
    pub(super) turn: u64,
    pub(super) member: Member,
    pub(super) bytes: usize,
    pub(super) how: Stopped,
}
