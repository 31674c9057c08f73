//! Transactions with conditions on keys other than those written, against real servers.

mod tenures;

use std::time::Duration;

use tokio::time::timeout;
use twitcher::store::{Change, Condition, Entry, NodeAcl, PutOptions};
use twitcher::store::{Credentials, Store, StoreError, StoreSpec};
use twitcher::watch::{Key, Version};

use crate::fixture::etcd::Etcd;
use crate::fixture::proxy::Proxy;
use crate::fixture::server::LONG;
use crate::fixture::zookeeper::{self, ZooKeeper};
use crate::store_etcd;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn put(text: &str, value: &str, condition: Condition) -> Change {
    Change::put(key(text), value.to_owned(), condition)
}

fn require(text: &str, condition: Condition) -> Change {
    Change::Require { key: key(text), condition }
}

/// A key as it is, read until there is an answer: a cluster may have no leader at this moment.
async fn read(store: &Store, text: &str) -> Option<Entry> {
    let read = async {
        loop {
            match store.get(&key(text)).await {
                Err(StoreError::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(100)).await,
                answer => return answer.unwrap(),
            }
        }
    };
    timeout(LONG, read).await.expect("an answer in time")
}

async fn value(store: &Store, text: &str) -> Option<String> {
    let entry = read(store, text).await?;
    Some(String::from_utf8(entry.value.unwrap_or_default().to_vec()).unwrap())
}

async fn version(store: &Store, text: &str) -> Version {
    read(store, text).await.expect("a key").version
}

/// The answer to a transaction, which is sent until there is one.
async fn answered(store: &Store, changes: &[Change]) -> Result<Vec<Version>, StoreError> {
    let asked = async {
        loop {
            match store.transact(changes).await {
                Err(StoreError::Unavailable { .. } | StoreError::Unanswered { .. }) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                answer => return answer,
            }
        }
    };
    timeout(LONG, asked).await.expect("an answer in time")
}

/// A transaction that requires a version that a key does not have writes nothing.
async fn refuses_a_claim(store: &Store, required: &str, version: Version) {
    let claim = [require(required, Condition::Version(version)), put("/claimed", "late", Condition::Any)];
    let conflict = answered(store, &claim).await;
    assert!(matches!(&conflict, Err(StoreError::Conflict { key, .. }) if key == required), "{conflict:?}");
    assert_eq!(value(store, "/claimed").await, None, "nothing was claimed");
}

/// A store that answers: a proxy that was just started may not listen yet.
async fn answering(spec: StoreSpec) -> Store {
    let store = Store::open(spec);
    let answered = async {
        while store.get(&key("/none")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, answered).await.expect("an answer in time");
    store
}

async fn etcd_through(proxy: &Proxy) -> Store {
    answering(store_etcd::spec(&[proxy.port()], "")).await
}

async fn zookeeper_through(proxy: &Proxy) -> Store {
    answering(zookeeper::store(&[format!("127.0.0.1:{}", proxy.port())], "")).await
}

async fn whole_or_not_at_all(store: &Store) {
    let fence = store.put(&key("/f/fence"), "1", Condition::Absent).await.unwrap();
    store.put(&key("/f/old"), "x", Condition::Absent).await.unwrap();
    let changes = |fence| {
        [
            require("/f/fence", Condition::Version(fence)),
            put("/f/new/a", "1", Condition::Absent),
            put("/f/new/b", "2", Condition::Absent),
            Change::Delete { key: key("/f/old"), condition: Condition::Any },
            require("/f/none", Condition::Absent),
        ]
    };
    let versions = store.transact(&changes(fence)).await.unwrap();
    assert_eq!(versions, [version(store, "/f/new/a").await, version(store, "/f/new/b").await]);
    assert_eq!(value(store, "/f/new/b").await.as_deref(), Some("2"));
    assert_eq!(value(store, "/f/old").await, None);
    assert_eq!(value(store, "/f/none").await, None);
    assert_eq!(version(store, "/f/fence").await, fence, "a requirement writes nothing");

    let raised = store.put(&key("/f/fence"), "2", Condition::Version(fence)).await.unwrap();
    for (changes, conflicting) in [
        (vec![require("/f/fence", Condition::Version(fence)), put("/f/c", "1", Condition::Any)], "/f/fence"),
        (vec![put("/f/c", "1", Condition::Any), require("/f/fence", Condition::Absent)], "/f/fence"),
        (vec![put("/f/c", "1", Condition::Any), require("/f/none", Condition::Version(raised))], "/f/none"),
        (vec![put("/f/c", "1", Condition::Any), put("/f/new/a", "2", Condition::Absent)], "/f/new/a"),
    ] {
        let refused = store.transact(&changes).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Conflict { key, .. } if key == conflicting), "{refused}");
        assert_eq!(value(store, "/f/c").await, None, "{changes:?}");
    }
    // One transaction also writes a key that it requires.
    let changes = [require("/f/fence", Condition::Version(raised)), put("/f/fence", "3", Condition::Any)];
    store.transact(&changes).await.unwrap();
    assert_eq!(value(store, "/f/fence").await.as_deref(), Some("3"));

    let large = "x".repeat(600 << 10);
    for too_much in [
        (0..3).map(|n| put(&format!("/f/large/{n}"), &large, Condition::Any)).collect::<Vec<_>>(),
        (0..2000).map(|n| put(&format!("/f/many/{n}"), "x", Condition::Any)).collect(),
        vec![put("/f/twice", "1", Condition::Any), put("/f/twice", "2", Condition::Any)],
    ] {
        let refused = store.transact(&too_much).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
    }
    for none in ["/f/large/0", "/f/many/0", "/f/twice"] {
        assert_eq!(value(store, none).await, None);
    }
}

