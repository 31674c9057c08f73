//! `dump` and `load` of 50,000 keys: the whole command, beside bare requests of the same client crates.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use etcd_client::{GetOptions, Txn, TxnOp};
use futures::StreamExt;

use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::{OPEN, ZooKeeper};
use crate::mirror::{fill_etcd, fill_zookeeper, key};
use crate::table::{Limit, Table};

const KEYS: usize = 50_000;
/// Requests one after another are timed on so many, and counted as often as there are keys.
const SAMPLE: usize = 2_000;
const SCALE: f64 = 25.0;
const VALUE: &[u8] = &[b'v'; 32];

/// Both commands on both servers.
pub fn dump_and_load(table: &mut Table) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(etcd(table));
    runtime.block_on(zookeeper(table));
}

fn report(table: &mut Table, what: &str, ours: f64, one_by_one: f64, floor: (&str, f64)) {
    let faster = format!("{what}, beside one request after another ({SAMPLE} timed, scaled)");
    table.ratio(&faster, ours, one_by_one, "ms", &Limit::AtMost(0.2));
    table.ratio(&format!("{what}, beside {}", floor.0), ours, floor.1, "ms", &Limit::AtMost(2.0));
}

/// The fastest load of three, since whatever else the machine does only makes it slower.
fn loaded(url: &str, document: &Path) -> f64 {
    let load = |at: &str| command(url, &["load", document.to_str().unwrap(), "--at", at]).0;
    ["/first", "/second", "/third"].map(load).into_iter().fold(f64::INFINITY, f64::min)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// The time of a command, and what it printed.
fn command(url: &str, args: &[&str]) -> (f64, String) {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_twitcher"))
        .args(args)
        .args(["--store", url, "--timeout", "60s"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    (milliseconds(began), String::from_utf8(output.stdout).unwrap())
}

async fn etcd(table: &mut Table) {
    let etcd = Etcd::start();
    fill_etcd(&etcd, KEYS, VALUE.len()).await;
    let client = etcd.client().await;
    let (mut one, mut kv) = (client.clone(), client.kv_client().max_decoding_message_size(usize::MAX));
    let began = Instant::now();
    for number in 0..SAMPLE {
        one.get(key(number), None).await.unwrap();
    }
    let one_by_one = milliseconds(began) * SCALE;
    let (mut floor, mut ours) = (f64::INFINITY, f64::INFINITY);
    let mut document = String::new();
    for _ in 0..3 {
        let began = Instant::now();
        let answer = kv.get("/bench", Some(GetOptions::new().with_prefix())).await.unwrap();
        floor = floor.min(milliseconds(began));
        assert_eq!(answer.kvs().len(), KEYS);
        let (time, text) = command(&etcd.url(), &["dump", "/bench"]);
        ours = ours.min(time);
        document = text;
    }
    report(table, "dump of 50,000 keys, etcd", ours, one_by_one, ("one range read", floor));

    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), document).unwrap();
    let began = Instant::now();
    for number in 0..SAMPLE {
        one.put(format!("/single/{number}"), VALUE, None).await.unwrap();
    }
    let one_by_one = milliseconds(began) * SCALE;
    let began = Instant::now();
    for chunk in (0..KEYS).collect::<Vec<_>>().chunks(128) {
        let puts = chunk.iter().map(|number| TxnOp::put(format!("/floor{}", key(*number)), VALUE, None));
        one.txn(Txn::new().and_then(puts.collect::<Vec<_>>())).await.unwrap();
    }
    let floor = milliseconds(began);
    let ours = loaded(&etcd.url(), file.path());
    report(table, "load of 50,000 keys, etcd", ours, one_by_one, ("transactions of 128", floor));
}

async fn zookeeper(table: &mut Table) {
    let server = ZooKeeper::start();
    fill_zookeeper(&server, KEYS, VALUE.len()).await;
    let client = server.client().await;
    let began = Instant::now();
    for number in 0..SAMPLE {
        client.get_data(&key(number)).await.unwrap();
    }
    let one_by_one = milliseconds(began) * SCALE;
    let (mut floor, mut ours) = (f64::INFINITY, f64::INFINITY);
    let mut document = String::new();
    for _ in 0..3 {
        let began = Instant::now();
        let read = futures::stream::iter(0..KEYS)
            .map(|number| {
                let client = &client;
                async move { client.get_data(&key(number)).await.unwrap() }
            })
            .buffer_unordered(500)
            .count()
            .await;
        floor = floor.min(milliseconds(began));
        assert_eq!(read, KEYS);
        let (time, text) = command(&server.url(), &["dump", "/bench"]);
        ours = ours.min(time);
        document = text;
    }
    let bare = "a bare read of each, 500 on their way";
    report(table, "dump of 50,000 keys, ZooKeeper", ours, one_by_one, (bare, floor));

    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), document).unwrap();
    client.create("/single", b"", &OPEN).await.unwrap();
    let began = Instant::now();
    for number in 0..SAMPLE {
        client.create(&format!("/single/{number}"), VALUE, &OPEN).await.unwrap();
    }
    let one_by_one = milliseconds(began) * SCALE;
    client.create("/floor", b"", &OPEN).await.unwrap();
    client.create("/floor/bench", b"", &OPEN).await.unwrap();
    for rack in 0..50 {
        client.create(&format!("/floor/bench/rack-{rack:02}"), b"", &OPEN).await.unwrap();
    }
    let began = Instant::now();
    for chunk in (0..KEYS).collect::<Vec<_>>().chunks(500) {
        let mut writer = client.new_multi_writer();
        for number in chunk {
            writer.add_create(&format!("/floor{}", key(*number)), VALUE, &OPEN).unwrap();
        }
        writer.commit().await.unwrap();
    }
    let floor = milliseconds(began);
    let ours = loaded(&server.url(), file.path());
    report(table, "load of 50,000 keys, ZooKeeper", ours, one_by_one, ("transactions of 500", floor));
}
