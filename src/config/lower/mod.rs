//! Gives parsed values their meaning: defaults, names, accounts, and which fields can be combined.
//!
//! Pure over its arguments; nothing is read here.

mod fleet;
mod settings;
mod shared;
mod splay;
mod store_name;
mod validate;
mod watch;

pub(super) use settings::{fallback, lower as settings};
pub(super) use shared::Shared;
pub(super) use watch::{Context, Lowered, Placed, lower as watches};
