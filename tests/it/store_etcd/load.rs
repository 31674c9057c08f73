//! Many keys, large values, large trees.

use std::time::{Duration, Instant};

use etcd_client::{Client, Txn, TxnOp};
use twitcher::internals::store::session::{Command, TargetId};
use twitcher::internals::store::{Access, StoreFiles, Subscribe, etcd};
use twitcher::store::{Change, Condition};
use twitcher::watch::{Content, WatchType};

use super::basics::put;
use super::{Seen, data, down, every, key, show, spec, store, subscribe, tree};
use crate::fixture::conversation::{Conversation, arm};
use crate::fixture::etcd::Etcd;
use crate::fixture::gate::alone;
use crate::fixture::proxy::Proxy;
use crate::fixture::server::LONG;

/// Writes `{prefix}{number}` for each number, with the number's text as the value.
pub(super) async fn put_many(client: &mut Client, prefix: &str, count: usize, value: &str) {
    for start in (0..count).step_by(128) {
        let numbers = start..(start + 128).min(count);
        let puts: Vec<TxnOp> =
            numbers.map(|number| TxnOp::put(format!("{prefix}{number}"), value, None)).collect();
        client.txn(Txn::new().and_then(puts)).await.unwrap();
    }
}

#[tokio::test]
async fn ten_thousand_watches_are_armed_together_and_deliver_events() {
    const COUNT: usize = 10_000;
    let _alone = alone();
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    put_many(&mut client, "/many/", COUNT, "old").await;
    let store = store(etcd.port());
    data(&store, "/warm").until("-").await;
    let began = Instant::now();
    let mut all: Vec<Seen> = (0..COUNT).map(|number| data(&store, &format!("/many/{number}"))).collect();
    for seen in &mut all {
        assert_eq!(show(&seen.next().await.state.content), "old");
    }
    println!("{COUNT} watches read in {:?}", began.elapsed());
    put_many(&mut client, "/many/", COUNT, "new").await;
    println!("all written after {:?}", began.elapsed());
    for seen in &mut all {
        assert_eq!(show(&seen.next().await.state.content), "new");
    }
    println!("all changed after {:?}", began.elapsed());
    assert_eq!(store.health().borrow().reconnects, 0);
}

#[tokio::test]
async fn ten_thousand_watches_survive_a_restart() {
    const COUNT: usize = 10_000;
    let _alone = alone();
    let mut etcd = Etcd::start();
    let mut client = etcd.client().await;
    put_many(&mut client, "/many/", COUNT, "old").await;
    let store = store(etcd.port());
    let mut all: Vec<Seen> = (0..COUNT).map(|number| data(&store, &format!("/many/{number}"))).collect();
    for seen in &mut all {
        seen.next().await;
    }
    etcd.kill();
    etcd.start_again();
    put_many(&mut etcd.client().await, "/many/", COUNT, "new").await;
    for seen in &mut all {
        seen.until("new").await;
    }
}

#[tokio::test]
async fn values_of_the_largest_size_are_delivered() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    let large = |letter: &str| letter.repeat((3 << 19) - 1024);
    // Together they are far more than one message may hold.
    for number in 0..60 {
        put(&mut client, &format!("/large/{number}"), &large("a")).await;
    }
    let store = store(etcd.port());
    let mut all: Vec<Seen> = (0..60).map(|number| data(&store, &format!("/large/{number}"))).collect();
    for seen in &mut all {
        let Content::Value(value) = seen.next().await.state.content else { panic!("a value") };
        assert_eq!(value.len(), large("a").len());
    }
    let mut below = tree(&store, "/large");
    let Content::Tree(whole) = below.next().await.state.content else { panic!("a tree") };
    assert_eq!(whole.len(), 60);
    put(&mut client, "/large/7", &large("b")).await;
    all[7].until(&large("b")).await;
    let Content::Tree(whole) = below.next().await.state.content else { panic!("a tree") };
    assert_eq!(whole.get("7").unwrap().unwrap(), large("b").as_bytes());
}

/// The backlog arrives as one message unless it is requested in fragments.
#[tokio::test]
async fn a_watch_catches_up_with_a_backlog_of_large_values() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut client = etcd.client().await;
    put(&mut client, "/large", "0").await;
    let store = store(proxy.port());
    let mut all = every(&store, "/large");
    all.until("0").await;
    proxy.cut();
    down(&store).await;
    let padding = "x".repeat(1 << 20);
    for number in 1..=30 {
        put(&mut client, "/large", &format!("{number} {padding}")).await;
    }
    proxy.heal();
    for number in 1..=30 {
        let update = all.next().await;
        assert!(show(&update.state.content).starts_with(&format!("{number} ")));
        assert_eq!(update.updates, 1);
    }
    put(&mut client, "/large", "31").await;
    all.until("31").await;
}

