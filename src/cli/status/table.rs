//! The status of many watches: a summary line, problems beside them, and a line for each watch.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr as _;

use super::super::columns::{cut, filled, folded};
use super::super::paint::Paint;
use super::super::span::{span, spent};
use super::urgency::Urgency;
use crate::log::escape;
use crate::status::{FileState, Status, StoreState, WatchStatus, counted};

/// The columns after the mark, in order.
const TITLES: [&str; 6] = ["WATCH", "STATE", "VERSION", "LAST RUN", "VERIFIED", "KEY"];
/// A column with less room than this is omitted.
const LEAST: [usize; TITLES.len()] = [8, 11, 7, 9, 8, 8];
/// The order in which columns get room.
const WORTH: [usize; TITLES.len()] = [0, 1, 3, 5, 2, 4];
/// The mark and the space after it.
const MARK: usize = 2;
/// Between two columns.
const GAP: usize = 2;

/// The output without named watches.
pub(super) fn table(
    status: &Status,
    failed: bool,
    now: jiff::Timestamp,
    width: Option<usize>,
    paint: Paint,
) -> String {
    let mut text = String::new();
    let mut fold = |line: &str, indent, bad: bool| {
        for line in folded(&escape::line(line.as_bytes()), width, indent) {
            let _ = writeln!(text, "{}", if bad { paint.bad(&line) } else { line });
        }
    };
    fold(&summary(status, now), 2, false);
    let daemon = &status.daemon;
    for complaint in &daemon.complaints {
        fold(&format!("! {complaint}"), 2, true);
    }
    for store in status.stores.iter().filter(|store| store.state != StoreState::Connected) {
        let error = store.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let since = span(spent(store.since, now));
        let line = format!("! store {} {} for {since}, {}{error}", store.name, store.state.word(), store.url);
        fold(&line, 2, true);
    }
    for file in &status.files {
        let word = match file.state {
            FileState::Loaded => continue,
            // A complaint counts these watches; the reason is not that of the file.
            FileState::Refused if file.problems.len() == file.not_loaded.len() => continue,
            FileState::Broken => "broken",
            FileState::Refused => "refused",
        };
        let untold: Vec<&str> =
            file.problems.iter().filter_map(|problem| untold(problem, &daemon.complaints)).collect();
        if untold.is_empty() && !file.problems.is_empty() {
            continue;
        }
        fold(&format!("! file {word}: {}", file.path), 2, true);
        for problem in untold {
            fold(&format!("  {problem}"), 4, false);
        }
    }
    if status.watches.is_empty() {
        let none = if failed {
            "no watch has failed, is stopped, retrying or unreachable"
        } else {
            "put a .toml file into the configuration directory to watch a key"
        };
        fold(none, 2, false);
        return text;
    }
    text.push('\n');
    text.push_str(&rows(&status.watches, now, width, paint));
    text.push('\n');
    let up = span(spent(daemon.started, now));
    let about = format!("twitcher {} on {}, process {}, up {up}", daemon.version, daemon.host, daemon.pid);
    for line in folded(&about, width, 2) {
        let _ = writeln!(text, "{}", paint.faint(&line));
    }
    text
}

/// What is left of a problem that a complaint quotes: nothing, or its help in brackets.
fn untold<'a>(problem: &'a str, complaints: &[String]) -> Option<&'a str> {
    let is_told = |text: &str| complaints.iter().any(|complaint| complaint.contains(text));
    if is_told(problem) {
        return None;
    }
    let mut ends = problem.rmatch_indices(" (").map(|(end, _)| end);
    let quoted = ends.find(|end| problem.ends_with(')') && is_told(&problem[..*end]));
    Some(quoted.map_or(problem, |end| problem[end..].trim_start()))
}

/// The number of watches in each condition, and other problems: one line without its end.
pub(super) fn summary(status: &Status, now: jiff::Timestamp) -> String {
    let total = status.watches.iter().filter(|watch| Urgency::of(watch) != Urgency::Disabled).count();
    let mut parts = Vec::new();
    // The good ones come first here, so that the reader knows at once whether to read on.
    let ok_first = Urgency::ALL.into_iter().filter(|condition| *condition != Urgency::Ok);
    for condition in std::iter::once(Urgency::Ok).chain(ok_first) {
        let count = status.watches.iter().filter(|watch| Urgency::of(watch) == condition).count();
        if count > 0 && condition != Urgency::Disabled {
            parts.push(format!("{count} {}", condition.word()));
        }
    }
    let mut text = match total {
        0 => "no watches".to_owned(),
        _ => format!("{}: {}", counted(total, "watch", "watches"), parts.join(", ")),
    };
    for (word, state) in [("broken", FileState::Broken), ("refused", FileState::Refused)] {
        let count = status.files.iter().filter(|file| file.state == state).count();
        if count > 0 {
            let _ = write!(text, " · {count} {} {word}", if count == 1 { "file" } else { "files" });
        }
    }
    for store in status.stores.iter().filter(|store| store.state != StoreState::Connected) {
        let _ =
            write!(text, " · store {} {} {}", store.name, store.state.word(), span(spent(store.since, now)));
    }
    text
}

