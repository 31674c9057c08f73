//! What a monitoring system reads: the page of metrics, the alert rules and the dashboard of the package, judged by
//! Prometheus' own tool.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::port::Port;

const PROMTOOL: &str = "/usr/bin/promtool";
const ALERTS: &str = include_str!("../../packaging/usr/share/twitcher/alerts.yml");
const DASHBOARD: &str = include_str!("../../packaging/usr/share/twitcher/grafana.json");

/// Runs promtool with a text on its standard input; it must be content and say nothing against it.
fn promtool(arguments: &[&str], input: &str) -> String {
    assert!(Path::new(PROMTOOL).exists(), "{PROMTOOL} is missing: apt-get install prometheus");
    let mut tool = Command::new(PROMTOOL)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = tool.stdin.take().unwrap();
    // It reads all of its standard input, or none of it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = tool.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn metrics(port: u16) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// The value of a sample, by its name and labels.
fn sample(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Names of metrics of the daemon in a text.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| {
            ["twitcher_", "process_"]
                .iter()
                .any(|prefix| word.starts_with(prefix) && word.len() > prefix.len())
        })
        .collect()
}

/// Every query of the dashboard.
fn queries() -> Vec<String> {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.iter().all(|panel| panel["description"].as_str().is_some_and(|text| !text.is_empty())));
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn alerts_fire_on_what_they_are_about_and_on_nothing_else() {
    promtool(&["check", "rules", here("packaging/usr/share/twitcher/alerts.yml").to_str().unwrap()], "");
    for tests in ["tests/it/monitoring/alerts.yml", "tests/it/monitoring/fleet.yml"] {
        promtool(&["test", "rules", here(tests).to_str().unwrap()], "");
    }
    let tested = [include_str!("monitoring/alerts.yml"), include_str!("monitoring/fleet.yml")].concat();
    for alert in ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tested.contains(&format!("alertname: {alert}\n")), "no test lets {alert} fire");
    }
}

#[test]
fn every_query_of_the_dashboard_is_a_query() {
    let directory = tempfile::tempdir().unwrap();
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (at, query) in queries().iter().enumerate() {
        let query =
            query.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$watch", ".*");
        writeln!(rules, "  - record: query:{at}\n    expr: {}", serde_json::to_string(&query).unwrap())
            .unwrap();
    }
    let file = directory.path().join("queries.yml");
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], "");
}

#[test]
fn metrics_are_what_prometheus_reads_and_alerts_and_dashboard_ask_for() {
    let etcd = Etcd::start();
    let port = Port::claim();
    let settings =
        format!("http_listen = '127.0.0.1:{}'\n[store.main]\nurl = '{}'", port.number(), etcd.url());
    let mut daemon = Daemon::prepare(&settings);
    daemon.put("/a", "x");
    daemon.write("a.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n");
    daemon.write("bad.toml", "[[watch]]\nkey = '/a'\naction = 'false'\nretries = 0\n");
    daemon.write("off.toml", "[[watch]]\nkey = '/a'\naction = 'true'\nenabled = false\n");
    daemon.write("main.toml", "[[watch]]\nkey = '/a'\nstore = 'main'\naction = 'true'\n");
    daemon.write(
        "fleet.toml",
        "[[watch]]\nkey = '/a'\nstore = 'main'\naction = 'true'\ntimeout = '1m'\n[watch.fleet]\n",
    );
    etcd.ctl(&["put", "/a", "x"]);
    daemon.run();
    daemon.until_converged("a");
    daemon.until_converged("main");
    daemon.until_converged("fleet");
    daemon.until_watch("bad", |watch| watch["gave_up"] == true);
    // The page is made at most once a second.
    let page = until("a page that knows the last run", || {
        let page = metrics(port.number());
        let ended = |page: &str| sample(page, "twitcher_watch_gave_up{watch=\"bad\"}") == Some(1.0);
        let applied = |page: &str| sample(page, "twitcher_watch_converged{watch=\"main\"}") == Some(1.0);
        let conducted = "twitcher_fleet_hosts{group=\"fleet\",state=\"converged\"}";
        (ended(&page) && applied(&page) && sample(&page, conducted) == Some(1.0)).then_some(page)
    });
    promtool(&["check", "metrics"], &page);
    for name in names(ALERTS).into_iter().chain(queries().iter().flat_map(|query| names(query))) {
        // A histogram has one type for all of its samples.
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(page.contains(&format!("# TYPE {family} ")), "{name} is not in {page}");
    }
    for (name, value) in [
        ("twitcher_fleet_permit{watch=\"fleet\",state=\"none\"}", 1.0),
        ("twitcher_fleet_permit_wait_seconds_count{watch=\"fleet\"}", 1.0),
        ("twitcher_fleet_registered{store=\"main\"}", 1.0),
        ("twitcher_fleet_claims_refused_total", 0.0),
        ("twitcher_fleet_name_conflict{store=\"main\",group=\"fleet\"}", 0.0),
        ("twitcher_fleet_conductor{group=\"fleet\"}", 1.0),
        ("twitcher_fleet_permit_limit{group=\"fleet\"}", 1.0),
        ("twitcher_fleet_state{group=\"fleet\",state=\"done\"}", 1.0),
        ("twitcher_fleet_oldest_unconverged_seconds{group=\"fleet\"}", 0.0),
        ("twitcher_fleet_terms_conflicts{group=\"fleet\"}", 0.0),
        ("twitcher_fleet_writes_total{kind=\"alive\"}", 1.0),
    ] {
        assert_eq!(sample(&page, name), Some(value), "{name} in {page}");
    }
    let applied: f64 = daemon.watch("main")["applied"].as_str().unwrap().parse().unwrap();
    assert_eq!(sample(&page, "twitcher_watch_applied_version{watch=\"main\"}"), Some(applied));
    assert_eq!(sample(&page, "twitcher_watch_applied_version{watch=\"a\"}"), None, "a hash is no number");
    assert_eq!(sample(&page, "twitcher_watch_waiting_for_slot{watch=\"a\"}"), Some(0.0));
    assert!(!page.contains("{watch=\"off\""), "a disabled watch would alert for ever: {page}");
    let success = sample(&page, "twitcher_watch_last_success_timestamp_seconds{watch=\"a\"}").unwrap();
    let started = sample(&page, "process_start_time_seconds").unwrap();
    assert!(success >= started, "{success} is before {started}");
    let failed = "twitcher_watch_last_success_timestamp_seconds{watch=\"bad\"}";
    assert_eq!(sample(&page, failed), None, "it never succeeded");

    // The last success is remembered across a restart that runs nothing.
    daemon.write("a.toml", "[[watch]]\nkey = '/a'\naction = 'true'\nrun_on_load = false\n");
    daemon.stop();
    daemon.run();
    let again = until("the metrics after a restart", || {
        sample(&metrics(port.number()), "twitcher_watch_last_success_timestamp_seconds{watch=\"a\"}")
    });
    assert!((again - success).abs() < 0.001, "{again} is not {success}");
}
