//! From the acknowledgement of a put to the first instruction of the action, beside bare loops of the same client crate:
//! one starts the program with `std::process::Command`, one with the daemon's own start.

use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::bare::{Loop, Start};
use crate::fixture::daemon::Daemon;
use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::{OPEN, ZooKeeper};
use crate::table::{Limit, Table, first_program, monotonic, percentile, scaled, times};

const ROUNDS: usize = 300;
/// More bytes than a pipe holds.
const LARGE: usize = 100_000;
/// Lets a side finish with its last run before the next begins.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(2);

pub fn all(table: &mut Table) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let program = first_program();
    for watches in [1, scaled(10_000)] {
        runtime.block_on(etcd(table, &program, watches, 1));
        runtime.block_on(zookeeper(table, &program, watches));
    }
    runtime.block_on(etcd(table, &program, 1, LARGE));
    let _entered = runtime.enter();
    dir(table, &program);
}

/// Watches on keys of which only the first is ever touched.
pub fn files(daemon: &Daemon, watches: usize, action: &str) {
    let other =
        |number| format!("[[watch]]\nname = 'other-{number}'\nkey = '/other/{number}'\naction = ['true']\n");
    let others: Vec<String> = (1..watches).map(other).collect();
    // The number of watches is what counts here, so that they may come in few files.
    for (number, part) in others.chunks(1000).enumerate() {
        daemon.write(&format!("others-{number}.toml"), &part.concat());
    }
    daemon.write(
        "first.toml",
        &format!("[[watch]]\nname = 'first'\nkey = '/first'\nstore = 'it'\naction = {action}\n"),
    );
}

pub fn daemon_on(url: &str, watches: usize, action: &str) -> Daemon {
    let mut daemon = Daemon::prepare(&format!("default_store = 'it'\n[store.it]\nurl = '{url}'"));
    files(&daemon, watches, action);
    daemon.run();
    daemon.until_watch("first", |watch| watch["verified_seconds"].is_number());
    daemon
}

/// The three that are compared: the bare loops in this process, and the daemon.
struct Three {
    program: PathBuf,
    place: tempfile::TempDir,
    bare: Vec<f64>,
    same: Vec<f64>,
    ours: Vec<f64>,
}

