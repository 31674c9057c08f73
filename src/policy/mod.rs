//! When an action is run: one pure machine a watch. No await, no clock, no randomness of its own, no log.
//!
//! [`Machine::handle`] takes what happened and the time, and answers with [`Effect`]s; what becomes of
//! them comes back as [`Input`]. [`Machine::poll_timeout`] says when to call again if nothing happens.
//!
//! A state waits for its start in this order: `settle`, `splay`, `min_interval`, room beside the live runs
//! (run mode), a slot among the daemon's `max_processes`; and the newest state is the one that starts. A
//! file a concern:
//!
//! | file | decides |
//! |---|---|
//! | `machine` | the order of things inside one `handle`; when to wake up |
//! | `admission` | what an observed state does, by run mode and for the first one by `run_on_load` |
//! | `waiting` | how long an entry waits: settle, splay, interval |
//! | `runs` | live runs, their timeouts and signals |
//! | `ending` | what a run's end leads to: applied, retry, recovery, stop |
//! | `control` | trigger, pause, resume, retire, stop |
//! | `explain` | facts for people |

mod admission;
mod control;
mod effect;
mod ending;
mod explain;
mod input;
mod machine;
mod runs;
#[cfg(test)]
mod tests;
mod waiting;

pub use effect::{Answer, Effect, Refusal, Sent, SkipReason};
pub use explain::{Explanation, LiveRun, NewestState, Obstacle, Phase, Stopping, WaitingState};
pub use input::{Adopted, Baseline, Control, Ended, Input, Pause, Standing};
pub use machine::{Bearing, Machine, Source};
