//! A subtree as one thing: as a document, as a live mirror, as something to subscribe to by key.

pub(crate) mod changes;
#[cfg(feature = "daemon")]
pub(crate) mod document;
pub(crate) mod lazy;
pub(crate) mod mirror;
pub(crate) mod node;
pub(crate) mod place;
#[cfg(feature = "cli")]
pub(crate) mod plan;
pub(crate) mod snapshot;
pub(crate) mod subscribers;

pub use changes::{Changed, Changes};
pub use lazy::LazyTree;
pub use mirror::Tree;
pub use node::Node;
pub use snapshot::{Difference, ReadError, Scope, Snapshot};
pub use subscribers::{Listed, NameTaken, Receiver, Subscribers, Topic};
