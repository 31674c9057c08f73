//! A healthy member: data, children and trees.

use etcd_client::{Client, Txn, TxnOp};
use twitcher::store::{Store, Subscribe};
use twitcher::watch::{Content, Detail, Version, WatchType};

use super::{children, data, every, key, show, spec, store, subscribe, tree};
use crate::fixture::etcd::Etcd;

pub(super) async fn put(client: &mut Client, key: &str, value: &str) -> i64 {
    let response = client.put(key, value, None).await.unwrap();
    response.header().unwrap().revision()
}

pub(super) async fn delete(client: &mut Client, key: &str) {
    client.delete(key, None).await.unwrap();
}

#[tokio::test]
async fn creation_change_and_deletion_of_a_value_are_shown() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    let store = store(etcd.port());
    let mut seen = data(&store, "/git/head");
    assert_eq!(seen.next().await.state.content, Content::Absent);
    for value in ["one", "two", "two", "", "three"] {
        let revision = put(&mut client, "/git/head", value).await;
        let update = seen.next().await;
        assert_eq!(show(&update.state.content), value, "the same value written again is an update");
        assert_eq!(update.state.version, Version::Revision(revision));
        assert_eq!(update.updates, 1);
    }
    delete(&mut client, "/git/head").await;
    assert_eq!(seen.next().await.state.content, Content::Absent);
    put(&mut client, "/git/heads", "a neighbour").await;
    put(&mut client, "/git/head/below", "a child").await;
    put(&mut client, "/git/head", "again").await;
    assert_eq!(show(&seen.next().await.state.content), "again");
}

#[tokio::test]
async fn the_prefix_is_prepended_to_every_key() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    put(&mut client, "/prod/a", "inside").await;
    put(&mut client, "/a", "outside").await;
    put(&mut client, "/prod", "itself").await;
    let store = Store::open(spec(&[etcd.port()], "/prod"));
    data(&store, "/a").until("inside").await;
    data(&store, "a").until("inside").await;
    children(&store, "/").until("a").await;
    // A key that equals the prefix cannot be named below it.
    tree(&store, "/").until("a=inside").await;
}

#[tokio::test]
async fn children_are_the_first_segments_below_a_key() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    let store = store(etcd.port());
    let mut seen = children(&store, "/app");
    seen.until("-").await;
    put(&mut client, "/app", "the key itself is no child of its own").await;
    put(&mut client, "/apple/x", "a neighbour").await;
    put(&mut client, "/app/b/1", "").await;
    assert_eq!(show(&seen.next().await.state.content), "b");
    put(&mut client, "/app/b/2", "").await;
    put(&mut client, "/app/b/2", "changed").await;
    put(&mut client, "/app/a", "").await;
    assert_eq!(show(&seen.next().await.state.content), "a b", "what is below a child does not count");
    delete(&mut client, "/app/b/1").await;
    delete(&mut client, "/app/b/2").await;
    assert_eq!(show(&seen.next().await.state.content), "a");
    delete(&mut client, "/app/a").await;
    assert_eq!(seen.next().await.state.content, Content::Absent);
}

#[tokio::test]
async fn a_tree_shows_each_transaction_as_one_state() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    put(&mut client, "/app/old", "0").await;
    let store = store(etcd.port());
    let mut seen = tree(&store, "/app");
    seen.until("old=0").await;
    let transaction = Txn::new().and_then([
        TxnOp::put("/app", "root", None),
        TxnOp::put("/app/a/b", "1", None),
        TxnOp::put("/app-neighbour", "x", None),
        TxnOp::delete("/app/old", None),
    ]);
    client.txn(transaction).await.unwrap();
    let update = seen.next().await;
    assert_eq!((show(&update.state.content).as_str(), update.updates), ("=root a/b=1", 1));
    put(&mut client, "/app-neighbour", "y").await;
    delete(&mut client, "/app").await;
    assert_eq!(show(&seen.next().await.state.content), "a/b=1");
    delete(&mut client, "/app/a/b").await;
    assert_eq!(seen.next().await.state.content, Content::Absent);
}

