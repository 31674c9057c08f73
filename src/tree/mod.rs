//! Subtrees: as documents, as live mirrors, and as topics to subscribe to.

pub(crate) mod changes;
#[cfg(feature = "daemon")]
pub(crate) mod document;
pub(crate) mod lazy;
pub(crate) mod mirror;
pub(crate) mod node;
pub(crate) mod place;
#[cfg(feature = "cli")]
pub(crate) mod plan;
mod seen;
mod snapshot;
pub(crate) mod subscribers;

pub use changes::{Changed, Changes};
pub use lazy::LazyTree;
pub use mirror::Tree;
pub use node::Node;
pub use snapshot::{Difference, ReadError, Scope, Snapshot};
pub use subscribers::{Listed, NameTaken, Receiver, Subscribers, Topic};
