//! The library's live tree and subscribers, over each kind of store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures::StreamExt;
use tempfile::TempDir;
use tokio::time::timeout;
use twitcher::store::Condition;
use twitcher::store::{Store, StoreError, Subscribe};
use twitcher::tree::{Changes, LazyTree, Scope, Subscribers, Topic, Tree};
use twitcher::watch::{Content, Key, State, WatchType};

use crate::fixture::etcd::Etcd;
use crate::fixture::server::LONG;
use crate::fixture::zookeeper::ZooKeeper;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

async fn directory() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::connect(&format!("dir://{}", dir.path().display())).await.unwrap();
    (dir, store)
}

async fn loaded(store: &Store, at: &str) -> Tree {
    let tree = Tree::open(store, key(at));
    timeout(LONG, tree.loaded()).await.unwrap();
    tree
}

/// The same promises in every store.
async fn a_tree_follows_its_own_and_other_writes(store: &Store) {
    let tree = loaded(store, "/app").await;
    assert!(!tree.at("port").exists());
    let version = tree.at("port").set_json(&8080).await.unwrap();
    timeout(LONG, tree.sync(version)).await.unwrap();
    assert_eq!(tree.get::<u16>("port"), Ok(Some(8080)));

    // A write that was decided before a concurrent write does not overwrite it.
    let read = tree.at("port");
    let version = store.put(&key("/app/port"), "9090", Condition::Any).await.unwrap();
    let error = read.set("8081").await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    timeout(LONG, tree.sync(version)).await.unwrap();
    assert_eq!(tree.get::<u16>("port"), Ok(Some(9090)));
    let absent = tree.at("new");
    store.put(&key("/app/new"), "theirs", Condition::Any).await.unwrap();
    assert!(matches!(absent.set("ours").await, Err(StoreError::Conflict { .. })));
    assert!(matches!(absent.delete().await, Err(StoreError::Conflict { .. })));

    // An unrelated write does not interfere.
    let read = tree.at("port");
    store.put(&key("/app/other/deep"), "1", Condition::Any).await.unwrap();
    let version = read.set("9091").await.unwrap();
    timeout(LONG, tree.sync(version)).await.unwrap();
    let version = store.put(&key("/app/last"), "x", Condition::Any).await.unwrap();
    timeout(LONG, tree.sync(version)).await.unwrap();
    let paths: Vec<String> = tree
        .snapshot()
        .iter()
        .filter(|(_, value)| value.is_some())
        .map(|(path, _)| path.to_owned())
        .collect();
    assert_eq!(paths, ["last", "new", "other/deep", "port"]);
    assert!(tree.at("port").delete().await.unwrap());
    assert!(!tree.at("never").delete().await.unwrap());
    timeout(LONG, tree.verify()).await.unwrap();
    assert!(!tree.at("port").exists());
}

/// A write since the read is detected by its version and not by its value.
async fn a_write_that_came_back_to_the_same_value_is_a_conflict(store: &Store) {
    store.put(&key("/app/x"), "1", Condition::Any).await.unwrap();
    store.put(&key("/app/made again"), "1", Condition::Any).await.unwrap();
    let tree = loaded(store, "/app").await;
    let (written, made_again) = (tree.at("x"), tree.at("made again"));
    for value in ["theirs", "1"] {
        store.put(&key("/app/x"), value, Condition::Any).await.unwrap();
    }
    store.delete(&key("/app/made again"), Condition::Any).await.unwrap();
    store.put(&key("/app/made again"), "1", Condition::Any).await.unwrap();
    for node in [&written, &made_again] {
        assert!(matches!(node.set("mine").await, Err(StoreError::Conflict { .. })));
        assert!(matches!(node.delete().await, Err(StoreError::Conflict { .. })));
    }
    // The mirror has the new version, although the value is the old one.
    timeout(LONG, tree.verify()).await.unwrap();
    tree.at("x").set("mine").await.unwrap();
}

