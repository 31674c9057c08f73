//! Everything known about one watch.

use std::fmt::Write;

use super::super::columns::folded;
use super::super::paint::Paint;
use super::super::span::{local, span, spent};
use super::table::last_run;
use super::urgency::Urgency;
use crate::log::escape;
use crate::status::{WatchState, WatchStatus};

/// The column of the labels.
const LABEL: usize = 12;
/// How many lines of a script or of the last output are shown.
const LINES: usize = 10;

pub(super) fn details(
    watch: &WatchStatus,
    now: jiff::Timestamp,
    width: Option<usize>,
    paint: Paint,
) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        let room = width.map(|width| width.saturating_sub(LABEL).max(8));
        for (at, part) in folded(&escape::line(value.as_bytes()), room, 0).iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            let _ = writeln!(text, "{label:<LABEL$}{part}");
        }
    };
    line("watch", &watch.name);
    if !watch.description.is_empty() {
        line("about", &watch.description);
    }
    let condition = Urgency::of(watch);
    line("state", &format!("{} {}", condition.mark(), watch.state.word()));
    line("converged", converged(watch));
    if watch.state == WatchState::Paused {
        let until = watch.paused_until.map_or_else(
            || format!("until `twitcher resume {}`", watch.name),
            |until| format!("until {} (in {})", local(until), span(spent(now, until))),
        );
        line("paused", &until);
    }
    if let Some(at) = watch.next_retry {
        line("next retry", &format!("{} (in {})", local(at), span(spent(now, at))));
    }
    line("key", &format!("{} ({}) in store {}", watch.key, watch.watch_type, watch.store));
    line("file", &watch.file);
    for (at, part) in bounded(&watch.action, false).iter().enumerate() {
        line(if at == 0 { "action" } else { "" }, part);
    }
    if !watch.user.is_empty() {
        line("user", &watch.user);
    }
    line("version", watch.version.as_deref().unwrap_or("none seen"));
    line("applied", watch.applied.as_deref().unwrap_or("none"));
    let verified = watch.verified_seconds.map_or_else(|| "never".to_owned(), |s| format!("{} ago", span(s)));
    line("verified", &verified);
    if let Some(error) = &watch.error {
        line("error", error);
    }
    if let Some(guard) = &watch.guard {
        line("guard", guard);
    }
    if let Some(prevented) = &watch.prevented {
        line("prevented", prevented);
    }
    for run in &watch.running {
        let since = span(spent(run.started, now));
        line("running", &format!("{}: process {}, version {}, for {since}", run.run, run.pid, run.version));
    }
    line("runs", &format!("{}, {} failed", watch.runs, watch.failures));
    line("last run", &last_run(watch, now));
    if let Some(last) = watch.last.as_ref().filter(|last| !last.output.is_empty()) {
        for (at, part) in bounded(&last.output, true).iter().enumerate() {
            line(if at == 0 { "output" } else { "" }, part);
        }
    }
    // The state is coloured last, because escapes would count as columns.
    let state = format!("{} {}", condition.mark(), watch.state.word());
    text.replacen(&state, &condition.paint(&state, paint), 1)
}

fn converged(watch: &WatchStatus) -> &'static str {
    match (watch.converged, watch.unreachable, watch.held, watch.gave_up) {
        (true, _, _, _) => "yes: the newest state was applied",
        (false, true, _, _) => "no: the store does not prove what is there now",
        (false, false, true, _) => "no: a guard holds the newest state back",
        (false, false, false, true) => "no: the last retry failed",
        (false, false, false, false) => "no",
    }
}

/// The first or the last lines of a text, and how many are missing.
fn bounded(text: &str, end: bool) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let missing = lines.len().saturating_sub(LINES);
    if missing == 0 {
        return lines.into_iter().map(str::to_owned).collect();
    }
    let note = format!("… {missing} {} more", if missing == 1 { "line" } else { "lines" });
    let kept = if end { &lines[missing..] } else { &lines[..LINES] };
    let kept = kept.iter().map(|line| (*line).to_owned());
    if end {
        std::iter::once(note).chain(kept).collect()
    } else {
        kept.chain(std::iter::once(note)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::watch;
    use super::*;

    #[test]
    fn one_watch_is_told_in_full() {
        let mut watch = watch("git", WatchState::Retrying, false);
        watch.action = "git -C /srv/app pull --ff-only".to_owned();
        watch.user = "deploy".to_owned();
        let now: jiff::Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        watch.next_retry = now.checked_add(jiff::SignedDuration::from_secs(7)).ok();
        let text = details(&watch, now, None, Paint(false));
        for part in [
            "state       ↻ retrying\n",
            "action      git -C",
            "user        deploy\n",
            "(in 7.0s)\n",
            "output      ok\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        for width in 24..100 {
            for line in details(&watch, now, Some(width), Paint(false)).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_long_output_is_shown_at_its_end_and_a_long_script_at_its_beginning() {
        let long: String = (1..=12).fold(String::new(), |text, number| text + &format!("{number}\n"));
        assert_eq!(bounded(&long, true)[..2], ["… 2 lines more", "3"]);
        assert_eq!(bounded(&long, false)[9..], ["10", "… 2 lines more"]);
        assert_eq!(bounded("a", true), ["a"]);
    }
}
