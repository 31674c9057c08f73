//! The conductor: it sees all records, decides who may act next, and writes permits. Pure: time and chance come in.
//!
//! Any number of these machines may believe that they conduct. Each of their transactions requires the revision
//! of `rollout` that its machine wrote when it took over, so only the last one to take over changes anything.
//!
//! | file | has |
//! |---|---|
//! | `input` | what it is told, and what it wants done |
//! | `machine` | its state, and what each input means |
//! | `seat`, `election` | who conducts, and how a conductor that hangs is replaced |
//! | `takeover` | reading everything, and the new epoch |
//! | `group`, `silence` | all hosts and how they stand |
//! | `waves` | how far the rollout is |
//! | `plan`, `permits`, `report` | the next transaction |

mod election;
pub mod group;
mod input;
mod machine;
mod permits;
mod plan;
mod report;
mod seat;
pub mod silence;
mod takeover;
#[cfg(test)]
mod tests;
mod waves;

pub use input::{Effect, Input, Moment, Part};
pub use machine::Conductor;
