//! `twitcher fleet status`: all groups of a store, or one in full.

use std::fmt::Write;
use std::io::{IsTerminal, Write as _};

use clap::ColorChoice;
use clap_complete::ArgValueCandidates;

use unicode_width::UnicodeWidthStr as _;

use super::super::columns::{self, cut, folded};
use super::super::paint::Paint;
use super::super::span::{span, spent};
use super::super::stores::StoreChoice;
use super::super::{Common, Failure, complete, print};
use super::group::FleetStore;
use super::screen;
use crate::fleet::report::{GroupStatus, word};
use crate::log::escape;

/// Show the progress of the groups of a fleet
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A group, or the key that it watches; without it, all groups
    #[arg(add = ArgValueCandidates::new(complete::groups))]
    group: Option<String>,
    /// Keep the screen up to date until q or Ctrl-C: one group fills it, with a bar for each wave; with --json, print
    /// one object a line
    #[arg(short, long)]
    follow: bool,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreChoice,
}

/// Reads and prints.
pub(super) async fn run(args: Args, common: &Common) -> Result<(), Failure> {
    let place = FleetStore::open(&args.store, common).await?;
    if args.follow {
        let followed = follow(&args, common, &place).await;
        place.close().await;
        return followed;
    }
    let text = text(&args, common.color, &place).await;
    place.close().await;
    print(&text?)
}

/// On a terminal, shows one group on the full screen, also where it is the only one of the store. Otherwise prints the
/// text again whenever it has changed.
async fn follow(args: &Args, common: &Common, place: &FleetStore) -> Result<(), Failure> {
    let is_screen = std::io::stdout().is_terminal() && !args.json;
    if is_screen {
        let group = if let Some(named) = &args.group {
            Some(place.picture(named).await?.name)
        } else {
            let mut groups = place.groups().await?;
            groups.pop().filter(|_| groups.is_empty())
        };
        if let Some(group) = group {
            return screen::run(place, &group, common).await;
        }
    }
    let mut last = String::new();
    loop {
        let text = match text(args, common.color, place).await {
            Ok(text) => text,
            // The store may come back.
            Err(failure) if is_screen => format!("{failure}\n"),
            Err(failure) => return Err(failure),
        };
        if text != last {
            if is_screen {
                let text = text.replace('\n', "\x1b[K\n");
                print(&format!("\x1b[H{text}\x1b[J"))?;
            } else {
                print(&text)?;
            }
            let _ = std::io::stdout().flush();
            last = text;
        }
        tokio::time::sleep(screen::BEAT).await;
    }
}

