//! What the manual pages of the commands say beside the options: exit statuses, files, environment, legends.

type Entry = (&'static str, &'static str);

/// The commands that ask a store.
const OF_STORES: [&str; 9] = ["get", "put", "del", "ls", "tree", "dump", "load", "monitor", "watch"];
/// The commands that ask the daemon.
const OF_DAEMON: [&str; 9] =
    ["status", "history", "explain", "trigger", "release", "wait", "pause", "resume", "reload"];

/// The command of a page.
fn command(page: &str) -> &str {
    page.strip_prefix("twitcher-").unwrap_or("")
}

/// What the exit status means.
pub(super) fn exit_status(page: &str) -> Vec<Entry> {
    let (success, failure): (&str, &str) = match command(page) {
        "check" => ("Nothing is wrong.", "A file has an error, or a store could not be read."),
        "wait" => ("The watches have converged.", "No daemon answers, or there is no such watch."),
        "fleet-wait" => (
            "All members have applied the version, or all but those that --allow-missing permits.",
            "The store does not answer, or it is unknown which version is later.",
        ),
        "reload" => ("All files are in effect.", "A file was refused; the rest is in effect."),
        "dump" => {
            ("All of the subtree is in the document.", "It could not be read, or the document lacks keys.")
        }
        _ => (
            "Success.",
            "Failure. Standard error says what was tried, on what, why it failed and what to do.",
        ),
    };
    let mut statuses = vec![("0", success), ("1", failure), ("2", "Wrong usage.")];
    statuses.extend_from_slice(match command(page) {
        "status" => &[
            ("1 (--check)", "A watch has not converged."),
            (
                "0 to 3 (--check=nagios)",
                "All converged; on the way or retrying; failed, stopped, held or unreachable; no daemon.",
            ),
        ][..],
        "wait" => &[
            ("3", "A watch gave up, or is held, stopped, paused or disabled."),
            ("4", "The time of --timeout is over."),
        ],
        "fleet-wait" => &[
            (
                "3",
                "No host acts, and none will by itself: the group is paused, stopped or aborted, no canary is alive, or it is done and hosts failed.",
            ),
            ("4", "The time of --timeout is over."),
            ("5", "There is nothing to wait for: no such group, no member, or no value."),
        ],
        "watch" => &[
            ("that of the command (--once)", "128 + N if signal N ended it."),
            ("128 + N", "Signal N ended twitcher watch itself."),
            ("126", "At the start: the program cannot be executed."),
            ("127", "At the start: the program is not there."),
        ],
        _ => &[],
    });
    statuses
}

/// Which files are used.
pub(super) fn files(page: &str) -> Vec<Entry> {
    let command = command(page);
    let mut files = vec![("/etc/twitcher/twitcher.conf", "Settings and stores; see twitcher.conf(5).")];
    let reads_watches = matches!(command, "" | "run" | "check" | "reload");
    if reads_watches {
        files.push(("/etc/twitcher/local.conf", "What differs between machines; see twitcher.conf(5)."));
        files.push(("/etc/twitcher/**/*.toml", "Watch files; see twitcher-watch(5)."));
    }
    if matches!(command, "" | "run") || OF_DAEMON.contains(&command) {
        files.push(("/run/twitcher/control.sock", "The socket of the daemon; control_socket names another."));
    }
    if matches!(command, "" | "run" | "history") {
        files.push((
            "/var/lib/twitcher/history/",
            "The last runs of each watch with their output; below state_dir.",
        ));
    }
    if matches!(command, "" | "run") {
        files.push(("/var/lib/twitcher/ledger", "What was applied, runs and is paused; below state_dir."));
        files.push((
            "/var/lib/twitcher/id",
            "The id of this state directory, by which the daemon finds what a former one started; below state_dir.",
        ));
        files.push((
            "/var/lib/twitcher/lock",
            "The running daemon locks it, so that no second one uses the same state; only its user can open it; below state_dir.",
        ));
        files.push((
            "/var/lib/twitcher/settings",
            "The last valid settings, which a start uses if twitcher.conf or local.conf has errors; below state_dir.",
        ));
    }
    if OF_STORES.contains(&command) {
        files.push(("/var/lib/twitcher/keys/", "The store that is used if none is configured."));
    }
    if command == "generate" || command == "version" || command == "convert" {
        files.clear();
    }
    files
}

