//! `twitcher status`: one line a watch that a person can read at a glance.

use std::fmt::Write;
use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

use super::{Common, Failure, print};
use crate::control::Request;
use crate::status::{FileState, Status, StoreState, WatchState, WatchStatus};

/// What each watch is doing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  twitcher status --json | jq '.watches[] | select(.converged | not) | .name'"
)]
pub(super) struct Args {
    /// Only this watch, in full
    name: Option<String>,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// Asks and shows.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    let value = common.ask(&Request::Status { name: args.name.clone() }).await?;
    if args.json {
        return print(&format!("{value}\n"));
    }
    let status: Status = super::understand(value)?;
    let paint =
        Paint(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()));
    let now = jiff::Timestamp::now();
    print(&match args.name {
        Some(_) => details(&status, now, paint),
        None => table(&status, now, paint),
    })
}

/// Whether to colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    fn with(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn good(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default(), text)
    }

    fn busy(self, text: &str) -> String {
        self.with(AnsiColor::Yellow.on_default(), text)
    }

    fn bad(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default().bold(), text)
    }

    fn faint(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }
}

fn state_word(state: WatchState, converged: bool, paint: Paint) -> String {
    let word = state.word();
    let padded = format!("{word:<13}");
    match state {
        WatchState::Idle if converged => paint.good(&padded),
        WatchState::Idle => padded,
        WatchState::Settling | WatchState::Splaying | WatchState::Waiting | WatchState::Running => {
            paint.busy(&padded)
        }
        WatchState::Paused => paint.faint(&padded),
        WatchState::Retrying
        | WatchState::Stopped
        | WatchState::Held
        | WatchState::Failed
        | WatchState::Unreachable => paint.bad(&padded),
    }
}

/// The daemon, its stores, files with problems, and a line a watch.
fn table(status: &Status, now: jiff::Timestamp, paint: Paint) -> String {
    let mut text = String::new();
    let daemon = &status.daemon;
    let _ = writeln!(
        text,
        "twitcher {} on {}, process {}, up {}",
        daemon.version,
        daemon.host,
        daemon.pid,
        span(seconds_between(daemon.started, now))
    );
    for complaint in &daemon.complaints {
        let _ = writeln!(text, "{}", paint.bad(&format!("! {complaint}")));
    }
    for store in &status.stores {
        let since = span(seconds_between(store.since, now));
        let word = match store.state {
            StoreState::Connected => paint.good("connected"),
            StoreState::Connecting => paint.busy("connecting"),
            StoreState::Down => paint.bad("down"),
        };
        let _ = write!(text, "store {} {word} for {since}  {}", store.name, paint.faint(&store.url));
        if let Some(error) = &store.error {
            let _ = write!(text, "  {error}");
        }
        text.push('\n');
    }
    for file in &status.files {
        let word = match file.state {
            FileState::Loaded => continue,
            FileState::Broken => "broken",
            FileState::Refused => "refused",
        };
        let _ = writeln!(text, "{} {}", paint.bad(&format!("file {word}")), file.path);
        for problem in &file.problems {
            let _ = writeln!(text, "  {problem}");
        }
    }
    if status.watches.is_empty() {
        text.push_str("no watches: put a .toml file into the configuration directory\n");
        return text;
    }
    let width = status.watches.iter().map(|watch| watch.name.chars().count()).max().unwrap_or(0).max(5);
    let _ = writeln!(
        text,
        "\n  {:<width$}  {:<13}{:<12}{:<30}{:<10}KEY",
        "WATCH", "STATE", "VERSION", "LAST RUN", "VERIFIED"
    );
    for watch in &status.watches {
        let _ = writeln!(
            text,
            "{} {:<width$}  {}{:<12}{:<30}{:<10}{}",
            if watch.converged { paint.good("✓") } else { paint.faint("·") },
            watch.name,
            state_word(watch.state, watch.converged, paint),
            short(watch.version.as_deref().unwrap_or("-"), 11),
            last_run(watch, now),
            watch
                .verified_seconds
                .map_or_else(|| "never".to_owned(), |seconds| format!("{} ago", span(seconds))),
            watch.key
        );
    }
    text
}

