//! The other commands that ask the running daemon: history, explain, trigger, pause, resume, reload.

use std::fmt::Write;
use std::time::Duration;

use super::status::span;
use super::{Common, Failure, print};
use crate::control::Request;
use crate::status::{Explanation, History, ReloadReport};

/// A watch by name, and how to show the answer.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// The watch
    name: String,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// A watch by name.
#[derive(Debug, clap::Args)]
pub(super) struct Name {
    /// The watch
    name: String,
}

/// Options of `trigger`.
#[derive(Debug, clap::Args)]
pub(super) struct Trigger {
    /// The watch
    name: String,
    /// Run with the last known state instead of reading the key, for when the store is down
    #[arg(long)]
    cached: bool,
}

/// Options of `pause`.
#[derive(Debug, clap::Args)]
pub(super) struct Pause {
    /// The watch
    name: String,
    /// Resume by itself after so long, such as 90s, 30m or 1h
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    duration: Option<Duration>,
}

/// Options of `reload`.
#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    /// For programs
    #[arg(long)]
    json: bool,
}

/// `twitcher history NAME`.
pub(super) async fn history(args: Named, common: &Common) -> Result<(), Failure> {
    let value = common.ask(&Request::History { name: args.name }).await?;
    if args.json {
        return print(&format!("{value}\n"));
    }
    let history: History = super::understand(value)?;
    let mut text = String::new();
    for run in &history.runs {
        let _ = writeln!(
            text,
            "{}  {:<9} {:<12} version {}, attempt {}, for {} update{}, took {}{}{}  {}",
            run.started.strftime("%Y-%m-%d %H:%M:%SZ"),
            run.reason.word(),
            run.outcome,
            run.version,
            run.attempt,
            run.coalesced,
            if run.coalesced == 1 { "" } else { "s" },
            span(run.seconds),
            run.exit_code
                .filter(|code| *code != 0)
                .map(|code| format!(", exit code {code}"))
                .unwrap_or_default(),
            run.signal.map(|signal| format!(", signal {signal}")).unwrap_or_default(),
            run.run
        );
        for line in run.output.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    if history.runs.is_empty() {
        let _ =
            writeln!(text, "{} has not run; `twitcher explain {}` says why", history.watch, history.watch);
    }
    print(&text)
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
    said(common.ask(&Request::Trigger { name: args.name, cached: args.cached }).await?)
}

/// `twitcher pause NAME`.
pub(super) async fn pause(args: Pause, common: &Common) -> Result<(), Failure> {
    let seconds = args.duration.map(|duration| duration.as_secs_f64());
    said(common.ask(&Request::Pause { name: args.name, seconds }).await?)
}

/// `twitcher resume NAME`.
pub(super) async fn resume(args: Name, common: &Common) -> Result<(), Failure> {
    said(common.ask(&Request::Resume { name: args.name }).await?)
}

/// `twitcher release NAME`.
pub(super) async fn release(args: Name, common: &Common) -> Result<(), Failure> {
    said(common.ask(&Request::Release { name: args.name }).await?)
}

/// `twitcher reload`: fails where anything was refused, so that a deployment notices.
pub(super) async fn reload(args: Reload, common: &Common) -> Result<(), Failure> {
    let value = common.ask(&Request::Reload).await?;
    let report: ReloadReport = super::understand(value.clone())?;
    if args.json {
        print(&format!("{value}\n"))?;
    } else {
        print(&reload_text(&report))?;
    }
    if report.problems.is_empty() { Ok(()) } else { Err(Failure::silent(1)) }
}

fn reload_text(report: &ReloadReport) -> String {
    let mut text = String::new();
    for (what, names) in
        [("added", &report.added), ("changed", &report.changed), ("removed", &report.removed)]
    {
        if !names.is_empty() {
            let _ = writeln!(text, "{what}: {}", names.join(", "));
        }
    }
    for setting in &report.settings {
        let _ = writeln!(text, "{setting}");
    }
    let _ = writeln!(text, "unchanged: {}", report.unchanged);
    for problem in report.problems.iter().chain(&report.warnings) {
        let _ = writeln!(text, "{}", problem.trim_end());
    }
    text
}

/// Shows the sentence with which the daemon answered.
fn said(value: serde_json::Value) -> Result<(), Failure> {
    let sentence: String = super::understand(value)?;
    print(&format!("{sentence}\n"))
}
