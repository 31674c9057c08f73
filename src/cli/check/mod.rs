//! `twitcher check`: the daemon's own loader, and every problem that it finds.

mod github;
mod online;
mod screen;
mod summary;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::paint::Paint;
use super::{Common, Failure, columns, print};
use crate::config::{FileReport, Loader};
use summary::Summary;

/// Read the configuration as the daemon would, and show every problem
///
/// Each problem is shown as `file:line:column` with the line and a hint; the last line sums up. Programs, interpreters
/// and directories must exist, and shell commands must be valid; no action is executed. Users and groups are checked as
/// for a daemon that runs as root. Exit status 1 if there is an error, with --strict also if there is a warning.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  twitcher check\n  twitcher check --online --timeout 10s\n  \
                        twitcher check --host web-17 --var role=web\n  \
                        twitcher check --strict --output-format github")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Args {
    /// Check these files, as if they were in the directory, instead of those in it
    files: Vec<PathBuf>,
    /// Also ask every server of every store, and read the watched keys as the store's user
    #[arg(long)]
    online: bool,
    /// Check for this host instead of this machine: local.conf, accounts, programs and directories of this machine do not count
    #[arg(long, conflicts_with = "online")]
    host: Option<String>,
    /// Set a variable of [vars] for that host; can be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = var, requires = "host")]
    vars: Vec<(String, String)>,
    /// Exit status 1 also for warnings
    #[arg(long)]
    strict: bool,
    /// How to show problems: as text for people, as one JSON object, or as annotations of GitHub Actions
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output_format: OutputFormat,
    /// The same as --output-format json
    #[arg(long, conflicts_with = "output_format")]
    json: bool,
    /// Also list files without problems and files for other hosts, and with --online what was read
    #[arg(long, short)]
    verbose: bool,
    /// Time limit for the servers of a store to answer, and then for reading its keys
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = super::duration, requires = "online")]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    Text,
    Json,
    Github,
}

/// Checks.
pub async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    let mut loader = match &args.host {
        Some(host) => {
            let vars = args.vars.iter().cloned().collect();
            Loader::for_host(&common.config, host, vars).map_err(Failure::usage)?
        }
        None => Loader::for_check(&common.config),
    };
    let mut reports = reports(&mut loader, &args.files);
    let mut notes = String::new();
    if args.online {
        let found = online::ask(&mut loader, args.timeout).await;
        reports.extend(found.problems.into_iter().map(FileReport::beside));
        notes = found.notes.join("\n");
    }
    let host = loader.settings().map_or("", |settings| &settings.machine.host);
    let summary = Summary::new(&reports, host);
    let format = if args.json { OutputFormat::Json } else { args.output_format };
    print(&match format {
        OutputFormat::Json => summary.json()?,
        OutputFormat::Github => format!("{}{}", github::commands(summary.problems()), summary.line()),
        OutputFormat::Text => {
            let names = if args.verbose || args.host.is_some() { summary.names() } else { String::new() };
            let notes = if args.verbose { notes.as_str() } else { "" };
            let width = columns::width();
            let problems = screen::shown(summary.problems(), Paint::for_stdout(common.color), width);
            let rest = format!("{names}{notes}\n{}", summary.line());
            let lines =
                rest.lines().filter(|line| !line.is_empty()).flat_map(|line| columns::folded(line, width, 2));
            format!("{problems}{}\n", lines.collect::<Vec<_>>().join("\n"))
        }
    })?;
    let user = nix::unistd::geteuid();
    if !user.is_root() && args.host.is_none() && loader.names_accounts() {
        eprintln!(
            "uid and gid were checked as for a daemon that runs as root; one that runs as user {user} cannot become another"
        );
    }
    let bad = summary.errors() > 0 || (args.strict && summary.warnings() > 0);
    if bad { Err(Failure::silent(1)) } else { Ok(()) }
}

/// What the loader says of the whole directory, or of these files.
fn reports(loader: &mut Loader, files: &[PathBuf]) -> Vec<FileReport> {
    let mut reports = loader.reload().files;
    if !files.is_empty() {
        // Settings that cannot be used are a problem of these files too: their stores come from there.
        let is_settings = |name: &OsStr| name == "twitcher.conf" || name == "local.conf";
        reports.retain(|report| report.path.file_name().is_some_and(is_settings));
        reports.retain(|report| files.iter().all(|file| **file != *report.path));
        reports.extend(loader.check_files(files));
    }
    reports
}

/// `NAME=VALUE`.
fn var(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like role=web")?;
    Ok((name.to_owned(), value.to_owned()))
}
