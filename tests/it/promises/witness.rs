//! Watches of every kind on one store, and what their actions saw.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use super::writer::Writer;
use crate::fixture::daemon::{Daemon, PATIENCE, until};

/// Name and further fields of each watch. Together they cover every run mode, every watch type, and the ledger.
pub(super) const KINDS: [(&str, &str); 7] = [
    ("queue", "key = '/n'"),
    ("changed", "key = '/n'\nrun_on_load = 'changed'"),
    ("discard", "key = '/n'\nrun_mode = 'discard'"),
    ("restart", "key = '/n'\nrun_mode = 'restart'\nkill_after = '200ms'"),
    ("parallel", "key = '/n'\nrun_mode = 'parallel'"),
    ("tree", "key = '/tree'\nwatch_type = 'tree'"),
    ("children", "key = '/kids'\nwatch_type = 'children'"),
];

/// One store's witnesses on a daemon. The values are rising numbers.
pub(super) struct Witnesses {
    pub(super) store: String,
    pub(super) writer: Writer,
    /// The last number that was put.
    pub(super) number: u64,
    /// Lines of each witness from before the store was restored.
    before: BTreeMap<String, usize>,
}

/// A run: its id in start order, its reason, and the number that it saw (`None`: an empty state).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) start: u64,
    pub(super) place: u64,
    pub(super) reason: String,
    pub(super) number: Option<u64>,
}

impl Witnesses {
    /// Writes the watch files of a store. `fields` are added to every watch; `rest` is what an action does after recording
    /// what it saw.
    pub(super) fn prepare(daemon: &Daemon, store: &str, writer: Writer, fields: &str, rest: &str) -> Self {
        for (kind, own) in KINDS {
            daemon
                .write(&format!("{store}-{kind}.toml"), &definition(daemon, store, kind, own, fields, rest));
        }
        Self { store: store.to_owned(), writer, number: 0, before: BTreeMap::new() }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        KINDS.iter().map(|(kind, _)| format!("{}-{kind}", self.store))
    }

    /// Puts the next number at every witness's key.
    pub(super) fn step(&mut self) {
        self.number += 1;
        let text = self.number.to_string();
        self.writer.put("/n", &text);
        self.writer.put("/tree/leaf", &text);
        self.writer.put(&format!("/kids/{text}"), "");
    }

    /// Waits until every witness, except the one that may discard, has seen the last number without another put; then checks
    /// that all of them still work, and that none ran twice at once or went backwards.
    #[track_caller]
    pub(super) fn prove(&mut self, daemon: &Daemon) {
        self.until_seen(daemon, |kind| kind != "discard");
        self.until_idle(daemon);
        self.step();
        self.until_seen(daemon, |_| true);
        self.until_idle(daemon);
        self.check(daemon);
    }

    /// Waits until these have seen the last number as the last one.
    #[track_caller]
    pub(super) fn until_seen(&self, daemon: &Daemon, whose: impl Fn(&str) -> bool) {
        for name in self.names().filter(|name| whose(name.rsplit('-').next().unwrap())) {
            self.until_last(daemon, &name, self.number);
        }
    }

    #[track_caller]
    pub(super) fn until_last(&self, daemon: &Daemon, name: &str, number: u64) {
        let deadline = Instant::now() + PATIENCE * 2;
        loop {
            let last = self.seen(daemon, name).last().and_then(|seen| seen.number);
            if last == Some(number) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{name} did not run with {number}, its last was {last:?}; the watch is {:#}\n{}\nthe log:\n{}",
                daemon.watch(name),
                daemon.say(&["explain", name]),
                daemon.log()
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Waits until nothing runs and everything is applied.
    #[track_caller]
    pub(super) fn until_idle(&self, daemon: &Daemon) {
        until("all witnesses to be idle", || {
            let status = daemon.status();
            let watches = status["watches"].as_array().unwrap();
            let ours = watches.iter().filter(|watch| watch["store"] == self.store.as_str());
            let busy = |watch: &Value| {
                let discards = watch["name"].as_str().unwrap().ends_with("discard");
                watch["state"] != "idle" || watch["converged"] != true && !discards
            };
            (!ours.into_iter().any(busy)).then_some(())
        });
    }

    /// Forgets what was seen so far, because the store was restored.
    pub(super) fn begin_anew(&mut self, daemon: &Daemon) {
        self.before = self.names().map(|name| (name.clone(), daemon.read(&name).lines().count())).collect();
    }

    /// Checks P2 and P3 for everything seen so far.
    #[track_caller]
    pub(super) fn check(&self, daemon: &Daemon) {
        for name in self.names() {
            let text = daemon.read(&name);
            assert!(!text.contains("TWO"), "two at once:\n{text}\nthe log:\n{}", daemon.log());
            let mut highest = None;
            for seen in self.seen(daemon, &name) {
                if seen.number.is_some() {
                    assert!(seen.number >= highest, "{name} went back: {seen:?}\n{text}\n{}", daemon.log());
                    highest = seen.number;
                }
            }
        }
    }

    /// What a witness saw, in the order in which its runs were started.
    pub(super) fn seen(&self, daemon: &Daemon, name: &str) -> Vec<Seen> {
        let skip = self.before.get(name).copied().unwrap_or(0);
        let text = daemon.read(name);
        let mut seen: Vec<Seen> =
            text.lines().skip(skip).filter(|line| !line.starts_with("TWO")).map(parse).collect();
        seen.sort();
        seen
    }
}

/// Live processes that actions of a daemon's witnesses started.
pub(super) fn processes_of(daemon: &Daemon) -> Vec<i32> {
    let mark = format!("SCENE={}", daemon.config().display()).into_bytes();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == mark)
    })
    .collect()
}

