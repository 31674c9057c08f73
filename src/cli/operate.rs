//! The other commands that ask the running daemon: explain, trigger, pause, resume, reload.

use std::io::Write;
use std::time::Duration;

use clap_complete::ArgValueCandidates;

use super::select::{is_glob, selected};
use super::{Common, Failure, complete, preview, print, print_bytes};
use crate::control::Request;
use crate::status::{Explanation, ReloadReport, Status, WatchState};

/// A watch by name, and the output format.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// The watch
    #[arg(add = ArgValueCandidates::new(complete::watches))]
    name: String,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Options of `trigger`.
#[derive(Debug, clap::Args)]
pub(super) struct Trigger {
    /// The watch
    #[arg(add = ArgValueCandidates::new(complete::watches))]
    name: String,
    /// Do not read the key, and run with the last known state: for when the store is down
    #[arg(long)]
    cached: bool,
    /// Start without a permit of the fleet, for emergencies: more hosts than its limit may then act at once
    #[arg(long)]
    without_permit: bool,
    /// Show what would be run, as whom, where and with what on standard input, and run nothing
    #[arg(long)]
    dry_run: bool,
}

/// Several watches.
#[derive(Debug, clap::Args)]
struct Several {
    /// The watches; `*` matches any text, `?` any one character
    #[arg(
        value_name = "NAME",
        required_unless_present = "all",
        conflicts_with = "all",
        add = ArgValueCandidates::new(complete::watches)
    )]
    names: Vec<String>,
    /// All watches
    #[arg(long)]
    all: bool,
}

/// Options of `pause`.
#[derive(Debug, clap::Args)]
pub(super) struct Pause {
    #[command(flatten)]
    several: Several,
    /// Resume automatically after this time, such as 90s, 30m or 1h
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    duration: Option<Duration>,
}

/// Options of `resume`.
#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    #[command(flatten)]
    several: Several,
}

/// Options of `reload`.
#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    /// Show what a reload would change now, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// `twitcher explain NAME`.
pub(super) async fn explain(args: Named, common: &Common) -> Result<(), Failure> {
    let value = common.ask(&Request::Explain { name: args.name }).await?;
    if args.json {
        return print(&format!("{value}\n"));
    }
    let explanation: Explanation = super::understand(value)?;
    print(&explanation.because.iter().fold(String::new(), |text, line| text + line + "\n"))
}

/// `twitcher trigger NAME`.
pub(super) async fn trigger(args: Trigger, common: &Common) -> Result<(), Failure> {
    let Trigger { name, cached, without_permit, dry_run } = args;
    if dry_run {
        let asked = common.ask(&Request::Preview { name, cached }).await?;
        return print_bytes(&preview::text(&super::understand(asked)?));
    }
    said(common.ask(&Request::Trigger { name, cached, without_permit }).await?)
}

/// `twitcher pause NAME…`.
pub(super) async fn pause(args: Pause, common: &Common) -> Result<(), Failure> {
    let seconds = args.duration.map(|duration| duration.as_secs_f64());
    let names = args.several.names(common, |state| state != WatchState::Disabled).await?;
    each(names, common, |name| Request::Pause { name, seconds }).await
}

/// `twitcher resume NAME…`.
pub(super) async fn resume(args: Resume, common: &Common) -> Result<(), Failure> {
    let held_back = |state| state == WatchState::Paused || state == WatchState::Stopped;
    let names = args.several.names(common, held_back).await?;
    each(names, common, |name| Request::Resume { name }).await
}

impl Several {
    /// The selected names. `--all` and globs select only watches in a state that `fits`; a watch that is named itself is always
    /// selected, so that the daemon can say why it refuses.
    async fn names(
        &self,
        common: &Common,
        fits: impl Fn(WatchState) -> bool,
    ) -> Result<Vec<String>, Failure> {
        if !self.all && !self.names.iter().any(|name| is_glob(name)) {
            return Ok(self.names.clone());
        }
        let status: Status = super::understand(common.ask(&Request::Status { name: None }).await?)?;
        let known: Vec<&str> = status.watches.iter().map(|watch| watch.name.as_str()).collect();
        let chosen = if self.all { vec![true; known.len()] } else { selected(&self.names, &known)? };
        let chosen = status.watches.iter().zip(chosen).filter(|(_, chosen)| *chosen);
        let meant = chosen.filter(|(watch, _)| fits(watch.state) || self.names.contains(&watch.name));
        Ok(meant.map(|(watch, _)| watch.name.clone()).collect())
    }
}

/// Sends the request to each of these watches; a refusal by one does not stop the others.
async fn each(
    names: Vec<String>,
    common: &Common,
    request: impl Fn(String) -> Request,
) -> Result<(), Failure> {
    if names.is_empty() {
        return print("nothing to do: no selected watch is in such a state\n");
    }
    let mut refused = Vec::new();
    for name in names {
        match common.ask(&request(name)).await {
            Ok(value) => said(value)?,
            Err(failure) => refused.push(failure.to_string()),
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Failure::new(refused.join("\n"))) }
}

/// `twitcher reload`: fails where anything was refused, so that a deployment notices. Problems go to standard error.
pub(super) async fn reload(args: Reload, common: &Common) -> Result<(), Failure> {
    let request = if args.dry_run { Request::Rehearse } else { Request::Reload };
    let value = common.ask(&request).await?;
    let report: ReloadReport = super::understand(value.clone())?;
    if args.json {
        print(&format!("{value}\n"))?;
    } else {
        print(&reload_text(&report))?;
        for problem in report.problems.iter().chain(&report.warnings) {
            // Standard error may be closed; the exit status still tells.
            let _ = writeln!(std::io::stderr().lock(), "{}", problem.trim_end());
        }
    }
    if report.problems.is_empty() { Ok(()) } else { Err(Failure::silent(1)) }
}

fn reload_text(report: &ReloadReport) -> String {
    let mut lines = Vec::new();
    let would = if report.dry_run { "would be " } else { "" };
    for (what, names) in
        [("added", &report.added), ("changed", &report.changed), ("removed", &report.removed)]
    {
        if !names.is_empty() {
            lines.push(format!("{would}{what}: {}", names.join(", ")));
        }
    }
    lines.extend(report.settings.iter().cloned());
    lines.push(format!("unchanged: {}", report.unchanged));
    lines.join("\n") + "\n"
}

/// Shows the sentence with which the daemon answered.
pub(super) fn said(value: serde_json::Value) -> Result<(), Failure> {
    let sentence: String = super::understand(value)?;
    print(&format!("{sentence}\n"))
}