impl Three {
    fn new(program: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        Self { program: program.to_owned(), place, bare: Vec::new(), same: Vec::new(), ours: Vec::new() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn action(&self) -> String {
        format!("['{}', '{}']", self.program.display(), self.file("ours").display())
    }

    fn loops(&self, feeds: bool) -> [(&'static str, Loop); 2] {
        let of = |name: &'static str, start| {
            let (program, file) = (self.program.clone(), self.file(name));
            (name, Loop { start, program, file, feeds })
        };
        [of("bare", Start::Command), of("same", Start::same(&self.program, &self.file("same")))]
    }

    /// A change of this name was acknowledged, and is the round's.
    fn acknowledged(&mut self, name: &str, at: i64, round: usize) {
        let sample = microseconds(at, times(&self.file(name), round)[round - 1]);
        match name {
            "bare" => self.bare.push(sample),
            "same" => self.same.push(sample),
            _ => self.ours.push(sample),
        }
        std::thread::sleep(SETTLE);
    }

    fn report(mut self, table: &mut Table, name: &str, beside_same: bool) {
        for (rank, word, limit) in [(0.5, "p50", 1.05), (0.99, "p99", 1.2)] {
            let what = format!("acknowledged → first instruction, {name}, {word}");
            let (ours, bare) = (percentile(&mut self.ours, rank), percentile(&mut self.bare, rank));
            let same = percentile(&mut self.same, rank);
            if beside_same {
                let limit = if rank < 0.6 { 1.1 } else { 1.5 };
                table.ratio(&what, ours, same, "µs", &Limit::AtMost(limit));
            } else {
                table.ratio(&what, ours, bare, "µs", &Limit::AtMost(limit));
                let later = format!("later than a bare loop with the same start, {name}, {word}");
                table.value(&later, ours - same, "µs", 60.0);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds")]
pub fn microseconds(from: i64, to: i64) -> f64 {
    (to - from) as f64 / 1000.0
}

async fn etcd(table: &mut Table, program: &Path, watches: usize, size: usize) {
    let mut three = Three::new(program);
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    for (name, bare) in three.loops(size > 1) {
        let mut watching = etcd.client().await;
        let mut stream = watching.watch(format!("/{name}"), None).await.unwrap();
        tokio::spawn(async move {
            while let Ok(Some(response)) = stream.message().await {
                for event in response.events() {
                    bare.heard(event.kv().unwrap().value());
                }
            }
        });
    }
    let daemon = tokio::task::block_in_place(|| daemon_on(&etcd.url(), watches, &three.action()));
    client.put("/first", "0", None).await.unwrap();
    tokio::task::block_in_place(|| daemon.until_runs("first", 1));
    let _ = std::fs::remove_file(three.file("ours"));
    // In turns, so that whatever else the machine does hits all alike.
    for round in 1..=scaled(ROUNDS) {
        let value = format!("{round:0size$}");
        for (name, key) in [("bare", "/bare"), ("same", "/same"), ("ours", "/first")] {
            client.put(key, value.as_str(), None).await.unwrap();
            three.acknowledged(name, monotonic(), round);
        }
    }
    let what = if size > 1 { "etcd, 100 kB on stdin".to_owned() } else { format!("etcd, {watches} watches") };
    three.report(table, &what, false);
}

async fn zookeeper(table: &mut Table, program: &Path, watches: usize) {
    let mut three = Three::new(program);
    let server = ZooKeeper::start();
    let client = server.client().await;
    for path in ["/bare", "/same", "/first"] {
        client.create(path, b"0", &OPEN).await.unwrap();
    }
    for (name, bare) in three.loops(false) {
        let watching = server.client().await;
        let path = format!("/{name}");
        let (_, _, mut change) = watching.get_and_watch_data(&path).await.unwrap();
        tokio::spawn(async move {
            loop {
                let _ = change.changed().await;
                let Ok((value, _, next)) = watching.get_and_watch_data(&path).await else { return };
                change = next;
                bare.heard(&value);
            }
        });
    }
    let daemon = tokio::task::block_in_place(|| daemon_on(&server.url(), watches, &three.action()));
    tokio::task::block_in_place(|| daemon.until_runs("first", 1));
    let _ = std::fs::remove_file(three.file("ours"));
    for round in 1..=scaled(ROUNDS) {
        for (name, key) in [("bare", "/bare"), ("same", "/same"), ("ours", "/first")] {
            client.set_data(key, round.to_string().as_bytes(), None).await.unwrap();
            three.acknowledged(name, monotonic(), round);
        }
    }
    three.report(table, &format!("ZooKeeper, {watches} watches"), false);
}

/// A file that is renamed into place. The bare loop reads the file and starts as the daemon does.
fn dir(table: &mut Table, program: &Path) {
    let mut three = Three::new(program);
    for (name, bare) in three.loops(false) {
        let place = three.file(&format!("{name}.d"));
        std::fs::create_dir(&place).unwrap();
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).unwrap();
        inotify.add_watch(&place, AddWatchFlags::IN_MOVED_TO).unwrap();
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            let _entered = runtime.enter();
            while let Ok(events) = inotify.read_events() {
                for _ in events {
                    bare.heard(&std::fs::read(place.join("key")).unwrap_or_default());
                }
            }
        });
    }
    let keys = three.file("ours.d");
    std::fs::create_dir(&keys).unwrap();
    let put = |name: &str, key: &str, value: usize| {
        let place = three.file(&format!("{name}.d"));
        std::fs::write(place.join(".new"), value.to_string()).unwrap();
        std::fs::rename(place.join(".new"), place.join(key)).unwrap();
        monotonic()
    };
    put("ours", "first", 0);
    let url = format!("dir://{}", keys.display());
    let daemon = tokio::task::block_in_place(|| daemon_on(&url, 1, &three.action()));
    tokio::task::block_in_place(|| daemon.until_runs("first", 1));
    let _ = std::fs::remove_file(three.file("ours"));
    let mut renamed = Vec::new();
    for round in 1..=scaled(ROUNDS) {
        for (name, key) in [("bare", "key"), ("same", "key"), ("ours", "first")] {
            let at = put(name, key, round);
            renamed.push((name, microseconds(at, times(&three.file(name), round)[round - 1])));
            std::thread::sleep(SETTLE);
        }
    }
    let of =
        |wanted: &str| renamed.iter().filter(|(name, _)| *name == wanted).map(|(_, time)| *time).collect();
    (three.bare, three.same, three.ours) = (of("bare"), of("same"), of("ours"));
    three.report(table, "a renamed file, beside a loop with the same start", true);
}
