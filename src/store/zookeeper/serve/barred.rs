//! What the polls of a session are about, beside its single nodes.

use std::sync::Arc;

use crate::store::session::TargetId;
use crate::store::zookeeper::poll::{Answer, Fingerprint};
use crate::store::zookeeper::pool::Member;

/// A tree that is refused because the server denies reading one of its nodes. Nothing else of it is read until then.
pub(super) struct Barred {
    pub(super) top: Arc<str>,
    pub(super) member: Member,
    /// The denied node.
    pub(super) path: Arc<str>,
    /// That node when it was last polled.
    pub(super) fingerprint: Option<Fingerprint>,
}

/// Nodes that were polled; without those whose poll failed.
pub(super) type Polled = Vec<(TargetId, Answer)>;