#[tokio::test]
async fn a_server_with_small_transaction_limits_gets_small_transactions() {
    let etcd = Etcd::start_with(&["--max-txn-ops=32"]);
    let store = store(etcd.port());
    let mut all: Vec<Seen> = (0..200).map(|number| data(&store, &format!("/many/{number}"))).collect();
    for seen in &mut all {
        seen.until("-").await;
    }
    assert_eq!(store.health().borrow().reconnects, 0);
    let access = Access::open(&spec(&[etcd.port()], ""), LONG).await.unwrap();
    let change = |number| Change::put(key(&format!("/many/{number}")), "new", Condition::Absent);
    access.apply(&(0..200).map(change).collect::<Vec<_>>(), &mut |_| ()).await.unwrap();
    for seen in &mut all {
        seen.until("new").await;
    }
}

#[tokio::test]
async fn a_single_key_does_not_wait_for_large_trees() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    put_many(&mut client, "/tree/", 5000, "x").await;
    let mut seen =
        Conversation::new(etcd::session(&spec(&[etcd.port()], ""), 0, None, &StoreFiles::default()));
    let mut arms: Vec<_> = (1..=24).map(|id| arm(id, "/tree", WatchType::Tree)).collect();
    arms.push(arm(0, "/key", WatchType::Data));
    seen.arm(arms);
    seen.until("the key", |seen| seen.count(0) == 1).await;
    // Some that are read at the same time may be answered first.
    assert!(seen.states.len() < 12, "{} trees came first", seen.states.len() - 1);
    seen.until("all trees", |seen| seen.states.len() == 25).await;
}

#[tokio::test]
async fn reads_of_many_requests_report_progress() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    put_many(&mut client, "/tree/", 5000, "x").await;
    let mut seen =
        Conversation::new(etcd::session(&spec(&[etcd.port()], ""), 0, None, &StoreFiles::default()));
    seen.arm(vec![arm(0, "/tree", WatchType::Tree)]);
    seen.until("the tree", |seen| seen.count(0) == 1).await;
    assert!((1..20).contains(&seen.parts), "{}", seen.parts);
    let before = seen.parts;
    seen.ask(Command::Verify(vec![TargetId(0)]));
    seen.until("the tree again", |seen| seen.count(0) == 2).await;
    assert!(seen.parts > before, "a verification is a read like any other");
    let before = seen.parts;
    seen.arm((1..=500).map(|number| arm(number, &format!("/tree/{number}"), WatchType::Data)).collect());
    seen.until("all keys", |seen| seen.states.len() == 501).await;
    assert!(seen.parts > before, "many keys are read in many requests");
    let before = seen.parts;
    seen.arm(vec![arm(501, "/tree/1", WatchType::Tree)]);
    seen.until("a small tree", |seen| seen.count(501) == 1).await;
    assert_eq!(seen.parts, before, "one request has no parts");
}

#[tokio::test]
async fn a_tree_of_fifty_thousand_keys_is_read_and_followed() {
    const COUNT: usize = 50_000;
    let _alone = alone();
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    put_many(&mut client, "/tree/", COUNT, "x").await;
    let store = store(etcd.port());
    let mut whole = tree(&store, "/tree");
    let began = Instant::now();
    let Content::Tree(state) = whole.next().await.state.content else { panic!("a tree") };
    println!("{COUNT} keys read in {:?}", began.elapsed());
    assert_eq!(state.len(), COUNT);
    let mut names = subscribe(
        &store,
        Subscribe::new(key("/tree"), WatchType::Children).with_verify_interval(Duration::from_secs(1)),
    );
    let Content::Children(listed) = names.next().await.state.content else { panic!("children") };
    assert_eq!(listed.len(), COUNT);
    for number in 0..200 {
        put(&mut client, &format!("/tree/{number}"), "changed").await;
    }
    client.delete("/tree/49999", None).await.unwrap();
    loop {
        let Content::Tree(state) = whole.next().await.state.content else { panic!("a tree") };
        if state.len() == COUNT - 1 {
            let changed = state.iter().filter(|(_, value)| *value == Some(b"changed".as_slice()));
            assert_eq!(changed.count(), 200);
            break;
        }
    }
    let Content::Children(listed) = names.next().await.state.content else { panic!("children") };
    assert_eq!(listed.len(), COUNT - 1);
    names.verified_since(Instant::now()).await;
    names.nothing_within(Duration::from_millis(100)).await;
}
