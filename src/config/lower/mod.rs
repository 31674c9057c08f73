//! What was written becomes what is meant: defaults, names, accounts, and what goes together and what does not.
//!
//! Pure over what it is given; nothing is read here.

mod settings;
mod shared;
mod splay;
mod watch;

pub(super) use settings::{fallback, lower as settings};
pub(super) use shared::Shared;
pub(super) use watch::{Context, Lowered, Placed, lower as watches};
