//! When an action is run: one pure machine a watch. No await, no clock, no randomness of its own, no log.

mod input;

pub use input::{Baseline, Control, Effect, Ended, Input, Sent, SkipReason};
