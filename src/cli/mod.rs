//! The command line: what may be typed, which command serves it, and how it ends.
//!
//! One file a command; none holds logic that another room could own.

mod failure;
mod output;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use failure::Failure;
pub use output::{print, print_bytes};

/// Runs a command the moment something changes in etcd, ZooKeeper or a directory.
#[derive(Debug, Parser)]
#[command(name = "twitcher", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "Examples:\n  twitcher check\n  twitcher status\n  twitcher watch /git/head -- cat")]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command accepts.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Directory of twitcher.conf and the watch files
    #[arg(short, long, global = true, value_name = "DIR", default_value = "/etc/twitcher")]
    pub config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {}

/// Reads the command line, does what it says, and returns the exit status: 0 success, 1 failure, 2 wrong usage.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for and go to standard output; all else is wrong usage.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let _ = &cli.common;
    match cli.command {}
}

/// A runtime for a command that asks something and ends.
fn block_on<F: Future<Output = Result<(), Failure>>>(future: F) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the event loop: {error}")))?
        .block_on(future)
}
