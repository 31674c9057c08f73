//! The daemon's state as Prometheus text, version 0.0.4. Values only; serving them is elsewhere.

pub mod fleet;

use std::fmt::Write;

use crate::status::{FileState, Status, StoreState, WatchState, WatchStatus};

/// What the daemon knows about itself beyond its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Own {
    /// Reloads since the start, including those that changed nothing.
    pub reloads: u64,
    /// Actions that run now.
    pub running: u64,
    /// Log lines lost because their reader was too slow.
    pub log_lines_lost: u64,
    /// `twitcher.conf` or `local.conf` has errors.
    pub settings_broken: bool,
    /// Watches that are not loaded for want of settings.
    pub watches_not_loaded: u64,
    /// Resident memory in bytes, /proc/self/status.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub open_descriptors: u64,
}

/// A yes-or-no metric of a watch: name, help, and value.
type Gauge = (&'static str, &'static str, fn(&WatchStatus) -> bool);

/// Renders everything.
pub fn render(status: &Status, own: &Own, memberships: &[fleet::Membership]) -> String {
    let mut page = Page(String::with_capacity(256 * status.watches.len() + 2048));
    page.daemon(status, own);
    page.stores(status);
    page.watches(status);
    page.fleets(status, memberships);
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escape(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn daemon(&mut self, status: &Status, own: &Own) {
        let daemon = &status.daemon;
        self.family("twitcher_info", "gauge", "Version and host of the daemon.");
        self.sample("twitcher_info", &[("version", &daemon.version), ("host", &daemon.host)], 1);
        let started = daemon.started.as_second();
        self.single("process_start_time_seconds", "gauge", "Start of the daemon, Unix time.", started);
        self.single("process_resident_memory_bytes", "gauge", "Resident memory.", own.resident_bytes);
        self.single("process_open_fds", "gauge", "Open file descriptors.", own.open_descriptors);
        self.single("twitcher_reloads_total", "counter", "Reloads of the configuration.", own.reloads);
        self.single("twitcher_actions_running", "gauge", "Actions that run now.", own.running);
        self.single(
            "twitcher_log_lines_lost_total",
            "counter",
            "Log lines that were lost.",
            own.log_lines_lost,
        );
        self.single(
            "twitcher_complaints",
            "gauge",
            "Problems of the daemon itself.",
            daemon.complaints.len(),
        );
        self.single(
            "twitcher_settings_broken",
            "gauge",
            "1 while twitcher.conf or local.conf has errors: for what they concern, the last valid settings are in effect, or none.",
            u8::from(own.settings_broken),
        );
        self.single(
            "twitcher_watches_not_loaded",
            "gauge",
            "Watches that are not loaded, because no valid value is known for what they depend on in twitcher.conf or local.conf.",
            own.watches_not_loaded,
        );
        self.family("twitcher_files", "gauge", "Watch files by state.");
        for (word, state) in
            [("loaded", FileState::Loaded), ("broken", FileState::Broken), ("refused", FileState::Refused)]
        {
            let count = status.files.iter().filter(|file| file.state == state).count();
            self.sample("twitcher_files", &[("state", word)], count);
        }
    }

    fn stores(&mut self, status: &Status) {
        self.family("twitcher_store_connected", "gauge", "1 while the store is connected.");
        for store in &status.stores {
            let connected = u8::from(store.state == StoreState::Connected);
            self.sample("twitcher_store_connected", &[("store", &store.name)], connected);
        }
        self.family("twitcher_store_reconnects_total", "counter", "Reconnects to the store.");
        for store in &status.stores {
            self.sample("twitcher_store_reconnects_total", &[("store", &store.name)], store.reconnects);
        }
    }

    /// A disabled watch has no samples: an alert on what is not converged does not mean it.
    fn watches(&mut self, status: &Status) {
        let watches: Vec<_> =
            status.watches.iter().filter(|watch| watch.state != WatchState::Disabled).collect();
        self.family("twitcher_watch_runs_total", "counter", "Runs since the daemon started, by outcome.");
        for watch in &watches {
            for outcome in ["succeeded", "failed", "killed", "timed_out", "not_started", "unknown"] {
                let count = watch.outcomes.get(outcome).copied().unwrap_or(0);
                self.sample(
                    "twitcher_watch_runs_total",
                    &[("watch", &watch.name), ("outcome", outcome)],
                    count,
                );
            }
        }
        for Measure { name, help, value } in MEASURES {
            self.family(name, "gauge", help);
            for watch in &watches {
                if let Some(value) = value(watch) {
                    self.sample(name, &[("watch", &watch.name)], value);
                }
            }
        }
        for (name, help, holds) in GAUGES {
            self.family(name, "gauge", help);
            for watch in &watches {
                self.sample(name, &[("watch", &watch.name)], u8::from(holds(watch)));
            }
        }
    }
}

/// A number about a watch, which not every watch has.
struct Measure {
    name: &'static str,
    help: &'static str,
    value: fn(&WatchStatus) -> Option<String>,
}

const MEASURES: [Measure; 4] = [
    Measure {
        name: "twitcher_watch_last_run_seconds",
        help: "How long the last run took.",
        value: |watch| watch.last.as_ref().map(|last| last.seconds.to_string()),
    },
    Measure {
        name: "twitcher_watch_verified_seconds",
        help: "Seconds since the store proved what the watch knows; +Inf before the first time.",
        value: |watch| {
            Some(watch.verified_seconds.map_or_else(|| "+Inf".to_owned(), |seconds| seconds.to_string()))
        },
    },
    Measure {
        name: "twitcher_watch_last_success_timestamp_seconds",
        help: "When the last run that succeeded ended, Unix time.",
        value: |watch| watch.last_success.map(|at| at.as_duration().as_secs_f64().to_string()),
    },
    Measure {
        name: "twitcher_watch_applied_version",
        help: "The version that was last applied, where the store's versions are numbers.",
        // The version of a directory is a hash, and some hashes have no letter.
        value: |watch| watch.applied.clone().filter(|version| version.parse::<i64>().is_ok()),
    },
];

const GAUGES: [Gauge; 8] = [
    ("twitcher_watch_converged", "1 when the newest state was given to a run that succeeded.", |watch| {
        watch.converged
    }),
    ("twitcher_watch_running", "1 while an action of the watch runs.", |watch| !watch.running.is_empty()),
    ("twitcher_watch_waiting_for_slot", "1 while a run waits for its mutex or max_processes.", |watch| {
        watch.waiting_for_slot
    }),
    (
        "twitcher_watch_start_prevented",
        "1 while the daemon cannot start a program of the watch for want of a resource of its own.",
        |watch| watch.prevented.is_some(),
    ),
    ("twitcher_watch_paused", "1 while the watch is paused.", |watch| watch.state == WatchState::Paused),
    ("twitcher_watch_gave_up", "1 after the last retry failed, until the key changes.", |watch| {
        watch.gave_up
    }),
    ("twitcher_watch_held", "1 while a guard holds the newest state back.", |watch| watch.held),
    ("twitcher_watch_stopped", "1 when the watch was stopped after its last retry.", |watch| {
        watch.state == WatchState::Stopped
    }),
];

/// A label's value: backslash, quote and newline are escaped, as the format requires.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{DaemonStatus, StoreStatus};

    #[test]
    fn labels_are_escaped_and_every_family_has_a_type() {
        let status = Status {
            daemon: DaemonStatus {
                version: "0.1.0".into(),
                pid: 1,
                host: "a\"b\\c\n".into(),
                started: jiff::Timestamp::UNIX_EPOCH,
                complaints: vec![],
            },
            stores: vec![StoreStatus {
                name: "main".into(),
                url: String::new(),
                state: StoreState::Down,
                since: jiff::Timestamp::UNIX_EPOCH,
                error: None,
                reconnects: 3,
            }],
            files: vec![],
            watches: vec![],
        };
        let page = render(&status, &Own::default(), &[]);
        assert!(page.contains(r#"twitcher_info{version="0.1.0",host="a\"b\\c\n"} 1"#), "{page}");
        assert!(page.contains("twitcher_store_connected{store=\"main\"} 0\n"), "{page}");
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(page.contains(&format!("# TYPE {name} ")), "{line}");
        }
    }
}
