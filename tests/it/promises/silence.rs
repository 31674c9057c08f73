//! P8: a silent watch is read again, and the time since its last verification can be seen.

use serde_json::Value;

use super::witness::Scene;
use super::writer::Writer;
use crate::fixture::etcd::Etcd;
use crate::fixture::proxy::Proxy;
use crate::fixture::zookeeper::ZooKeeper;

const OFTEN: &str = "verify_interval = '300ms'";

fn age(watch: &Value) -> f64 {
    watch["verified_seconds"].as_f64().unwrap_or(f64::INFINITY)
}

/// The proof of life ages while no data gets through, and is renewed afterwards.
fn grows_and_drops(scene: &mut Scene, proxy: &Proxy) {
    for _ in 0..2 {
        proxy.stall();
        for name in ["main-queue", "main-tree", "main-children"] {
            scene.daemon.until_watch(name, |watch| age(watch) > 2.0);
        }
        scene.step();
        proxy.heal();
        for name in ["main-queue", "main-tree", "main-children"] {
            scene.daemon.until_watch(name, |watch| age(watch) < 1.5);
        }
        scene.prove();
    }
}

#[test]
fn a_deaf_etcd_watch_is_detected() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let url = format!("etcd://127.0.0.1:{}", proxy.port());
    let mut scene = Scene::start(&url, "", OFTEN, Writer::etcd(&[etcd.port()]));
    // The newest connection carries the watches; reads use another one.
    proxy.stall_newest();
    scene.step();
    scene.witnesses.until_seen(&scene.daemon, |kind| kind != "discard");
    let log = scene.daemon.log();
    assert!(log.contains("a watch missed a change"), "{log}");
    proxy.heal();
    scene.prove();
    grows_and_drops(&mut scene, &proxy);
}

#[test]
fn the_silence_of_zookeeper_shows_in_status() {
    let server = ZooKeeper::start();
    let proxy = Proxy::start(server.port());
    let url = format!("zookeeper://127.0.0.1:{}", proxy.port());
    let writer = Writer::zookeeper(&[server.address()]);
    let mut scene = Scene::start(&url, "session_timeout = '20s'", OFTEN, writer);
    grows_and_drops(&mut scene, &proxy);
}

/// Nothing changes, and yet the age never grows far: it is renewed periodically.
#[test]
fn a_quiet_directory_is_verified_again() {
    let mut daemon = crate::fixture::daemon::Daemon::prepare("");
    daemon.put("/a", "1");
    daemon.write("a.toml", &format!("[[watch]]\nkey = '/a'\naction = 'true'\n{OFTEN}\n"));
    daemon.run();
    daemon.until_converged("a");
    for _ in 0..3 {
        let before = age(&daemon.watch("a"));
        daemon.until_watch("a", |watch| age(watch) > before);
        daemon.until_watch("a", |watch| age(watch) < 0.25);
    }
    assert_eq!(daemon.watch("a")["runs"], 1);
}
