//! The hosts of a group, a daemon each. The action of their watch of `/git/head` records its starts and ends in a
//! file, the witness.

use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::fixture::daemon::{Daemon, until};
use crate::fixture::program;

pub const HOSTS: usize = 5;

/// The action of each host waits until it may go on, or until the [`Fleet`] is dropped: otherwise a later test whose
/// state directory gets the same inode would adopt it.
pub const HELD: &str =
    "until test -e WITNESS.go-$TWITCHER_HOST || ! test -d $(dirname WITNESS); do sleep 0.05; done";

/// Runs each scenario on etcd and on `ZooKeeper`.
macro_rules! on_both_stores {
    ($($scenario:ident)*) => {
        mod on_etcd {
            $(#[test] fn $scenario() { super::$scenario(&crate::fixture::etcd::Etcd::start().url()); })*
        }
        mod on_zookeeper {
            $(#[test] fn $scenario() { super::$scenario(&crate::fixture::zookeeper::ZooKeeper::start().url()); })*
        }
    };
}
pub(super) use on_both_stores;

pub struct Fleet {
    pub daemons: Vec<Daemon>,
    pub url: String,
    place: tempfile::TempDir,
}

/// The fields of the watch file that differ between tests.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// `[watch.fleet]`.
    pub terms: &'a str,
    /// Runs between the two lines of the witness, whose file it calls `WITNESS`.
    pub action: &'a str,
    /// More fields of the watch.
    pub fields: &'a str,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { terms: "", action: "true", fields: "timeout = '60s'\nretries = 0\nkill_after = '1s'" }
    }
}

/// A line of the witness.
#[derive(Debug, Clone)]
pub struct Line {
    pub is_start: bool,
    pub host: usize,
    pub version: String,
    /// In seconds since the machine was started.
    pub at: f64,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let is_start = words.next()? == "start";
        let host = words.next()?.trim_start_matches('h').parse().ok()?;
        Some(Self { is_start, host, version: words.next()?.to_owned(), at: words.next()?.parse().ok()? })
    }
}

impl Fleet {
    /// Five daemons whose watch has these terms and this action.
    pub fn start(url: &str, terms: &str, action: &str) -> Self {
        Self::of(url, Setup { terms, action, ..Setup::default() })
    }

    /// Five daemons with this watch file.
    pub fn of(url: &str, setup: Setup<'_>) -> Self {
        let mut fleet = Self::without_daemons(url);
        for host in 0..HOSTS {
            fleet.add(host, setup);
        }
        fleet
    }

    /// The watched value, and no daemon.
    pub fn without_daemons(url: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let fleet = Self { daemons: Vec::new(), url: url.to_owned(), place };
        fleet.put("first");
        fleet
    }

    pub fn add(&mut self, host: usize, setup: Setup<'_>) {
        let settings = self.settings(host, "ttl = '10s'");
        self.daemons.push(Daemon::start(&settings, &[("git.toml", &self.watch(setup))]));
    }

    /// Lines of twitcher.conf.
    pub fn settings(&self, host: usize, fleet: &str) -> String {
        format!("host = 'h{host}'\n[fleet]\n{fleet}\n[store.main]\nurl = '{}'\n", self.url)
    }

    pub fn watch(&self, setup: Setup<'_>) -> String {
        let Setup { terms, action, fields } = setup;
        let witness = self.witness().display().to_string();
        let line = |word: &str| {
            format!(
                "flock {witness}.lock sh -c \"echo {word} $TWITCHER_HOST $TWITCHER_VERSION \\$(cut -d' ' -f1 /proc/uptime) >> {witness}\""
            )
        };
        let (start, end) = (line("start"), line("end"));
        let action = action.replace("WITNESS", &witness);
        format!(
            "[[watch]]\nname = 'git'\nstore = 'main'\nkey = '/git/head'\naction = '''\n{start}\n{action}\ncode=$?\n{end}\nexit $code\n'''\n\
             {fields}\n[watch.fleet]\n{terms}\n"
        )
    }

    fn witness(&self) -> PathBuf {
        self.place.path().join("witness")
    }

    /// Makes a file that actions find as `WITNESS.` and this name.
    pub fn flag(&self, name: &str) {
        std::fs::write(self.witness().with_file_name(format!("witness.{name}")), "").unwrap();
    }

    /// Removes it again.
    pub fn unflag(&self, name: &str) {
        std::fs::remove_file(self.witness().with_file_name(format!("witness.{name}"))).unwrap();
    }

    /// Lets the action of a host go on, if it waits as [`HELD`] does.
    pub fn let_go_on(&self, host: usize) {
        self.flag(&format!("go-h{host}"));
    }

    pub fn let_all_go_on(&self) {
        (0..HOSTS).for_each(|host| self.let_go_on(host));
    }

