//! Many watches, many updates, many actions.

use std::time::Duration;

use futures::StreamExt as _;

use crate::bare::Start;
use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::ZooKeeper;
use crate::latency::{daemon_on, microseconds};
use crate::table::{
    Limit, Table, cpu, first_program, monotonic, percentile, resident, scaled, times, wake_ups,
};

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// 10,000 single-key watches on one store.
pub fn ten_thousand_watches(table: &mut Table) {
    let etcd = Etcd::start();
    armed(table, "etcd", &etcd.url(), 1000.0);
    let zookeeper = ZooKeeper::start();
    armed(table, "ZooKeeper", &zookeeper.url(), 3000.0);
}

fn armed(table: &mut Table, name: &str, url: &str, limit: f64) {
    let mut daemon =
        Daemon::prepare(&format!("default_store = 'it'\nlog_level = 'debug'\n[store.it]\nurl = '{url}'"));
    crate::latency::files(&daemon, 10_000, "['true']");
    daemon.run();
    until("all to be armed", || {
        let status = daemon.status();
        let watches = status["watches"].as_array().unwrap();
        (watches.len() == 10_000 && watches.iter().all(|watch| watch["verified_seconds"].is_number()))
            .then_some(())
    });
    let log = daemon.log();
    let armed = between(&log, "connected to the store", "all targets are armed");
    match armed {
        Some(armed) => table.value(&format!("10,000 watches armed, {name}"), armed, "ms", limit),
        None => table.holds(&format!("10,000 watches armed, {name}"), "not logged".to_owned(), false),
    }
    let pid = daemon.pid();
    table.value(&format!("10,000 watches, {name}, resident"), resident(pid) / MEGABYTE, "MB", 40.0);
    std::thread::sleep(Duration::from_secs(2));
    let (busy, woken) = (cpu(pid), wake_ups(pid));
    std::thread::sleep(Duration::from_secs(20));
    table.value(&format!("idle, {name}, CPU in 20 s"), cpu(pid) - busy, "ms", 20.0);
    table.holds(&format!("idle, {name}, wake-ups in 20 s"), format!("{:.0}", wake_ups(pid) - woken), true);
}

/// Milliseconds between two lines of the log.
fn between(log: &str, from: &str, to: &str) -> Option<f64> {
    let time = |text: &str| -> Option<jiff::Timestamp> {
        log.lines().find(|line| line.contains(text))?.split(' ').next()?.parse().ok()
    };
    Some(time(to)?.duration_since(time(from)?).as_secs_f64() * 1000.0)
}

/// 10,000 updates of one key as fast as the store takes them.
pub fn burst(table: &mut Table) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let etcd = Etcd::start();
    let out = etcd.data_dir().join("last");
    let action = format!("'cat > {0}.new; mv {0}.new {0}'", out.display());
    let daemon = daemon_on(&etcd.url(), 1, &action);
    let before = resident(daemon.pid());
    let mut highest = before;
    runtime.block_on(async {
        let mut client = etcd.client().await;
        for value in 1..=10_000 {
            client.put("/first", value.to_string(), None).await.unwrap();
            if value % 500 == 0 {
                highest = highest.max(resident(daemon.pid()));
            }
        }
    });
    until("the last value", || (std::fs::read_to_string(&out).ok()? == "10000").then_some(()));
    table.value("10,000 updates of one key, growth of memory", (highest - before) / MEGABYTE, "MB", 4.0);
    table.holds("10,000 updates of one key, last value run", "10000".to_owned(), true);
}

/// 1,000 updates of one key: when the last one's run begins, beside the start for a single update.
pub fn last_of_a_burst(table: &mut Table) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let program = first_program();
    let etcd = Etcd::start();
    let out = etcd.data_dir().join("ours");
    let daemon = daemon_on(&etcd.url(), 1, &format!("['{}', '{}']", program.display(), out.display()));
    let ends = || {
        until("the last run", || {
            let watch = daemon.watch("first");
            (watch["converged"] == true).then_some(())
        });
        let file = std::fs::read(&out).unwrap();
        *times(&out, file.len() / 8).last().unwrap()
    };
    let (mut bursts, mut singles) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let client = etcd.client().await;
        for round in 0..scaled(100) {
            let mut one = client.clone();
            one.put("/first", format!("single {round}"), None).await.unwrap();
            let acknowledged = monotonic();
            singles.push(microseconds(acknowledged, tokio::task::block_in_place(ends)));
            futures::stream::iter(0..999)
                .for_each_concurrent(32, |number| {
                    let mut client = client.clone();
                    async move {
                        client.put("/first", format!("{round} {number}"), None).await.unwrap();
                    }
                })
                .await;
            one.put("/first", format!("last of {round}"), None).await.unwrap();
            let acknowledged = monotonic();
            bursts.push(microseconds(acknowledged, tokio::task::block_in_place(ends)));
        }
    });
    let (burst, single) = (percentile(&mut bursts, 0.5), percentile(&mut singles, 0.5));
    let what = "1,000 updates of one key: last acknowledgement → first instruction of the last run, p50";
    table.ratio(what, burst, single, "µs", &Limit::AtMost(2.0));
}

/// 1,000 different keys touched at once, one action each, beside a loop on as many threads as the daemon has workers, with
/// the daemon's own start.
pub fn thousand_actions(table: &mut Table) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let program = first_program();
    let etcd = Etcd::start();
    let out = etcd.data_dir().join("ours");
    let mut daemon = Daemon::prepare(&format!("default_store = 'it'\n[store.it]\nurl = '{}'", etcd.url()));
    let action = format!("['{}', '{}']", program.display(), out.display());
    let watch =
        |number| format!("[[watch]]\nname = 'w{number}'\nkey = '/k/{number:04}'\naction = {action}\n");
    daemon.write("all.toml", &(0..1000).map(watch).collect::<Vec<_>>().concat());
    daemon.run();
    daemon.until_watch("w999", |watch| watch["verified_seconds"].is_number());
    let rate = |file: &std::path::Path| {
        let mut all = times(file, 1000);
        all.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "a span of seconds")]
        let span = (all[999] - all[0]) as f64 / 1e9;
        999.0 / span
    };
    let floor_file = etcd.data_dir().join("floor");
    runtime.block_on(async {
        let halves = [0, 1].map(|_| {
            let (program, file) = (program.clone(), floor_file.clone());
            tokio::spawn(async move {
                let start = Start::same(&program, &file);
                for _ in 0..500 {
                    start.start(&program, &file, bytes::Bytes::from_static(b"x"));
                    // The runs' own tasks collect them, as in the daemon.
                    tokio::task::yield_now().await;
                }
            })
        });
        for half in halves {
            half.await.unwrap();
        }
        tokio::task::block_in_place(|| times(&floor_file, 1000));
        let mut client = etcd.client().await;
        for part in (0..1000).collect::<Vec<_>>().chunks(100) {
            let puts: Vec<_> =
                part.iter().map(|n| etcd_client::TxnOp::put(format!("/k/{n:04}"), "x", None)).collect();
            client.txn(etcd_client::Txn::new().and_then(puts)).await.unwrap();
        }
        let (ours, floor) = tokio::task::block_in_place(|| (rate(&out), rate(&floor_file)));
        table.ratio("1,000 keys at once, actions a second", ours, floor, "/s", &Limit::AtLeast(0.95));
    });
}
