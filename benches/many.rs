//! Many watches, many updates, many actions.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::ZooKeeper;
use crate::latency::daemon_on;
use crate::table::{Limit, Table, cpu, first_program, resident, times, wake_ups};

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

/// 1,000 different keys touched at once, one action each.
pub fn thousand_actions(table: &mut Table) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
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
    let floor_file = etcd.data_dir().join("floor");
    let began = Instant::now();
    for _ in 0..1000 {
        Command::new(&program).arg(&floor_file).spawn().unwrap().wait().unwrap();
    }
    times(&floor_file, 1000);
    let floor = 1000.0 / began.elapsed().as_secs_f64();
    runtime.block_on(async {
        let mut client = etcd.client().await;
        for part in (0..1000).collect::<Vec<_>>().chunks(100) {
            let puts: Vec<_> =
                part.iter().map(|n| etcd_client::TxnOp::put(format!("/k/{n:04}"), "x", None)).collect();
            client.txn(etcd_client::Txn::new().and_then(puts)).await.unwrap();
        }
    });
    let mut all = times(&out, 1000);
    all.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a span of seconds")]
    let span = (all[999] - all[0]) as f64 / 1e9;
    table.ratio("1,000 keys at once, actions a second", 999.0 / span, floor, "/s", &Limit::AtLeast(0.7));
}
