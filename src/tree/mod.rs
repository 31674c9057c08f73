//! Subtrees: as documents, as live mirrors, and as topics to subscribe to.

pub mod changes;
pub mod document;
pub mod lazy;
pub mod mirror;
pub mod node;
pub mod place;
pub mod plan;
pub mod seen;
mod snapshot;
pub mod subscribers;

pub use changes::{Changed, Changes};
pub use lazy::LazyTree;
pub use mirror::Tree;
pub use node::Node;
pub use snapshot::{Difference, ReadError, Scope, Snapshot};
pub use subscribers::{Listed, NameTaken, Receiver, Subscribers, Topic};
