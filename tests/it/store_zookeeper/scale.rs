//! Many watches, long paths, large trees.

use std::time::Instant;

use twitcher::internals::store::session::{Command, TargetId};
use twitcher::watch::Content;
use twitcher::watch::WatchType::{Data, Tree};

use super::{fill, open, set_all};
use crate::fixture::conversation::{Conversation, arm, value};
use crate::fixture::gate::alone;
use crate::fixture::zookeeper::{OPEN, ZooKeeper};

#[tokio::test]
async fn ten_thousand_single_keys_are_followed() {
    let _alone = alone();
    let server = ZooKeeper::start();
    let client = server.client().await;
    client.create("/many", b"", &OPEN).await.unwrap();
    let paths: Vec<String> = (0..10_000).map(|n| format!("/many/key-{n}")).collect();
    fill(&client, paths.clone()).await;
    let mut seen = open(&server.spec(""));
    let began = Instant::now();
    seen.arm((0..).zip(&paths).map(|(id, path)| arm(id, path, Data)).collect());
    seen.until("all are armed", |seen| seen.states.len() == 10_000).await;
    println!("10,000 keys armed in {:?}", began.elapsed());
    set_all(&client, &paths, b"1").await;
    for id in 0..10_000 {
        seen.until_is(id, &value("1")).await;
    }
    // Each is written again: a watch that was set only once would be deaf now.
    set_all(&client, &paths, b"2").await;
    for id in 0..10_000 {
        seen.until_is(id, &value("2")).await;
    }
    seen.ask(Command::Verify((0..10_000).map(TargetId).collect()));
    let before: usize = seen.reports.values().sum();
    seen.until("all are verified", |seen| seen.reports.values().sum::<usize>() >= before + 10_000).await;
    set_all(&client, &paths, b"3").await;
    for id in 0..10_000 {
        seen.until_is(id, &value("3")).await;
    }
}

/// Above 128 KiB of paths, one session of the client library never recovers from a reconnect.
#[tokio::test]
async fn more_paths_than_one_session_can_watch_survive_a_kill() {
    let _alone = alone();
    let mut server = ZooKeeper::start();
    let mut client = server.client().await;
    let top = format!("/{}", "long".repeat(25));
    client.create(&top, b"", &OPEN).await.unwrap();
    // Half of them exist, half are watched for their creation: 700 KiB.
    let present: Vec<String> = (0..3000).map(|n| format!("{top}/present-{n}")).collect();
    let absent: Vec<String> = (0..3000).map(|n| format!("{top}/absent-{n}")).collect();
    fill(&client, present.clone()).await;
    let mut seen = open(&server.spec(""));
    let arms = (0..).zip(present.iter().chain(&absent)).map(|(id, path)| arm(id, path, Data));
    seen.arm(arms.collect());
    seen.until("all are armed", |seen| seen.states.len() == 6000).await;
    for round in 1..=2 {
        server.kill();
        server.start_again();
        client = server.client().await;
        let text = round.to_string();
        // Written while the sessions are reconnecting, or already connected.
        set_all(&client, &present, text.as_bytes()).await;
        for id in 0..3000 {
            seen.until_is(id, &value(&text)).await;
        }
    }
    fill(&client, absent).await;
    for id in 3000..6000 {
        seen.until_is(id, &value("0")).await;
    }
    assert!(seen.lost.is_none(), "{:?}", seen.lost);
}

#[tokio::test]
async fn a_tree_of_fifty_thousand_nodes_is_followed() {
    let _alone = alone();
    let server = ZooKeeper::start();
    let client = server.client().await;
    fill(&client, ["/t".to_owned()]).await;
    fill(&client, (0..500).map(|d| format!("/t/d{d}"))).await;
    fill(&client, (0..50_000).map(|n| format!("/t/d{}/n{}", n % 500, n / 500))).await;
    let mut seen = open(&server.spec(""));
    let began = Instant::now();
    seen.arm(vec![arm(1, "/t", Tree)]);
    let sized = |seen: &Conversation, size: usize| match seen.content(1) {
        Some(Content::Tree(entries)) => entries.len() == size,
        _ => false,
    };
    seen.until("the whole tree", |seen| sized(seen, 50_501)).await;
    println!("a tree of 50,501 nodes read and armed in {:?}", began.elapsed());
    assert_eq!(seen.count(1), 1, "no part of it was shown as the whole");
    assert!(seen.parts > 10, "it reported progress {} times", seen.parts);
    for round in 1..=20 {
        let (path, text) = (format!("d{}/n{round}", round * 7), round.to_string());
        client.set_data(&format!("/t/{path}"), text.as_bytes(), None).await.unwrap();
        seen.until("one change", |seen| match seen.content(1) {
            Some(Content::Tree(entries)) => entries.get(&path) == Some(Some(text.as_bytes())),
            _ => false,
        })
        .await;
    }
    for n in 0..100 {
        client.delete(&format!("/t/d3/n{n}"), None).await.unwrap();
    }
    client.delete("/t/d3", None).await.unwrap();
    seen.until("a part is gone", |seen| sized(seen, 50_400)).await;
    fill(&client, ["/t/d3".to_owned(), "/t/d3/again".to_owned()]).await;
    seen.until("a part came back", |seen| sized(seen, 50_402)).await;
    let before = seen.count(1);
    seen.ask(Command::Verify(vec![TargetId(1)]));
    seen.until("it is verified", |seen| seen.count(1) > before).await;
    assert!(sized(&seen, 50_402));
}
