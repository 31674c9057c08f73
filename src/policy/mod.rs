//! When an action runs: one pure machine per watch. No await, no clock, no randomness of its own, no log.
//!
//! [`Machine::handle`] takes an event and the time and returns [`Effect`]s; their results come back as
//! [`Input`]. [`Machine::poll_timeout`] says when to call again if nothing happens.
//!
//! Before it starts, a state waits in this order: `settle`, the guard, `splay`, `min_interval`, room beside the live
//! runs (run mode), a permit of the fleet, a slot among the daemon's `max_processes`, the store's answer to the claim
//! of the permit. The newest state is the one that starts. One file per concern:
//!
//! | file | decides |
//! |---|---|
//! | `machine` | the order of steps inside one `handle`; when to wake up |
//! | `admission` | what a state does: by run mode; the first one also by `run_on_load` |
//! | `guard`, `hold` | which states are held back, and why |
//! | `waiting` | how long an entry waits: settle, splay, interval |
//! | `runs` | live runs: TERM and KILL |
//! | `ending` | what the end of a run leads to: applied, retry, recovery, stop |
//! | `asking`, `permit` | the permit that a fleet grants: ask, claim, return |
//! | `control` | trigger, pause, resume, retire, stop |
//! | `past` | what is known about a first state: ledger, predecessor, fault |
//! | `explain`, `history` | facts for people |
//!
//! Where the contract leaves a choice, the machine does this:
//!
//! - Waiting continues while the action runs: an update that settled meanwhile starts as soon as there is room.
//!   A slot request is withdrawn while an update settles again.
//! - A deletion that runs nothing drops the waiting state; only parallel mode still runs states that settled.
//! - Discard mode retries with the newest state even if that was discarded; a resume applies it after the run.
//! - Restart mode sends TERM when the update arrives; the update settles while the run ends.
//! - A suspended watch (paused, stopped) keeps only the newest state, in parallel mode too, and ends no run.
//! - A state that `run_on_load = false` keeps from being run is judged all the same, and may be held.
//! - A pause and a stop end `validate`; a resume begins it again. A newer state ends it too, except in parallel mode.
//! - With a guard a deletion is judged like any other state, after it has settled; only then `on_delete` decides. A
//!   state that is not judged yet, or is held, ends no run and signals none.
//! - A held state takes the place of what waited or was to be retried before it: no outdated state is run. The next
//!   state that passes stands for its updates, too.
//! - What the ledger says is applied passes the guard: it was released, or passed under another guard.
//! - A start that the daemon could not make for want of its own resources is no run and no failure: the state waits
//!   again, at its place, and is tried again after 1 s, doubling up to 1 min. A newer state is tried at once.
//! - In parallel mode at most 1024 states wait, and a failed run is retried only while its state is the newest.
//! - A retry or a recovery covers the updates of the run that it repeats.

mod admission;
mod asking;
mod control;
mod effect;
mod ending;
mod explain;
mod guard;
mod history;
mod hold;
mod input;
mod machine;
mod past;
mod permit;
mod runs;
#[cfg(test)]
mod tests;
mod waiting;

pub use effect::{ControlResult, Effect, PermitEffect, Refusal, Sent, SkipReason};
pub use explain::{Explanation, NewestState, Obstacle, Phase};
pub use hold::{Hold, Yardstick};
pub use input::{Adopted, Baseline, Control, Input, Pause, Permission, RunEnd, Suspension};
pub use machine::{Disposition, Entropy, Machine};
pub use past::{Past, Predecessor};
pub use permit::{After, Grant, PermitStage};
pub use runs::Course;
