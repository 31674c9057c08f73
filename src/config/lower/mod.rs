//! Gives parsed values their meaning: defaults, names, accounts, and which fields can be combined.
//!
//! Pure over its arguments; nothing is read here.

mod fleet;
mod gaps;
mod lowering;
mod policy;
mod settings;
mod shared;
mod splay;
mod store_name;
mod target;
mod validate;
mod watch;

pub(super) use gaps::{Gaps, Missing};
pub(super) use settings::{STATE_DIR, fallback, lower as settings, lower_parts as parts};
pub(super) use shared::Shared;
pub(super) use watch::{Context, Lowered, Placed, Withheld, lower as watches, lower_alone as watches_alone};
