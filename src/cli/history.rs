//! `twitcher history`: the last runs of a watch, oldest first.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use clap_complete::ArgValueCandidates;

use super::span::{local, span};
use super::{Common, Failure, complete, print};
use crate::control::Request;
use crate::log::escape;
use crate::status::History;
use crate::watch::RunRecord;

/// How many runs are shown on a terminal.
const ON_A_TERMINAL: usize = 20;
/// How often `--follow` asks.
const BEAT: Duration = Duration::from_secs(1);

/// Show the last runs of a watch, oldest first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  twitcher history web-server -n 5\n  twitcher history web-server --since 1h\n  twitcher history web-server --follow\n  twitcher history web-server --json | jq '.runs[] | select(.outcome != \"succeeded\")'"
)]
pub(super) struct Args {
    /// The watch
    #[arg(add = ArgValueCandidates::new(complete::watches))]
    name: String,
    /// Only the newest N runs [default: 20 on a terminal, otherwise all]
    #[arg(short = 'n', long = "number", value_name = "N")]
    number: Option<usize>,
    /// Only runs that started since a time, such as 2026-01-31T08:00, or within a duration, such as 90s or 2h
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<jiff::Timestamp>,
    /// Show further runs as they end, until Ctrl-C
    #[arg(short, long, conflicts_with = "run")]
    follow: bool,
    /// Only the run with this id, with its output up to 64 KiB
    #[arg(long, value_name = "ID", conflicts_with_all = ["number", "since"])]
    run: Option<String>,
    /// Print JSON, for programs; with --follow, one run a line
    #[arg(long)]
    json: bool,
}

/// A length of time until now, or a time of this place.
fn since(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(length) = super::duration(text) {
        return jiff::Timestamp::now().checked_sub(length).map_err(|error| error.to_string());
    }
    let here = |civil: jiff::civil::DateTime| civil.to_zoned(jiff::tz::TimeZone::system());
    let time = text
        .parse::<jiff::Timestamp>()
        .or_else(|_| text.parse::<jiff::civil::DateTime>().and_then(here).map(|zoned| zoned.timestamp()));
    time.map_err(|_| {
        format!("`{text}` is neither a duration nor a time; write it like 2h or 2026-01-31T08:00")
    })
}

/// Asks and shows.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    let history = ask(&args, common).await?;
    let limit = args.number.unwrap_or_else(|| default_number(std::io::stdout().is_terminal() && !args.json));
    let chosen = chosen(history.runs, args.since, args.run.as_deref(), limit);
    if let Some(run) = args.run.as_ref().filter(|_| chosen.is_empty()) {
        let name = &args.name;
        return Err(Failure::new(format!(
            "{name} has no run {run} in its history; `twitcher history {name}` lists them"
        )));
    }
    if !args.follow {
        let shown = History { watch: history.watch, runs: chosen };
        return print(&if args.json { line(&shown) } else { text(&shown) });
    }
    let mut last = chosen.last().map(|run| run.run.clone());
    show(&chosen, args.json)?;
    loop {
        tokio::time::sleep(BEAT).await;
        let runs = ask(&args, common).await?.runs;
        let known = runs.iter().position(|run| Some(&run.run) == last.as_ref());
        let fresh = &runs[known.map_or(0, |at| at + 1)..];
        show(fresh, args.json)?;
        last = fresh.last().map(|run| run.run.clone()).or(last);
    }
}

fn default_number(terminal: bool) -> usize {
    if terminal { ON_A_TERMINAL } else { usize::MAX }
}

async fn ask(args: &Args, common: &Common) -> Result<History, Failure> {
    let value = common.ask(&Request::History { name: args.name.clone(), run: args.run.clone() }).await?;
    if args.json { super::understand_raw(value) } else { super::understand(value) }
}

/// The newest runs that are meant, oldest first.
fn chosen(
    mut runs: Vec<RunRecord>,
    since: Option<jiff::Timestamp>,
    id: Option<&str>,
    limit: usize,
) -> Vec<RunRecord> {
    runs.retain(|run| since.is_none_or(|since| run.started >= since));
    runs.retain(|run| id.is_none_or(|id| *run.run.0 == *id));
    let surplus = runs.len().saturating_sub(limit);
    runs.split_off(surplus)
}

fn show(runs: &[RunRecord], json: bool) -> Result<(), Failure> {
    print(&runs.iter().map(|run| if json { line(run) } else { paragraph(run) }).collect::<String>())
}

/// Strings and numbers always serialise.
fn line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

fn text(history: &History) -> String {
    if history.runs.is_empty() {
        let name = &history.watch;
        return format!("{name} has no such run; `twitcher explain {name}` says why\n");
    }
    history.runs.iter().map(paragraph).collect()
}

/// A run and its last lines of output.
fn paragraph(run: &RunRecord) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}  {:<9} {:<12} version {}, attempt {}, for {} update{}, took {}{}{}  {}",
        local(run.started),
        run.reason.word(),
        run.outcome,
        run.version,
        run.attempt,
        run.coalesced,
        if run.coalesced == 1 { "" } else { "s" },
        span(run.seconds),
        run.exit_code.filter(|code| *code != 0).map(|code| format!(", exit code {code}")).unwrap_or_default(),
        run.signal.map(|signal| format!(", signal {signal}")).unwrap_or_default(),
        run.run
    );
    for line in run.output.lines() {
        let _ = writeln!(text, "    {}", escape::line(line.as_bytes()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Reason, RunId};

    fn run(number: i64) -> RunRecord {
        RunRecord {
            run: RunId(format!("r-{number}").into()),
            reason: Reason::Change,
            version: number.to_string(),
            attempt: 1,
            coalesced: 1,
            started: jiff::Timestamp::from_second(number).unwrap(),
            seconds: 0.1,
            outcome: "succeeded".to_owned(),
            exit_code: Some(0),
            signal: None,
            output: "a\x1b[31m\nb".to_owned(),
        }
    }

    #[test]
    fn the_newest_runs_that_are_meant_are_chosen() {
        let ids = |since: Option<i64>, id: Option<&str>, limit| {
            let since = since.map(|second| jiff::Timestamp::from_second(second).unwrap());
            let runs = chosen((1..=5).map(run).collect(), since, id, limit);
            runs.into_iter().map(|run| run.run.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, None, 2), ["r-4", "r-5"]);
        assert_eq!(ids(None, None, 9).len(), 5);
        assert_eq!(ids(Some(4), None, 9), ["r-4", "r-5"]);
        assert_eq!(ids(None, Some("r-2"), 9), ["r-2"]);
        assert!(ids(None, Some("r-9"), 9).is_empty());
    }

    #[test]
    fn since_is_a_length_of_time_or_a_time() {
        let ago = since("1h").unwrap().duration_until(jiff::Timestamp::now()).as_secs();
        assert!((3590..3700).contains(&ago), "{ago}");
        assert_eq!(since("2026-01-31T08:00:00Z").unwrap().to_string(), "2026-01-31T08:00:00Z");
        assert!(since("2026-01-31T08:00").is_ok());
        assert!(since("yesterday").unwrap_err().contains("neither"));
    }

    #[test]
    fn output_cannot_speak_to_the_terminal() {
        assert!(paragraph(&run(1)).ends_with("r-1\n    a\\x1b[31m\n    b\n"));
    }
}
