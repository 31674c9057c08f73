//! The manual pages of section 7: what programs read.

use std::collections::BTreeMap;

use clap_mangen::roff::{Roff, bold, roman};

use super::commands::section;
use super::manual::{VERSION, date};
use crate::metrics::fleet::{Conducted, Membership};
use crate::metrics::{self, Own};
use crate::status::{DaemonStatus, FleetStatus, Status, StoreState, StoreStatus, WatchState, WatchStatus};
use crate::watch::{Reason, RunId, RunRecord};

fn start(name: &str, what: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", [name, "7", date(), VERSION, "Twitcher"]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{name} - {what}"))]);
    page
}

/// twitcher-metrics(7), out of the metrics themselves.
pub(super) fn metrics() -> String {
    let mut page = start("twitcher-metrics", "the metrics of twitcher for Prometheus");
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "If http_listen is set in twitcher.conf(5), the daemon serves /metrics on that address in the text format of \
         Prometheus, /healthz (200 while it lives) and /readyz (200 while all stores are connected).",
    )]);
    page.control("SH", ["METRICS"]);
    let text = metrics::render(&sample(), &Own::default(), &[membership()]);
    for help in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, about) = help.split_once(' ').unwrap_or((help, ""));
        let kind =
            text.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap_or_default();
        page.control("TP", []);
        page.text([bold(name), roman(format!("{} ({kind})", labels(&text, name)))]);
        page.text([roman(about)]);
    }
    page.control("SH", ["EXAMPLES"]);
    page.text([roman("An alert rule for watches that have not converged for ten minutes:")]);
    page.control("PP", []);
    page.control("nf", []);
    page.text([roman("expr: twitcher_watch_converged == 0\nfor: 10m")]);
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([roman("twitcher(1), twitcher-status(1), twitcher.conf(5), twitcher-fleet(7)")]);
    page.to_roff()
}

/// The labels of a metric, as `{watch, outcome}`.
fn labels(text: &str, name: &str) -> String {
    let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    // The samples of a histogram have names of their own.
    let labelled = of(name).or_else(|| of(&format!("{name}_count")));
    let Some(labels) = labelled.and_then(|rest| rest.split_once('}')).map(|(labels, _)| labels) else {
        return String::new();
    };
    let names: Vec<&str> =
        labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name).collect();
    format!("{{{}}}", names.join(", "))
}

fn membership() -> Membership {
    let conducted = Conducted { hosts: vec![("members", 1)], limit: Some(1), ..Conducted::default() };
    Membership {
        watch: "git".to_owned(),
        store: "main".to_owned(),
        group: "git".to_owned(),
        conducted: Some(conducted),
        ..Membership::default()
    }
}

/// One of everything.
fn sample() -> Status {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let last = RunRecord {
        run: RunId("ledger-1-1".into()),
        reason: Reason::Change,
        version: "1042".to_owned(),
        attempt: 1,
        coalesced: 1,
        started: now,
        seconds: 0.8,
        outcome: "succeeded".to_owned(),
        exit_code: Some(0),
        signal: None,
        output: String::new(),
    };
    let watch = WatchStatus {
        name: "git".to_owned(),
        description: String::new(),
        file: String::new(),
        store: "main".to_owned(),
        key: "/git/head".to_owned(),
        watch_type: "data".to_owned(),
        state: WatchState::Idle,
        version: None,
        applied: None,
        converged: true,
        gave_up: false,
        held: false,
        guard: None,
        prevented: None,
        unreachable: false,
        verified_seconds: Some(12.0),
        error: None,
        action: String::new(),
        user: String::new(),
        next_retry: None,
        paused_until: None,
        running: Vec::new(),
        runs: 1,
        failures: 0,
        outcomes: BTreeMap::new(),
        last: Some(last),
        last_success: Some(now),
        waiting_for_slot: false,
        fleet: Some(FleetStatus { group: "git".to_owned(), ..FleetStatus::default() }),
    };
    let store = StoreStatus {
        name: "main".to_owned(),
        url: String::new(),
        state: StoreState::Connected,
        since: now,
        error: None,
        reconnects: 0,
    };
    let daemon = DaemonStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: 1,
        host: "web-17".to_owned(),
        started: now,
        complaints: Vec::new(),
    };
    Status { daemon, stores: vec![store], files: Vec::new(), watches: vec![watch] }
}

