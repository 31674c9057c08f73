//! A member that is killed, frozen, down, or behind a failing network.

use std::time::{Duration, Instant};

use twitcher::store::{LinkState, Subscribe};
use twitcher::watch::WatchType;

use super::basics::put;
use super::{children, connected, data, down, every, key, show, store, subscribe, tree};
use crate::fixture::etcd::Etcd;
use crate::fixture::proxy::Proxy;

#[tokio::test]
async fn repeated_kills_of_a_member_lose_no_last_update() {
    let mut etcd = Etcd::start();
    let store = store(etcd.port());
    let mut value = data(&store, "/n");
    let mut names = children(&store, "/c");
    let mut below = tree(&store, "/c");
    for number in 1..=5 {
        let mut client = etcd.client().await;
        put(&mut client, "/n", &format!("{}", number * 10)).await;
        if number % 2 == 1 {
            // Not awaited: the kill comes at any moment.
            value.until(&format!("{}", number * 10)).await;
        }
        etcd.kill();
        etcd.start_again();
        let mut client = etcd.client().await;
        put(&mut client, "/n", &format!("{}", number * 10 + 1)).await;
        put(&mut client, &format!("/c/{number}"), "x").await;
        value.until(&format!("{}", number * 10 + 1)).await;
    }
    names.until("1 2 3 4 5").await;
    below.until("1=x 2=x 3=x 4=x 5=x").await;
    assert!(store.health().borrow().reconnects >= 5);
}

#[tokio::test]
async fn a_restart_without_a_change_delivers_nothing() {
    let mut etcd = Etcd::start();
    let mut client = etcd.client().await;
    put(&mut client, "/n", "1").await;
    put(&mut client, "/c/gone", "x").await;
    put(&mut client, "/c/a", "x").await;
    let store = store(etcd.port());
    let mut value = data(&store, "/n");
    let mut absent = data(&store, "/absent");
    let mut names = children(&store, "/c");
    let mut below = tree(&store, "/c");
    let mut counted = every(&store, "/n");
    value.until("1").await;
    absent.until("-").await;
    names.until("a gone").await;
    below.until("a=x gone=x").await;
    counted.until("1").await;
    // The last event is a deletion: no remaining key carries its revision.
    client.delete("/c/gone", None).await.unwrap();
    names.until("a").await;
    below.until("a=x").await;
    let before = Instant::now();
    etcd.kill();
    down(&store).await;
    etcd.start_again();
    connected(&store).await;
    for seen in [&mut value, &mut absent, &mut names, &mut below, &mut counted] {
        seen.verified_since(before).await;
        seen.nothing_within(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_store_that_is_down_at_start_is_waited_for() {
    let mut etcd = Etcd::start();
    put(&mut etcd.client().await, "/n", "1").await;
    etcd.kill();
    let store = store(etcd.port());
    let mut value = data(&store, "/n");
    let error = value.error().await;
    assert!(error.contains(&etcd.port().to_string()) && error.contains("refused"), "{error}");
    assert_eq!(store.health().borrow().state, LinkState::Down);
    assert_eq!(value.subscription().freshness().verified, None);
    etcd.start_again();
    value.until("1").await;
    assert_eq!(value.subscription().freshness().error, None);
}

#[tokio::test]
async fn a_frozen_member_is_noticed_and_missed_changes_arrive() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    put(&mut client, "/n", "1").await;
    let store = store(etcd.port());
    let mut value = data(&store, "/n");
    value.until("1").await;
    etcd.freeze();
    // By keep-alive: there is no other sign.
    down(&store).await;
    etcd.thaw();
    put(&mut client, "/n", "2").await;
    value.until("2").await;
    connected(&store).await;
}

#[tokio::test]
async fn a_network_that_drops_every_packet_is_noticed() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut client = etcd.client().await;
    put(&mut client, "/n", "1").await;
    let store = store(proxy.port());
    let mut value = data(&store, "/n");
    value.until("1").await;
    proxy.stall();
    put(&mut client, "/n", "2").await;
    let error = down(&store).await;
    assert!(!error.is_empty());
    put(&mut client, "/n", "3").await;
    proxy.heal();
    value.until("3").await;
}

#[tokio::test]
async fn reset_and_cut_connections_are_reopened() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut client = etcd.client().await;
    let store = store(proxy.port());
    let mut value = data(&store, "/n");
    value.until("-").await;
    for number in 1..=20 {
        proxy.reset_all();
        put(&mut client, "/n", &number.to_string()).await;
        if number % 4 == 0 {
            value.until(&number.to_string()).await;
        }
    }
    proxy.cut();
    put(&mut client, "/n", "21").await;
    down(&store).await;
    put(&mut client, "/n", "22").await;
    proxy.heal();
    value.until("22").await;
}

#[tokio::test]
async fn silence_is_verified_and_a_dead_member_is_not_mistaken_for_it() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    put(&mut client, "/n", "1").await;
    let store = store(etcd.port());
    let verified = |text, watch_type| {
        Subscribe::new(key(text), watch_type).with_verify_interval(Duration::from_millis(200))
    };
    let mut all = [
        subscribe(&store, verified("/n", WatchType::Data)),
        subscribe(&store, verified("/absent", WatchType::Data)),
        subscribe(&store, verified("/n", WatchType::Children)),
        subscribe(&store, verified("/n", WatchType::Tree)),
    ];
    for seen in &mut all {
        seen.next().await;
        seen.verified_since(Instant::now()).await;
        seen.verified_since(Instant::now()).await;
    }
    etcd.freeze();
    down(&store).await;
    let before = all[0].subscription().freshness();
    assert!(!before.connected && before.error.is_some());
    etcd.thaw();
    for seen in &mut all {
        seen.verified_since(Instant::now()).await;
        seen.nothing_within(Duration::from_millis(10)).await;
    }
    put(&mut client, "/n", "2").await;
    assert_eq!(show(&all[0].next().await.state.content), "2");
}

/// Reads get through and the watch is silent, as if nothing had happened: P8 in its purest form.
#[tokio::test]
async fn a_deaf_watch_is_detected_and_created_again() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut client = etcd.client().await;
    put(&mut client, "/n", "1").await;
    let store = store(proxy.port());
    let mut value = subscribe(
        &store,
        Subscribe::new(key("/n"), WatchType::Data).with_verify_interval(Duration::from_millis(200)),
    );
    value.until("1").await;
    put(&mut client, "/n", "2").await;
    // An event: the watch was created, on the newest connection.
    value.until("2").await;
    proxy.stall_newest();
    put(&mut client, "/n", "3").await;
    value.until("3").await;
    assert_eq!(store.health().borrow().reconnects, 0, "the connection had not been given up yet");
    put(&mut client, "/n", "4").await;
    value.until("4").await;
    proxy.heal();
    put(&mut client, "/n", "5").await;
    value.until("5").await;
}
