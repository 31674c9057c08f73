//! `trigger`, `resume` and `reload` use the current state, not the remembered one.

use std::time::Duration;

use super::writer::Writer;
use crate::fixture::daemon::{Daemon, stays_silent_for};
use crate::fixture::etcd::Etcd;
use crate::fixture::proxy::Proxy;
use crate::fixture::zookeeper::ZooKeeper;

/// A watch of `/a` behind a proxy, whose action records each value.
struct Scene {
    daemon: Daemon,
    proxy: Proxy,
    writer: Writer,
}

const WATCH: &str =
    "[[watch]]\nstore = 'main'\nkey = '/a'\nsettle = 0\naction = 'cat >> \"$SEEN\"; echo >> \"$SEEN\"'\n";

impl Scene {
    fn start(url: &str, proxy: Proxy, mut writer: Writer) -> Self {
        writer.put("/a", "one");
        let mut daemon = Daemon::prepare(&format!("[store.main]\nurl = '{url}'"));
        let scene_watch = Self::watch(&daemon, "");
        daemon.write("a.toml", &scene_watch);
        daemon.run();
        daemon.until_converged("a");
        Self { daemon, proxy, writer }
    }

    fn watch(daemon: &Daemon, more: &str) -> String {
        format!("{WATCH}{more}env = {{ SEEN = '{}' }}\n", daemon.path("seen").display())
    }

    fn seen(&self) -> String {
        self.daemon.read("seen")
    }

    fn refused(&self, words: &str) {
        let output = self.daemon.ask(&["trigger", "a"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("cannot read /a from store main") && error.contains(words), "{error}");
        assert!(error.contains("--cached"), "{error}");
    }
}

fn on_etcd() -> (Etcd, Scene) {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let url = format!("etcd://127.0.0.1:{}", proxy.port());
    let writer = Writer::etcd(&[etcd.port()]);
    let scene = Scene::start(&url, proxy, writer);
    (etcd, scene)
}

fn on_zookeeper() -> (ZooKeeper, Scene) {
    let server = ZooKeeper::start();
    let proxy = Proxy::start(server.port());
    let url = format!("zookeeper://127.0.0.1:{}", proxy.port());
    let writer = Writer::zookeeper(&[server.address()]);
    let scene = Scene::start(&url, proxy, writer);
    (server, scene)
}

fn a_trigger_without_a_store_is_refused(scene: &mut Scene) {
    scene.proxy.stall();
    scene.refused("");
    scene.proxy.cut();
    scene.refused("");
    assert_eq!(scene.seen(), "one\n");
    let said = scene.daemon.say(&["trigger", "a", "--cached"]);
    assert!(said.contains("last known state, verified"), "{said}");
    scene.daemon.until_file("seen", |seen| seen == "one\none\n");
    scene.proxy.heal();
    scene.writer.put("/a", "two");
    // Else the trigger is the first to see the change, and its run is the only one.
    scene.daemon.until_file("seen", |seen| seen == "one\none\ntwo\n");
    scene.daemon.until_converged("a");
    scene.daemon.say(&["trigger", "a"]);
    scene.daemon.until_file("seen", |seen| seen.ends_with("two\ntwo\n"));
}

fn a_resumed_watch_runs_only_what_is_there(scene: &mut Scene) {
    scene.daemon.say(&["pause", "a"]);
    scene.writer.put("/a", "two");
    scene.daemon.until_watch("a", |watch| watch["version"] != watch["applied"]);
    scene.proxy.stall();
    scene.writer.put("/a", "three");
    let said = scene.daemon.say(&["resume", "a"]);
    assert!(said.contains("before the store has been read"), "{said}");
    scene.daemon.until_watch("a", |watch| watch["state"] == "waiting");
    let explained = scene.daemon.say(&["explain", "a"]);
    assert!(explained.contains("before store main has shown"), "{explained}");
    stays_silent_for(Duration::from_secs(1), "what is remembered is run", || scene.seen() == "one\n");
    scene.proxy.heal();
    scene.daemon.until_converged("a");
    assert_eq!(scene.seen(), "one\nthree\n");
}

fn a_changed_watch_starts_from_what_is_there(scene: &mut Scene) {
    scene.proxy.stall();
    scene.writer.put("/a", "two");
    scene.daemon.write("a.toml", &Scene::watch(&scene.daemon, "run_on_load = true\nnice = 1\n"));
    scene.daemon.say(&["reload"]);
    stays_silent_for(Duration::from_secs(1), "what is remembered is run", || scene.seen() == "one\n");
    scene.proxy.heal();
    scene.daemon.until_converged("a");
    assert_eq!(scene.seen(), "one\ntwo\n");
}

#[test]
fn a_trigger_reads_etcd_first() {
    a_trigger_without_a_store_is_refused(&mut on_etcd().1);
}

#[test]
fn a_trigger_reads_zookeeper_first() {
    a_trigger_without_a_store_is_refused(&mut on_zookeeper().1);
}

#[test]
fn resume_reads_etcd_first() {
    a_resumed_watch_runs_only_what_is_there(&mut on_etcd().1);
}

#[test]
fn resume_reads_zookeeper_first() {
    a_resumed_watch_runs_only_what_is_there(&mut on_zookeeper().1);
}

#[test]
fn a_reload_reads_etcd_first() {
    a_changed_watch_starts_from_what_is_there(&mut on_etcd().1);
}

#[test]
fn a_reload_reads_zookeeper_first() {
    a_changed_watch_starts_from_what_is_there(&mut on_zookeeper().1);
}