#[tokio::test]
async fn a_transaction_is_atomic() {
    let etcd = Etcd::start();
    whole_or_not_at_all(&Store::open(store_etcd::spec(&[etcd.port()], "/prod"))).await;
    let server = ZooKeeper::start();
    whole_or_not_at_all(&Store::open(server.spec("/chroot"))).await;
}

#[tokio::test]
async fn a_directory_accepts_one_write_with_requirements_and_refuses_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::connect(&format!("dir://{}", dir.path().display())).await.unwrap();
    let fence = store.put(&key("/fence"), "1", Condition::Absent).await.unwrap();
    let tenure = store.tenure(Duration::from_secs(10)).await.unwrap();
    let write = tenures::put_for(tenure.id(), "/a", "1", Condition::Absent);
    let required = [require("/fence", Condition::Version(fence)), require("/none", Condition::Absent)];
    let versions = store.transact(&[&required[..], &[write]].concat()).await.unwrap();
    assert_eq!(versions, [version(&store, "/a").await]);
    store.put(&key("/fence"), "2", Condition::Any).await.unwrap();
    let stale = store.transact(&[required[0].clone(), put("/b", "1", Condition::Any)]).await.unwrap_err();
    assert!(matches!(stale, StoreError::Conflict { .. }), "{stale}");
    let several = store.transact(&[put("/b", "1", Condition::Any), put("/c", "1", Condition::Any)]).await;
    assert!(matches!(several, Err(StoreError::Refused { .. })), "{several:?}");
    assert_eq!((value(&store, "/b").await, value(&store, "/c").await), (None, None));
    assert!(!tenure.is_lost());
    tenure.revoke().await.unwrap();
}

