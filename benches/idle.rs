//! What the daemon costs while nothing is to be run.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::latency::daemon_on;
use crate::table::{Limit, Table, cpu, scaled, wake_ups};

const EVENTS: usize = 10_000;

/// CPU for each event of a paused watch, beside a client that takes the same events and does nothing.
pub fn events(table: &mut Table) {
    let etcd = Etcd::start();
    let daemon = daemon_on(&etcd.url(), 1, "['true']");
    daemon.say(&["pause", "first"]);
    let events = scaled(EVENTS);
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (runtime, server) = (tokio::runtime::Runtime::new().unwrap(), &etcd);
    let (ours, bare) = std::thread::scope(|scope| {
        // One thread alone, so that its CPU time is the client's.
        let bare = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut stream = server.client().await.watch("/first", None).await.unwrap();
                ready.send(()).unwrap();
                let before = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
                let mut taken = 0;
                while taken < events {
                    taken += stream.message().await.unwrap().unwrap().events().len();
                }
                let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap() - before;
                Duration::from(used).as_secs_f64() * 1000.0
            })
        });
        is_ready.recv().unwrap();
        let before = cpu(daemon.pid());
        runtime.block_on(async {
            let mut client = etcd.client().await;
            for value in 0..events {
                client.put("/first", value.to_string(), None).await.unwrap();
            }
        });
        let bare = bare.join().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        (cpu(daemon.pid()) - before, bare)
    });
    let what = format!("CPU of {events} events of a paused watch, etcd");
    table.ratio(&what, ours, bare, "ms", &Limit::AtMost(2.0));
}

/// A log beside the configuration and the keys that is written 1,000 times a second.
pub fn busy_directory(table: &mut Table) {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "x");
    daemon.write("a.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n");
    daemon.run();
    daemon.until_runs("a", 1);
    let seconds = 10.0;
    let measured = |opened_each_time: bool| {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (path, done) = (daemon.path("beside.log"), &done);
            scope.spawn(move || {
                let open = || std::fs::File::options().create(true).append(true).open(&path).unwrap();
                let mut file = open();
                while !done.load(Ordering::Relaxed) {
                    if opened_each_time {
                        file = open();
                    }
                    file.write_all(b"one more line of a log\n").unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let (busy, woken) = (cpu(daemon.pid()), wake_ups(daemon.pid()));
            std::thread::sleep(Duration::from_secs_f64(seconds));
            let measured = (cpu(daemon.pid()) - busy, wake_ups(daemon.pid()) - woken);
            done.store(true, Ordering::Relaxed);
            measured
        })
    };
    for (word, opened) in [("kept open", false), ("opened for each line", true)] {
        let (busy, woken) = measured(opened);
        let what = format!("a log beside the configuration, 1,000 lines a second, {word}");
        table.value(&format!("{what}: of a core"), busy / seconds / 10.0, "%", 1.0);
        table.value(&format!("{what}: wake-ups"), woken / seconds, "/s", 25.0);
    }
}

/// From exec to armed, with one watch.
pub fn start(table: &mut Table) {
    let etcd = Etcd::start();
    for runs in [0, scaled(10_000)] {
        let mut daemon = Daemon::prepare(&format!("log_level = 'debug'\n[store.it]\nurl = '{}'", etcd.url()));
        daemon.put("/a", "x");
        let etcd_watch = |run_mode: &str| {
            format!(
                "[[watch]]\nname = 'first'\nkey = '/first'\nstore = 'it'\naction = ['/bin/true']\n{run_mode}"
            )
        };
        if runs > 0 {
            daemon.write("first.toml", &etcd_watch("run_mode = 'parallel'\n"));
            daemon.run();
            daemon.until_watch("first", |watch| watch["verified_seconds"].is_number());
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let mut client = etcd.client().await;
                for value in 0..runs {
                    client.put("/first", value.to_string(), None).await.unwrap();
                }
            });
            daemon.until_watch("first", |watch| watch["runs"].as_u64() >= Some(u64::try_from(runs).unwrap()));
            daemon.stop();
            daemon.remove("first.toml");
        }
        for (store, text) in [
            (
                "dir",
                "[[watch]]\nname = 'first'\nkey = '/a'\nstore = 'local'\naction = ['/bin/true']\n".to_owned(),
            ),
            ("etcd", etcd_watch("")),
        ] {
            daemon.write("first.toml", &text);
            let mut samples: Vec<f64> = (0..10).map(|_| to_armed(&mut daemon)).collect();
            let what = format!("start with one watch, exec → armed, {store}, ledger of {runs} runs, p50");
            table.value(&what, crate::table::percentile(&mut samples, 0.5), "ms", 20.0);
        }
    }
}

/// Milliseconds, by the time of the line of the log that says so.
fn to_armed(daemon: &mut Daemon) -> f64 {
    let before = daemon.log().len();
    let began = jiff::Timestamp::now();
    let waits = Instant::now();
    daemon.run();
    let armed = until("the watch to be armed", || {
        let log = daemon.log();
        let line = log.get(before..)?.lines().find(|line| line.contains("all targets are armed"))?;
        line.split(' ').next()?.parse::<jiff::Timestamp>().ok()
    });
    assert!(waits.elapsed() < Duration::from_mins(1));
    daemon.stop();
    armed.duration_since(began).as_secs_f64() * 1000.0
}
