//! The store driver: turns sessions that come and go into streams of states that can be trusted.
//!
//! Owned here, once for every back end: when a session is opened again and how long is waited before,
//! what is armed in it, what is verified, what counts as a new state, and who is given it. Not here:
//! how a store is spoken to; that is a [`Session`](super::session::Session)'s.

mod backoff;
mod handle;
mod health;
mod link;
mod slot;
mod table;
mod target;
#[cfg(test)]
mod tests;

#[cfg(feature = "cli")]
pub(crate) use backoff::Backoff;
pub use handle::{Standing, Standings, Store, Subscribe, Subscription};
pub use health::{Health, LinkState};
pub(super) use link::Open;
pub use slot::Update;
