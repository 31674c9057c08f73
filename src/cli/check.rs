//! `twitcher check`: runs the daemon's loader and prints every problem that it finds.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Common, Failure, print};
use crate::config::{FileReport, FileState, Loader};
use crate::log::escape;
use crate::store::{Store, Subscribe};
use crate::watch::{Detail, WatchSpec};

/// Read the configuration as the daemon would, and show every problem
///
/// Users and groups are checked as for a daemon that runs as root. Each problem is shown as `file:line:column` with the line and a hint. Exit status 1 if there is any.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check these files as if they were in the directory, instead of what is in it
    files: Vec<PathBuf>,
    /// Also connect to the stores and read the keys
    #[arg(long)]
    online: bool,
    /// Show what the daemon on this host would read, without local.conf, accounts and what else is only on this machine
    #[arg(long, conflicts_with = "online")]
    host: Option<String>,
    /// A name of [vars] on that host, and its value
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = var, requires = "host")]
    vars: Vec<(String, String)>,
    /// Also name the files that are not for this host
    #[arg(long, short)]
    verbose: bool,
    /// How long a store may take to answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = super::duration, requires = "online")]
    timeout: Duration,
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
    let mut reports = loader.reload().files;
    if !args.files.is_empty() {
        // Unusable settings are a problem of these files too, because their stores are defined there.
        let is_settings = |name: &OsStr| name == "twitcher.conf" || name == "local.conf";
        reports.retain(|report| report.path.file_name().is_some_and(is_settings));
        reports.extend(loader.check_files(&args.files));
    }
    let bad = reports.iter().filter(|report| report.state != FileState::Loaded).count();
    let host = loader.settings().map_or("", |settings| &settings.machine.host);
    print(&text(&reports, host, args.verbose || args.host.is_some()))?;
    let user = nix::unistd::geteuid();
    if !user.is_root() && args.host.is_none() && loader.names_accounts() {
        eprintln!(
            "uid and gid were checked as for a daemon that runs as root; one that runs as user {user} cannot become another"
        );
    }
    let unreachable = if args.online { online(&loader, args.timeout).await? } else { 0 };
    if bad + unreachable == 0 { Ok(()) } else { Err(Failure::silent(1)) }
}

/// `NAME=VALUE`.
fn var(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like role=web")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The result. Files for other hosts are named or only counted.
fn text(reports: &[FileReport], host: &str, names_elsewhere: bool) -> String {
    let (mut text, mut elsewhere) = (String::new(), 0);
    for problem in reports.iter().flat_map(|report| &report.problems) {
        let _ = writeln!(text, "{problem}\n");
    }
    for report in reports {
        let word = match report.state {
            FileState::Loaded if report.is_elsewhere() => {
                elsewhere += 1;
                if !names_elsewhere {
                    continue;
                }
                "not for this host"
            }
            FileState::Loaded => "ok",
            FileState::Broken | FileState::Refused => report.state.word(),
        };
        let _ = writeln!(text, "{}: {word}", escape::line(report.path.as_os_str().as_bytes()));
    }
    if elsewhere > 0 {
        let files = if elsewhere == 1 { "1 file is".to_owned() } else { format!("{elsewhere} files are") };
        let _ = writeln!(text, "{files} not for this host, {host}");
    }
    if reports.is_empty() {
        text.push_str("nothing to check: no twitcher.conf and no *.toml\n");
    }
    text
}

/// Connects to every store that a watch uses and reads the watch's key. Returns how many could not be read.
async fn online(loader: &Loader, timeout: Duration) -> Result<usize, Failure> {
    let Some(settings) = loader.settings() else { return Ok(0) };
    let mut stores = BTreeMap::new();
    let mut asked = Vec::new();
    for watch in loader.watches().values() {
        let spec: &WatchSpec = &watch.spec;
        let Some(store) = settings.stores.get(&spec.target.store) else { continue };
        let store = stores.entry(spec.target.store.clone()).or_insert_with(|| Store::open(store.clone()));
        let subscription = store.subscribe(Subscribe {
            key: spec.target.key.clone(),
            watch_type: spec.target.watch_type,
            detail: Detail::Versions,
            every: false,
            verify_interval: spec.verify_interval,
        });
        asked.push((spec.name.clone(), spec.target.clone(), subscription));
    }
    let deadline = tokio::time::Instant::now() + timeout;
    let mut unreachable = 0;
    for (name, target, mut subscription) in asked {
        let line = match tokio::time::timeout_at(deadline, subscription.next()).await {
            Ok(update) if update.state.content.is_absent() => {
                format!("{name}: {} does not exist in store {} yet", target.key, target.store)
            }
            Ok(update) => format!("{name}: {} is at version {}", target.key, update.state.version),
            Err(_) => {
                unreachable += 1;
                let why = subscription.freshness().error;
                let why = why.unwrap_or_else(|| format!("no answer within {} s", timeout.as_secs_f64()));
                format!("{name}: store {} does not show {}: {why}", target.store, target.key)
            }
        };
        print(&format!("{}\n", escape::line(line.as_bytes())))?;
    }
    Ok(unreachable)
}