    /// Lets the next action of each host wait again.
    pub fn hold_all(&self) {
        (0..HOSTS).for_each(|host| self.unflag(&format!("go-h{host}")));
    }

    /// Puts a value. Returns its version.
    pub fn put(&self, value: &str) -> String {
        program::good(&self.url, &["put", "/git/head", value]);
        self.version()
    }

    /// The version of the current value.
    pub fn version(&self) -> String {
        let entry = program::good(&self.url, &["get", "--json", "/git/head"]);
        let entry: Value = serde_json::from_str(&entry).unwrap();
        entry["version"].as_str().map_or_else(|| entry["version"].to_string(), str::to_owned)
    }

    fn all_lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(self.witness()).unwrap_or_default();
        text.lines().filter_map(Line::parse).collect()
    }

    /// The lines of the witness about a version.
    pub fn lines(&self, version: &str) -> Vec<Line> {
        self.all_lines().into_iter().filter(|line| line.version == version).collect()
    }

    /// How many actions ran at once at most, whatever their version.
    pub fn overlap(&self) -> usize {
        most_at_once(&self.all_lines())
    }

    /// How many actions of one version ran at once at most.
    pub fn overlap_of(&self, version: &str) -> usize {
        most_at_once(&self.lines(version))
    }

    /// The hosts that started the version, in order.
    pub fn starters(&self, version: &str) -> Vec<usize> {
        self.lines(version).iter().filter(|line| line.is_start).map(|line| line.host).collect()
    }

    pub fn started(&self, version: &str) -> usize {
        self.starters(version).len()
    }

    #[track_caller]
    pub fn until_started(&self, version: &str, count: usize) {
        until(format!("{count} actions"), || (self.started(version) >= count).then_some(()));
    }

    /// No host starts an action in the time that a conductor and all hosts need for it.
    #[track_caller]
    pub fn stays_at(&self, version: &str, count: usize) {
        crate::fixture::daemon::stays_silent_for(
            std::time::Duration::from_secs(3),
            "another action started",
            || self.started(version) == count,
        );
    }

    #[track_caller]
    pub fn until_all_have(&self, version: &str) {
        for host in 0..self.daemons.len() {
            self.until_has(host, version);
        }
    }

    #[track_caller]
    pub fn until_has(&self, host: usize, version: &str) {
        self.daemons[host].until_watch("git", |watch| {
            watch["applied"] == version && watch["fleet"]["state"] == "converged"
        });
    }

    /// The value of a key of the group.
    pub fn key(&self, key: &str) -> Option<Value> {
        self.value(&format!("/twitcher/fleet/git/{key}"))
    }

    pub fn value(&self, key: &str) -> Option<Value> {
        let output = program::run(&self.url, &["get", key]);
        serde_json::from_slice(&output.stdout).ok()
    }

    #[track_caller]
    pub fn until_state(&self, state: &str) {
        until(format!("the rollout to be {state}"), || {
            (self.key("rollout")?["state"] == state).then_some(())
        });
    }

    /// The host that conducts.
    #[track_caller]
    pub fn conductor(&self) -> usize {
        until("a conductor", || self.conducts())
    }

    #[track_caller]
    pub fn until_another_conducts(&self, former: usize) {
        until("another conductor", || self.conducts().filter(|host| *host != former));
    }

    fn conducts(&self) -> Option<usize> {
        self.key("conductor")?["host"].as_str()?.trim_start_matches('h').parse().ok()
    }

    /// `twitcher fleet`, which must succeed.
    #[track_caller]
    pub fn fleet(&self, args: &[&str]) -> String {
        program::good(&self.url, &[&["fleet"], args].concat())
    }

    /// `twitcher fleet`, which may fail.
    pub fn try_fleet(&self, args: &[&str]) -> Output {
        program::run(&self.url, &[&["fleet"], args].concat())
    }

    /// `twitcher fleet status --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.fleet(&["status", "git", "--json"])).unwrap()
    }

    /// A host as `twitcher fleet hosts` shows it.
    #[track_caller]
    pub fn host(&self, host: usize) -> Value {
        let hosts: Value = serde_json::from_str(&self.fleet(&["hosts", "git", "--json"])).unwrap();
        let name = format!("h{host}");
        let hosts = hosts["hosts"].as_array().unwrap();
        hosts.iter().find(|host| host["host"] == name).cloned().unwrap_or_default()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Ends actions that wait as HELD does, before their daemons stop.
        let _ = std::fs::remove_dir_all(self.place.path());
    }
}

fn most_at_once(lines: &[Line]) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in lines {
        if line.is_start {
            now += 1;
            most = most.max(now);
        } else {
            now -= 1;
        }
    }
    most
}
