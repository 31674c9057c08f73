//! `twitcher watch`: no configuration; a command runs with each stable state of a key.
//!
//! The arguments are lowered to the same definition that a watch file produces ([`lower`]), which lives as in the daemon. Runs
//! inherit twitcher's own environment, directory and output.

mod lower;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use clap_complete::ArgValueCompleter;

use super::since::Since;
use super::stores::{StoreChoice, key};
use super::{Common, Failure, complete};
use crate::daemon::{AdHoc, AdHocEnd};
use crate::log::{Destination, LogLevel};
use crate::watch::{Format, Key, OnDelete, Outcome, Retries, State, WatchSpec};

/// The exit statuses of `timeout(1)` and shells for a command that hit its time limit, and for one that was not found.
const TIMED_OUT: u8 = 124;
const NOT_STARTED: u8 = 127;
/// How shells tell that a command is there and cannot be executed.
const NOT_EXECUTABLE: u8 = 126;

/// Run a command with each stable state of a key on standard input
///
/// Reports on standard error what it watches, once it has read the store. The command runs as the caller, in the current
/// directory, with the caller's environment and `TWITCHER_KEY`, `TWITCHER_VERSION`, `TWITCHER_REASON` and the other
/// variables of an action. Its output is passed on unchanged. If the command fails, that is reported on standard error,
/// and the next change runs it again, or `--retries` before that. If the program does not exist at the start, the exit
/// status is 127. While the store is unreachable, `twitcher watch` reports that and waits. Each of several keys is a
/// watch of its own: runs of one key never overlap, runs of two keys may. A deleted key runs nothing, unless
/// `--on-delete run` is given. SIGINT, SIGQUIT, SIGTERM and SIGHUP end the command (TERM, then KILL after 5 s) and then
/// the watch; a second SIGINT or SIGQUIT sends KILL at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    twitcher watch /git/head -- cat\n  \
    twitcher watch /nginx --tree -- sh -c 'cat > nginx.json && nginx -s reload'\n  \
    twitcher watch /ready --once -- true\n  \
    twitcher watch /jobs --no-settle --from -10 -- cat")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Args {
    /// The keys to watch
    #[arg(required = true, value_name = "KEY", value_parser = key, add = ArgValueCompleter::new(complete::keys))]
    keys: Vec<Key>,
    /// The whole subtree, the key itself included
    #[arg(short, long)]
    tree: bool,
    /// The names of the direct children
    #[arg(long, conflicts_with = "tree")]
    children: bool,
    /// Wait until no update has come for this long
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = super::duration,
        allow_negative_numbers = true)]
    settle: Duration,
    /// Wait no longer than this in all [default: 10 times --settle]
    #[arg(long, value_name = "DURATION", value_parser = super::duration, allow_negative_numbers = true)]
    settle_max: Option<Duration>,
    /// Run at once for every single update, one after the other. ZooKeeper and directories show states: of updates
    /// in quick succession only the last is certain to be seen
    #[arg(long, conflicts_with_all = ["settle", "settle_max"])]
    no_settle: bool,
    /// The format of the state on standard input [default: raw; lines with --children, json with --tree]
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<FormatName>,
    /// What an update does while the command runs: run once more afterwards with the newest state (queue); nothing
    /// (discard); run beside it, with --no-settle each update once (parallel); end it and start again (restart)
    /// [default: queue; with --no-settle, each update waits for its turn]
    #[arg(long, value_name = "MODE")]
    run_mode: Option<ModeName>,
    /// What a deletion does: nothing; run the command with empty standard input and `TWITCHER_REASON=delete`
    #[arg(long, value_name = "WHAT", default_value = "ignore")]
    on_delete: OnDeleteName,
    /// Run for the first stable state, and exit with the command's status (128 + N if signal N ended it)
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    since: Since,
    /// How often a command that failed is run again, with the newest state: a number or `unlimited`. A newer state ends
    /// the retries
    #[arg(long, value_name = "N", default_value = "0", value_parser = retries, allow_negative_numbers = true)]
    retries: Retries,
    /// Wait before the first retry; it doubles from retry to retry, up to 5m
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = super::duration,
        allow_negative_numbers = true)]
    retry_delay: Duration,
    /// Give the terminal to the command as its standard input, so that it can ask, as ssh, sudo and editors do. The
    /// state is not on standard input then: `twitcher get "$TWITCHER_KEY"` reads it. Ctrl-C reaches the command alone
    /// while it runs. Only one run at a time can have the terminal
    #[arg(long, conflicts_with = "format")]
    tty: bool,
    /// Send TERM to the command after this time, and KILL 5 s later
    #[arg(long, value_name = "DURATION", value_parser = limit, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    #[command(flatten)]
    store: StoreChoice,
    /// The command; it is executed as it is, without a shell
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatName {
    Raw,
    Lines,
    Json,
    Yaml,
    Toml,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Raw => Self::Raw,
            FormatName::Lines => Self::Lines,
            FormatName::Json => Self::Json,
            FormatName::Yaml => Self::Yaml,
            FormatName::Toml => Self::Toml,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeName {
    Queue,
    Discard,
    Parallel,
    Restart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnDeleteName {
    Ignore,
    Run,
}

impl From<OnDeleteName> for OnDelete {
    fn from(name: OnDeleteName) -> Self {
        match name {
            OnDeleteName::Ignore => Self::Ignore,
            OnDeleteName::Run => Self::Run,
        }
    }
}

/// This machine, for the environment of the command.
fn machine() -> std::sync::Arc<crate::watch::Machine> {
    let host = crate::config::hostname();
    std::sync::Arc::new(crate::watch::Machine { host, ..Default::default() })
}

/// How long a command may take.
fn limit(text: &str) -> Result<Duration, String> {
    let limit = super::duration(text)?;
    if limit.is_zero() {
        return Err("a time limit must be above zero; leave it out for no limit".to_owned());
    }
    Ok(limit)
}

/// Watches until a signal comes, or with `--once` until the first run is over.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    crate::process::take_over_signals();
    let store = args.store.spec(common)?;
    let typed = args.store.store.clone().unwrap_or_else(|| store.name.to_string());
    let begin = args.since.begin(&store.url)?;
    let caller = lower::Caller {
        cwd: directory()?,
        account: account()?,
        umask: umask(),
        machine: machine(),
        store: typed,
        url: store.url.to_string(),
    };
    let watches = lower::lower(&args, &store.name, &caller).map_err(Failure::usage)?;
    is_there(&args.command, &caller.cwd)?;
    if args.tty {
        crate::process::check_terminal().map_err(|why| Failure::new(format!("--tty: {why}")))?;
    }
    let announce = if args.since.is_given() { announce } else { announce_with_existence };
    let settings = crate::log::Settings {
        destination: Destination::Stderr,
        level: LogLevel::Warn,
        ..crate::log::Settings::default()
    };
    let log = crate::log::init(&settings).map_err(|error| Failure::new(error.to_string()))?;
    let end = crate::daemon::watch(AdHoc { watches, store, once: args.once, begin, announce }).await;
    drop(log);
    match end {
        Ok(AdHocEnd::Ran(outcomes)) => match outcomes.iter().map(status).find(|status| *status != 0) {
            Some(status) => Err(Failure::silent(status)),
            None if outcomes.is_empty() => Err(Failure::new("the command did not run")),
            None => Ok(()),
        },
        Ok(AdHocEnd::Signalled(signal)) => Err(Failure::silent(after_signal(signal.0))),
        Err(error) => Err(Failure::new(format!("cannot listen for signals: {error}"))),
    }
}

/// Says what is watched. Its first state may be one out of the past, which says nothing about what exists.
fn announce(spec: &WatchSpec, _: &State) {
    banner(&spec.description);
}

/// The same with the first state being the newest.
fn announce_with_existence(spec: &WatchSpec, state: &State) {
    if state.content.is_absent() {
        banner(&format!("{}; it does not exist yet", spec.description));
    } else {
        banner(&spec.description);
    }
}

fn banner(text: &str) {
    use std::io::Write as _;
    // Standard error may be closed.
    let _ = writeln!(std::io::stderr().lock(), "twitcher: watching {text}");
}

/// Fails where the program of a command is not there, or cannot be executed: 127 and 126, as a shell.
fn is_there(command: &[OsString], cwd: &Path) -> Result<(), Failure> {
    let Some(program) = command.first() else { return Ok(()) };
    let path = std::env::var_os("PATH").unwrap_or_else(|| crate::process::DEFAULT_PATH.into());
    crate::process::look_up(program, &path, cwd).map(drop).map_err(|fault| {
        let status = if fault.is_missing() { NOT_STARTED } else { NOT_EXECUTABLE };
        Failure::with_status(status, format!("cannot run the command: {fault}"))
    })
}

fn retries(text: &str) -> Result<Retries, String> {
    if text == "unlimited" {
        return Ok(Retries::Unlimited);
    }
    text.parse().map(Retries::AtMost).map_err(|_| "write a number such as 3, or `unlimited`".to_owned())
}

fn directory() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::new(format!("cannot find out the current directory: {error}")))
}

