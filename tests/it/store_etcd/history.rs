//! A store with a changed history: compacted, restored, wiped.

use std::time::{Duration, Instant};

use etcd_client::CompactionOptions;

use super::basics::put;
use super::{connected, data, down, every, show, store, tree};
use crate::fixture::etcd::Etcd;
use crate::fixture::proxy::Proxy;

#[tokio::test]
async fn every_update_during_an_interruption_is_delivered() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut client = etcd.client().await;
    put(&mut client, "/n", "0").await;
    let store = store(proxy.port());
    let mut all = every(&store, "/n");
    let mut newest = data(&store, "/n");
    all.until("0").await;
    newest.until("0").await;
    for round in 0..3 {
        let before = Instant::now();
        proxy.cut();
        down(&store).await;
        for number in 1..=100 {
            put(&mut client, "/n", &(round * 100 + number).to_string()).await;
        }
        proxy.heal();
        for number in 1..=100 {
            let update = all.next().await;
            assert_eq!(
                (show(&update.state.content), update.updates),
                ((round * 100 + number).to_string(), 1)
            );
        }
        newest.until(&(round * 100 + 100).to_string()).await;
        all.verified_since(before).await;
    }
}

#[tokio::test]
async fn a_deletion_during_an_interruption_is_delivered() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut client = etcd.client().await;
    put(&mut client, "/n", "0").await;
    let store = store(proxy.port());
    let mut all = every(&store, "/n");
    all.until("0").await;
    proxy.cut();
    down(&store).await;
    client.delete("/n", None).await.unwrap();
    put(&mut client, "/n", "1").await;
    client.delete("/n", None).await.unwrap();
    proxy.heal();
    for expected in ["-", "1", "-"] {
        assert_eq!(show(&all.next().await.state.content), expected);
    }
    proxy.cut();
    down(&store).await;
    put(&mut client, "/n", "2").await;
    proxy.heal();
    assert_eq!(show(&all.next().await.state.content), "2");
}

#[tokio::test]
async fn a_compaction_during_an_interruption_loses_only_compacted_updates() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut client = etcd.client().await;
    put(&mut client, "/n", "0").await;
    let store = store(proxy.port());
    let mut all = every(&store, "/n");
    let mut newest = data(&store, "/n");
    all.until("0").await;
    newest.until("0").await;
    proxy.cut();
    down(&store).await;
    let mut revision = 0;
    for number in 1..=50 {
        revision = put(&mut client, "/n", &number.to_string()).await;
    }
    client.compact(revision, Some(CompactionOptions::new().with_physical())).await.unwrap();
    proxy.heal();
    all.until("50").await;
    newest.until("50").await;
    put(&mut client, "/n", "51").await;
    all.until("51").await;
    newest.until("51").await;
}

/// The server cancels a watch that lags behind a compaction, in an ordinary response.
#[tokio::test]
async fn a_lagging_watch_reads_again_after_a_compaction() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut client = etcd.client().await;
    let store = store(proxy.port());
    let mut big = data(&store, "/big");
    let mut small = data(&store, "/small");
    big.until("-").await;
    small.until("-").await;
    proxy.stall();
    let value = "x".repeat(1 << 20);
    let mut revision = 0;
    for number in 1..=40 {
        revision = put(&mut client, "/big", &format!("{number}{value}")).await;
    }
    put(&mut client, "/small", "1").await;
    client.compact(revision, None).await.unwrap();
    proxy.heal();
    big.until(&format!("40{value}")).await;
    small.until("1").await;
    put(&mut client, "/big", "41").await;
    big.until("41").await;
}

#[tokio::test]
async fn a_store_restored_from_an_older_backup_is_newer_by_definition() {
    let mut etcd = Etcd::start();
    let mut client = etcd.client().await;
    put(&mut client, "/n", "old").await;
    put(&mut client, "/kept", "same").await;
    let backup = etcd.back_up();
    for number in 0..200 {
        put(&mut client, "/n", &format!("later {number}")).await;
    }
    put(&mut client, "/t/created", "after the backup").await;
    let store = store(etcd.port());
    let mut value = data(&store, "/n");
    let mut kept = data(&store, "/kept");
    let mut all = every(&store, "/n");
    let mut below = tree(&store, "/t");
    value.until("later 199").await;
    kept.until("same").await;
    all.until("later 199").await;
    below.until("created=after the backup").await;

    let before = Instant::now();
    etcd.restore(&backup);
    value.until("old").await;
    all.until("old").await;
    below.until("-").await;
    kept.verified_since(before).await;
    kept.nothing_within(Duration::from_millis(100)).await;
    // Their revisions are far below those seen before.
    let mut client = etcd.client().await;
    put(&mut client, "/n", "new").await;
    put(&mut client, "/kept", "changed").await;
    value.until("new").await;
    all.until("new").await;
    kept.until("changed").await;
}

/// The treacherous case: when the daemon reconnects, the new history has grown beyond the old one.
#[tokio::test]
async fn a_restored_store_with_a_higher_revision_is_still_recognised() {
    let mut etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let mut client = etcd.client().await;
    put(&mut client, "/n", "old").await;
    put(&mut client, "/m", "old").await;
    let backup = etcd.back_up();
    put(&mut client, "/n", "lost").await;
    let store = store(proxy.port());
    let mut value = data(&store, "/n");
    let mut all = every(&store, "/n");
    value.until("lost").await;
    all.until("lost").await;
    proxy.cut();
    down(&store).await;
    etcd.restore(&backup);
    let mut client = etcd.client().await;
    for number in 0..10 {
        put(&mut client, "/m", &number.to_string()).await;
    }
    proxy.heal();
    value.until("old").await;
    all.until("old").await;
    put(&mut client, "/n", "new").await;
    value.until("new").await;
    all.until("new").await;
}

#[tokio::test]
async fn a_wiped_store_is_empty() {
    let mut etcd = Etcd::start();
    let mut client = etcd.client().await;
    put(&mut client, "/n", "1").await;
    let store = store(etcd.port());
    let mut value = data(&store, "/n");
    value.until("1").await;
    etcd.wipe();
    value.until("-").await;
    connected(&store).await;
    put(&mut etcd.client().await, "/n", "0").await;
    assert_eq!(show(&value.next().await.state.content), "0");
}