async fn text(args: &Args, color: ColorChoice, place: &FleetStore) -> Result<String, Failure> {
    let store = place.spec.name.as_str();
    let (now, width, paint) = (jiff::Timestamp::now(), columns::width(), Paint::for_stdout(color));
    if let Some(group) = &args.group {
        let status = place.picture(group).await?.status(store);
        return Ok(if args.json { json(&status) } else { one(&status, now, width, paint) });
    }
    let mut all = Vec::new();
    for group in place.groups().await? {
        all.extend(place.read(&group).await?.map(|picture| picture.status(store)));
    }
    if args.json {
        return Ok(json(&serde_json::json!({ "groups": all })));
    }
    if all.is_empty() {
        return Ok(format!("no group of a fleet is in store {store}\n"));
    }
    Ok(all.iter().map(|status| row(status, now, width)).collect())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

fn name(text: &str) -> String {
    escape::line(text.as_bytes())
}

/// One of many groups, in a line.
fn row(status: &GroupStatus, now: jiff::Timestamp, width: Option<usize>) -> String {
    let version = status.version.as_deref().unwrap_or("-");
    let since = status.since.map(|since| format!(" for {}", span(spent(since, now)))).unwrap_or_default();
    let bad =
        if status.hosts.failed > 0 { format!(", {} failed", status.hosts.failed) } else { String::new() };
    let line = format!(
        "{}  {}{since}, version {version}: {} of {} converged{bad}",
        name(&status.group),
        status.state,
        status.hosts.converged,
        status.hosts.members
    );
    cut(line, width.unwrap_or(usize::MAX)) + "\n"
}

/// A group in full.
pub(super) fn one(status: &GroupStatus, now: jiff::Timestamp, width: Option<usize>, paint: Paint) -> String {
    let mut text = String::new();
    let ago = |at| span(spent(at, now));
    let key = status.key.as_deref().map(name).unwrap_or_default();
    let version =
        status.version.as_deref().map_or_else(|| "no version yet".to_owned(), |v| format!("version {v}"));
    let since = status.started.map(|at| format!(", since {}", ago(at))).unwrap_or_default();
    text +=
        &pair(&format!("{}  {} {key}", name(&status.group), name(&status.store)), &(version + &since), width);
    let wave = match status.wave {
        Some(wave) if wave.number > 0 && wave.number == wave.of => {
            format!(", wave {} of {} (all)", wave.number, wave.of)
        }
        Some(wave) if wave.number > 0 => format!(", wave {} of {} ({})", wave.number, wave.of, wave.target),
        Some(_) | None => String::new(),
    };
    let hosts = &status.hosts;
    let conductor = status.conductor.as_ref().map_or_else(
        || "nobody conducts".to_owned(),
        |conductor| format!("conductor {}", name(&conductor.host)),
    );
    let state = format!("{}{wave}: {} of {} converged", status.state, hosts.converged, hosts.members);
    text += &pair(&state, &conductor, width);
    let mut fold = |line: &str, indent: usize, bad: bool| {
        for line in folded(line, width, indent) {
            let _ = writeln!(text, "{}", if bad { paint.bad(&line) } else { line });
        }
    };
    if let Some(why) = &status.why {
        fold(&format!("  {}", name(why)), 4, true);
    }
    let of = status.permits.limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
    let silent = if hosts.silent > 0 { format!(" ({} silent)", hosts.silent) } else { String::new() };
    let mut counts = format!(
        "  acting {}{of}   asking {}   behind {}{silent}   failed {}",
        hosts.acting, hosts.asking, hosts.behind, hosts.failed
    );
    for (word, count) in [("conflict", hosts.conflict), ("down", hosts.down), ("over", hosts.over)] {
        if count > 0 {
            let _ = write!(counts, "   {word} {count}");
        }
    }
    fold(&counts, 4, false);
    if let Some(terms) = terms(status) {
        fold(&format!("  terms: {terms}"), 4, false);
    }
    for failure in status.failures.iter().take(5) {
        let code = failure.exit_code.map(|code| format!("exit code {code}, ")).unwrap_or_default();
        let what = word(&failure.outcome);
        let host = name(&failure.host);
        fold(
            &format!("{what}  {host}   {code}attempt {}, {} ago", failure.attempt, ago(failure.at)),
            8,
            true,
        );
    }
    if status.failures.len() > 5 {
        fold(&format!("and more: `twitcher fleet hosts {} --state failed`", name(&status.group)), 8, true);
    }
    if !status.silent.is_empty() {
        let named: Vec<String> = status.silent.iter().take(10).map(|silent| name(&silent.host)).collect();
        let oldest = status.silent.iter().filter_map(|silent| silent.since).min();
        let seen = oldest.map(|at| format!("   since {}", ago(at))).unwrap_or_default();
        fold(&format!("silent  {}{seen}", named.join(", ")), 8, false);
    }
    for twin in &status.name_conflicts {
        fold(&format!("name    {} is also claimed by {}", name(&twin.host), name(&twin.machine)), 8, true);
    }
    if !status.rollouts.is_empty() {
        let before: Vec<String> = status
            .rollouts
            .iter()
            .map(|past| {
                #[expect(clippy::cast_precision_loss, reason = "shown in two digits")]
                let took = span(past.seconds as f64);
                format!("{} {} after {took}", past.version, word(&past.result))
            })
            .collect();
        fold(&format!("before  {}", before.join(" · ")), 8, false);
    }
    text
}

/// The terms in force, and who says something else.
fn terms(status: &GroupStatus) -> Option<String> {
    let terms = serde_json::to_value(status.terms.as_ref()?).ok()?;
    let spelled =
        |field: &str| terms.get(field).map(|value| value.to_string().replace('"', "")).unwrap_or_default();
    let failures = spelled("stop_on_failures");
    let failures = if failures == "1" { "1 failure".to_owned() } else { format!("{failures} failures") };
    let mut text = format!("max_parallel {}", spelled("max_parallel"));
    if status.permits.limit.is_some() {
        let _ = write!(text, " · stop at {failures} · soak {}", spelled("soak"));
    }
    if let Some(disagreement) = status.disagreement(name) {
        let _ = write!(text, " · {disagreement}");
    }
    Some(text)
}

/// Two texts at the ends of a line, or in two where they do not fit.
fn pair(left: &str, right: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return format!("{left}   {right}\n") };
    let used = left.width() + right.width();
    if used + 3 <= width {
        return format!("{left}{}{right}\n", " ".repeat((width.min(100).max(used + 3)) - used));
    }
    let lines = folded(left, Some(width), 2).into_iter().chain(folded(&format!("  {right}"), Some(width), 2));
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::record::{Counts, FailureKind, PastResult};
    use crate::fleet::report::{
        ConductorStatus, Disagreement, FailureStatus, PastStatus, PermitsStatus, SilentStatus, TwinStatus,
        WaveStatus,
    };
    use crate::fleet::terms::{Field, Terms};

    fn at(seconds: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn sample() -> GroupStatus {
        GroupStatus {
            group: "git".to_owned(),
            store: "main".to_owned(),
            key: Some("/git/head".to_owned()),
            version: Some("1042".to_owned()),
            state: "rolling",
            since: Some(at(-60)),
            started: Some(at(-252)),
            conductor: Some(ConductorStatus { host: "web-07".to_owned(), since: at(-9999) }),
            wave: Some(WaveStatus { number: 3, of: 3, target: 1000 }),
            permits: PermitsStatus { held: 10, limit: Some(10) },
            hosts: Counts {
                members: 1000,
                converged: 412,
                acting: 10,
                asking: 570,
                behind: 7,
                failed: 1,
                silent: 4,
                over: 1,
                ..Counts::default()
            },
            converged: false,
            terms: Some(Terms::default()),
            disagree: vec![Disagreement { host: "web-31".to_owned(), field: Field::MaxParallel }],
            failures: vec![FailureStatus {
                host: "web-31\x1b[2J".to_owned(),
                outcome: FailureKind::Failed,
                exit_code: Some(1),
                attempt: 4,
                at: at(-130),
            }],
            silent: vec![SilentStatus { host: "db-3".to_owned(), since: Some(at(-9000)) }],
            name_conflicts: vec![TwinStatus {
                host: "web-1".to_owned(),
                machine: "m2".to_owned(),
                since: at(-5),
            }],
            rollouts: vec![PastStatus {
                version: "1041".to_owned(),
                result: PastResult::Done,
                converged: 1000,
                seconds: 660,
            }],
            why: Some("web-31 is silent and may still run: it counts as failed until it is back".to_owned()),
        }
    }

    #[test]
    fn a_group_is_shown_as_the_contract_has_it() {
        insta::assert_snapshot!(one(&sample(), at(0), Some(80), Paint(false)), @r"
    git  main /git/head                                       version 1042, since 4m
    rolling, wave 3 of 3 (all): 412 of 1000 converged               conductor web-07
      web-31 is silent and may still run: it counts as failed until it is back
      acting 10 of 10   asking 570   behind 7 (4 silent)   failed 1   over 1
      terms: max_parallel 1 · stop at 1 failure · soak 0s · web-31 has another
        max_parallel
    failed  web-31\x1b[2J   exit code 1, attempt 4, 2m ago
    silent  db-3   since 2h
    name    web-1 is also claimed by m2
    before  1041 done after 11m
    ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_name_steers_it() {
        for width in [40, 80, 200] {
            let text = one(&sample(), at(0), Some(width), Paint(false));
            for line in text.lines() {
                assert!(line.width() <= width, "{width}: {line:?}");
            }
            assert!(!text.contains('\x1b'), "{text:?}");
            assert!(row(&sample(), at(0), Some(width)).trim_end().width() <= width);
        }
    }
}
