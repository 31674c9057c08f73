//! Three members, of which some are killed, frozen or without a quorum.

use std::time::{Duration, Instant};

use etcd_client::{Client, GetOptions};
use twitcher::store::{LinkState, Store};
use twitcher::watch::{Content, StoreName};

use super::basics::put;
use super::load::put_many;
use super::{data, spec, tree};
use crate::fixture::etcd::{Cluster, Etcd};
use crate::fixture::server::LONG;

fn store(cluster: &Cluster) -> Store {
    let ports: Vec<u16> = cluster.members.iter().map(Etcd::port).collect();
    let mut spec = spec(&ports, "");
    spec.name = StoreName::new("cluster").unwrap();
    Store::open(spec)
}

/// The member that the store's session is connected to.
async fn served_by(store: &Store, cluster: &Cluster) -> usize {
    let mut health = store.health();
    let connected = health.wait_for(|health| health.state == LinkState::Connected);
    let health = tokio::time::timeout(LONG, connected).await.unwrap().unwrap();
    let server = health.server.clone().unwrap();
    let place = cluster.members.iter().position(|member| server.ends_with(&format!(":{}", member.port())));
    place.unwrap()
}

/// Writes as soon as there is a leader again.
pub(super) async fn put_once_led(client: &mut Client, key: &str, value: &str) {
    let began = Instant::now();
    while let Err(error) = client.put(key, value, None).await {
        assert!(began.elapsed() < LONG, "no leader was elected: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn after_any_member_is_killed_the_others_are_used() {
    let mut cluster = Cluster::start(3);
    let store = store(&cluster);
    let mut seen = data(&store, "/n");
    seen.until("-").await;
    for round in 0..4 {
        // First the leader, then the member that the session is connected to.
        let victim = if round % 2 == 0 { cluster.leader().await } else { served_by(&store, &cluster).await };
        let other = (victim + 1) % 3;
        let mut client = cluster.members[other].client().await;
        put(&mut client, "/n", &(round * 10).to_string()).await;
        cluster.members[victim].kill();
        put_once_led(&mut client, "/n", &(round * 10 + 1).to_string()).await;
        seen.until(&(round * 10 + 1).to_string()).await;
        cluster.members[victim].start_again();
    }
}

#[tokio::test]
async fn a_frozen_member_is_abandoned() {
    let cluster = Cluster::start(3);
    let store = store(&cluster);
    let mut seen = data(&store, "/n");
    seen.until("-").await;
    let frozen = served_by(&store, &cluster).await;
    let mut client = cluster.members[(frozen + 1) % 3].client().await;
    put(&mut client, "/n", "1").await;
    seen.until("1").await;
    cluster.members[frozen].freeze();
    put_once_led(&mut client, "/n", "2").await;
    seen.until("2").await;
    assert_ne!(served_by(&store, &cluster).await, frozen);
    cluster.members[frozen].thaw();
}

#[tokio::test]
async fn a_member_without_a_quorum_is_not_used() {
    let cluster = Cluster::start(3);
    let store = store(&cluster);
    let mut seen = data(&store, "/n");
    seen.until("-").await;
    let alone = served_by(&store, &cluster).await;
    let others = [(alone + 1) % 3, (alone + 2) % 3];
    for other in others {
        cluster.members[other].freeze();
    }
    // It lives and answers, but has no leader.
    super::down(&store).await;
    for other in others {
        cluster.members[other].thaw();
    }
    let mut client = cluster.members[alone].client().await;
    put_once_led(&mut client, "/n", "1").await;
    seen.until("1").await;
}

#[tokio::test]
async fn a_partitioned_member_is_abandoned_for_a_healthy_one() {
    let cluster = Cluster::start(3);
    let store = store(&cluster);
    let mut seen = data(&store, "/n");
    let mut all = tree(&store, "/");
    seen.until("-").await;
    all.until("-").await;
    for round in 0..2 {
        // First the leader, whose loss affects the others; then a follower.
        let alone = loop {
            let alone = served_by(&store, &cluster).await;
            let wanted = (alone + round) % 3;
            let leader = cluster.leader().await;
            if leader == wanted {
                break alone;
            }
            let wanted = cluster.members[wanted].member_id().await;
            cluster.members[leader].client().await.move_leader(wanted).await.unwrap();
        };
        let old = if round == 0 { "-" } else { "0" };
        cluster.cut_off(alone).await;
        let mut client = cluster.members[(alone + 1) % 3].client().await;
        let new = round.to_string();
        put_once_led(&mut client, "/n", &new).await;
        seen.until(&new).await;
        all.until(&format!("n={new}")).await;
        assert_ne!(served_by(&store, &cluster).await, alone);
        // It lives, and a client that used it would still see the old state.
        let mut left = cluster.members[alone].client().await;
        let believing = Some(GetOptions::new().with_serializable());
        let stale = left.get("/n", believing).await.unwrap();
        let stale = stale.kvs().first().map_or("-", |kv| kv.value_str().unwrap());
        assert_eq!(stale, old);
        cluster.reunite();
        cluster.members[alone].wait_healthy();
    }
}

#[tokio::test]
async fn a_member_that_dies_during_a_first_read_loses_nothing() {
    const COUNT: usize = 20_000;
    let mut cluster = Cluster::start(3);
    put_many(&mut cluster.members[0].client().await, "/tree/", COUNT, "x").await;
    for round in 0..3 {
        let store = store(&cluster);
        let mut whole = tree(&store, "/tree");
        let mut key = data(&store, "/tree/7");
        let dead = served_by(&store, &cluster).await;
        // A key is read beside the tree, which takes longer.
        key.next().await;
        cluster.members[dead].kill();
        let mut client = cluster.members[(dead + 1) % 3].client().await;
        let new = format!("new {round}");
        put_once_led(&mut client, "/tree/7", &new).await;
        key.until(&new).await;
        loop {
            let Content::Tree(state) = whole.next().await.state.content else { panic!("a tree") };
            assert_eq!(state.len(), COUNT, "never a part of it");
            if state.get("7").is_some_and(|value| value == Some(new.as_bytes())) {
                break;
            }
        }
        cluster.members[dead].start_again();
    }
}
