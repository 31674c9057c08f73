//! `ZooKeeper` killed, frozen until sessions expire, cut off, wiped, without a leader: P1 to P3 on the daemon.

use super::witness::Scene;
use super::writer::Writer;
use crate::fixture::proxy::Proxy;
use crate::fixture::zookeeper::{Ensemble, ZooKeeper};

/// Short sessions, so that a test can wait for their end.
const IMPATIENT: &str = "session_timeout = '2s'";

fn scene(server: &ZooKeeper) -> Scene {
    Scene::start(&server.url(), IMPATIENT, "", Writer::zookeeper(&[server.address()]))
}

#[test]
fn a_killed_zookeeper_loses_no_update() {
    let mut server = ZooKeeper::start();
    let mut scene = scene(&server);
    scene.step();
    server.kill();
    scene.until_down();
    server.start_again();
    scene.step();
    scene.prove();
}

#[test]
fn expired_sessions_lose_no_update() {
    let server = ZooKeeper::start();
    let mut scene = scene(&server);
    for _ in 0..2 {
        scene.step();
        server.freeze();
        scene.until_down();
        server.thaw();
        scene.step();
        scene.prove();
    }
}

#[test]
fn partitions_stalls_and_resets_lose_no_update() {
    let server = ZooKeeper::start();
    let proxy = Proxy::start(server.port());
    let url = format!("zookeeper://127.0.0.1:{}", proxy.port());
    let mut scene = Scene::start(&url, IMPATIENT, "", Writer::zookeeper(&[server.address()]));
    for stalls in [true, false, true] {
        if stalls {
            proxy.stall();
        } else {
            proxy.cut();
        }
        scene.until_down();
        for _ in 0..5 {
            scene.step();
        }
        proxy.heal();
        scene.prove();
    }
    for _ in 0..10 {
        // Too short to be a loss: the session continues on another connection.
        proxy.reset_all();
        scene.step();
    }
    scene.prove();
    scene.prove_deletion(|| proxy.cut(), || proxy.heal());
}

#[test]
fn a_wiped_zookeeper_is_newer_by_definition() {
    let mut server = ZooKeeper::start();
    let mut scene = scene(&server);
    for _ in 0..20 {
        scene.step();
    }
    scene.prove();
    server.wipe();
    scene.daemon.until_watch("main-queue", |watch| watch["version"].is_null() && watch["state"] == "idle");
    scene.witnesses.begin_anew(&scene.daemon);
    // All its counters restart from zero, and so do the numbers.
    scene.witnesses.number = 0;
    scene.step();
    scene.prove();
}

#[test]
fn the_loss_of_leader_and_quorum_loses_no_update() {
    let mut ensemble = Ensemble::start();
    let servers: Vec<String> = ensemble.members.iter().map(ZooKeeper::address).collect();
    let url = format!("zookeeper://{}", servers.join(","));
    let mut scene = Scene::start(&url, "session_timeout = '4s'", "", Writer::zookeeper(&servers));
    let leader = ensemble.leader().unwrap();
    scene.step();
    ensemble.members[leader].kill();
    scene.step();
    scene.prove();
    let second = ensemble.leader().unwrap();
    ensemble.members[second].kill();
    scene.until_down();
    ensemble.members[leader].start_again_unasked();
    scene.step();
    scene.prove();
}

#[test]
fn a_zookeeper_that_starts_after_the_daemon_is_waited_for() {
    let mut server = ZooKeeper::start();
    server.kill();
    let writer = Writer::zookeeper(&[server.address()]);
    let mut scene = Scene::prepare(&server.url(), IMPATIENT, "", writer);
    scene.daemon.run();
    let why = scene.until_down();
    assert!(why.contains(&server.address()), "{why}");
    server.start_again();
    scene.step();
    scene.prove();
}