/// A mirror of many constantly written keys is synchronised with each write, and shows it then.
async fn a_restless_tree_is_synchronised(store: &Store) {
    let keys: Vec<Key> = (0..100).map(|n| key(&format!("/app/many/{n}"))).collect();
    for many in &keys {
        store.put(many, "0", Condition::Any).await.unwrap();
    }
    let tree = loaded(store, "/app").await;
    let done = AtomicBool::new(false);
    let restless = async {
        while !done.load(Ordering::Relaxed) {
            // A directory's lock is not fair: among a hundred writers one could wait too long.
            for some in keys.chunks(10) {
                let writes = some.iter().map(|many| store.put(many, "again", Condition::Any));
                futures::future::try_join_all(writes).await.unwrap();
            }
        }
    };
    let synchronised = async {
        for n in 0..15 {
            let value = n.to_string();
            let version = store.put(&key("/app/mark"), value.clone(), Condition::Any).await.unwrap();
            timeout(LONG, tree.sync(version)).await.unwrap();
            assert_eq!(tree.get::<i32>("mark"), Ok(Some(n)), "after {version}");
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(restless, synchronised);
}

#[tokio::test]
async fn a_constantly_changing_tree_of_a_directory_is_synchronised() {
    let (_dir, store) = directory().await;
    a_restless_tree_is_synchronised(&store).await;
}

#[tokio::test]
async fn a_tree_of_etcd_has_versions() {
    let etcd = Etcd::start();
    let store = Store::connect(&etcd.url()).await.unwrap();
    a_write_that_came_back_to_the_same_value_is_a_conflict(&store).await;
    a_restless_tree_is_synchronised(&store).await;
}

#[tokio::test]
async fn a_tree_of_zookeeper_has_versions() {
    let server = ZooKeeper::start();
    let store = Store::connect(&server.url()).await.unwrap();
    a_write_that_came_back_to_the_same_value_is_a_conflict(&store).await;
    a_restless_tree_is_synchronised(&store).await;
    // The same holds for a node that has no value, only children.
    store.put(&key("/app/parent/child"), "1", Condition::Any).await.unwrap();
    let tree = loaded(&store, "/app").await;
    for _ in 0..20 {
        // Both were decided on the same read.
        let (one, other) = (tree.at("parent"), tree.at("parent"));
        let (one, other) = tokio::join!(one.set(""), other.set(""));
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        timeout(LONG, tree.verify()).await.unwrap();
    }
}

#[tokio::test]
async fn a_tree_of_a_directory_follows_writes() {
    let (_dir, store) = directory().await;
    a_tree_follows_its_own_and_other_writes(&store).await;
}

#[tokio::test]
async fn a_tree_of_etcd_follows_writes() {
    let etcd = Etcd::start();
    let store = Store::connect(&etcd.url()).await.unwrap();
    a_tree_follows_its_own_and_other_writes(&store).await;
}

#[tokio::test]
async fn a_tree_of_zookeeper_follows_writes() {
    let server = ZooKeeper::start();
    let store = Store::connect(&server.url()).await.unwrap();
    a_tree_follows_its_own_and_other_writes(&store).await;
}

/// A path of the tree of `/` may stand for `/foo` or `foo`: a write goes to the key that was read.
#[tokio::test]
async fn a_write_goes_to_the_key_that_was_read() {
    let etcd = Etcd::start();
    let store = Store::connect(&etcd.url()).await.unwrap();
    store.put(&key("foo"), "1", Condition::Any).await.unwrap();
    store.put(&key("/both"), "1", Condition::Any).await.unwrap();
    store.put(&key("both"), "behind", Condition::Any).await.unwrap();
    let tree = loaded(&store, "/").await;
    let value = async |text: &str| {
        let entry = store.get(&key(text)).await.unwrap();
        entry.and_then(|entry| entry.value).map(|value| String::from_utf8(value.to_vec()).unwrap())
    };
    let version = tree.at("foo").set("2").await.unwrap();
    timeout(LONG, tree.sync(version)).await.unwrap();
    assert_eq!(tree.get::<u8>("foo"), Ok(Some(2)));
    let version = tree.at("both").set("2").await.unwrap();
    timeout(LONG, tree.sync(version)).await.unwrap();
    let version = tree.at("new").set("2").await.unwrap();
    timeout(LONG, tree.sync(version)).await.unwrap();
    let names = ["foo", "/foo", "both", "/both", "new", "/new"];
    let mut held = Vec::new();
    for name in names {
        held.push(value(name).await);
    }
    let held: Vec<Option<&str>> = held.iter().map(Option::as_deref).collect();
    assert_eq!(held, [Some("2"), None, Some("behind"), Some("2"), None, Some("2")], "{names:?}");
    assert_eq!(tree.snapshot().key_of("foo").unwrap(), key("foo"));
    assert_eq!(tree.snapshot().key_of("both").unwrap(), key("/both"));

    // A key that took the path meanwhile is not the one that was read.
    let read = tree.at("foo");
    store.delete(&key("foo"), Condition::Any).await.unwrap();
    store.put(&key("/foo"), "2", Condition::Any).await.unwrap();
    assert!(matches!(read.set("3").await, Err(StoreError::Conflict { .. })));
    let read = tree.at("both");
    let mut changes = tree.changes("both", Scope::Node, Duration::ZERO, Duration::ZERO);
    store.delete(&key("/both"), Condition::Any).await.unwrap();
    assert!(matches!(read.delete().await, Err(StoreError::Conflict { .. })));
    while tree.at("both").text().unwrap() != Some("behind") {
        timeout(LONG, changes.next()).await.unwrap().unwrap();
    }
    assert!(tree.at("both").delete().await.unwrap());
    assert_eq!(value("both").await, None);
}

/// The same promises of publish and subscribe in every store.
async fn what_is_published_reaches_all_who_listen(store: &Store) {
    let subscribers = Subscribers::new(store);
    let motd = topic("/pub/motd");
    let below = Topic { key: key("/pub"), watch_type: WatchType::Tree };
    let (sent, got) = mpsc::channel();
    subscribers.register("callback", &motd, move |state| drop(sent.send(state.content.clone()))).unwrap();
    let mut reader = subscribers.channel("reader", &motd).unwrap();
    let mut tree = subscribers.channel("tree", &below).unwrap();
    subscribers.publish(&motd.key, "hello").await.unwrap();
    while timeout(LONG, reader.next()).await.unwrap().unwrap().content != value("hello") {}
    let called =
        tokio::task::spawn_blocking(move || while got.recv_timeout(LONG).unwrap() != value("hello") {});
    timeout(LONG * 2, called).await.unwrap().unwrap();
    let seen = async |tree: &mut twitcher::tree::Receiver| match tree.next().await.unwrap().content {
        Content::Tree(entries) => entries.get("motd").flatten() == Some(b"hello"),
        Content::Absent | Content::Unread | Content::Value(_) | Content::Children(_) | _ => false,
    };
    timeout(LONG, async { while !seen(&mut tree).await {} }).await.unwrap();
    assert_eq!(subscribers.list().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_published_in_a_directory_reaches_all_subscribers() {
    let (_dir, store) = directory().await;
    what_is_published_reaches_all_who_listen(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_published_in_etcd_reaches_all_subscribers() {
    let etcd = Etcd::start();
    what_is_published_reaches_all_who_listen(&Store::connect(&etcd.url()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_published_in_zookeeper_reaches_all_subscribers() {
    let server = ZooKeeper::start();
    what_is_published_reaches_all_who_listen(&Store::connect(&server.url()).await.unwrap()).await;
}

#[tokio::test]
async fn requests_reconnect_to_a_restarted_server() {
    let mut etcd = Etcd::start();
    let store = Store::connect(&etcd.url()).await.unwrap();
    store.put(&key("/a"), "1", Condition::Any).await.unwrap();
    etcd.kill();
    let error = store.get(&key("/a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    etcd.start_again();
    let found = store.get(&key("/a")).await.unwrap().unwrap();
    assert_eq!(found.value.as_deref(), Some(b"1".as_slice()));
}

#[tokio::test]
async fn an_unreachable_store_is_an_error_at_once() {
    for url in ["etcd://127.0.0.1:1", "nothing", "ftp://host"] {
        assert!(timeout(LONG, Store::connect(url)).await.unwrap().is_err(), "{url}");
    }
}

async fn next(changes: &mut Changes) -> Vec<String> {
    let told = timeout(LONG, changes.next()).await.unwrap().unwrap();
    told.differences.iter().map(|difference| difference.path.to_string()).collect()
}

#[tokio::test]
async fn changes_are_delivered_in_scope_once_they_settle() {
    let (_dir, store) = directory().await;
    let put = async |path: &str, value: &str| {
        store.put(&key(path), value.to_owned(), Condition::Any).await.unwrap();
    };
    put("/t/a/x", "0").await;
    let tree = loaded(&store, "/t").await;
    let mut node = tree.changes("a/x", Scope::Node, Duration::ZERO, Duration::ZERO);
    let mut below = tree.changes("a", Scope::Below, Duration::from_millis(300), Duration::from_mins(1));
    put("/t/b", "1").await;
    put("/t/a/x", "1").await;
    assert_eq!(next(&mut node).await, ["a/x"]);
    put("/t/a/y", "1").await;
    put("/t/a/z", "1").await;
    // All three came within the settle time; a slow machine may need a second delivery for the last.
    let mut told = next(&mut below).await;
    while told.last().is_none_or(|last| last != "a/z") {
        told.extend(next(&mut below).await);
    }
    assert_eq!(told, ["a/x", "a/y", "a/z"]);
    drop(tree);
    assert_eq!(timeout(LONG, node.next()).await.unwrap(), None);
}

#[tokio::test]
async fn changes_that_never_settle_are_delivered_after_the_longest_wait() {
    let (_dir, store) = directory().await;
    let tree = loaded(&store, "/t").await;
    let mut changes = tree.changes("", Scope::Below, Duration::from_hours(1), Duration::from_millis(200));
    store.put(&key("/t/a"), "1", Condition::Any).await.unwrap();
    assert!(next(&mut changes).await.contains(&"a".to_owned()));
}

#[tokio::test]
async fn only_subtrees_in_use_are_mirrored() {
    let (_dir, store) = directory().await;
    for path in ["/t/a/x", "/t/b/y"] {
        store.put(&key(path), "1", Condition::Any).await.unwrap();
    }
    let lazy = LazyTree::new(&store, key("/t"));
    assert_eq!(lazy.children("").await.unwrap().unwrap(), ["a", "b"]);
    assert!(lazy.opened().is_empty());
    let tree = lazy.subtree("a").unwrap();
    timeout(LONG, tree.loaded()).await.unwrap();
    assert_eq!(tree.get::<i64>("x"), Ok(Some(1)));
    assert!(std::sync::Arc::ptr_eq(&tree, &lazy.subtree("a").unwrap()));
    assert_eq!(lazy.opened(), ["a"]);
    assert!(lazy.close("a") && !lazy.close("a"));
}

fn topic(text: &str) -> Topic {
    Topic { key: key(text), watch_type: WatchType::Data }
}

fn value(text: &str) -> Content {
    Content::Value(text.to_owned().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_or_slow_subscriber_affects_no_other() {
    let (_dir, store) = directory().await;
    let subscribers = Subscribers::new(&store);
    let topic = topic("/motd");
    subscribers.publish(&topic.key, "0").await.unwrap();

    let (release, held) = mpsc::channel::<()>();
    subscribers.register("slow", &topic, move |_| _ = held.recv_timeout(LONG)).unwrap();
    subscribers.register("panics", &topic, |_| panic!("on purpose")).unwrap();
    let mut reader = subscribers.channel("reader", &topic).unwrap();
    let taken = subscribers.channel("reader", &topic).unwrap_err();
    assert!(taken.to_string().contains("\"reader\" is subscribed to /motd already"));

    for text in ["1", "2", "3"] {
        subscribers.publish(&topic.key, text).await.unwrap();
        while timeout(LONG, reader.next()).await.unwrap().unwrap().content != value(text) {}
    }
    let told = async |name: &str, enough: &dyn Fn(&twitcher::tree::Listed) -> bool| {
        let began = std::time::Instant::now();
        loop {
            let listed = subscribers.list().remove(&topic).unwrap();
            if listed.iter().any(|listed| listed.name == name && enough(listed)) {
                return;
            }
            assert!(began.elapsed() < LONG, "{name}: {listed:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    told("panics", &|listed| listed.panics > 1 && listed.panics == listed.given).await;
    told("slow", &|listed| listed.given == 1).await;
    // When it continues it gets the newest state, and not the ones that it missed.
    release.send(()).unwrap();
    release.send(()).unwrap();
    told("slow", &|listed| listed.given == 2).await;
}

/// More than a runtime has threads for blocking work.
#[tokio::test]
async fn any_number_of_hanging_subscribers_delays_no_other() {
    const HANGING: usize = 600;
    let (_dir, store) = directory().await;
    let subscribers = Subscribers::new(&store);
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for n in 0..HANGING {
        let held = Arc::clone(&held);
        let hang = move |_: &State| drop(held.lock().map(|held| held.recv_timeout(LONG)));
        subscribers.register(&format!("hangs {n}"), &topic("/motd"), hang).unwrap();
    }
    let hanging = || {
        let listed = subscribers.list().remove(&topic("/motd")).unwrap();
        listed.iter().map(|one| one.given).sum::<u64>()
    };
    while hanging() < HANGING as u64 {
        tokio::task::yield_now().await;
    }
    let (sent, mut got) = tokio::sync::mpsc::unbounded_channel();
    subscribers.register("other", &topic("/motd"), move |_| _ = sent.send(())).unwrap();
    timeout(LONG, got.recv()).await.unwrap().unwrap();
    drop(release);
}

#[tokio::test]
async fn a_topic_that_cannot_be_watched_reports_why() {
    let server = ZooKeeper::start();
    let subscribers = Subscribers::new(&Store::connect(&server.url()).await.unwrap());
    let impossible = topic("/a//b");
    assert_eq!(subscribers.freshness(&impossible), None);
    let _reader = subscribers.channel("reader", &impossible).unwrap();
    let why = async {
        loop {
            if let Some(why) = subscribers.freshness(&impossible).and_then(|freshness| freshness.error)
                && why.contains("slashes")
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, why).await.unwrap();
}

#[tokio::test]
async fn states_changes_and_subscribers_are_streams() {
    let (_dir, store) = directory().await;
    let mut states = store.subscribe(Subscribe::new(key("/a"), WatchType::Data));
    let first = timeout(LONG, StreamExt::next(&mut states)).await.unwrap().unwrap();
    assert_eq!(first.state.content, Content::Absent);
    let tree = loaded(&store, "/a").await;
    let changes = tree.changes("", Scope::Below, Duration::ZERO, Duration::ZERO).into_stream();
    let received = Subscribers::new(&store).channel("one", &topic("/a")).unwrap().into_stream();
    store.put(&key("/a"), "1", Condition::Any).await.unwrap();
    let (mut changes, received) = (std::pin::pin!(changes), std::pin::pin!(received));
    let told = timeout(LONG, changes.next()).await.unwrap().unwrap();
    assert_eq!(told.snapshot.text(""), Ok(Some("1")));
    let mut written = received.filter(|state| std::future::ready(state.content == value("1")));
    assert!(timeout(LONG, written.next()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watch_ends_with_its_last_subscriber() {
    let (_dir, store) = directory().await;
    let subscribers = Subscribers::new(&store);
    let (a, b) = (topic("/a"), topic("/b"));
    let (sent, got) = mpsc::channel();
    subscribers.register("one", &a, move |state| drop(sent.send(state.content.clone()))).unwrap();
    assert_eq!(got.recv_timeout(LONG), Ok(Content::Absent));
    let mut two = subscribers.channel("two", &a).unwrap();
    let mut three = subscribers.channel("three", &b).unwrap();
    let names = || -> Vec<(String, Vec<String>)> {
        let list = subscribers.list();
        list.into_iter()
            .map(|(topic, listed)| (topic.key.to_string(), listed.into_iter().map(|l| l.name).collect()))
            .collect()
    };
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(), [("/a".to_owned(), owned(&["one", "two"])), ("/b".to_owned(), owned(&["three"]))]);

    assert!(subscribers.unregister("two", &a) && !subscribers.unregister("two", &a));
    while timeout(LONG, two.next()).await.unwrap().is_some() {}
    // A receiver whose name another subscriber took meanwhile removes nothing when it is dropped.
    let again = subscribers.channel("two", &a).unwrap();
    drop(two);
    assert_eq!(names()[0].1, ["one", "two"]);
    drop(again);
    assert_eq!(names()[0].1, ["one"]);
    assert_eq!(subscribers.remove(&a), 1);
    assert_eq!(subscribers.remove(&a), 0);
    // The callback, and with it the sender, is gone.
    let ended = tokio::task::spawn_blocking(move || while got.recv_timeout(LONG).is_ok() {});
    timeout(LONG * 2, ended).await.unwrap().unwrap();

    assert!(timeout(LONG, three.next()).await.unwrap().is_some());
    drop(three);
    assert!(names().is_empty());
}

/// A directory that appears together with a file in it, while it is read and watched.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_created_together_with_a_file_is_seen() {
    for _ in 0..50 {
        let (_dir, store) = directory().await;
        let tree = loaded(&store, "/deep/in").await;
        let version = tree.at("a/port").set("1").await.unwrap();
        timeout(LONG, tree.sync(version)).await.unwrap();
        assert_eq!(tree.get::<u16>("a/port"), Ok(Some(1)));
    }
}
