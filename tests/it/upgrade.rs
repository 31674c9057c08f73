//! An upgrade: the state directory of version 0.1.0 under the current program.
//!
//! `upgrade/ledger-0.1.0` was left by a daemon of version 0.1.0 that was killed with SIGKILL while it watched
//! `upgrade/watches-0.1.0.toml`: `stopped` had failed, `paused` was paused, and a run of `live` was running.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::fixture::daemon::Daemon;

/// The process in `live`'s entry.
const PROCESS: &str = r#"{"pid":14172,"start_ticks":428803,"boot_id":"a1e51c2d-26db-40ec-851b-9372d9370395","output_pipe":241162}"#;

/// Watches whose newest state was applied.
const CONVERGED: [&str; 9] =
    ["data", "children", "tree", "deleted", "discard", "restart", "parallel", "script", "paused"];

/// A live action, which ends with the test.
struct Action(Child);

impl Action {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").process_group(0).spawn().unwrap())
    }

    fn identity(&self) -> Value {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let ticks: u64 =
            stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().parse().unwrap();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        json!({"pid": self.0.id(), "start_ticks": ticks, "boot_id": boot.trim(), "output_pipe": null})
    }
}

impl Drop for Action {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory as version 0.1.0 left it, with this action as `live`'s run.
fn left_by_0_1_0(action: &Action) -> Daemon {
    let daemon = Daemon::prepare("host = 'web-17'");
    for key in ["data", "modes", "script", "stopped", "paused", "noted", "live", "children/a", "tree/a"] {
        daemon.put(key, "1");
    }
    for key in ["children/b", "tree/sub/b"] {
        daemon.put(key, "2");
    }
    let ledger = include_str!("upgrade/ledger-0.1.0");
    assert_eq!(ledger.matches(PROCESS).count(), 1);
    std::fs::create_dir(daemon.path("state")).unwrap();
    let ledger = ledger.replace(PROCESS, &action.identity().to_string());
    std::fs::write(daemon.path("state/ledger"), ledger).unwrap();
    daemon.write("watches.toml", &watches(&daemon));
    daemon
}

fn watches(daemon: &Daemon) -> String {
    let place = daemon.config().display().to_string();
    include_str!("upgrade/watches-0.1.0.toml").replace("@PLACE@", &place)
}

#[test]
fn a_ledger_of_version_0_1_0_is_read() {
    let action = Action::start();
    let mut daemon = left_by_0_1_0(&action);
    // At the second start the fingerprints of 0.1.0 have been replaced; nothing else differs.
    for start in 1..=2 {
        daemon.run();
        for name in CONVERGED {
            let watch = daemon.until_converged(name);
            assert_ne!(watch["runs"], 0, "{name} has lost its history");
            let history: Value = serde_json::from_str(&daemon.say(&["history", name, "--json"])).unwrap();
            assert!(history["runs"].as_array().is_some_and(|runs| !runs.is_empty()), "{name}: {history}");
        }
        let live = daemon.until_watch("live", |watch| watch["version"].is_string());
        assert_eq!(live["state"], "running", "start {start}: {live}");
        assert_eq!(live["running"][0]["pid"], action.0.id(), "start {start}: adopted");
        let stopped = daemon.until_watch("stopped", |watch| watch["version"].is_string());
        assert_eq!(stopped["state"], "stopped", "start {start}");
        assert_eq!(daemon.watch("paused")["state"], "paused", "start {start}");
        daemon.until_watch("noted", |watch| watch["version"].is_string());
        assert_eq!(daemon.read("out"), "", "start {start}: nothing runs again");
        daemon.kill();
    }
    // A change of how the action runs lifts the stop.
    daemon.write("watches.toml", &watches(&daemon).replace("nice = 5", "nice = 6"));
    daemon.run();
    daemon.until_file("out", |text| text == "stopped load\n");
    daemon.until_watch("stopped", |watch| watch["state"] == "stopped");
}

#[test]
fn a_run_of_version_0_1_0_stays_with_a_watch_renamed_after_the_upgrade() {
    let action = Action::start();
    let mut daemon = left_by_0_1_0(&action);
    daemon.run();
    daemon.until_watch("live", |watch| watch["state"] == "running");
    daemon.kill();
    daemon.write("watches.toml", &watches(&daemon).replace("name = \"live\"", "name = \"renamed\""));
    daemon.run();
    let renamed = daemon.until_watch("renamed", |watch| watch["version"].is_string());
    assert_eq!(renamed["running"][0]["pid"], action.0.id(), "{renamed}");
    assert_eq!(daemon.read("out"), "");
}