/// The daemon's ended children that it has not collected.
pub(super) fn zombies_of(daemon: &Daemon) -> Vec<String> {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let parent = format!(" Z {} ", daemon.pid());
    stats.filter(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(&parent))).collect()
}

/// A watch file of one witness. The lock is released with the last process that holds it, however that ends.
pub(super) fn definition(
    daemon: &Daemon,
    store: &str,
    kind: &str,
    own: &str,
    fields: &str,
    rest: &str,
) -> String {
    let out = daemon.path(&format!("{store}-{kind}")).display().to_string();
    let alone = if kind == "parallel" {
        String::new()
    } else {
        format!("exec 9>>{out}.lock; flock -n 9 || echo TWO $TWITCHER_RUN >> {out}; ")
    };
    let action = format!("{alone}set -f; echo $TWITCHER_RUN $TWITCHER_REASON $(cat) >> {out}; {rest}");
    let mark = format!("env = {{ SCENE = '{}' }}", daemon.config().display());
    format!("[[watch]]\nstore = '{store}'\naction = '''{action}'''\n{mark}\n{own}\n{fields}\n")
}

fn parse(line: &str) -> Seen {
    let (run, rest) = line.split_once(' ').unwrap();
    let (reason, state) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut parts = run.split('-').skip(1);
    let start = u64::from_str_radix(parts.next().unwrap(), 16).unwrap();
    let place = parts.next().unwrap().parse().unwrap();
    // For a tree or a list of children: its newest part.
    let numbers = state.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
    Seen { start, place, reason: reason.to_owned(), number: numbers.max() }
}

/// A daemon with witnesses on one store, which all have seen a first number.
pub(super) struct Scene {
    pub(super) daemon: Daemon,
    pub(super) witnesses: Witnesses,
}

impl Scene {
    /// `fields` of every watch, and `store` as the fields of `[store.main]` beside its URL.
    pub(super) fn start(url: &str, store: &str, fields: &str, writer: Writer) -> Self {
        let mut scene = Self::prepare(url, store, fields, writer);
        scene.witnesses.step();
        scene.daemon.run();
        scene.witnesses.prove(&scene.daemon);
        scene
    }

    /// The same before anything is started or put.
    pub(super) fn prepare(url: &str, store: &str, fields: &str, writer: Writer) -> Self {
        let settings = format!("shutdown_grace = '1s'\n[store.main]\nurl = '{url}'\n{store}");
        let daemon = Daemon::prepare(&settings);
        let witnesses = Witnesses::prepare(&daemon, "main", writer, fields, "sleep 0.02");
        Self { daemon, witnesses }
    }

    pub(super) fn step(&mut self) {
        self.witnesses.step();
    }

    #[track_caller]
    pub(super) fn prove(&mut self) {
        self.witnesses.prove(&self.daemon);
    }

    /// A watch that runs on deletion sees a deletion that happens while the connection is cut.
    #[track_caller]
    pub(super) fn prove_deletion(&mut self, breaks: impl Fn(), heals: impl Fn()) {
        let out = self.daemon.path("deletion");
        self.witnesses.writer.put("/gone", "here");
        self.daemon.write(
            "deletion.toml",
            &format!(
                "[[watch]]\nstore = 'main'\nkey = '/gone'\non_delete = 'run'\naction = 'echo $TWITCHER_REASON [$(cat)] >> {}'\n",
                out.display()
            ),
        );
        self.daemon.until_file("deletion", |text| text == "load [here]\n");
        breaks();
        self.until_down();
        self.witnesses.writer.delete("/gone");
        heals();
        self.daemon.until_file("deletion", |text| text == "load [here]\ndelete []\n");
        self.witnesses.writer.put("/gone", "again");
        self.daemon.until_file("deletion", |text| text.ends_with("delete []\nchange [again]\n"));
    }

    /// The store in `status`.
    #[track_caller]
    pub(super) fn store(&self) -> Value {
        let status = self.daemon.status();
        status["stores"].as_array().unwrap().iter().find(|store| store["name"] == "main").cloned().unwrap()
    }

    /// Waits until `status` shows the store as down; returns why.
    #[track_caller]
    pub(super) fn until_down(&self) -> String {
        until("the store to be down", || {
            let store = self.store();
            (store["state"] == "down").then(|| store["error"].as_str().unwrap().to_owned())
        })
    }
}
