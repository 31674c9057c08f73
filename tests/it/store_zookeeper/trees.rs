//! Trees: one watch for all nodes, which neither a lost connection nor another target may make deaf.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use twitcher::internals::store::session::{Command, TargetId};
use twitcher::internals::store::zookeeper;
use twitcher::watch::WatchType::{Children, Data, Tree};
use twitcher::watch::{Content, Key, Subtree, Version};
use zookeeper_client::Client;

use super::{fill, open};
use crate::fixture::conversation::{Conversation, arm, children, tree, value};
use crate::fixture::proxy::Proxy;
use crate::fixture::zookeeper::{OPEN, ZooKeeper, store};

fn shows(seen: &Conversation, at: &str, text: &str) -> bool {
    match seen.content(1) {
        Some(Content::Tree(entries)) => entries.get(at) == Some(Some(text.as_bytes())),
        _ => false,
    }
}

#[tokio::test]
async fn a_tree_of_any_size_uses_one_session() {
    let server = ZooKeeper::start();
    let client = server.client().await;
    let top = format!("/{}", "long".repeat(25));
    fill(&client, [top.clone()]).await;
    // 600 KiB of paths.
    fill(&client, (0..6000).map(|n| format!("{top}/{n}"))).await;
    let mut seen = open(&server.spec(""));
    seen.arm(vec![arm(1, &top, Tree)]);
    seen.until("the whole tree", |seen| seen.count(1) > 0).await;
    let said = server.says("srvr");
    let connections = said.lines().find_map(|line| line.strip_prefix("Connections: "));
    let connections: usize = connections.and_then(|count| count.trim().parse().ok()).expect(&said);
    assert!(connections <= 3, "expected those of the writer, the tree and this query, not {connections}");
}

#[tokio::test]
async fn changes_during_and_after_a_lost_connection_are_seen() {
    let server = ZooKeeper::start();
    let writer = server.client().await;
    fill(&writer, ["/t", "/t/kept", "/t/old", "/t/old/below"].map(str::to_owned)).await;
    let proxy = Proxy::start(server.port());
    let mut seen = open(&store(&[format!("127.0.0.1:{}", proxy.port())], ""));
    seen.arm(vec![arm(1, "/t", Tree)]);
    seen.until("it is loaded", |seen| shows(seen, "old/below", "0")).await;
    for n in 1..=5 {
        proxy.cut();
        let text = n.to_string();
        writer.set_data("/t/kept", text.as_bytes(), None).await.unwrap();
        writer.delete("/t/old/below", None).await.unwrap();
        writer.delete("/t/old", None).await.unwrap();
        writer.create("/t/new", b"", &OPEN).await.unwrap();
        proxy.heal();
        let now = [("", Some("0")), ("kept", Some(text.as_str())), ("new", Some(""))];
        seen.until_is(1, &tree(&now)).await;
        // The watch is set again, above and below.
        writer.create("/t/new/below", b"1", &OPEN).await.unwrap();
        let now = [("", Some("0")), ("kept", Some(text.as_str())), ("new", None), ("new/below", Some("1"))];
        seen.until_is(1, &tree(&now)).await;
        for path in ["/t/new/below", "/t/new"] {
            writer.delete(path, None).await.unwrap();
        }
        fill(&writer, ["/t/old", "/t/old/below"].map(str::to_owned)).await;
        let now =
            [("", Some("0")), ("kept", Some(text.as_str())), ("old", Some("0")), ("old/below", Some("0"))];
        seen.until_is(1, &tree(&now)).await;
    }
    assert!(seen.lost.is_none(), "one session lived through all of it: {:?}", seen.lost);
}

#[tokio::test]
async fn a_constantly_changing_tree_is_verified_and_includes_earlier_writes() {
    let server = ZooKeeper::start();
    let client = server.client().await;
    fill(&client, ["/t".to_owned(), "/t/mark".to_owned()]).await;
    fill(&client, (0..500).map(|n| format!("/t/{n}"))).await;
    let mut seen = open(&server.spec(""));
    seen.arm(vec![arm(1, "/t", Tree)]);
    let done = Arc::new(AtomicBool::new(false));
    let restless = tokio::spawn({
        let (client, done) = (server.client().await, Arc::clone(&done));
        async move {
            while !done.load(Ordering::Relaxed) {
                let sets = (0..500).map(|n| format!("/t/{n}"));
                let sets =
                    sets.map(|path| async { client.set_data(&{ path }, b"again", None).await.unwrap() });
                futures::future::join_all(sets).await;
            }
        }
    });
    for n in 1..=30 {
        let text = n.to_string();
        client.set_data("/t/mark", text.as_bytes(), None).await.unwrap();
        seen.verify(1).await;
        assert!(shows(&seen, "mark", &text), "the read is older than an earlier write: {n}");
    }
    done.store(true, Ordering::Relaxed);
    restless.await.unwrap();
}

