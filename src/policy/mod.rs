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
//!
//! Where the contract leaves room, the machine does this:
//!
//! - Waiting goes on while the action runs: an update that settled meanwhile starts as soon as there is room. A
//!   slot request is taken back while an update waits for quiet again.
//! - A deletion that runs nothing takes what waits with it; only parallel mode still runs what has settled.
//! - Discard mode retries with the newest state, although that was discarded; a resume applies it after the run.
//! - Restart mode sends TERM when the update comes, and waits for quiet while the run ends.
//! - A held watch (paused, stopped) keeps the newest state only, in parallel mode too, and ends no run.
//! - In parallel mode at most 1024 states wait, and a failed run is retried only while its state is the newest.
//! - A retry and a recovery stand for the updates of the run that they repeat.

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
pub use explain::{NewestState, Obstacle, Phase, Stopping};
pub use input::{Adopted, Baseline, Control, Input, Pause, RunEnd, Suspension};
pub use machine::{Disposition, Entropy, Machine};
