//! A tool names what it leaves out and fails; it asks before a probably mistaken deletion; and it does not write a key that
//! no watch can name by accident.

use super::{Tool, said};
use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::ZooKeeper;

#[test]
fn a_partial_dump_names_the_missing_keys_and_fails_without_partial() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let etcd = Etcd::start();
    let tool = Tool { url: etcd.url() };
    let long = format!("/a/long/{}", "x".repeat(5_000));
    runtime.block_on(async {
        let mut client = etcd.client().await;
        for key in ["/a/b", &long] {
            client.put(key, "v", None).await.unwrap();
        }
        client.put(b"/a/\xff".as_slice(), "v", None).await.unwrap();
    });
    let dumped = tool.run(&["dump", "/a", "--format", "json"], b"");
    assert_eq!(dumped.status.code(), Some(1), "{}", said(&dumped));
    let shown = String::from_utf8(dumped.stdout.clone()).unwrap();
    assert_eq!(shown.replace(['\n', ' '], ""), r#"{"b":"v"}"#);
    let errors = String::from_utf8(dumped.stderr).unwrap();
    for part in ["/a/\\xff", "long/xxx", "lacks 2 of the keys at and below /a", "--partial"] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    let partial = tool.run(&["dump", "/a", "--format", "json", "--partial"], b"");
    assert_eq!((partial.status.code(), partial.stdout), (Some(0), dumped.stdout));
    assert!(String::from_utf8_lossy(&partial.stderr).contains("long/xxx"), "it is named all the same");
    tool.good(&["dump", "/a/b"], b"");
}

#[test]
fn a_single_value_replaces_a_tree_only_after_confirmation() {
    let dir = tempfile::tempdir().unwrap();
    let (etcd, zookeeper) = (Etcd::start(), ZooKeeper::start());
    for url in [etcd.url(), zookeeper.url(), format!("dir://{}/keys", dir.path().display())] {
        let tool = Tool { url };
        for key in ["/a/b", "/a/c/d"] {
            tool.good(&["put", key, "v"], b"");
        }
        let page = b"404 page not found\n";
        let load = ["load", "-", "--at", "/a", "--replace"];
        let error = tool.bad(2, &load, page);
        assert!(
            error.contains("keys at and below /a would be deleted") && error.contains("--yes"),
            "{error}"
        );
        assert_eq!(tool.text(&["get", "/a/c/d"]), "v");
        // A tree replaces a tree without a question, and a value replaces a value.
        tool.good(&load, b"b: w\n");
        tool.good(&["load", "-", "--at", "/a/b", "--replace"], b"x\n");
        assert_eq!(tool.text(&["get", "/a/b"]), "x");
        tool.good(&[&load[..], &["--yes"]].concat(), page);
        assert_eq!(tool.text(&["get", "/a"]), "404 page not found");
    }
}

#[test]
fn a_key_that_no_watch_can_name_is_refused_with_a_suggestion() {
    let dir = tempfile::tempdir().unwrap();
    let zookeeper = ZooKeeper::start();
    for url in [zookeeper.url(), format!("dir://{}/keys", dir.path().display())] {
        let tool = Tool { url };
        tool.good(&["put", "/git/head", "v"], b"");
        for (typed, meant) in [("git/head", "/git/head"), ("/a/", "/a"), ("//a", "/a"), ("/a//b", "/a/b")] {
            for command in ["put", "get", "del", "ls"] {
                let value: &[&str] = if command == "put" { &["v"] } else { &[] };
                let error = tool.bad(2, &[&[command, typed], value].concat(), b"");
                assert!(error.contains(&format!("did you mean `{meant}`?")), "{command} {typed}: {error}");
                assert!(error.contains("--raw-key"), "{error}");
            }
        }
        assert_eq!(tool.text(&["ls", "/"]).lines().filter(|name| *name != "zookeeper").count(), 1);
    }
    // A directory ignores slashes at either end.
    let tool = Tool { url: format!("dir://{}/keys", dir.path().display()) };
    tool.good(&["put", "--raw-key", "git/raw", "v"], b"");
    assert_eq!(tool.text(&["get", "/git/raw"]), "v");
    // An etcd key may be any bytes, and a watch can name it.
    let etcd = Etcd::start();
    let tool = Tool { url: etcd.url() };
    tool.good(&["put", "git/head", "v"], b"");
    assert_eq!(tool.text(&["get", "git/head"]), "v");
}
