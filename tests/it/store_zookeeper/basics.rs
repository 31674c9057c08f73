//! A healthy server, without the driver.

use twitcher::internals::store::session::{Command, Proof, TargetId};

use twitcher::watch::WatchType::{Children, Data, Tree};
use twitcher::watch::{Content, Detail, Version};

use super::open;
use crate::fixture::conversation::{arm, children, tree, value};
use crate::fixture::zookeeper::{OPEN, ZooKeeper};

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
async fn a_kill_and_a_restart_lose_no_change() {
    let mut server = ZooKeeper::start();
    let mut client = server.client().await;
    client.create("/a", b"0", &OPEN).await.unwrap();
    let mut seen = open(&server.spec(""));
    seen.arm(vec![arm(1, "/a", Data), arm(2, "/", Tree), arm(3, "/new", Data)]);
    seen.until("all are armed", |seen| seen.states.len() == 3).await;
    for n in 1..=3 {
        server.kill();
        server.start_again();
        client = server.client().await;
        client.set_data("/a", n.to_string().as_bytes(), None).await.unwrap();
        client.create(&format!("/n{n}"), b"", &OPEN).await.unwrap();
        seen.until_is(1, &value(n.to_string())).await;
        seen.until("the tree has it", |seen| match seen.content(2) {
            Some(Content::Tree(entries)) => entries.contains(&format!("n{n}")),
            _ => false,
        })
        .await;
    }
    client.create("/new", b"!", &OPEN).await.unwrap();
    seen.until_is(3, &value("!")).await;
    assert!(seen.lost.is_none(), "the session lives through a restart: {:?}", seen.lost);
}

#[tokio::test]
async fn the_last_value_of_a_fast_writer_arrives() {
    let server = ZooKeeper::start();
    let client = server.client().await;
    client.create("/n", b"0", &OPEN).await.unwrap();
    let mut seen = open(&server.spec(""));
    seen.arm(vec![arm(1, "/n", Data), arm(2, "/", Tree)]);
    seen.until_is(1, &value("0")).await;
    let writer = tokio::spawn(async move {
        for n in 1..=5000 {
            client.set_data("/n", n.to_string().as_bytes(), None).await.unwrap();
        }
    });
    let mut last = (0, Version::Revision(0));
    while last.0 < 5000 {
        let before = seen.count(1);
        seen.until("a newer value", |seen| seen.count(1) > before).await;
        let reading = &seen.states[&TargetId(1)];
        let Content::Value(bytes) = &reading.content else { panic!("{reading:?}") };
        let number: u32 = std::str::from_utf8(bytes).unwrap().parse().unwrap();
        assert!(number > last.0 && newer(reading.version, last.1), "{reading:?} after {last:?}");
        last = (number, reading.version);
    }
    writer.await.unwrap();
    seen.until("the tree ends on it too", |seen| match seen.content(2) {
        Some(Content::Tree(entries)) => entries.get("n") == Some(Some(b"5000")),
        _ => false,
    })
    .await;
}

#[tokio::test]
async fn recreation_with_the_same_value_is_a_change() {
    let server = ZooKeeper::start();
    let client = server.client().await;
    client.create("/a", b"same", &OPEN).await.unwrap();
    let mut seen = open(&server.spec(""));
    seen.arm(vec![arm(1, "/a", Data)]);
    seen.until_is(1, &value("same")).await;
    for _ in 0..20 {
        client.delete("/a", None).await.unwrap();
        let (stat, _) = client.create("/a", b"same", &OPEN).await.unwrap();
        let newest = Version::Revision(stat.mzxid);
        seen.until("the new node", |seen| seen.states[&TargetId(1)].version == newest).await;
    }
}

#[tokio::test]
async fn large_values_are_not_read_without_need_and_a_chroot_may_be_missing() {
    let server = ZooKeeper::start();
    let client = server.client().await;
    let mut seen = open(&server.spec("/top/app"));
    let mut versions = arm(2, "/big", Data);
    versions.detail = Detail::Versions;
    seen.arm(vec![arm(1, "/big", Data), versions, arm(3, "/", Tree), arm(4, "/", Children)]);
    for id in 1..=4 {
        seen.until_is(id, &Content::Absent).await;
    }
    let large = vec![b'x'; 1_000_000];
    for path in ["/top", "/top/app"] {
        client.create(path, b"", &OPEN).await.unwrap();
    }
    client.create("/top/app/big", &large, &OPEN).await.unwrap();
    seen.until_is(1, &value(&large)).await;
    seen.until_is(2, &Content::Unread).await;
    seen.until_is(4, &children(&["big"])).await;
    seen.until("the tree holds it", |seen| match seen.content(3) {
        Some(Content::Tree(entries)) => entries.get("big") == Some(Some(&*large)),
        _ => false,
    })
    .await;
    let before = seen.states[&TargetId(2)].version;
    let stat = client.set_data("/top/app/big", b"small", None).await.unwrap();
    seen.until_is(1, &value("small")).await;
    seen.until("a new version", |seen| seen.states[&TargetId(2)].version != before).await;
    assert_eq!(seen.states[&TargetId(2)].version, Version::Revision(stat.mzxid));
}

#[tokio::test]
async fn disarmed_targets_are_silent_and_can_be_armed_again() {
    let server = ZooKeeper::start();
    let client = server.client().await;
    client.create("/a", b"0", &OPEN).await.unwrap();
    let mut seen = open(&server.spec(""));
    for round in 1..=20 {
        seen.arm(vec![arm(1, "/a", Data), arm(2, "/a", Data), arm(3, "/", Tree)]);
        seen.until("all armed", |seen| (1..=3).all(|id| seen.count(id) >= 1)).await;
        seen.ask(Command::Disarm(vec![TargetId(1), TargetId(3)]));
        seen.ask(Command::Verify(vec![TargetId(2)]));
        let (before, silent) = (seen.count(2), (seen.count(1), seen.count(3)));
        seen.until("the disarming was taken", |seen| seen.count(2) > before).await;
        let text = round.to_string();
        client.set_data("/a", text.as_bytes(), None).await.unwrap();
        seen.until_is(2, &value(&text)).await;
        assert_eq!((seen.count(1), seen.count(3)), silent);
    }
}

#[tokio::test]
async fn invalid_keys_are_refused_and_affect_no_other() {
    let server = ZooKeeper::start();
    let mut seen = open(&server.spec(""));
    seen.arm(vec![arm(1, "/a//b", Data), arm(2, "/../a", Tree), arm(3, "/a", Data)]);
    seen.until_is(3, &Content::Absent).await;
    assert_eq!(seen.refused.len(), 2, "{:?}", seen.refused);
}

fn newer(one: Version, than: Version) -> bool {
    match (one, than) {
        (Version::Revision(one), Version::Revision(than)) => one > than,
        other => panic!("ZooKeeper has revisions: {other:?}"),
    }
}