#[tokio::test]
async fn the_tree_of_the_root_contains_every_key_with_a_path() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    put(&mut client, "/a/b", "1").await;
    put(&mut client, "a/b", "behind").await;
    client.put(b"/a/\xff".as_slice(), "not UTF-8", None).await.unwrap();
    let store = store(etcd.port());
    let mut seen = tree(&store, "/");
    let mut below = children(&store, "/a");
    let mut names = children(&store, "/");
    seen.until("a/b=1").await;
    below.until("b").await;
    names.until("a").await;
    client.put(b"/\xff".as_slice(), "not UTF-8", None).await.unwrap();
    client.put(b"\xff".as_slice(), "not UTF-8", None).await.unwrap();
    put(&mut client, "a/b", "still behind").await;
    put(&mut client, "bare", "2").await;
    put(&mut client, "/\u{ff}", "3").await;
    seen.until("a/b=1 bare=2 \u{ff}=3").await;
    assert_eq!(seen.updates, 3, "nothing else was shown");
    names.until("a bare \u{ff}").await;
    put(&mut client, "/a/c", "4").await;
    below.until("b c").await;
    data(&store, "bare").until("2").await;
    let revision = put(&mut client, "b/c", "5").await;
    seen.until("a/b=1 a/c=4 b/c=5 bare=2 \u{ff}=3").await;
    delete(&mut client, "/a/b").await;
    let update = seen.next().await;
    assert_eq!(show(&update.state.content), "a/b=still behind a/c=4 b/c=5 bare=2 \u{ff}=3");
    assert_eq!(update.state.version, Version::Revision(revision + 1));
    // One change shows one key, and hides the other.
    let both = Txn::new().and_then([TxnOp::delete("b/c", None), TxnOp::put("/a/b", "1", None)]);
    client.txn(both).await.unwrap();
    assert_eq!(show(&seen.next().await.state.content), "a/b=1 a/c=4 bare=2 \u{ff}=3");
    delete(&mut client, "/a/c").await;
    delete(&mut client, "/a/b").await;
    delete(&mut client, "bare").await;
    seen.until("a/b=still behind \u{ff}=3").await;
    names.until("a \u{ff}").await;
}

#[tokio::test]
async fn a_subscription_to_versions_gets_every_change_without_values() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    let revision = put(&mut client, "/a", "a large value").await;
    let store = store(etcd.port());
    let watch = |watch_type, detail| Subscribe::new(key("/a"), watch_type).with_detail(detail);
    let mut seen = subscribe(&store, watch(WatchType::Data, Detail::Versions));
    let update = seen.next().await;
    assert_eq!(update.state.content, Content::Unread);
    assert_eq!(update.state.version, Version::Revision(revision));
    let mut below = subscribe(&store, watch(WatchType::Tree, Detail::Versions));
    below.next().await;
    let revision = put(&mut client, "/a", "another").await;
    for seen in [&mut seen, &mut below] {
        let state = seen.next().await.state;
        assert_eq!(state.version, Version::Revision(revision));
        assert!(!show(&state.content).contains("another"));
    }
}

#[tokio::test]
async fn a_subscription_to_every_update_gets_all_ten_thousand() {
    let etcd = Etcd::start();
    let mut client = etcd.client().await;
    put(&mut client, "/n", "0").await;
    let store = store(etcd.port());
    let mut all = every(&store, "/n");
    let mut newest = data(&store, "/n");
    all.until("0").await;
    newest.until("0").await;
    let taken = tokio::spawn(async move {
        for number in 1..=10_000 {
            let update = all.next().await;
            assert_eq!((show(&update.state.content), update.updates), (number.to_string(), 1));
        }
        all
    });
    for number in 1..=10_000 {
        put(&mut client, "/n", &number.to_string()).await;
    }
    let all = taken.await.unwrap();
    assert_eq!(all.updates, 10_001);
    newest.until("10000").await;
    assert_eq!(newest.updates, 10_001, "a slot counts what it replaced");
}
