//! What a live copy of a subtree costs: bytes allocated, beside the bytes of its keys and values.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Txn, TxnOp};
use futures::StreamExt;
use twitcher::store::Store;
use twitcher::tree::Tree;
use twitcher::watch::Key;

use crate::ALLOCATED;
use crate::fixture::etcd::Etcd;
use crate::fixture::server::LONG;
use crate::fixture::zookeeper::{OPEN, ZooKeeper};
use crate::table::{Limit, Table};

const KEYS: usize = 50_000;
/// Nodes that only `ZooKeeper` has: what is above the keys.
const ABOVE: usize = 50;

/// A key of 30 bytes.
pub fn key(number: usize) -> String {
    format!("/bench/rack-{:02}/host-{number:08}.x", number % ABOVE)
}

/// Fills an etcd with keys that have values of this size.
pub async fn fill_etcd(etcd: &Etcd, keys: usize, size: usize) {
    let mut client = etcd.client().await;
    for chunk in (0..keys).collect::<Vec<_>>().chunks(128) {
        let puts = chunk.iter().map(|number| TxnOp::put(key(*number), vec![b'v'; size], None));
        client.txn(Txn::new().and_then(puts.collect::<Vec<_>>())).await.unwrap();
    }
}

/// Fills a `ZooKeeper` with the same, and the nodes above.
pub async fn fill_zookeeper(server: &ZooKeeper, keys: usize, size: usize) {
    let client = server.client().await;
    client.create("/bench", b"", &OPEN).await.unwrap();
    for rack in 0..ABOVE {
        client.create(&format!("/bench/rack-{rack:02}"), b"", &OPEN).await.unwrap();
    }
    let value = vec![b'v'; size];
    futures::stream::iter(0..keys)
        .for_each_concurrent(500, |number| {
            let (client, value) = (&client, &value);
            async move {
                client.create(&key(number), value, &OPEN).await.unwrap();
            }
        })
        .await;
}

/// Mirrors of 50,000 keys of 30 bytes, with values of different sizes.
pub fn memory(table: &mut Table) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for size in [10, 32, 100] {
        let (etcd, zookeeper) = (Etcd::start(), ZooKeeper::start());
        runtime.block_on(async {
            fill_etcd(&etcd, KEYS, size).await;
            row(table, "etcd", &etcd.url(), size, 3.0).await;
            fill_zookeeper(&zookeeper, KEYS, size).await;
            row(table, "ZooKeeper", &zookeeper.url(), size, 3.0).await;
        });
        let dir = tempfile::tempdir().unwrap();
        for number in 0..KEYS {
            let file = dir.path().join(&key(number)[1..]);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, vec![b'v'; size]).unwrap();
        }
        let url = format!("dir://{}", dir.path().display());
        runtime.block_on(row(table, "dir", &url, size, 3.0));
    }
}

#[expect(clippy::cast_precision_loss, reason = "megabytes")]
async fn row(table: &mut Table, name: &str, url: &str, size: usize, limit: f64) {
    let before = ALLOCATED.allocated();
    let store = Arc::new(Store::connect(url).await.unwrap());
    let tree = Tree::open(&store, Key::new("/bench").unwrap());
    tokio::time::timeout(LONG, tree.loaded()).await.unwrap();
    // What the first read needed is given back.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let held = ALLOCATED.allocated() - before;
    assert!(tree.snapshot().entries().len() >= KEYS);
    let data = (KEYS * (key(0).len() + size)) as f64 / 1e6;
    let what = format!("mirror of 50,000 keys, values of {size} bytes, {name}");
    table.ratio(&what, held as f64 / 1e6, data, "MB", &Limit::AtMost(limit));
}