/// Everything of the watches in the answer.
fn details(status: &Status, now: jiff::Timestamp, paint: Paint) -> String {
    let mut text = String::new();
    for watch in &status.watches {
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(text, "{label:<12}{value}");
        };
        line("watch", &watch.name);
        if !watch.description.is_empty() {
            line("about", &watch.description);
        }
        line("state", state_word(watch.state, watch.converged, paint).trim_end());
        line("converged", if watch.converged { "yes: the newest state was applied" } else { "no" });
        line("key", &format!("{} ({}) in store {}", watch.key, watch.watch_type, watch.store));
        line("file", &watch.file);
        line("version", watch.version.as_deref().unwrap_or("none seen"));
        line("applied", watch.applied.as_deref().unwrap_or("none"));
        let verified =
            watch.verified_seconds.map_or_else(|| "never".to_owned(), |s| format!("{} ago", span(s)));
        line("verified", &verified);
        if let Some(error) = &watch.error {
            line("error", error);
        }
        if let Some(guard) = &watch.guard {
            line("guard", guard);
        }
        for run in &watch.running {
            let since = span(seconds_between(run.started, now));
            line(
                "running",
                &format!("{}: process {}, version {}, for {since}", run.run, run.pid, run.version),
            );
        }
        line("runs", &format!("{}, {} of them not succeeded", watch.runs, watch.failures));
        line("last run", last_run(watch, now).trim_end());
    }
    text
}

fn last_run(watch: &WatchStatus, now: jiff::Timestamp) -> String {
    let Some(last) = &watch.last else { return "none".to_owned() };
    let ago = span(seconds_between(last.started, now));
    let code = match (last.exit_code, last.signal) {
        (Some(code), _) if last.outcome == "failed" => format!(" ({code})"),
        (_, Some(signal)) => format!(" (signal {signal})"),
        (_, None) => String::new(),
    };
    format!("{}{code} {ago} ago in {}", last.outcome, span(last.seconds))
}

fn seconds_between(from: jiff::Timestamp, to: jiff::Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

fn short(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        text.to_owned()
    } else {
        text.chars().take(width - 1).chain(['…']).collect()
    }
}

/// A span of time in at most six characters: `12ms`, `3.4s`, `5m`, `2h`, `9d`.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        s if s < 0.9995 => format!("{:.0}ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.1}s"),
        s if s < 120.0 => format!("{s:.0}s"),
        s if s < 7200.0 => format!("{:.0}m", (s / 60.0).floor()),
        s if s < 172_800.0 => format!("{:.0}h", (s / 3600.0).floor()),
        s => format!("{:.0}d", (s / 86400.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Status {
        let text = r#"{
          "daemon": {"version": "0.1.0", "pid": 12, "host": "web-17", "started": "2026-01-01T00:00:00Z"},
          "stores": [{"name": "main", "url": "etcd://e1:2379", "state": "down", "since": "2026-01-01T00:59:00Z", "error": "connect to e1:2379: refused"}],
          "files": [{"path": "/etc/twitcher/a.toml", "state": "broken", "problems": ["a.toml:3:1: unknown field `actoin`"]}],
          "watches": [
            {"name": "git", "file": "git.toml", "store": "main", "key": "/git/head", "watch_type": "data", "state": "idle",
             "version": "1042", "applied": "1042", "converged": true, "verified_seconds": 12.0, "running": [], "runs": 3, "failures": 0,
             "last": {"run": "r-1", "reason": "change", "version": "1042", "attempt": 1, "coalesced": 1, "started": "2026-01-01T00:58:00Z",
                      "seconds": 0.8, "outcome": "succeeded", "exit_code": 0, "signal": null, "output": "ok"}},
            {"name": "nginx", "file": "nginx.toml", "store": "main", "key": "/nginx", "watch_type": "tree", "state": "unreachable",
             "version": null, "applied": null, "converged": false, "verified_seconds": null, "running": [], "runs": 0, "failures": 0, "last": null}]}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_table_is_readable() {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        insta::assert_snapshot!(table(&sample(), now, Paint(false)), @r"
        twitcher 0.1.0 on web-17, process 12, up 60m
        store main down for 60s  etcd://e1:2379  connect to e1:2379: refused
        file broken /etc/twitcher/a.toml
          a.toml:3:1: unknown field `actoin`

          WATCH  STATE        VERSION     LAST RUN                      VERIFIED  KEY
        ✓ git    idle         1042        succeeded 2m ago in 800ms     12s ago   /git/head
        · nginx  unreachable  -           none                          never     /nginx
        ");
    }

    #[test]
    fn spans_are_short() {
        let shown: Vec<String> = [0.0, 0.0123, 0.9999, 1.0, 9.95, 59.0, 3600.0, 9000.0, 1e6].map(span).into();
        assert_eq!(shown, ["0ms", "12ms", "1.0s", "1.0s", "9.9s", "59s", "60m", "2h", "11d"]);
    }
}