/// twitcher-json(7).
pub(super) fn json() -> String {
    let mut page = start("twitcher-json", "what twitcher's commands print with --json");
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "Each command prints one object on one line; with --follow, one for each change. Fields may be added in any \
         version; none is renamed. Times are in UTC, as in 2026-01-31T08:00:00Z. Text is escaped \
         only as JSON requires.",
    )]);
    for (heading, fields) in JSON {
        section(&mut page, heading, fields);
    }
    page.control("SH", ["EXAMPLES"]);
    page.control("nf", []);
    page.text([roman("twitcher status --json | jq '.watches[] | select(.converged | not) | .name'")]);
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([roman(
        "twitcher(1), twitcher-status(1), twitcher-history(1), twitcher-explain(1), twitcher-reload(1)",
    )]);
    page.to_roff()
}

type Fields = &'static [(&'static str, &'static str)];

const JSON: &[(&str, Fields)] = &[
    (
        "STATUS",
        &[
            (
                "daemon",
                "version, pid, host, started, and complaints: what the daemon cannot do at the moment.",
            ),
            (
                "stores",
                "For each store that a watch uses: name, url, state (connected, connecting or down), since, error, reconnects.",
            ),
            (
                "files",
                "For each file: path, state (loaded, broken or refused), problems, and not_loaded: the names of its watches \
                 that are not loaded, because they need a part of twitcher.conf or local.conf that has errors and no last \
                 valid value.",
            ),
            ("watches", "For each watch, the fields below."),
        ],
    ),
    (
        "STATUS: A WATCH",
        &[
            ("name, description, file, store, key, watch_type, action, user", "As configured."),
            ("state", "One word; see twitcher-status(1)."),
            (
                "version",
                "The newest version that was seen; null before the first, and while the key does not exist.",
            ),
            ("applied", "The version that was last applied, or null."),
            (
                "converged",
                "The newest state of the key was given to a run that succeeded, and the store still proves that it is the newest.",
            ),
            ("held", "A guard holds the newest state back."),
            ("guard", "What the guard says about the newest state, or null."),
            ("gave_up", "The last retry failed."),
            ("unreachable", "The store does not prove the state of the key now."),
            ("verified_seconds", "How long ago the store last proved it; null before the first time."),
            ("error", "Why the watch is unreachable, or null."),
            (
                "prevented",
                "Why the daemon cannot start the action or validate now, for want of a resource of its own (descriptors, processes, memory), or null.",
            ),
            ("next_retry, paused_until", "Times, or null."),
            ("running", "For each live run: run, pid, started, version."),
            ("runs, failures", "How many runs ended, and how many of them did not succeed."),
            ("outcomes", "Ended runs since the daemon started, by outcome."),
            ("last", "The last run that ended, as in the history, or null."),
            ("last_success", "When the last run that succeeded ended, or null."),
            ("waiting_for_slot", "A run waits for its mutex or for a slot of max_processes."),
            (
                "fleet",
                "For a watch that takes part in a fleet: group, permit (none, asked, granted, claiming, held, hold or lost), state and why; otherwise null.",
            ),
        ],
    ),
    (
        "HISTORY",
        &[
            ("watch", "Its name."),
            ("runs", "Its last runs, oldest first; with --follow each on a line of its own."),
            ("run", "The id of the run."),
            ("reason", "load, change, delete, retry, trigger or recovery."),
            (
                "version, attempt, coalesced",
                "What the action got as TWITCHER_VERSION, TWITCHER_ATTEMPT and TWITCHER_COALESCED.",
            ),
            ("started, seconds", "When it began, and how long it took."),
            ("outcome", "succeeded, failed, killed, timed_out, not_started or unknown."),
            ("exit_code, signal", "Numbers, or null."),
            ("output", "The last lines, at most 1 KiB; with --run, at most 64 KiB."),
        ],
    ),
    ("EXPLAIN", &[("watch", "Its name."), ("because", "Sentences, in the order of time.")]),
    (
        "RELOAD",
        &[
            ("added, changed, removed", "Names of watches."),
            ("unchanged", "How many watches did not change."),
            ("settings", "What changed in twitcher.conf, and its effect."),
            ("problems, warnings", "As twitcher check prints them."),
            ("dry_run", "true for --dry-run: nothing took effect."),
        ],
    ),
    (
        "FLEET STATUS",
        &[
            (
                "groups",
                "Without a group on the command line: an array with the fields below for each group. twitcher fleet wait prints these fields, and missing: the hosts that lack the version.",
            ),
            (
                "group, store, key",
                "The name of the group, the store of its keys, and the watched key; key is null before a host has registered.",
            ),
            ("version", "The newest version that the group has seen, or null."),
            ("state", "One word; see twitcher-fleet(7)."),
            (
                "since, started",
                "When the group came to this state, and when the version was first seen; or null.",
            ),
            ("conductor", "The host that conducts the group, as host and since; or null."),
            (
                "wave",
                "number of the open wave, of: how many waves there are, target: how many hosts may have the version while it is open; or null.",
            ),
            (
                "permits",
                "held: permits that hosts have; limit: how many there may be, or null for \"unlimited\".",
            ),
            (
                "hosts",
                "Numbers of hosts: members is the sum of converged, acting, asking, behind, failed and conflict. silent, down and over are counted in addition.",
            ),
            ("converged", "All members have the version."),
            ("terms", "The terms in force, written as in a watch file; or null."),
            ("disagree", "For each host whose terms differ from those of most: host and field; at most 50."),
            (
                "failures",
                "For each failed host: host, outcome (failed, held or lost), exit_code, attempt, at; at most 50.",
            ),
            ("silent", "For each silent host: host and since; at most 50."),
            ("name_conflicts", "For each daemon whose host name another daemon has: host, machine, since."),
            (
                "rollouts",
                "The last 5 former rollouts, newest first: version, result (done, stopped, aborted or superseded), converged, seconds.",
            ),
            ("why", "Why nothing starts, if the state does not say it, or who paused the group; or null."),
        ],
    ),
    (
        "FLEET HOSTS",
        &[
            ("group, hosts", "The name of the group, and an array with the fields below for each host."),
            ("host, state", "The name of the host, and one word; see twitcher-fleet(7)."),
            ("flags", "Those of silent, down and over that apply."),
            (
                "version, applied",
                "The newest version that the host has seen, and the last that it has applied; or null.",
            ),
            (
                "attempt, exit_code",
                "Those of the last run; attempt is 0 before the first one for this version, exit_code may be null.",
            ),
            ("since", "When the state last changed, or null."),
            ("why", "Why the host is in this state, or null."),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Explanation, History, ReloadReport};

    /// The names in the terms of some parts of the page.
    fn explained(headings: &[&str]) -> Vec<String> {
        let parts = JSON.iter().filter(|(heading, _)| headings.contains(heading));
        let terms = parts.flat_map(|(_, fields)| fields.iter()).flat_map(|(term, _)| term.split(", "));
        terms.map(str::to_owned).collect()
    }

    fn fields(value: &impl serde::Serialize) -> Vec<String> {
        serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn every_field_is_explained_and_no_other() {
        let status = sample();
        let run = status.watches[0].last.clone().unwrap();
        let history = History { watch: String::new(), runs: Vec::new() };
        let explanation = Explanation { watch: String::new(), because: Vec::new() };
        for (headings, mut expected) in [
            (&["STATUS"][..], fields(&status)),
            (&["STATUS: A WATCH"], fields(&status.watches[0])),
            (&["HISTORY"], [fields(&history), fields(&run)].concat()),
            (&["EXPLAIN"], fields(&explanation)),
            (&["RELOAD"], fields(&ReloadReport::default())),
        ] {
            let mut explained = explained(headings);
            explained.sort();
            expected.sort();
            assert_eq!(explained, expected, "{headings:?}");
        }
    }

    #[test]
    fn every_metric_is_explained_with_its_labels() {
        let page = metrics().replace("\\-", "-");
        let text = metrics::render(&sample(), &Own::default(), &[membership()]);
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(page.contains(&format!("\\fB{name}\\fR")), "{name}:\n{page}");
        }
        assert!(page.contains("{watch, outcome} (counter)"), "{page}");
    }
}
