//! `twitcher release`: applies a state that a guard holds back.

use super::operate::said;
use super::{Common, Failure};
use crate::control::Request;

/// Apply a state that a guard holds back
#[derive(Debug, clap::Args)]
#[command(
    after_help = "This applies to the held version only: the guard judges the next one again. Exit status: 0 the state is applied next, 1 nothing is held, or the watch is paused or stopped.\n\nExample:\n  twitcher explain nginx && twitcher release nginx"
)]
pub(super) struct Args {
    /// The watch
    name: String,
}

/// Asks the daemon for it.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    said(common.ask(&Request::Release { name: args.name }).await?)
}
