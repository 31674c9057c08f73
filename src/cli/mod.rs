//! The command line: its grammar, the command that serves it, and the exit status.
//!
//! One file for each command; none contains logic that another room could own.

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
mod preview;
mod progress;
mod put;
mod release;
mod run;
mod screen;
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
use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

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
    #[arg(short, long, global = true, env = CONFIG, value_name = "DIR", default_value = "/etc/twitcher")]
    pub config: PathBuf,
    /// When to use colour: auto means on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = false)]
    pub(crate) color: ColorChoice,
}

/// The environment's name of the directory.
const CONFIG: &str = "TWITCHER_CONFIG";

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = "Example:\n  twitcher -c ./config run")]
    Run(run::Args),
    Check(check::Args),
    Status(status::Args),
    History(history::Args),
    /// Explain why a watch did or did not run
    #[command(after_help = "Examples:\n  twitcher explain web-server")]
    Explain(operate::Named),
    /// Run the action of a watch now, with the current state, under its run mode
    #[command(
        after_help = "Examples:\n  twitcher trigger web-server --dry-run\n  twitcher trigger web-server"
    )]
    Trigger(operate::Trigger),
    Wait(wait::Args),
    Fleet(fleet::Args),
    /// Pause watches: they start nothing, even after a restart of the daemon, but keep watching
    #[command(after_help = "Examples:\n  twitcher pause web-server --for 1h\n  twitcher pause 'web-*'")]
    Pause(operate::Pause),
    /// Resume paused or stopped watches, and apply the newest state unless it was applied last
    #[command(after_help = "Examples:\n  twitcher resume --all")]
    Resume(operate::Resume),
    Release(release::Args),
    /// Read twitcher.conf and the watch files now, and show what changed or why it was refused
    #[command(after_help = "Examples:\n  twitcher reload --dry-run\n  twitcher reload")]
    Reload(operate::Reload),
    Watch(watch::Args),
    Get(get::Args),
    Put(put::Args),
    #[command(alias = "delete")]
    Del(del::Args),
    Ls(ls::Args),
    Tree(tree::Args),
    Dump(document::Dump),
    Load(document::Load),
    Monitor(monitor::Args),
    #[cfg(feature = "convert")]
    #[command(after_help = "Example:\n  twitcher convert old.twc > new.toml")]
    Convert(convert::Args),
    Generate(generate::Args),
    /// Print the version
    #[command(after_help = "Examples:\n  twitcher version")]
    Version,
    /// What some other programs call this
    #[command(hide = true)]
    Completions(generate::Completions),
    /// A slip: two commands list something
    #[command(hide = true)]
    List {
        /// Whatever follows.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _rest: Vec<std::ffi::OsString>,
    },
}

/// Reads the command line, does what it says, and returns the exit status: 0 success, 1 failure, 2 wrong usage.
pub fn main() -> ExitCode {
    // Answers the shell's completion request, if there is one, and exits.
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    let parsed = Cli::command().try_get_matches();
    let named = parsed.as_ref().is_ok_and(names_settings);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Requested help and version go to standard output; everything else is wrong usage.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    match cli.common.admits(named).and_then(|()| dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Whether the configuration directory was named on the command line: the default one may be missing.
fn names_settings(matches: &clap::ArgMatches) -> bool {
    matches!(matches.value_source("config"), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
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
        Command::Release(args) => block_on(release::run(args, common)),
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
        Command::Version => print(&format!("{}\n", generate::VERSION)),
        Command::Completions(args) => generate::completions(&args),
        Command::List { _rest: _ } => Err(Failure::usage(
            "there is no command `list`: `twitcher status` lists the watches, `twitcher ls` the keys of a store",
        )),
    }
}

impl Common {
    /// A named directory must exist: no other settings or store replace it.
    fn admits(&self, named: bool) -> Result<(), Failure> {
        let why = match std::fs::metadata(&self.config) {
            Err(error) if named && error.kind() == std::io::ErrorKind::NotFound => {
                "it does not exist".to_owned()
            }
            Ok(metadata) if named && !metadata.is_dir() => "it is not a directory".to_owned(),
            // A directory that exists but cannot be read is reported when it is read.
            Ok(_) | Err(_) => return Ok(()),
        };
        Err(Failure::new(format!(
            "cannot use the configuration directory {}: {why}. Name another with -c or TWITCHER_CONFIG",
            self.config.display()
        )))
    }

    /// Asks the daemon that serves this configuration.
    async fn ask(&self, request: &crate::control::Request) -> Result<serde_json::Value, Failure> {
        let asked = crate::control::ask(&self.control_socket(), request).await;
        asked.map_err(|error| Failure::new(error.to_string()))
    }

    /// Parses twitcher.conf. Nothing in it is run here, so its owner does not matter.
    fn settings(&self) -> Result<Arc<Settings>, Vec<Problem>> {
        self.loader().reload_settings()
    }

    fn loader(&self) -> Loader {
        let accounts = Box::new(SystemAccounts::of_process());
        Loader::with(&self.config, Trust::Anyone, accounts, "localhost")
    }

    /// The daemon's socket. A running daemon can be reached even while the file has problems.
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

/// Parses an answer of the daemon for display: no name in it can control the terminal.
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

/// Escapes every text; only fields that are meant to have several lines keep their newlines.
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

/// A runtime for a command that makes requests and exits.
fn block_on<F: Future<Output = Result<(), Failure>>>(future: F) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start the event loop: {error}")))?
        .block_on(future)
}
