//! The `zookeeper` store's session and single requests, against real servers.

use std::time::Duration;

use twitcher::store::session::{Command, Proof, TargetId};
use twitcher::store::{StoreSpec, zookeeper};
use twitcher::watch::WatchType::{Children, Data, Tree};
use twitcher::watch::{Content, Version};

use crate::fixture::conversation::{Conversation, arm, children, tree, value};
use crate::fixture::zookeeper::{OPEN, ZooKeeper};

fn open(spec: &StoreSpec) -> Conversation {
    Conversation::new(zookeeper::session(spec, 1))
}

#[tokio::test]
async fn values_children_and_trees_are_followed() {
    let server = ZooKeeper::start();
    let client = server.client().await;
    let mut seen = open(&server.spec(""));
    seen.arm(vec![arm(1, "/a", Data), arm(2, "/a", Children), arm(3, "/a", Tree), arm(4, "/", Children)]);
    for id in 1..=3 {
        seen.until_is(id, &Content::Absent).await;
        assert_eq!(seen.proofs[&TargetId(id)], Proof::Read);
    }
    for _ in 0..3 {
        let (stat, _) = client.create("/a", b"one", &OPEN).await.unwrap();
        seen.until_is(1, &value("one")).await;
        assert_eq!(seen.states[&TargetId(1)].version, Version::Revision(stat.mzxid));
        seen.until_is(2, &children(&[])).await;
        seen.until_is(3, &tree(&[("", Some("one"))])).await;
        seen.until_is(4, &children(&["a", "zookeeper"])).await;
        client.create("/a/x", b"", &OPEN).await.unwrap();
        let (stat, _) = client.create("/a/b", b"b", &OPEN).await.unwrap();
        seen.until_is(2, &children(&["b", "x"])).await;
        assert_eq!(seen.states[&TargetId(2)].version, Version::Revision(stat.czxid));
        client.create("/a/x/deep", b"d", &OPEN).await.unwrap();
        let whole = [("", Some("one")), ("b", Some("b")), ("x", None), ("x/deep", Some("d"))];
        seen.until_is(3, &tree(&whole)).await;
        let stat = client.set_data("/a/x/deep", b"e", None).await.unwrap();
        let whole = [("", Some("one")), ("b", Some("b")), ("x", None), ("x/deep", Some("e"))];
        seen.until_is(3, &tree(&whole)).await;
        assert_eq!(seen.states[&TargetId(3)].version, Version::Revision(stat.mzxid));
        for path in ["/a/x/deep", "/a/x", "/a/b", "/a"] {
            client.delete(path, None).await.unwrap();
        }
        for id in 1..=3 {
            seen.until_is(id, &Content::Absent).await;
        }
        seen.until_is(4, &children(&["zookeeper"])).await;
    }
    seen.ask(Command::Verify(vec![TargetId(1), TargetId(3)]));
    let before = (seen.count(1), seen.count(3));
    seen.until("both are verified", |seen| seen.count(1) > before.0 && seen.count(3) > before.1).await;
    assert_eq!(seen.proofs[&TargetId(3)], Proof::Read);
}

#[tokio::test]
async fn a_kill_and_a_restart_lose_nothing() {
    let mut server = ZooKeeper::start();
    let mut client = server.client().await;
    client.create("/a", b"0", &OPEN).await.unwrap();
    let mut seen = open(&server.spec(""));
    seen.arm(vec![arm(1, "/a", Data), arm(2, "/", Tree), arm(3, "/new", Data)]);
    seen.until_is(1, &value("0")).await;
    for n in 1..=3 {
        server.kill();
        server.start_again();
        client = server.client().await;
        client.set_data("/a", n.to_string().as_bytes(), None).await.unwrap();
        client.create(&format!("/n{n}"), b"", &OPEN).await.unwrap();
        seen.until_is(1, &value(n.to_string())).await;
        seen.until("the tree has it", |seen| match seen.content(2) {
            Some(Content::Tree(entries)) => entries.contains_key(&*format!("n{n}")),
            _ => false,
        })
        .await;
    }
    client.create("/new", b"!", &OPEN).await.unwrap();
    seen.until_is(3, &value("!")).await;
    assert!(seen.lost.is_none(), "the session lives through a restart: {:?}", seen.lost);
}

#[tokio::test]
async fn ten_thousand_single_keys() {
    let server = ZooKeeper::start();
    let client = server.client().await;
    client.create("/many", b"", &OPEN).await.unwrap();
    fill(&client, (0..10_000).map(|n| format!("/many/key-{n}"))).await;
    let mut seen = open(&server.spec(""));
    let began = std::time::Instant::now();
    seen.arm((0..10_000).map(|n| arm(n, &format!("/many/key-{n}"), Data)).collect());
    seen.until("all are armed", |seen| seen.states.len() == 10_000).await;
    println!("armed after {:?}", began.elapsed());
    let writes: Vec<_> = (0..10_000).map(|n| format!("/many/key-{n}")).collect();
    for chunk in writes.chunks(500) {
        let sets = chunk.iter().map(|path| client.set_data(path, b"1", None));
        futures::future::try_join_all(sets).await.unwrap();
    }
    for n in 0..10_000 {
        seen.until_is(n, &value("1")).await;
    }
}

/// Creates nodes, in batches.
async fn fill(client: &zookeeper_client::Client, paths: impl Iterator<Item = String>) {
    let paths: Vec<String> = paths.collect();
    for chunk in paths.chunks(500) {
        let mut writer = client.new_multi_writer();
        for path in chunk {
            writer.add_create(path, b"0", &OPEN).unwrap();
        }
        writer.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_is_down_says_so_and_is_lost() {
    let mut server = ZooKeeper::start();
    let spec = server.spec("");
    server.kill();
    let mut seen = open(&spec);
    seen.until("the loss", |seen| seen.lost.is_some()).await;
    let lost = seen.lost.unwrap().to_string();
    assert!(lost.contains(&format!("connect to {}", server.address())) && lost.contains("refused"), "{lost}");
    let _unused = Duration::ZERO;
}
