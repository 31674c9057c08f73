//! A member of a group: keeps its host's record, asks, claims before each start, gives back. Pure.
//!
//! At most one transaction is under way. The desired record is kept beside the stored one; any difference
//! is written with the next transaction, so that a return and the next ask are one write.
//!
//! | file | has |
//! |---|---|
//! | `input` | what it is told, and what it wants done |
//! | `machine` | its state, and what each input means |
//! | `former` | failures that the former start of the daemon reported |
//! | `own` | the desired content of our record |
//! | `permit` | the permit that the store shows |
//! | `registration`, `register` | whether the name is ours, and how it is taken |
//! | `send`, `answers` | transactions, and what the store answers |

mod answers;
mod former;
mod input;
mod machine;
mod own;
mod permit;
mod register;
mod registration;
mod send;

pub use input::{Effect, Input, Own, Profile, Then};
pub use machine::MemberMachine;
