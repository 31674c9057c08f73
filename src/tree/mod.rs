//! A subtree as one thing: as a document, as a live mirror, as something to subscribe to by key.

pub mod document;
pub mod place;
pub mod plan;
