//! `twitcher monitor`: every change of a subtree, one a line.
//!
//! etcd delivers its history, change by change ([`history`]); other stores deliver states, and the differences between
//! consecutive states are the changes ([`states`]).

mod history;
mod line;
mod states;

use std::time::Duration;

use clap_complete::ArgValueCompleter;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::since::Since;
use super::stores::{StoreArgs, failure, key};
use super::{Common, Failure, complete};
use crate::store::StoreSpec;
use crate::watch::Key;
use line::Printer;

/// How often to check that the reader still exists.
const LOOK: Duration = Duration::from_secs(1);

/// Print every change of a subtree, one a line
///
/// A line begins with the time at which the change was seen, or with `-` for a change from the history. `ZooKeeper` and
/// `dir` show states: of changes in quick succession only the last is certain to be seen. Ends on a signal, or when
/// the reader of its output is gone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  twitcher monitor /nginx\n  \
                        twitcher monitor / --from -20\n  \
                        twitcher monitor /orders --json | jq -r .value")]
pub(super) struct Args {
    /// The key at the top of the subtree
    #[arg(value_parser = key, default_value = "/", add = ArgValueCompleter::new(complete::keys))]
    key: Key,
    #[command(flatten)]
    since: Since,
    /// Print one JSON object a line, with the whole value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs until the reader is gone.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    let spec = args.store.spec(common)?;
    let begin = args.since.begin(&spec.url)?;
    // A store that is not there at all is said at once; one that goes later is waited for. So is what may not be read.
    let opened = args.store.open(common).await?;
    opened.access.admits(&args.key).map_err(failure)?;
    drop(opened);
    let printer = Printer::new(args.json);
    if spec.url.kind().facts().keeps_history {
        history::follow(&spec, &args.key, begin, printer).await
    } else {
        states::follow(spec, args.key, printer).await
    }
}

/// Prints a message beside the changes.
fn note(text: &str) {
    use std::io::Write;
    // Standard error may be closed.
    let _ = writeln!(std::io::stderr().lock(), "twitcher: {text}");
}

/// On a terminal, which shows nothing until something changes, says that from now on nothing is missed.
fn note_watching(key: &Key, spec: &StoreSpec) {
    use std::io::IsTerminal;
    if std::io::stderr().is_terminal() {
        note(&format!("watching {key} and what is below it in {}", spec.url));
    }
}

/// Resolves when standard output is a pipe whose reader is gone; never if that cannot be detected.
async fn unread() {
    use std::os::fd::AsFd;
    let output = std::io::stdout();
    loop {
        tokio::time::sleep(LOOK).await;
        let mut fds = [PollFd::new(output.as_fd(), PollFlags::empty())];
        let polled = poll(&mut fds, PollTimeout::ZERO);
        let [fd] = fds;
        if polled.is_ok() && fd.revents().is_some_and(|events| events.contains(PollFlags::POLLERR)) {
            return;
        }
    }
}
