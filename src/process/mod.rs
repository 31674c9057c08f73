//! The child: launch plan, spawn, feeding, draining, signalling, waiting, adoption.
//!
//! A run is planned as plain data ([`Launch`]) and started by [`Spawner::start`]; from then on its own task feeds,
//! drains, signals and collects it. A run ends when its leader ends, or after TERM or KILL when its process group is
//! empty.
//!
//! Not here: when to run, how long a run may take, and whether it succeeded (`policy`).

mod adopt;
mod children;
mod failure;
mod foreground;
mod guard;
mod kept;
mod launch;
mod lines;
mod lock_holder;
mod output;
mod prepared;
mod procfs;
mod program;
mod reap;
mod record;
mod run;
mod scripts;
mod spawn;
mod start;
mod starts;
mod step;
#[cfg(test)]
mod tests;

pub use adopt::FoundRun;
pub use failure::SpawnError;
pub use foreground::check_terminal;
pub use kept::KEPT_BYTES;
pub use launch::{DEFAULT_PATH, Launch, RunDetails};
pub use lines::{Allowance, FREE_BYTES, FREE_LINES, LINE_BYTES, LINES_PER_SECOND, LineGate};
pub use lock_holder::lock_holder;
pub use output::{Leftovers, OutputSink, Stream};
pub(crate) use procfs::boot_id;
pub use program::{ProgramFault, interpreter_of, look_up, script_fault};
pub use run::{Ended, Ending, RunCommand, RunCommands, RunTask, Running};
pub use scripts::{Script, Scripts};
pub use spawn::{keep_freed_memory, keep_one_heap, take_over_signals};
pub use start::Spawner;
pub(crate) use start::blocking;
pub use step::Step;
