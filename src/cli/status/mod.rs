//! `twitcher status`: what needs attention, at a glance, and details of the named watches.

mod check;
mod details;
pub(super) mod table;
pub(super) mod urgency;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::ColorChoice;
use clap_complete::ArgValueCandidates;

use super::paint::Paint;
use super::select::{is_glob, selected};
use super::{Common, Failure, columns, complete, print};
use crate::control::Request;
use crate::status::Status;
use check::Style;

/// How often `--follow` asks.
const BEAT: Duration = Duration::from_secs(1);

/// Show what each watch is doing, those that need attention first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Marks: ✓ converged, ✗ failed or stopped, ⊘ held by a guard, ! unreachable, ↻ retrying, ▸ running, … about to run, ‖ paused, · seen but not run, - disabled.\n\nExamples:\n  twitcher status\n  twitcher status --failed --follow\n  twitcher status 'web-*'\n  twitcher status --check || echo not yet\n  twitcher status --check=nagios\n  twitcher status --json | jq '.watches[] | select(.converged | not) | .name'"
)]
pub(super) struct Args {
    /// Only these watches; a single one is shown in full. `*` matches any text, `?` any one character
    #[arg(add = ArgValueCandidates::new(complete::watches))]
    names: Vec<String>,
    /// Only watches that are failed, stopped, held, retrying or unreachable
    #[arg(long)]
    failed: bool,
    /// Keep the screen up to date until Ctrl-C; with --json, print one object a line
    #[arg(short, long, conflicts_with = "check")]
    follow: bool,
    /// Exit 1 unless all are converged; with nagios, print one line and exit 0 (all converged), 1 (on the way), 2 (failed,
    /// stopped, held or unreachable) or 3 (no daemon)
    #[arg(long, value_name = "STYLE", num_args = 0..=1, require_equals = true, default_missing_value = "exit")]
    check: Option<Style>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Asks and shows.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    if args.follow {
        return follow(&args, common).await;
    }
    let asked = ask(&args, common).await;
    if args.check == Some(Style::Nagios) {
        let (line, code) =
            check::nagios(asked.map(|(_, status)| status).map_err(|failure| failure.to_string()));
        print(&line)?;
        return if code == 0 { Ok(()) } else { Err(Failure::silent(code)) };
    }
    let (value, status) = asked?;
    print(&shown(&args, common.color, &value, &status, usize::MAX))?;
    match args.check {
        Some(Style::Exit) if !check::is_converged(&status) => Err(Failure::silent(1)),
        Some(Style::Exit | Style::Nagios) | None => Ok(()),
    }
}

/// The status of the selected watches, raw and parsed.
async fn ask(args: &Args, common: &Common) -> Result<(serde_json::Value, Status), Failure> {
    // A single watch can be requested from the daemon alone.
    let name = args.names.first().filter(|name| args.names.len() == 1 && !is_glob(name));
    let mut value = common.ask(&Request::Status { name: name.cloned() }).await?;
    let mut status: Status = super::understand(value.clone())?;
    let known: Vec<&str> = status.watches.iter().map(|watch| watch.name.as_str()).collect();
    let mut kept =
        if args.names.is_empty() { vec![true; known.len()] } else { selected(&args.names, &known)? };
    if args.failed {
        for (kept, watch) in kept.iter_mut().zip(&status.watches) {
            *kept &= urgency::is_failed(watch.state);
        }
    }
    let mut keep = kept.iter();
    status.watches.retain(|_| keep.next() == Some(&true));
    let mut keep = kept.iter();
    if let Some(watches) = value.get_mut("watches").and_then(serde_json::Value::as_array_mut) {
        watches.retain(|_| keep.next() == Some(&true));
    }
    Ok((value, status))
}

/// What is printed, of at most so many lines.
fn shown(
    args: &Args,
    color: ColorChoice,
    value: &serde_json::Value,
    status: &Status,
    lines: usize,
) -> String {
    if args.json {
        return format!("{value}\n");
    }
    let (now, width, paint) = (jiff::Timestamp::now(), columns::width(), Paint::for_stdout(color));
    let text = match status.watches.as_slice() {
        [watch] if !args.names.is_empty() => details::details(watch, now, width, paint),
        _ => table::table(status, args.failed, now, width, paint),
    };
    let count = text.lines().count();
    if count <= lines {
        return text;
    }
    let kept: Vec<&str> = text.lines().take(lines.saturating_sub(1)).collect();
    let more = columns::cut(format!("… {} more lines", count - kept.len()), width.unwrap_or(usize::MAX));
    format!("{}\n{more}\n", kept.join("\n"))
}

async fn follow(args: &Args, common: &Common) -> Result<(), Failure> {
    let screen = std::io::stdout().is_terminal() && !args.json;
    loop {
        let text = match ask(args, common).await {
            Ok((value, status)) => {
                let rows = crossterm::terminal::size().map_or(usize::MAX, |(_, rows)| rows.into());
                let rows = if screen { rows.saturating_sub(1).max(2) } else { usize::MAX };
                shown(args, common.color, &value, &status, rows)
            }
            // A restarting daemon comes back.
            Err(failure) if screen => format!("{failure}\n"),
            Err(failure) => return Err(failure),
        };
        if screen {
            // From the top, clearing each line to its end and everything below, so that nothing flickers.
            let text = text.replace('\n', "\x1b[K\n");
            print(&format!("\x1b[H{text}\x1b[J"))?;
        } else {
            print(&text)?;
        }
        let _ = std::io::stdout().flush();
        tokio::time::sleep(BEAT).await;
    }
}
