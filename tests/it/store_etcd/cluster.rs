//! Three members, of which some are killed, frozen or without a quorum.

use std::time::Duration;

use twitcher::store::{LinkState, Store};
use twitcher::watch::StoreName;

use super::basics::put;
use super::{data, spec};
use crate::fixture::etcd::{Cluster, Etcd};
use crate::fixture::server::LONG;

fn store(cluster: &Cluster) -> Store {
    let ports: Vec<u16> = cluster.members.iter().map(Etcd::port).collect();
    let mut spec = spec(&ports, "");
    spec.name = StoreName::new("cluster").unwrap();
    Store::open(spec)
}

/// The member that the store's session is on.
async fn served_by(store: &Store, cluster: &Cluster) -> usize {
    let mut health = store.health();
    let connected = health.wait_for(|health| health.state == LinkState::Connected);
    let health = tokio::time::timeout(LONG, connected).await.unwrap().unwrap();
    let server = health.server.clone().unwrap();
    let place = cluster.members.iter().position(|member| server.ends_with(&format!(":{}", member.port())));
    place.unwrap()
}

#[tokio::test]
async fn whichever_member_is_killed_the_others_are_found() {
    let mut cluster = Cluster::start(3);
    let store = store(&cluster);
    let mut seen = data(&store, "/n");
    seen.until("-").await;
    for round in 0..4 {
        // First the leader, then the one that the session is on.
        let victim = if round % 2 == 0 { cluster.leader().await } else { served_by(&store, &cluster).await };
        let other = (victim + 1) % 3;
        let mut client = cluster.members[other].client().await;
        put(&mut client, "/n", &(round * 10).to_string()).await;
        cluster.members[victim].kill();
        let mut failures = 0;
        while client.put("/n", (round * 10 + 1).to_string(), None).await.is_err() {
            failures += 1;
            assert!(failures < 100, "no leader was elected");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        seen.until(&(round * 10 + 1).to_string()).await;
        cluster.members[victim].start_again();
    }
}

#[tokio::test]
async fn a_member_that_freezes_is_left() {
    let cluster = Cluster::start(3);
    let store = store(&cluster);
    let mut seen = data(&store, "/n");
    seen.until("-").await;
    let frozen = served_by(&store, &cluster).await;
    let mut client = cluster.members[(frozen + 1) % 3].client().await;
    put(&mut client, "/n", "1").await;
    seen.until("1").await;
    cluster.members[frozen].freeze();
    let mut failures = 0;
    while client.put("/n", "2", None).await.is_err() {
        failures += 1;
        assert!(failures < 100, "no leader was elected");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    seen.until("2").await;
    assert_ne!(served_by(&store, &cluster).await, frozen);
    cluster.members[frozen].thaw();
}

#[tokio::test]
async fn a_member_without_a_quorum_is_not_believed() {
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
    let mut failures = 0;
    while client.put("/n", "1", None).await.is_err() {
        failures += 1;
        assert!(failures < 100, "no leader was elected");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    seen.until("1").await;
}
