//! `twitcher run`: the daemon, in the foreground.

use super::{Common, Failure};

/// Run the daemon in the foreground
///
/// Reads twitcher.conf and the watch files below DIR, and runs their actions until SIGTERM or SIGINT. Running actions
/// then have `shutdown_grace` to finish; a second signal ends them at once. SIGHUP reads all files again. SIGUSR1 ends
/// the daemon at once and leaves its actions running: the next daemon adopts them. SIGQUIT ends it with a core dump.
/// Any other signal that would end it is ignored. The log names the sender of each signal.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs until told to stop.
pub fn run(common: &Common) -> Result<(), Failure> {
    crate::daemon::run(&common.config).map_err(|error| Failure::new(error.to_string()))
}
