//! `twitcher wait`: returns when watches have converged, or when it is certain that they will not.

use std::time::Duration;

use clap_complete::ArgValueCandidates;

use super::select::{is_glob, selected};
use super::{Common, Failure, complete};
use crate::control::Request;
use crate::status::{Status, WatchState, WatchStatus};
use crate::watch::Version;

/// Exit status where a watch gave up, or is held, stopped, paused or disabled.
const HOPELESS: u8 = 3;
/// Exit status when `--timeout` is over.
const TIMED_OUT: u8 = 4;
/// Interval between two requests: short at first, then longer.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Wait until watches have converged
#[derive(Debug, clap::Args)]
#[command(
    disable_version_flag = true,
    after_help = "Exit status: 0 converged, 1 no daemon or no such watch, 3 a watch gave up, is held, stopped, paused or disabled, 4 timed out.\n\nExamples:\n  twitcher put /web/server on && twitcher wait web-server --timeout 2m"
)]
pub(super) struct Args {
    /// The watches; `*` matches any text, `?` any one character
    #[arg(required = true, value_name = "NAME", add = ArgValueCandidates::new(complete::watches))]
    names: Vec<String>,
    /// Wait for this version of the key or a later one; in a directory store, for exactly this one
    #[arg(long, value_name = "VERSION")]
    version: Option<Version>,
    /// Give up after this time, such as 30s or 5m [default: never]
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    timeout: Option<Duration>,
}

/// How far a watch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Converged,
    OnTheWay,
    /// It cannot converge without an operator.
    Hopeless,
}

/// Asks until the result is certain.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    let Some(timeout) = args.timeout else { return until_certain(&args, common).await };
    tokio::time::timeout(timeout, until_certain(&args, common)).await.unwrap_or_else(|_| {
        let names = args.names.join(", ");
        let seconds = timeout.as_secs_f64();
        let why = format!("{names}: not converged after {seconds} s; `twitcher explain` says why");
        Err(Failure::with_status(TIMED_OUT, why))
    })
}

async fn until_certain(args: &Args, common: &Common) -> Result<(), Failure> {
    let mut pause = FIRST_PAUSE;
    loop {
        let watches = ask(&args.names, common).await?;
        let mut converged = true;
        for watch in &watches {
            match progress(watch, args.version) {
                Progress::Converged => {}
                Progress::OnTheWay => converged = false,
                Progress::Hopeless => {
                    let (name, word) = (&watch.name, watch.state.word());
                    let why = format!(
                        "{name} is {word} and does not converge by itself; `twitcher explain {name}` says what to do"
                    );
                    return Err(Failure::with_status(HOPELESS, why));
                }
            }
        }
        if converged {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn ask(names: &[String], common: &Common) -> Result<Vec<WatchStatus>, Failure> {
    let name = names.first().filter(|name| names.len() == 1 && !is_glob(name));
    let value = common.ask(&Request::Status { name: name.cloned() }).await?;
    let mut status: Status = super::understand(value)?;
    let known: Vec<&str> = status.watches.iter().map(|watch| watch.name.as_str()).collect();
    let mut chosen = selected(names, &known)?.into_iter();
    status.watches.retain(|_| chosen.next() == Some(true));
    Ok(status.watches)
}

fn progress(watch: &WatchStatus, wanted: Option<Version>) -> Progress {
    let reached = |version: Option<&str>| {
        wanted.is_none_or(|wanted| version.and_then(|v| v.parse().ok()).is_some_and(|v| is_at(v, wanted)))
    };
    if watch.converged && reached(watch.applied.as_deref()) && watch.state != WatchState::Disabled {
        return Progress::Converged;
    }
    match watch.state {
        WatchState::Disabled | WatchState::Stopped | WatchState::Paused => Progress::Hopeless,
        // If what failed or is held is older than what is waited for, the awaited version starts it again.
        WatchState::Failed | WatchState::Held if reached(watch.version.as_deref()) => Progress::Hopeless,
        WatchState::Failed
        | WatchState::Held
        | WatchState::Idle
        | WatchState::Settling
        | WatchState::Splaying
        | WatchState::Waiting
        | WatchState::Running
        | WatchState::Retrying
        | WatchState::Unreachable => Progress::OnTheWay,
    }
}

/// Whether a version is the wanted one or, where versions have an order, a later one.
fn is_at(version: Version, wanted: Version) -> bool {
    version == wanted || wanted.is_before(version)
}

#[cfg(test)]
mod tests {
    use super::super::status::table::tests::watch;
    use super::*;

    #[test]
    fn every_state_is_converged_on_the_way_or_hopeless() {
        use Progress::{Converged, Hopeless, OnTheWay};
        for (state, converged, expected) in [
            (WatchState::Idle, true, Converged),
            (WatchState::Idle, false, OnTheWay),
            (WatchState::Running, true, Converged),
            (WatchState::Running, false, OnTheWay),
            (WatchState::Settling, false, OnTheWay),
            (WatchState::Splaying, false, OnTheWay),
            (WatchState::Waiting, false, OnTheWay),
            (WatchState::Retrying, false, OnTheWay),
            (WatchState::Unreachable, false, OnTheWay),
            (WatchState::Paused, true, Converged),
            (WatchState::Paused, false, Hopeless),
            (WatchState::Failed, false, Hopeless),
            (WatchState::Held, false, Hopeless),
            (WatchState::Stopped, false, Hopeless),
            (WatchState::Disabled, false, Hopeless),
        ] {
            assert_eq!(progress(&watch("a", state, converged), None), expected, "{state:?} {converged}");
        }
    }

    #[test]
    fn a_version_is_reached_by_itself_and_later_ones() {
        let at = |text: &str, state, converged| {
            // The watch applied version 1042.
            progress(&watch("a", state, converged), Some(text.parse().unwrap()))
        };
        assert_eq!(at("1042", WatchState::Idle, true), Progress::Converged);
        assert_eq!(at("7", WatchState::Idle, true), Progress::Converged);
        assert_eq!(at("1043", WatchState::Idle, true), Progress::OnTheWay);
        assert_eq!(at("1042", WatchState::Failed, false), Progress::Hopeless);
        assert_eq!(at("1043", WatchState::Failed, false), Progress::OnTheWay, "its failure is older");
        assert_eq!(at("1042", WatchState::Held, false), Progress::Hopeless);
        assert_eq!(at("1043", WatchState::Held, false), Progress::OnTheWay, "an older state is held");
        assert_eq!(at("1043", WatchState::Paused, true), Progress::Hopeless);
        let hash = "0123456789abcdef0123456789abcdef";
        assert_eq!(at(hash, WatchState::Idle, true), Progress::OnTheWay, "hashes have no order");
    }
}