#[tokio::test]
async fn targets_on_the_same_node_do_not_steal_watches() {
    let server = ZooKeeper::start();
    let client = server.client().await;
    fill(&client, ["/t".to_owned(), "/t/a".to_owned()]).await;
    let mut seen = open(&server.spec(""));
    let all = || {
        vec![
            arm(1, "/t", Tree),
            arm(2, "/t", Data),
            arm(3, "/t", Children),
            arm(4, "/t/", Tree),
            arm(5, "/t/a", Tree),
            arm(6, "/", Tree),
        ]
    };
    for round in 1..=10 {
        // Without waiting: watches are set and removed while others are in flight.
        for _ in 0..round {
            seen.arm(all());
            seen.ask(Command::Disarm(vec![TargetId(4), TargetId(5), TargetId(6)]));
        }
        seen.arm(vec![arm(5, "/t/a", Tree)]);
        for change in 1..=3 {
            let text = format!("{round}.{change}");
            client.set_data("/t/a", text.as_bytes(), None).await.unwrap();
            seen.until_is(1, &tree(&[("", Some("0")), ("a", Some(&text))])).await;
            seen.until_is(5, &tree(&[("", Some(&text))])).await;
        }
        client.set_data("/t", round.to_string().as_bytes(), None).await.unwrap();
        seen.until_is(2, &value(round.to_string())).await;
        client.set_data("/t", b"0", None).await.unwrap();
        seen.until_is(2, &value("0")).await;
    }
    assert!(seen.refused.is_empty() && seen.lost.is_none());
}

/// Before 3.9 a server remembers only the last kind of watch of a session on a path.
#[tokio::test]
async fn a_node_can_be_watched_as_data_and_as_a_tree() {
    let server = ZooKeeper::start();
    let client = server.client().await;
    fill(&client, ["/t".to_owned(), "/t/a".to_owned()]).await;
    let mut seen = open(&server.spec(""));
    seen.arm(vec![arm(1, "/t", Tree)]);
    seen.until("the tree", |seen| seen.count(1) > 0).await;
    seen.arm(vec![arm(2, "/t", Data), arm(3, "/t", Children)]);
    seen.until_is(2, &value("0")).await;
    seen.until_is(3, &children(&["a"])).await;
    for n in 1..=3 {
        let text = n.to_string();
        client.set_data("/t/a", text.as_bytes(), None).await.unwrap();
        seen.until_is(1, &tree(&[("", Some("0")), ("a", Some(&text))])).await;
        client.set_data("/t", text.as_bytes(), None).await.unwrap();
        seen.until_is(2, &value(&text)).await;
        seen.until_is(1, &tree(&[("", Some(&text)), ("a", Some(&text))])).await;
        client.set_data("/t", b"0", None).await.unwrap();
        seen.until_is(2, &value("0")).await;
        seen.until_is(1, &tree(&[("", Some("0")), ("a", Some(&text))])).await;
    }
}

/// Makes this many random changes to a small tree.
async fn disturb(writer: &Client, random: &mut fastrand::Rng, changes: u32) {
    for n in 0..changes {
        let depth = random.usize(1..=3);
        let path: String = std::iter::once("/t".to_owned())
            .chain((0..depth).map(|_| format!("/{}", random.u8(0..4))))
            .collect();
        let text = random.choice([String::new(), n.to_string()]).unwrap();
        // Impossible changes are skipped.
        match random.u8(0..3) {
            0 => drop(writer.create(&path, text.as_bytes(), &OPEN).await),
            1 => drop(writer.set_data(&path, text.as_bytes(), None).await),
            _ => drop(writer.delete(&path, None).await),
        }
    }
}

#[tokio::test]
async fn under_random_faults_the_last_state_arrives_and_versions_never_fall() {
    let server = ZooKeeper::start();
    let writer = server.client().await;
    fill(&writer, ["/t".to_owned()]).await;
    let proxy = Proxy::start(server.port());
    let access = zookeeper::Access::open(&server.spec(""), Duration::from_secs(30)).await.unwrap();
    let mut seen = open(&store(&[format!("127.0.0.1:{}", proxy.port())], ""));
    seen.arm(vec![arm(1, "/t", Tree)]);
    let mut random = fastrand::Rng::with_seed(11);
    let mut highest = Version::Revision(0);
    for round in 0..40 {
        disturb(&writer, &mut random, 50).await;
        match round % 4 {
            0 => proxy.reset_all(),
            1 => seen.ask(Command::Verify(vec![TargetId(1)])),
            _ => {}
        }
        disturb(&writer, &mut random, 50).await;
        let listing = access.tree(&Key::new("/t").unwrap()).await.unwrap();
        let parents: BTreeSet<&str> = listing
            .entries
            .keys()
            .filter(|at| !at.is_empty())
            .map(|at| at.rsplit_once('/').map_or("", |(above, _)| above))
            .collect();
        let shown = |(at, value): (&String, Option<&[u8]>)| {
            let value = value.filter(|value| !value.is_empty() || !parents.contains(&**at));
            (at.clone(), value.map(<[u8]>::to_vec))
        };
        let entries = listing.entries.iter().map(|(at, entry)| (at, entry.value.as_deref()));
        let last: Subtree = entries.map(shown).collect();
        seen.until_is(1, &Content::Tree(last)).await;
        let version = seen.states[&TargetId(1)].version;
        match (version, highest) {
            (Version::Revision(now), Version::Revision(before)) => assert!(now >= before),
            other => panic!("{other:?}"),
        }
        highest = version;
    }
    assert!(seen.lost.is_none(), "{:?}", seen.lost);
}