/// A title and a line for each watch, the most urgent first.
fn rows(watches: &[WatchStatus], now: jiff::Timestamp, width: Option<usize>, paint: Paint) -> String {
    let mut rows: Vec<(Urgency, [String; TITLES.len()])> =
        watches.iter().map(|watch| (Urgency::of(watch), cells(watch, now))).collect();
    rows.sort_by(|(one, this), (other, that)| one.cmp(other).then_with(|| this[0].cmp(&that[0])));
    let mut natural = TITLES.map(str::len);
    for (_, cells) in &rows {
        for (natural, cell) in natural.iter_mut().zip(cells) {
            *natural = (*natural).max(cell.width());
        }
    }
    let widths = fit(natural, width);
    let mut text = format!("{}\n", line(" ", &TITLES.map(str::to_owned), widths, |_, cell| cell));
    for (condition, cells) in &rows {
        let mark = condition.paint(condition.mark(), paint);
        let colour = |column, cell: String| if column == 1 { condition.paint(&cell, paint) } else { cell };
        let _ = writeln!(text, "{}", line(&mark, cells, widths, colour));
    }
    text
}

/// The width of each column; 0 if there is no room for it.
fn fit(natural: [usize; TITLES.len()], width: Option<usize>) -> [usize; TITLES.len()] {
    let Some(width) = width else { return natural };
    let mut widths = [0; TITLES.len()];
    let mut left = width.saturating_sub(MARK);
    for column in WORTH {
        let least = natural[column].min(LEAST[column]);
        let gap = if column == 0 { 0 } else { GAP };
        if gap + least > left {
            // The first column is always shown, however narrow.
            widths[0] = widths[0].max(left.min(natural[0]) * usize::from(column == 0));
            break;
        }
        widths[column] = least;
        left -= gap + least;
    }
    for column in WORTH.into_iter().filter(|column| widths[*column] > 0).collect::<Vec<_>>() {
        let more = (natural[column] - widths[column]).min(left);
        widths[column] += more;
        left -= more;
    }
    widths
}

fn line(
    mark: &str,
    cells: &[String; TITLES.len()],
    widths: [usize; TITLES.len()],
    colour: impl Fn(usize, String) -> String,
) -> String {
    let last = widths.iter().rposition(|width| *width > 0).unwrap_or(0);
    let mut text = format!("{mark} ");
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate().filter(|(_, (_, width))| *width > 0) {
        let cell = if column == last { cut(cell.clone(), width) } else { filled(cell.clone(), width) };
        text.push_str(&colour(column, cell));
        if column != last {
            text.push_str(&" ".repeat(GAP));
        }
    }
    text.trim_end().to_owned()
}

fn cells(watch: &WatchStatus, now: jiff::Timestamp) -> [String; TITLES.len()] {
    let version = watch.version.as_deref().unwrap_or("-");
    // The beginning of a hash is enough to compare by eye.
    let version = if version.len() > 20 { version.get(..8).unwrap_or(version) } else { version };
    [
        watch.name.clone(),
        watch.state.word().to_owned(),
        version.to_owned(),
        last_run(watch, now),
        watch.verified_seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{} ago", span(seconds))),
        escape::line(watch.key.as_bytes()),
    ]
}

