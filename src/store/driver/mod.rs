//! The store driver: turns sessions that come and go into streams of states that can be trusted.
//!
//! Owned here, once for every back end: when a session is reopened, after which back-off, and with which certificates;
//! what is armed and verified, what counts as a new state, and which subscribers get it. The store's protocol belongs to the
//! [`Session`](super::session::Session).

mod backoff;
mod handle;
mod health;
mod link;
mod pace;
mod rotation;
mod slot;
mod table;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use backoff::Backoff;
pub use handle::{Freshness, FreshnessReader, Store, Subscribe, Subscription};
pub use health::{Health, LinkState};
pub(super) use link::Open;
pub use slot::Update;
