//! Through the driver: under any fault of the servers, the last value arrives.

use std::time::Duration;

use twitcher::store::{Store, StoreSpec};
use twitcher::watch::Content;

use super::fill;
use crate::fixture::proxy::Proxy;
use crate::fixture::zookeeper::{Ensemble, OPEN, ZooKeeper, client, store};
use crate::store_etcd::{children, connected, data, down, tree};

/// A session time-out that a test can wait for.
fn impatient(mut spec: StoreSpec) -> StoreSpec {
    spec.session_timeout = Duration::from_secs(2);
    spec
}

#[tokio::test]
async fn an_expired_session_is_replaced() {
    let server = ZooKeeper::start();
    let writer = server.client().await;
    writer.create("/a", b"0", &OPEN).await.unwrap();
    let store = Store::open(impatient(server.spec("")));
    let (mut a, mut top, mut whole) = (data(&store, "/a"), children(&store, "/"), tree(&store, "/a"));
    a.until("0").await;
    top.until("a zookeeper").await;
    whole.until("=0").await;
    for round in 1..=2 {
        server.freeze();
        let why = down(&store).await;
        assert!(why.contains("no connection") || why.contains("session"), "{why}");
        server.thaw();
        let text = round.to_string();
        writer.set_data("/a", text.as_bytes(), None).await.unwrap();
        writer.create(&format!("/b{round}"), b"", &OPEN).await.unwrap();
        connected(&store).await;
        a.until(&text).await;
        whole.until(&format!("={round}")).await;
        top.until(["a zookeeper", "a b1 zookeeper", "a b1 b2 zookeeper"][round]).await;
    }
}

#[tokio::test]
async fn a_session_that_ends_while_a_tree_is_armed_loses_nothing() {
    const COUNT: usize = 20_000;
    let server = ZooKeeper::start();
    let writer = server.client().await;
    fill(&writer, ["/t".to_owned()]).await;
    fill(&writer, (0..COUNT).map(|n| format!("/t/{n}"))).await;
    for round in 1..=2 {
        let store = Store::open(impatient(server.spec("")));
        let (mut key, mut whole) = (data(&store, "/t/7"), tree(&store, "/t"));
        // The key arrives first: its node is read long before the last of the tree.
        key.next().await;
        server.freeze();
        down(&store).await;
        server.thaw();
        let text = round.to_string();
        writer.set_data("/t/7", text.as_bytes(), None).await.unwrap();
        key.until(&text).await;
        loop {
            let Content::Tree(state) = whole.next().await.state.content else { panic!("a tree") };
            assert_eq!(state.len(), COUNT + 1, "never a part of it");
            if state.get("7").is_some_and(|value| value == Some(text.as_bytes())) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_network_that_drops_everything_is_noticed_and_survived() {
    let server = ZooKeeper::start();
    let writer = server.client().await;
    writer.create("/a", b"0", &OPEN).await.unwrap();
    let proxy = Proxy::start(server.port());
    let servers = [format!("127.0.0.1:{}", proxy.port())];
    let store = Store::open(impatient(store(&servers, "")));
    let mut a = data(&store, "/a");
    a.until("0").await;
    proxy.stall();
    down(&store).await;
    writer.set_data("/a", b"1", None).await.unwrap();
    proxy.heal();
    a.until("1").await;
    proxy.cut();
    down(&store).await;
    writer.set_data("/a", b"2", None).await.unwrap();
    proxy.heal();
    a.until("2").await;
    for n in 3..=12 {
        // Too short to be a loss: the session continues on another connection.
        proxy.reset_all();
        writer.set_data("/a", n.to_string().as_bytes(), None).await.unwrap();
        a.until(&n.to_string()).await;
    }
}

#[tokio::test]
async fn a_server_that_lost_its_data_is_followed() {
    let mut server = ZooKeeper::start();
    let mut writer = server.client().await;
    for n in 0..200 {
        writer.create(&format!("/{n}"), b"", &OPEN).await.unwrap();
    }
    writer.create("/a", b"old", &OPEN).await.unwrap();
    writer.create("/gone", b"old", &OPEN).await.unwrap();
    let store = Store::open(impatient(server.spec("")));
    let (mut a, mut gone) = (data(&store, "/a"), data(&store, "/gone"));
    a.until("old").await;
    gone.until("old").await;
    server.wipe();
    writer = server.client().await;
    // Its zxid is far below the one before.
    writer.create("/a", b"new", &OPEN).await.unwrap();
    a.until("new").await;
    gone.until("-").await;
    writer.set_data("/a", b"newer", None).await.unwrap();
    a.until("newer").await;
}

#[tokio::test]
async fn an_unreachable_store_is_waited_for() {
    let mut server = ZooKeeper::start();
    server.kill();
    let store = Store::open(impatient(server.spec("")));
    let mut a = data(&store, "/a");
    let why = down(&store).await;
    assert!(why.contains(&format!("connect to {}", server.address())), "{why}");
    assert!(why.contains("refused"), "{why}");
    server.start_again();
    a.until("-").await;
    server.client().await.create("/a", b"1", &OPEN).await.unwrap();
    a.until("1").await;
}

#[tokio::test]
async fn the_loss_of_the_leader_is_survived() {
    let mut ensemble = Ensemble::start();
    let writer = ensemble.client().await;
    writer.create("/a", b"0", &OPEN).await.unwrap();
    let store = Store::open(impatient(ensemble.spec()));
    let mut a = data(&store, "/a");
    a.until("0").await;
    let leader = ensemble.leader().unwrap();
    ensemble.members[leader].kill();
    let others: Vec<String> = ensemble
        .members
        .iter()
        .enumerate()
        .filter(|(member, _)| *member != leader)
        .map(|(_, member)| member.address())
        .collect();
    let writer = client(&others.join(",")).await;
    writer.set_data("/a", b"1", None).await.unwrap();
    a.until("1").await;
    // Now the only follower too: no quorum, no service.
    let follower = (0..3).find(|member| *member != leader && ensemble.leader() != Some(*member)).unwrap();
    ensemble.members[follower].kill();
    down(&store).await;
    ensemble.members[leader].start_again_unasked();
    connected(&store).await;
    let writer = ensemble.client().await;
    writer.set_data("/a", b"2", None).await.unwrap();
    a.until("2").await;
}
