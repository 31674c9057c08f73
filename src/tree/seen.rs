//! What the mirror's task last saw, for the tree and its changes.

use super::Snapshot;
use crate::store::Freshness;

/// What the mirror's task last saw.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) snapshot: Snapshot,
    pub(super) loaded: bool,
    pub(super) freshness: Freshness,
}
