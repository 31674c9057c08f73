//! Waits for a descriptor that is not the runtime's own.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime.
#[expect(
    deprecated,
    reason = "the replacement is unsafe, for types whose descriptor may be closed under them; an OwnedFd's may not"
)]
pub(crate) fn await_on(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}

/// Waits until the descriptor is ready, and clears the readiness before the caller reads: an event that arrives meanwhile
/// sets it again. Without a descriptor it is pending forever.
pub(crate) async fn happens(descriptor: Option<&AsyncFd<OwnedFd>>, interest: Interest) -> io::Result<()> {
    match descriptor {
        Some(descriptor) => descriptor.ready(interest).await.map(|mut ready| ready.clear_ready()),
        None => std::future::pending().await,
    }
}
