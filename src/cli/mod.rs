//! The command line: what may be typed, which command serves it, and how it ends.
//!
//! One file a command; none holds logic that another room could own.

mod check;
mod columns;
mod complete;
#[cfg(feature = "convert")]
mod convert;
mod del;
mod document;
mod failure;
mod fleet;
mod generate;
mod get;
mod history;
mod json;
mod ls;
mod monitor;
mod operate;
mod output;
mod paint;
mod progress;
mod put;
mod run;
mod select;
mod since;
mod span;
mod status;
mod store_name;
mod stores;
pub mod tree;
mod wait;
mod watch;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::accounts::SystemAccounts;
use crate::config::{Loader, Problem, Settings, Trust};

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
enum Command {
    Run(run::Args),
    Check(check::Args),
    Status(status::Args),
    History(history::Args),
    /// Why a watch did or did not run
    Explain(operate::Named),
    /// Run the action of a watch now, with the current state, under its run mode
    Trigger(operate::Trigger),
    Wait(wait::Args),
    Fleet(fleet::Args),
    /// Let watches start nothing, also across a restart of the daemon; they keep looking
    Pause(operate::Pause),
    /// Let paused or stopped watches go on, with the newest state if that was not applied
    Resume(operate::Resume),
    /// Read twitcher.conf and the watch files now, and say what changed or why it was refused
    Reload(operate::Reload),
    Watch(watch::Args),
    Get(get::Args),
    Put(put::Args),
    Del(del::Args),
    Ls(ls::Args),
    Tree(tree::Args),
    Dump(document::Dump),
    Load(document::Load),
    Monitor(monitor::Args),
    #[cfg(feature = "convert")]
    Convert(convert::Args),
    #[command(hide = true)]
    Generate(generate::Args),
}

/// Reads the command line, does what it says, and returns the exit status: 0 success, 1 failure, 2 wrong usage.
pub fn main() -> ExitCode {
    // Answers the shell's question for what may follow, if that is why we run, and ends.
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    let parsed = Cli::command().try_get_matches();
    let named = parsed.as_ref().is_ok_and(names_settings);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for and go to standard output; all else is wrong usage.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    match cli.common.admits(named).and_then(|()| dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Whether the directory of settings was named on the command line: the usual one may be missing.
fn names_settings(matches: &clap::ArgMatches) -> bool {
    matches.value_source("config") == Some(ValueSource::CommandLine)
        || matches.subcommand().is_some_and(|(_, matches)| names_settings(matches))
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let common = &cli.common;
    match cli.command {
        Command::Run(run::Args {}) => run::run(common),
        Command::Check(args) => block_on(check::run(args, common)),
        Command::Status(args) => block_on(status::run(args, common)),
        Command::History(args) => block_on(history::run(args, common)),
        Command::Explain(args) => block_on(operate::explain(args, common)),
        Command::Trigger(args) => block_on(operate::trigger(args, common)),
        Command::Pause(args) => block_on(operate::pause(args, common)),
        Command::Resume(args) => block_on(operate::resume(args, common)),
        Command::Reload(args) => block_on(operate::reload(args, common)),
        Command::Wait(args) => block_on(wait::run(args, common)),
        Command::Fleet(args) => block_on(fleet::run(args, common)),
        Command::Watch(args) => block_on(watch::run(args, common)),
        Command::Get(args) => block_on(get::run(args, common)),
        Command::Put(args) => block_on(put::run(args, common)),
        Command::Del(args) => block_on(del::run(args, common)),
        Command::Ls(args) => block_on(ls::run(args, common)),
        Command::Tree(args) => block_on(tree::run(args, common)),
        Command::Dump(args) => block_on(document::dump(args, common)),
        Command::Load(args) => block_on(document::load(args, common)),
        Command::Monitor(args) => block_on(monitor::run(args, common)),
        #[cfg(feature = "convert")]
        Command::Convert(args) => convert::run(&args),
        Command::Generate(args) => generate::run(&args),
    }
}

impl Common {
    /// A directory that was named has to be there: no other settings, and no other store, take its place.
    fn admits(&self, named: bool) -> Result<(), Failure> {
        let why = match std::fs::metadata(&self.config) {
            Err(error) if named && error.kind() == std::io::ErrorKind::NotFound => {
                "it does not exist".to_owned()
            }
            Ok(metadata) if named && !metadata.is_dir() => "it is no directory".to_owned(),
            // What is there and cannot be read is said where it is read.
            Ok(_) | Err(_) => return Ok(()),
        };
        Err(Failure::new(format!("cannot use the configuration of -c {}: {why}", self.config.display())))
    }

    /// Asks the daemon that serves this configuration.
    async fn ask(&self, request: &crate::control::Request) -> Result<serde_json::Value, Failure> {
        let asked = crate::control::ask(&self.control_socket(), request).await;
        asked.map_err(|error| Failure::new(error.to_string()))
    }

    /// What twitcher.conf says. It is not believed in anything that would be run, so that anybody's may be read.
    fn settings(&self) -> Result<Arc<Settings>, Vec<Problem>> {
        self.loader().reload_settings()
    }

    fn loader(&self) -> Loader {
        let accounts = Box::new(SystemAccounts::of_process());
        Loader::with(&self.config, Trust::Anyone, accounts, "localhost")
    }

    /// Where the daemon listens. One that runs on can be asked also while the file has problems.
    fn control_socket(&self) -> PathBuf {
        match self.settings() {
            Ok(settings) => settings.control_socket.clone(),
            Err(problems) => {
                for problem in problems {
                    let _ = writeln!(std::io::stderr().lock(), "{problem}");
                }
                let written = self.loader().control_socket();
                written.unwrap_or_else(|| PathBuf::from(crate::config::CONTROL_SOCKET))
            }
        }
    }
}

/// Reads an answer of the daemon as what it should be, to be shown to people: no name in it, whoever chose it, steers
/// their terminal.
fn understand<T: serde::de::DeserializeOwned>(mut value: serde_json::Value) -> Result<T, Failure> {
    escape_strings(&mut value, false);
    understand_raw(value)
}

/// Reads an answer of the daemon as what it should be, to be shown to programs, byte for byte.
fn understand_raw<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| {
        Failure::new(format!(
            "the daemon's answer is not understood: {error}; is it another version than this command ({})?",
            env!("CARGO_PKG_VERSION")
        ))
    })
}

/// Escapes every text; only those fields that are meant to have several lines keep them.
fn escape_strings(value: &mut serde_json::Value, has_lines: bool) {
    use serde_json::Value;
    match value {
        Value::String(text) if has_lines => *text = crate::log::escape::lines(text),
        Value::String(text) => *text = crate::log::escape::line(text.as_bytes()),
        Value::Array(values) => values.iter_mut().for_each(|value| escape_strings(value, has_lines)),
        Value::Object(fields) => {
            for (name, value) in fields {
                escape_strings(value, matches!(name.as_str(), "action" | "output" | "problems" | "warnings"));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A duration as it is typed, such as `250ms`, `30s`, `1h30m` or a number of seconds.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::config::duration::typed(text)
        .map_err(|invalid| format!("`{text}`: {invalid}; write it like 250ms, 30s or 1h30m"))
}

/// A runtime for a command that asks something and ends.
fn block_on<F: Future<Output = Result<(), Failure>>>(future: F) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the event loop: {error}")))?
        .block_on(future)
}
