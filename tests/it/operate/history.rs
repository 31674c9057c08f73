//! `twitcher history`: which runs are kept, for how long, and with how much of their output.

use serde_json::Value;

use crate::fixture::daemon::{Daemon, until};

fn runs(daemon: &Daemon, args: &[&str]) -> Vec<Value> {
    let text = daemon.say(&[&["history", "a", "--json"], args].concat());
    serde_json::from_str::<Value>(&text).unwrap()["runs"].as_array().unwrap().clone()
}

fn run_again(daemon: &Daemon, runs: std::ops::RangeInclusive<u64>) {
    for run in runs {
        daemon.say(&["trigger", "a"]);
        daemon.until_runs("a", run);
    }
}

#[test]
fn history_is_chosen_by_number_time_and_run() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    daemon.write("a.toml", "[[watch]]\nkey = '/a'\naction = 'cat'\n");
    daemon.run();
    daemon.until_runs("a", 1);
    run_again(&daemon, 2..=4);
    let runs = |args: &[&str]| runs(&daemon, args);
    assert_eq!((runs(&[]).len(), runs(&["-n", "2"]).len(), runs(&["--since", "1h"]).len()), (4, 2, 4));
    assert!(runs(&["--since", "2199-01-01T00:00"]).is_empty());
    let id = runs(&["-n", "1"])[0]["run"].as_str().unwrap().to_owned();
    assert_eq!(runs(&["--run", &id])[0]["run"], id.as_str());
    assert_eq!(daemon.say(&["history", "a", "--run", &id]).lines().count(), 2);
    let missing = daemon.ask(&["history", "a", "--run", "x"]);
    assert!(missing.status.code() == Some(1));
    assert_eq!(daemon.ask(&["history", "a", "--since", "yesterday"]).status.code(), Some(2));
}

#[test]
fn more_than_ten_runs_are_kept_over_a_restart_with_their_whole_output() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    daemon.write(
        "a.toml",
        "[[watch]]\nkey = '/a'\nrun_on_load = 'changed'\naction = 'seq 1 2000; echo $TWITCHER_RUN >&2'\n",
    );
    daemon.run();
    daemon.until_runs("a", 1);
    run_again(&daemon, 2..=15);
    let ids = |runs: &[Value]| runs.iter().map(|run| run["run"].clone()).collect::<Vec<_>>();
    let before = until("all runs on disk", || Some(runs(&daemon, &[])).filter(|runs| runs.len() == 15));
    for (at, run) in before.iter().enumerate() {
        let output = run["output"].as_str().unwrap();
        assert!(output.len() <= 1024 && output.contains("\n1999\n"), "run {at}: {output}");
    }
    daemon.kill();
    daemon.run();
    let after = runs(&daemon, &[]);
    assert_eq!(ids(&after), ids(&before));
    let id = after[2]["run"].as_str().unwrap();
    let whole = runs(&daemon, &["--run", id])[0]["output"].as_str().unwrap().to_owned();
    let expected: Vec<String> = (1..=2000).map(|number| number.to_string()).collect();
    let (errors, numbers): (Vec<&str>, Vec<&str>) = whole.lines().partition(|line| line.contains('-'));
    assert_eq!((numbers, errors), (expected.iter().map(String::as_str).collect(), vec![id]));
    let text = daemon.say(&["history", "a", "--run", id]);
    assert_eq!(text.lines().count(), 2002, "{text}");
    // What was kept is bounded by what the settings say now.
    let settings = daemon.read("config/twitcher.conf").replace("log =", "history_bytes = 16384\nlog =");
    std::fs::write(daemon.path("config/twitcher.conf"), settings).unwrap();
    assert!(daemon.say(&["reload"]).contains("history_bytes is now 16384"));
    run_again(&daemon, 16..=18);
    let kept = || {
        let files = std::fs::read_dir(daemon.path("state/history")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    until("a smaller history", || (kept() <= 16384).then_some(()));
    assert!(runs(&daemon, &[]).len() >= 10, "the ledger still has the last ten");
    assert!(daemon.log().lines().all(|line| !line.contains("history:")), "{}", daemon.log());
}

#[test]
fn a_history_that_cannot_be_written_costs_only_the_whole_output() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    daemon.write("a.toml", "[[watch]]\nkey = '/a'\naction = 'seq 1 2000'\n");
    std::fs::create_dir(daemon.path("state")).unwrap();
    std::fs::write(daemon.path("state/history"), "in the way").unwrap();
    daemon.run();
    daemon.until_runs("a", 1);
    run_again(&daemon, 2..=3);
    let kept = runs(&daemon, &[]);
    assert_eq!(kept.len(), 3);
    assert!(kept[2]["output"].as_str().unwrap().ends_with("\n2000"));
    let complaints = || daemon.log().matches("cannot add a run to the history").count();
    until("a warning", || (complaints() == 1).then_some(()));
    assert_eq!(daemon.watch("a")["converged"], true);
}