/// How the last run ended, in a few words.
pub(super) fn last_run(watch: &WatchStatus, now: jiff::Timestamp) -> String {
    let Some(last) = &watch.last else { return "none".to_owned() };
    let ago = span(spent(last.started, now));
    let code = match (last.exit_code, last.signal) {
        (Some(code), _) if last.outcome == "failed" => format!(" ({code})"),
        (_, Some(signal)) => format!(" (signal {signal})"),
        (_, None) => String::new(),
    };
    format!("{}{code} {ago} ago in {}", last.outcome.replace('_', " "), span(last.seconds))
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;
    use crate::status::WatchState;

    pub(in crate::cli) fn sample() -> Status {
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

    pub(in crate::cli) fn watch(name: &str, state: WatchState, converged: bool) -> WatchStatus {
        let one = sample().watches.swap_remove(0);
        let gave_up = matches!(state, WatchState::Failed | WatchState::Stopped);
        let (unreachable, held) = (state == WatchState::Unreachable, state == WatchState::Held);
        WatchStatus { name: name.to_owned(), state, converged, gave_up, unreachable, held, ..one }
    }

    fn now() -> jiff::Timestamp {
        "2026-01-01T01:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_table_is_readable() {
        insta::assert_snapshot!(table(&sample(), false, now(), None, Paint(false)), @r"
        2 watches: 1 ok, 1 UNREACHABLE · 1 file broken · store main down 60s
        ! store main down for 60s, etcd://e1:2379: connect to e1:2379: refused
        ! file broken: /etc/twitcher/a.toml
          a.toml:3:1: unknown field `actoin`

          WATCH  STATE        VERSION  LAST RUN                   VERIFIED  KEY
        ! nginx  unreachable  -        none                       never     /nginx
        ✓ git    idle         1042     succeeded 2m ago in 800ms  12s ago   /git/head

        twitcher 0.1.0 on web-17, process 12, up 60m
        ");
    }

    #[test]
    fn a_problem_that_a_complaint_quotes_is_told_once() {
        let mut status = sample();
        let problem = "a.toml:3:1: unknown field `actoin`";
        status.daemon.complaints.push(format!("a.toml has errors ({problem}): nothing is loaded"));
        let lines = |status: &Status| {
            let text = table(status, false, now(), None, Paint(false));
            text.lines()
                .filter(|line| line.contains("a.toml") || line.starts_with("  "))
                .take(3)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert!(!lines(&status).iter().any(|line| line.contains("file broken")), "{:?}", lines(&status));
        status.files[0].problems = vec![format!("{problem} (`action`?)"), "a.toml:9:1: another".to_owned()];
        let told = lines(&status);
        assert_eq!(told[1..], ["! file broken: /etc/twitcher/a.toml", "  (`action`?)"], "{told:?}");
        assert!(table(&status, false, now(), None, Paint(false)).contains("\n  a.toml:9:1: another\n"));
    }

    #[test]
    fn what_needs_attention_comes_first() {
        let states = [
            WatchState::Idle,
            WatchState::Running,
            WatchState::Paused,
            WatchState::Retrying,
            WatchState::Held,
            WatchState::Stopped,
            WatchState::Failed,
        ];
        let watches: Vec<WatchStatus> =
            states.iter().map(|state| watch(state.word(), *state, *state == WatchState::Idle)).collect();
        let text = rows(&watches, now(), None, Paint(false));
        let first: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split("  ").next()).collect();
        assert_eq!(
            first,
            ["✗ failed", "✗ stopped", "⊘ held", "↻ retrying", "‖ paused", "▸ running", "✓ idle"]
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_column_runs_into_the_next() {
        let mut status = sample();
        status
            .daemon
            .complaints
            .push("cannot write the ledger /var/lib/twitcher/ledger: No space left".into());
        status.watches.push(watch("a-watch-with-quite-a-long-name-日本語", WatchState::Settling, false));
        for width in 12..220 {
            let text = table(&status, false, now(), Some(width), Paint(false));
            for line in text.lines() {
                assert!(line.width() <= width, "{width}: {line:?}");
            }
            let title = text.lines().find(|line| line.contains("WATCH")).unwrap();
            let starts: Vec<usize> = TITLES.iter().filter_map(|name| title.find(name)).collect();
            let row = text.lines().find(|line| line.starts_with('✓')).unwrap();
            let row: Vec<char> = row.chars().collect();
            for start in starts.iter().skip(1) {
                assert!(row.get(start - 1).is_none_or(|space| *space == ' '), "{width}: {text}");
            }
        }
        let narrow = table(&status, false, now(), Some(40), Paint(false));
        assert!(narrow.contains("unreachable") && narrow.contains("nginx"), "{narrow}");
    }

    #[test]
    fn the_summary_counts_everything() {
        let mut status = sample();
        status.watches.push(watch("a", WatchState::Failed, false));
        status.watches.push(watch("b", WatchState::Disabled, false));
        let text = summary(&status, now());
        assert_eq!(text, "3 watches: 1 ok, 1 FAILED, 1 UNREACHABLE · 1 file broken · store main down 60s");
    }
}
