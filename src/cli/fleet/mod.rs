//! `twitcher fleet`: what the machines of a group are doing, and orders to all of them. No daemon is asked: the keys of
//! the fleet are read from their store.

mod forget;
mod group;
mod hosts;
mod order;
mod screen;
mod status;
mod wait;

use super::{Common, Failure};

/// Look at groups of machines that act together, wait for them, and give them orders
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twitcher fleet status\n  twitcher fleet status --json | jq -r '.groups[].group'"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(
        after_help = "Examples:\n  twitcher fleet status\n  twitcher fleet status git --follow\n  twitcher fleet status git --json | jq .why"
    )]
    Status(status::Args),
    #[command(
        after_help = "Examples:\n  twitcher fleet hosts git --order\n  twitcher fleet hosts git --state failed"
    )]
    Hosts(hosts::Args),
    Wait(wait::Args),
    /// Pause a group: no host starts; running actions finish
    #[command(after_help = "Example:\n  twitcher fleet pause git --reason lunch")]
    Pause(order::Reasoned),
    /// Resume a paused or stopped group; earlier failures no longer count
    #[command(after_help = "Example:\n  twitcher fleet resume git")]
    Resume(order::Reasoned),
    /// Abort a version: it never starts again on any host; running actions finish
    #[command(after_help = "Example:\n  twitcher fleet abort git --version 1042")]
    Abort(order::Abort),
    /// Skip canaries, waves and soaks for the newest version
    #[command(after_help = "Example:\n  twitcher fleet promote git")]
    Promote(order::Reasoned),
    /// Let failed hosts try again
    #[command(after_help = "Examples:\n  twitcher fleet retry git\n  twitcher fleet retry git web-31 web-77")]
    Retry(order::Retry),
    /// Override how many hosts of a group may act at once
    #[command(after_help = "Example:\n  twitcher fleet set git max_parallel=20% --for 1h")]
    Set(order::Set),
    /// End an override
    #[command(after_help = "Example:\n  twitcher fleet unset git max_parallel")]
    Unset(order::Unset),
    #[command(
        after_help = "Examples:\n  twitcher fleet forget git web-90\n  twitcher fleet forget git --silent 7d"
    )]
    Forget(forget::Args),
}

/// Runs the command.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    match args.command {
        Command::Status(args) => status::run(args, common).await,
        Command::Hosts(args) => hosts::run(args, common).await,
        Command::Wait(args) => wait::run(args, common).await,
        Command::Pause(args) => order::pause(args, common).await,
        Command::Resume(args) => order::resume(args, common).await,
        Command::Abort(args) => order::abort(args, common).await,
        Command::Promote(args) => order::promote(args, common).await,
        Command::Retry(args) => order::retry(args, common).await,
        Command::Set(args) => order::set(args, common).await,
        Command::Unset(args) => order::unset(args, common).await,
        Command::Forget(args) => forget::run(args, common).await,
    }
}
