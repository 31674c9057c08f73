//! The guard on every kind of store: emptied, wiped and restored.

use super::{refused, runs, until_held, watch};
use crate::fixture::daemon::Daemon;
use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::ZooKeeper;

/// A daemon whose watch on the store has applied /web/a and /web/b.
fn two(url: &str, fields: &str) -> Daemon {
    let mut daemon = Daemon::prepare(&format!("[store.main]\nurl = '{url}'"));
    put(&daemon, "a");
    put(&daemon, "b");
    daemon.write("w.toml", &watch(&daemon, &format!("store = 'main'\n{fields}")));
    daemon.run();
    daemon.until_converged("w");
    daemon
}

fn put(daemon: &Daemon, name: &str) {
    daemon.say(&["put", "--store", "main", "--timeout", "60s", &format!("/web/{name}"), name]);
}

fn an_emptied_key_space_is_held(url: &str) {
    for fields in [
        "min_entries = 2",
        "min_entries = 2\nwatch_type = 'children'\nformat = 'lines'",
        "max_shrink = '49%'\non_delete = 'run'",
    ] {
        let text = |fields: &str| {
            let text = format!("store = 'main'\n{fields}");
            // The fields may name another watch_type than the helper does.
            if fields.contains("watch_type") {
                text
            } else {
                format!("{text}\nwatch_type = 'tree'\nformat = 'lines'")
            }
        };
        let mut daemon = Daemon::prepare(&format!("[store.main]\nurl = '{url}'"));
        put(&daemon, "a");
        put(&daemon, "b");
        let whole = watch(&daemon, "").replace("watch_type = 'tree'\nformat = 'lines'\n", &text(fields));
        daemon.write("w.toml", &whole);
        daemon.run();
        daemon.until_converged("w");
        let before = runs(&daemon);
        daemon.say(&["del", "--store", "main", "--timeout", "60s", "--tree", "--yes", "/web"]);
        daemon.until_watch("w", |watch| watch["held"] == true && watch["version"].is_null());
        refused(&daemon, &["trigger", "w"], "twitcher release w");
        daemon.stop();
        daemon.run();
        until_held(&daemon);
        // The same again is no update, half of it is held.
        put(&daemon, "a");
        daemon.until_watch("w", |watch| watch["held"] == true && !watch["version"].is_null());
        assert_eq!(runs(&daemon), before, "{fields}: {}", daemon.read("seen"));
        put(&daemon, "b");
        daemon.until_converged("w");
        // A directory and ZooKeeper show the same again; in etcd as well, what counts is the content.
        assert_eq!(runs(&daemon), before, "{fields}: {}", daemon.read("seen"));
    }
}

#[test]
fn an_emptied_key_space_of_etcd_is_held() {
    let etcd = Etcd::start();
    an_emptied_key_space_is_held(&etcd.url());
}

#[test]
fn an_emptied_key_space_of_zookeeper_is_held() {
    let server = ZooKeeper::start();
    an_emptied_key_space_is_held(&server.url());
}

#[test]
fn an_emptied_directory_is_held() {
    let keys = tempfile::tempdir().unwrap();
    an_emptied_key_space_is_held(&format!("dir://{}", keys.path().display()));
}

#[test]
fn a_wiped_etcd_is_held_and_a_restored_one_runs_nothing() {
    let mut etcd = Etcd::start();
    let daemon = two(&etcd.url(), "max_shrink = '50%'");
    let before = runs(&daemon);
    let backup = etcd.back_up();
    etcd.wipe();
    until_held(&daemon);
    etcd.restore(&backup);
    daemon.until_converged("w");
    assert_eq!(runs(&daemon), before, "{}", daemon.read("seen"));
    put(&daemon, "c");
    daemon.until_file("seen", |text| text.ends_with("a=a b=b c=c\n"));
}

#[test]
fn a_wiped_zookeeper_is_held_and_a_restored_one_runs_nothing() {
    let mut server = ZooKeeper::start();
    let daemon = two(&server.url(), "max_shrink = '50%'");
    let before = runs(&daemon);
    let backup = server.back_up();
    server.wipe();
    until_held(&daemon);
    server.restore(&backup);
    daemon.until_converged("w");
    assert_eq!(runs(&daemon), before, "{}", daemon.read("seen"));
    put(&daemon, "c");
    daemon.until_file("seen", |text| text.ends_with("a=a b=b c=c\n"));
}

#[test]
fn in_parallel_mode_each_update_is_judged_alone() {
    let etcd = Etcd::start();
    let daemon = two(&etcd.url(), "min_entries = 2\nrun_mode = 'parallel'");
    let before = runs(&daemon);
    put(&daemon, "c");
    for name in ["a", "b", "c"] {
        daemon.say(&["del", "--store", "main", "--timeout", "60s", &format!("/web/{name}")]);
    }
    daemon.until_watch("w", |watch| watch["held"] == true && watch["version"].is_null());
    // Three entries, then two; one and none are held.
    daemon.until_watch("w", |watch| watch["runs"].as_u64() == Some(before as u64 + 2));
    put(&daemon, "x");
    put(&daemon, "y");
    daemon.until_converged("w");
    let seen = daemon.read("seen");
    let mut last: Vec<&str> = seen.lines().skip(before).collect();
    last.sort_unstable();
    assert_eq!(last, ["change a=a b=b c=c", "change b=b c=c", "change x=x y=y"], "{seen}");
}