/// The fence is raised continuously. A write under one of its versions is older than the next version: the server compares
/// in the same step as it writes.
async fn fenced(store: &Store, rival: &Store) {
    const WRITES: usize = 200;
    let first = store.put(&key("/fence"), "0", Condition::Absent).await.unwrap();
    let (done, mut is_done) = tokio::sync::watch::channel(false);
    let raise = async {
        let mut fences = vec![first];
        while !*is_done.borrow_and_update() {
            fences.push(rival.put(&key("/fence"), "1", Condition::Any).await.unwrap());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fences
    };
    let write = async {
        let (mut written, mut refused) = (Vec::new(), 0);
        while written.len() < WRITES || refused < 20 {
            let fence = version(store, "/fence").await;
            let changes =
                [require("/fence", Condition::Version(fence)), put("/written", "x", Condition::Any)];
            match store.transact(&changes).await {
                Ok(versions) => written.push((fence, versions[0])),
                Err(StoreError::Conflict { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        done.send_replace(true);
        written
    };
    let (fences, written) = timeout(LONG * 4, futures::future::join(raise, write)).await.expect("in time");
    for (fence, version) in written {
        let place = fences.iter().position(|other| *other == fence).expect("a version of the fence");
        if let Some(next) = fences.get(place + 1) {
            assert!(version.is_before(*next), "{version} was written under {fence}, after {next}");
        }
    }
}

#[tokio::test]
async fn requirements_are_checked_by_the_server() {
    let etcd = Etcd::start();
    let open = || Store::open(store_etcd::spec(&[etcd.port()], ""));
    fenced(&open(), &open()).await;
    let server = ZooKeeper::start();
    let open = || Store::open(server.spec(""));
    fenced(&open(), &open()).await;
}

/// The answer to a transaction is lost after it was made. Sent again, it finds its own result and changes nothing.
async fn unanswered(store: &Store, proxy: &Proxy, mark: (&'static str, u64)) {
    let fence = store.put(&key("/fence"), "1", Condition::Absent).await.unwrap();
    let changes = [
        require("/fence", Condition::Version(fence)),
        put("/fence", "taken", Condition::Any),
        put("/grant", "first", Condition::Any),
    ];
    proxy.lose_answers(mark.0, mark.1);
    let sending = store.transact(&changes);
    let (answer, ()) = futures::future::join(sending, async {
        let proxy_lost = async {
            while !proxy.has_lost() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, proxy_lost).await.expect("a lost answer in time");
        proxy.cut();
    })
    .await;
    assert!(matches!(answer, Err(StoreError::Unanswered { .. })), "{answer:?}");
    proxy.heal();
    let again = answered(store, &changes).await;
    assert!(matches!(&again, Err(StoreError::Conflict { key, .. }) if key == "/fence"), "{again:?}");
    assert_eq!(value(store, "/grant").await.as_deref(), Some("first"));
}

#[tokio::test]
async fn a_repeated_transaction_is_not_applied_twice() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    unanswered(&etcd_through(&proxy).await, &proxy, ("first", 1)).await;
    let server = ZooKeeper::start();
    let proxy = Proxy::start(server.port());
    unanswered(&zookeeper_through(&proxy).await, &proxy, ("first", 1)).await;
}

#[tokio::test]
async fn a_node_owned_by_its_creator_cannot_be_changed_by_others() {
    let server = ZooKeeper::start();
    let dir = tempfile::tempdir().unwrap();
    let identified = |name: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, format!("{name}:secret\n")).unwrap();
        let mut spec = server.spec("");
        spec.credentials = Some(Credentials::Digest { digest_file: file });
        Store::open(spec)
    };
    let (owner, other, nobody) = (identified("owner"), identified("other"), Store::open(server.spec("")));
    let mine = |acl, tenure| {
        let mut options = PutOptions::default().with_acl(acl);
        options.tenure = tenure;
        Change::Put { key: key("/g/mine"), value: "1".into(), condition: Condition::Any, options }
    };
    let refused = nobody.transact(&[mine(NodeAcl::Creator, None)]).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Refused { why, .. } if why.contains("digest_file")), "{refused}");
    let tenure = owner.tenure(Duration::from_secs(10)).await.unwrap();
    owner.transact(&[mine(NodeAcl::Creator, Some(tenure.id()))]).await.unwrap();
    for store in [&other, &nobody] {
        assert_eq!(value(store, "/g/mine").await.as_deref(), Some("1"));
        let denied = store.put(&key("/g/mine"), "2", Condition::Any).await.unwrap_err();
        assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");
    }
    tenure.revoke().await.unwrap();
    // An inheriting node gets the access list of its parent.
    let parent = Change::Put {
        key: key("/p"),
        value: "".into(),
        condition: Condition::Absent,
        options: PutOptions::default().with_acl(NodeAcl::Creator),
    };
    owner.transact(&[parent]).await.unwrap();
    let child = Change::Put {
        key: key("/p/child"),
        value: "1".into(),
        condition: Condition::Absent,
        options: PutOptions::default().with_acl(NodeAcl::Parent),
    };
    owner.transact(&[child]).await.unwrap();
    let denied = other.put(&key("/p/child"), "2", Condition::Any).await.unwrap_err();
    assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");
    owner.put(&key("/p/child"), "2", Condition::Any).await.unwrap();
    // The access list of the parent decides who may delete it.
    for deletion in [Condition::Any, Condition::Version(version(&other, "/p/child").await)] {
        let denied = other.delete(&key("/p/child"), deletion).await.unwrap_err();
        assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");
    }
    owner.transact(&[mine(NodeAcl::Creator, None)]).await.unwrap();
    assert!(other.delete(&key("/g/mine"), Condition::Any).await.unwrap(), "below a node that is open");
}
