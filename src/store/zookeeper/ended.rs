//! How a session ends, and waiting until a moment that may not come.

use tokio::time::Instant;

use crate::store::StoreError;

/// How a session ends.
pub(super) enum Ended {
    /// Nobody listens any more.
    Unheard,
    /// With a doubt.
    Lost(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Lost(error)
    }
}

/// Sleeps for ever without a deadline.
pub(super) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