fn account() -> Result<crate::watch::Account, Failure> {
    crate::config::accounts::of_caller()
        .map_err(|error| Failure::new(format!("cannot look up the calling user: {error}")))
}

/// The caller's umask(2), which can only be read by setting it.
fn umask() -> u32 {
    use nix::sys::stat::{Mode, umask};
    let mask = umask(Mode::from_bits_truncate(0o077));
    umask(mask);
    mask.bits()
}

fn after_signal(number: i32) -> u8 {
    u8::try_from(number).unwrap_or(0).saturating_add(128)
}

/// The exit status for an outcome.
fn status(outcome: &Outcome) -> u8 {
    let exited = |code: i32| u8::try_from(code).unwrap_or(u8::MAX);
    match outcome {
        Outcome::Exited(code) => exited(*code),
        Outcome::Killed(signal) | Outcome::TimedOut { signal: Some(signal), .. } => after_signal(signal.0),
        // A clean exit after TERM is not a success.
        Outcome::TimedOut { exit_code: Some(code), signal: None } if *code != 0 => exited(*code),
        Outcome::TimedOut { .. } => TIMED_OUT,
        Outcome::NotStarted(_) => NOT_STARTED,
        Outcome::Unknown => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::SignalNumber;

    #[test]
    fn every_outcome_has_the_status_that_a_shell_would_give_it() {
        let timed_out = |exit_code, signal: Option<i32>| Outcome::TimedOut {
            exit_code,
            signal: signal.map(SignalNumber),
        };
        for (outcome, expected) in [
            (Outcome::Exited(0), 0),
            (Outcome::Exited(255), 255),
            (Outcome::Killed(SignalNumber(9)), 137),
            (timed_out(Some(0), None), 124),
            (timed_out(Some(3), None), 3),
            (timed_out(None, Some(15)), 143),
            (timed_out(None, None), 124),
            (Outcome::NotStarted(String::new()), 127),
            (Outcome::Unknown, 1),
        ] {
            assert_eq!(status(&outcome), expected, "{outcome:?}");
        }
    }
}
