//! etcd killed, frozen, cut off, compacted, restored, without a leader, and not started: P1 to P3 on the daemon.

use std::time::Duration;

use super::witness::Scene;
use super::writer::Writer;
use crate::fixture::daemon::stays_silent_for;
use crate::fixture::etcd::{Cluster, Etcd};
use crate::fixture::proxy::Proxy;

fn scene(etcd: &Etcd) -> Scene {
    Scene::start(&etcd.url(), "", "", Writer::etcd(&[etcd.port()]))
}

/// The daemon connects through the proxy, the test directly.
fn behind(proxy: &Proxy, etcd: &Etcd) -> Scene {
    Scene::start(&format!("etcd://127.0.0.1:{}", proxy.port()), "", "", Writer::etcd(&[etcd.port()]))
}

#[test]
fn a_killed_etcd_loses_no_update() {
    let mut etcd = Etcd::start();
    let mut scene = scene(&etcd);
    for _ in 0..2 {
        scene.step();
        etcd.kill();
        scene.until_down();
        etcd.start_again();
        scene.step();
        scene.prove();
    }
}

#[test]
fn an_etcd_frozen_longer_than_keep_alives_loses_no_update() {
    let etcd = Etcd::start();
    let mut scene = scene(&etcd);
    scene.step();
    etcd.freeze();
    let why = scene.until_down();
    assert!(why.contains(&etcd.port().to_string()), "{why}");
    etcd.thaw();
    scene.step();
    scene.prove();
}

#[test]
fn a_partition_and_resets_lose_no_update() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut scene = behind(&proxy, &etcd);
    for _ in 0..3 {
        proxy.cut();
        scene.until_down();
        for _ in 0..5 {
            scene.step();
        }
        proxy.heal();
        scene.prove();
    }
    for _ in 0..10 {
        proxy.reset_all();
        scene.step();
    }
    scene.prove();
    scene.prove_deletion(|| proxy.cut(), || proxy.heal());
}

#[test]
fn a_compaction_during_an_interruption_loses_no_newest_state() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut scene = behind(&proxy, &etcd);
    // Once with connections that break, once with connections that only stall.
    for breaks in [true, false] {
        if breaks {
            proxy.cut();
            scene.until_down();
        } else {
            proxy.stall();
        }
        for _ in 0..20 {
            scene.step();
        }
        let answer: serde_json::Value =
            serde_json::from_str(&etcd.ctl(&["get", "/n", "--write-out=json"])).unwrap();
        etcd.ctl(&["compact", &answer["header"]["revision"].to_string()]);
        proxy.heal();
        scene.prove();
    }
}

#[test]
fn an_etcd_restored_from_an_older_backup_is_newer_by_definition() {
    let mut etcd = Etcd::start();
    let mut scene = scene(&etcd);
    let backup = etcd.back_up();
    let then = scene.witnesses.number;
    for _ in 0..10 {
        scene.step();
    }
    scene.prove();
    let now = scene.witnesses.number;
    scene.witnesses.begin_anew(&scene.daemon);
    etcd.restore(&backup);
    scene.witnesses.number = then;
    scene.prove();
    // Also if the backup is restored while the daemon is down; the ledger knows the later history.
    scene.witnesses.number = now;
    scene.step();
    scene.prove();
    scene.daemon.kill();
    etcd.restore(&backup);
    scene.witnesses.begin_anew(&scene.daemon);
    scene.daemon.run();
    scene.witnesses.number = then;
    scene.prove();
}

#[test]
fn the_loss_of_the_leader_loses_no_update() {
    let mut cluster = Cluster::start(3);
    let ports: Vec<u16> = cluster.members.iter().map(Etcd::port).collect();
    let mut scene = Scene::start(&cluster.url(), "", "", Writer::etcd(&ports));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for _ in 0..2 {
        let leader = runtime.block_on(cluster.leader());
        scene.step();
        cluster.members[leader].kill();
        scene.step();
        scene.prove();
        cluster.members[leader].start_again();
    }
}

#[test]
fn an_etcd_that_starts_after_the_daemon_is_waited_for() {
    let mut etcd = Etcd::start();
    etcd.kill();
    let writer = Writer::etcd(&[etcd.port()]);
    let mut scene = Scene::prepare(&etcd.url(), "", "", writer);
    // Another store of the same daemon is not affected.
    scene.daemon.write("dir.toml", "[[watch]]\nkey = '/a'\nstore = 'local'\naction = 'true'\n");
    scene.daemon.run();
    let why = scene.until_down();
    assert!(why.contains("refused") && why.contains(&etcd.port().to_string()), "{why}");
    assert_eq!(scene.daemon.watch("main-queue")["state"], "unreachable");
    scene.daemon.put("/a", "1");
    scene.daemon.until_converged("dir");
    let explained = scene.daemon.say(&["explain", "main-queue"]);
    assert!(explained.contains("refused"), "{explained}");
    // Longer than the longest back-off, which is 5 s.
    let attempts = || scene.daemon.log().matches("the store cannot be reached").count();
    let told = attempts();
    let why = "one line for one change of state, not for each attempt";
    stays_silent_for(Duration::from_secs(6), why, || attempts() == told);
    etcd.start_again();
    scene.step();
    scene.prove();
}

/// The store's URL in twitcher.conf is changed to a cluster whose revisions are lower.
#[test]
fn a_changed_store_url_is_followed() {
    let (first, second) = (Etcd::start(), Etcd::start());
    let mut scene = scene(&first);
    for _ in 0..20 {
        scene.step();
    }
    scene.prove();
    scene.witnesses.writer = Writer::etcd(&[second.port()]);
    scene.step();
    let conf = scene.daemon.path("config/twitcher.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, text.replace(&first.url(), &second.url())).unwrap();
    let pid = scene.daemon.pid();
    let report = scene.daemon.say(&["reload"]);
    assert!(report.contains("connected anew"), "{report}");
    scene.prove();
    assert_eq!(scene.daemon.pid(), pid);
}
