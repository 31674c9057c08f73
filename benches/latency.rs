//! From the put to the first instruction of the action, beside a bare loop of the same client crate that
//! spawns the same program with `std::process::Command`.

use std::path::Path;
use std::process::Command;

use crate::fixture::daemon::Daemon;
use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::{OPEN, ZooKeeper};
use crate::table::{Limit, Table, first_program, monotonic, percentile, times};

const ROUNDS: usize = 300;

pub fn all(table: &mut Table) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let program = first_program();
    for watches in [1, 10_000] {
        runtime.block_on(etcd(table, &program, watches));
        runtime.block_on(zookeeper(table, &program, watches));
    }
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

fn report(table: &mut Table, name: &str, ours: &mut [f64], floor: &mut [f64]) {
    for (rank, word, limit) in [(0.5, "p50", 1.1), (0.99, "p99", 1.5)] {
        let (ours, floor) = (percentile(ours, rank), percentile(floor, rank));
        table.ratio(
            &format!("put → first instruction, {name}, {word}"),
            ours,
            floor,
            "µs",
            &Limit::AtMost(limit),
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds")]
fn microseconds(from: i64, to: i64) -> f64 {
    (to - from) as f64 / 1000.0
}

async fn etcd(table: &mut Table, program: &Path, watches: usize) {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    let floor_file = etcd.data_dir().join("floor");
    let mut watching = etcd.client().await;
    let mut stream = watching.watch("/floor", None).await.unwrap();
    let (spawned, file) = (program.to_owned(), floor_file.clone());
    tokio::spawn(async move {
        while let Ok(Some(response)) = stream.message().await {
            for _ in response.events() {
                let mut child = Command::new(&spawned).arg(&file).spawn().unwrap();
                tokio::task::spawn_blocking(move || child.wait());
            }
        }
    });
    let out = etcd.data_dir().join("ours");
    let action = format!("['{}', '{}']", program.display(), out.display());
    let daemon = tokio::task::block_in_place(|| daemon_on(&etcd.url(), watches, &action));
    client.put("/first", "0", None).await.unwrap();
    tokio::task::block_in_place(|| daemon.until_runs("first", 1));
    let _ = std::fs::remove_file(&out);
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does hits both alike.
    for round in 1..=ROUNDS {
        let put = monotonic();
        client.put("/floor", round.to_string(), None).await.unwrap();
        floor.push(microseconds(put, times(&floor_file, round)[round - 1]));
        let put = monotonic();
        client.put("/first", round.to_string(), None).await.unwrap();
        ours.push(microseconds(put, times(&out, round)[round - 1]));
        settle();
    }
    report(table, &format!("etcd, {watches} watches"), &mut ours, &mut floor);
}

async fn zookeeper(table: &mut Table, program: &Path, watches: usize) {
    let server = ZooKeeper::start();
    let client = server.client().await;
    for path in ["/floor", "/first"] {
        client.create(path, b"0", &OPEN).await.unwrap();
    }
    let place = tempfile::tempdir().unwrap();
    let (floor_file, out) = (place.path().join("floor"), place.path().join("ours"));
    let (spawned, file) = (program.to_owned(), floor_file.clone());
    let watching = server.client().await;
    let (_, _, mut change) = watching.get_and_watch_data("/floor").await.unwrap();
    tokio::spawn(async move {
        loop {
            let _ = change.changed().await;
            let Ok((_, _, next)) = watching.get_and_watch_data("/floor").await else { return };
            change = next;
            let mut child = Command::new(&spawned).arg(&file).spawn().unwrap();
            tokio::task::spawn_blocking(move || child.wait());
        }
    });
    let action = format!("['{}', '{}']", program.display(), out.display());
    let daemon = tokio::task::block_in_place(|| daemon_on(&server.url(), watches, &action));
    tokio::task::block_in_place(|| daemon.until_runs("first", 1));
    let _ = std::fs::remove_file(&out);
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let put = monotonic();
        client.set_data("/floor", round.to_string().as_bytes(), None).await.unwrap();
        floor.push(microseconds(put, times(&floor_file, round)[round - 1]));
        let put = monotonic();
        client.set_data("/first", round.to_string().as_bytes(), None).await.unwrap();
        ours.push(microseconds(put, times(&out, round)[round - 1]));
        settle();
    }
    report(table, &format!("ZooKeeper, {watches} watches"), &mut ours, &mut floor);
}

/// Lets both sides finish with the last run before the next begins.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(2));
}
