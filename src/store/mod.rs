//! Stores: every back end turned into the same level-triggered stream of states.
//!
//! `driver` does once for all what makes the stream trustworthy (reconnect, back-off, re-read,
//! de-duplicate, verify). A back end opens one [`session`] at a time, and may not retry.

pub mod access;
pub mod dir;
pub mod error;
pub mod session;
pub mod spec;
pub mod zookeeper;

pub use error::StoreError;
pub use spec::{Credentials, StoreSpec, StoreUrl, Tls};
