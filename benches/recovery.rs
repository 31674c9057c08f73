//! How soon the first run follows the end of a fault: from the moment at which a bare client's request succeeds again.

use std::time::{Duration, Instant};

use crate::fixture::daemon::Daemon;
use crate::fixture::etcd::Etcd;
use crate::fixture::proxy::Proxy;
use crate::fixture::server::{freeze, thaw};
use crate::fixture::zookeeper::{self, ZooKeeper};
use crate::latency::{daemon_on, microseconds};
use crate::table::{Table, first_program, monotonic, percentile, times};

/// Of the long faults, and of the short ones.
const LONG: Duration = Duration::from_secs(40);
const SHORT: Duration = Duration::from_secs(5);
/// A session that served less than this is no proof that the store was there.
const SERVED: Duration = Duration::from_secs(11);
/// A bare client tries so often.
const TRIES: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Frozen,
    Reset,
    BlackHole,
    DaemonFrozen,
}

impl Fault {
    const ALL: [(Self, &'static str, Duration); 5] = [
        (Self::Killed, "server killed for 5 s", SHORT),
        (Self::Reset, "connections reset for 5 s", SHORT),
        (Self::Frozen, "server frozen for 40 s", LONG),
        (Self::BlackHole, "black hole for 40 s", LONG),
        (Self::DaemonFrozen, "daemon frozen for 40 s", LONG),
    ];
}

enum Server {
    Etcd(Etcd),
    ZooKeeper(ZooKeeper),
}

impl Server {
    fn port(&self) -> u16 {
        match self {
            Self::Etcd(server) => server.port(),
            Self::ZooKeeper(server) => server.port(),
        }
    }

    fn url(&self, port: u16) -> String {
        match self {
            Self::Etcd(_) => format!("etcd://127.0.0.1:{port}"),
            Self::ZooKeeper(_) => format!("zookeeper://127.0.0.1:{port}"),
        }
    }

    fn begin(&mut self, fault: Fault, proxy: &Proxy, daemon: u32) {
        match (fault, self) {
            (Fault::Killed, Self::Etcd(server)) => server.kill(),
            (Fault::Killed, Self::ZooKeeper(server)) => server.kill(),
            (Fault::Frozen, Self::Etcd(server)) => server.freeze(),
            (Fault::Frozen, Self::ZooKeeper(server)) => server.freeze(),
            (Fault::Reset, _) => proxy.cut(),
            (Fault::BlackHole, _) => proxy.stall(),
            (Fault::DaemonFrozen, _) => freeze(daemon),
        }
    }

    fn end(&mut self, fault: Fault, proxy: &Proxy, daemon: u32) {
        match (fault, self) {
            (Fault::Killed, Self::Etcd(server)) => server.start_again_unasked(),
            (Fault::Killed, Self::ZooKeeper(server)) => server.start_again_unasked(),
            (Fault::Frozen, Self::Etcd(server)) => server.thaw(),
            (Fault::Frozen, Self::ZooKeeper(server)) => server.thaw(),
            (Fault::Reset | Fault::BlackHole, _) => proxy.heal(),
            (Fault::DaemonFrozen, _) => thaw(daemon),
        }
    }

    /// One write of a new client through this port; whether it succeeded within a second.
    async fn put(&self, port: u16, value: &str) -> bool {
        let put = async {
            match self {
                Self::Etcd(_) => {
                    let mut client =
                        etcd_client::Client::connect([format!("127.0.0.1:{port}")], None).await.ok()?;
                    client.put("/first", value, None).await.ok().map(drop)
                }
                Self::ZooKeeper(_) => {
                    let client =
                        zookeeper_client::Client::connect(&format!("127.0.0.1:{port}")).await.ok()?;
                    client.set_data("/first", value.as_bytes(), None).await.ok().map(drop)
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(1), put).await.ok().flatten().is_some()
    }
}

/// Every fault, so often.
pub fn all(table: &mut Table) {
    let times = std::env::var("TWITCHER_BENCH_FAULTS").ok().and_then(|count| count.parse().ok()).unwrap_or(3);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (fault, word, long) in Fault::ALL {
        let etcd = Etcd::start();
        row(table, &runtime, Server::Etcd(etcd), "etcd", (fault, word, long), times);
        let zookeeper = ZooKeeper::start();
        runtime.block_on(async {
            zookeeper.client().await.create("/first", b"0", &zookeeper::OPEN).await.unwrap();
        });
        row(table, &runtime, Server::ZooKeeper(zookeeper), "ZooKeeper", (fault, word, long), times);
    }
}

fn row(
    table: &mut Table,
    runtime: &tokio::runtime::Runtime,
    mut server: Server,
    name: &str,
    (fault, word, long): (Fault, &str, Duration),
    count: usize,
) {
    let program = first_program();
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("ours");
    let proxy = Proxy::start(server.port());
    let action = format!("['{}', '{}']", program.display(), out.display());
    let daemon: Daemon = daemon_on(&server.url(proxy.port()), 1, &action);
    let pid = u32::try_from(daemon.pid()).unwrap();
    let mut samples = Vec::new();
    for round in 0..count {
        std::thread::sleep(SERVED);
        let runs = std::fs::read(&out).unwrap_or_default().len() / 8;
        server.begin(fault, &proxy, pid);
        std::thread::sleep(long);
        server.end(fault, &proxy, pid);
        let ended = Instant::now();
        let port = match fault {
            // Through the proxy, where the fault is; but the daemon's own fault ends with the signal.
            Fault::Reset | Fault::BlackHole => proxy.port(),
            Fault::Killed | Fault::Frozen | Fault::DaemonFrozen => server.port(),
        };
        let succeeded = runtime.block_on(async {
            while !server.put(port, &format!("{round} after {word}")).await {
                assert!(ended.elapsed() < Duration::from_mins(1), "no request succeeds after the fault");
                tokio::time::sleep(TRIES).await;
            }
            monotonic()
        });
        samples.push(microseconds(succeeded, *times(&out, runs + 1).last().unwrap()).max(0.0) / 1000.0);
    }
    let p50 = percentile(&mut samples, 0.5);
    table.value(&format!("first run after: {word}, {name}, p50 of {count}"), p50, "ms", 300.0);
}
