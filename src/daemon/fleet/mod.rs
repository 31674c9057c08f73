//! The fleet in the daemon: one task for each group that a watch of this host takes part in.
//!
//! | file | has |
//! |---|---|
//! | `membership`, `perform` | the task: performs what the pure member and conductor decide |
//! | `place` | its parameters |
//! | `requests` | what the task asks of its store |
//! | `handle` | what a live watch holds of it |
//! | `word` | what the two tell each other |
//! | `wire`, `read`, `follow` | values and transactions in the words of a store |
//! | `why` | why a host has no permit |
//! | `seats` | which watch takes part in what, by the settings |
//! | `crowd` | many memberships in one process, for tests and benches |

mod crowd;
mod follow;
mod handle;
mod membership;
mod perform;
mod place;
mod read;
mod requests;
mod seats;
mod why;
mod wire;
mod word;

pub use crowd::Crowd;
pub(super) use handle::Handle;
pub(super) use membership::boot_time;
pub(super) use read::group as read_group;
pub(super) use seats::Seats;
pub(super) use why::why_no_permit;
pub(super) use word::{AdoptedRun, Recorded, ToWatch};