/// Which variables are read.
pub(super) fn environment(page: &str, variables: &[String]) -> Vec<Entry> {
    let mut environment: Vec<Entry> = [
        ("TWITCHER_CONFIG", "The directory of twitcher.conf and the watch files, if -c does not name one."),
        ("TWITCHER_STORE", "The store, if --store does not name one."),
    ]
    .into_iter()
    .filter(|(name, _)| variables.iter().any(|variable| variable == name))
    .collect();
    if matches!(command(page), "status" | "tree") {
        environment
            .push(("NO_COLOR", "If it is set and not empty, nothing is coloured; --color wins over it."));
    }
    if command(page) == "status" {
        environment.push(("COLUMNS", "The width of the table where standard output is not a terminal."));
    }
    if matches!(command(page), "run" | "watch") {
        environment.push(("LANG", "Passed on to actions."));
    }
    environment
}

const MARKS: &[Entry] = &[
    ("\u{2713}", "The newest state was applied: converged."),
    ("\u{2717}", "Failed or stopped."),
    ("\u{2298}", "Held: a guard holds the newest state back."),
    ("!", "Unreachable: the store does not prove the state of the key."),
    ("\u{21bb}", "Retrying."),
    ("\u{25b8}", "Running."),
    ("\u{2026}", "About to run: settling, splaying or waiting."),
    ("\u{2016}", "Paused."),
    ("\u{b7}", "The newest state was seen but not applied."),
    ("-", "Disabled."),
];

const STATES: &[Entry] = &[
    ("disabled", "The watch file says enabled = false."),
    (
        "stopped",
        "The last retry failed, and on_failure = \"stop\": nothing runs until the definition changes or twitcher resume.",
    ),
    ("paused", "twitcher pause: nothing runs until twitcher resume or the end of --for."),
    ("running", "The action runs."),
    ("settling", "An update came; it waits until none has come for the time of settle."),
    ("splaying", "It waits for the time that splay gives this host."),
    ("waiting", "It waits for min_interval, a mutex, or its turn among max_processes."),
    ("retrying", "The last run failed, or the daemon could not start it; it waits for the next try."),
    ("held", "A guard holds the newest state back, until the next state or twitcher release."),
    ("failed", "The last retry failed: nothing runs until the key changes or twitcher trigger."),
    ("unreachable", "The store has not shown the key yet, or does not answer."),
    ("idle", "There is nothing to do."),
];

const OUTCOMES: &[Entry] = &[
    ("succeeded", "The exit code is one of success_codes."),
    ("failed", "The exit code is not one of success_codes."),
    ("killed", "A signal ended the action."),
    ("timed_out", "It ran longer than timeout, and was ended."),
    ("not_started", "The action could not be started; the output says why."),
    ("unknown", "Nobody saw its end: the daemon that started it was gone."),
];

/// Lists that a page explains.
pub(super) fn legends(page: &str) -> &'static [(&'static str, &'static [Entry])] {
    match command(page) {
        "status" => &[("MARKS", MARKS), ("STATES", STATES)],
        "history" => &[("OUTCOMES", OUTCOMES)],
        _ => &[],
    }
}

/// Other pages.
pub(super) fn see_also(page: &str) -> String {
    let command = command(page);
    let own = match command {
        "" => "twitcher-status(1), twitcher-watch(1), ",
        "run" => "twitcher-status(1), twitcher-reload(1), ",
        "status" => "twitcher-explain(1), twitcher-history(1), twitcher-wait(1), ",
        "history" | "explain" => "twitcher-status(1), ",
        "pause" => "twitcher-resume(1), ",
        "resume" => "twitcher-pause(1), ",
        "reload" => "twitcher-check(1), ",
        "dump" => "twitcher-load(1), ",
        "load" => "twitcher-dump(1), ",
        _ => "",
    };
    let above = if page == "twitcher" { "" } else { "twitcher(1), " };
    let fleet = if page.contains("fleet") { ", twitcher-fleet(7)" } else { "" };
    let own = if page.contains("fleet-") { "twitcher-fleet(1), " } else { own };
    let json = ["", "status", "history", "explain", "reload", "fleet-status", "fleet-hosts", "fleet-wait"];
    let json = json.contains(&command);
    let json = if json { ", twitcher-json(7)" } else { "" };
    let metrics = if matches!(command, "" | "run" | "status") { ", twitcher-metrics(7)" } else { "" };
    format!("{above}{own}twitcher.conf(5), twitcher-watch(5){json}{metrics}{fleet}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::urgency::Urgency;

    #[test]
    fn every_mark_state_and_outcome_is_explained() {
        for condition in Urgency::ALL {
            assert!(MARKS.iter().any(|(mark, _)| *mark == condition.mark()), "{}", condition.mark());
        }
        for state in crate::status::WatchState::ALL {
            assert!(STATES.iter().any(|(word, _)| *word == state.word()), "{}", state.word());
        }
    }
}
