//! Where messages go, and what they may do to those who read them.

pub mod escape;
