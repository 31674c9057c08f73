//! The last state that the mirror's task saw, for the tree and its changes.

use super::Snapshot;
use crate::store::Freshness;

/// The last state that the mirror's task saw.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) snapshot: Snapshot,
    pub(super) loaded: bool,
    pub(super) freshness: Freshness,
}
