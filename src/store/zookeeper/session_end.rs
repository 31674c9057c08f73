//! Why a session ends.

use crate::store::StoreError;

/// Why a session ends.
pub(super) enum SessionEnd {
    /// The driver has dropped its end.
    Unheard,
    /// Its connection is in doubt.
    Lost(StoreError),
}

impl From<StoreError> for SessionEnd {
    fn from(error: StoreError) -> Self {
        Self::Lost(error)
    }
}
