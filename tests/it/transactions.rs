//! Transactions with conditions on other keys than those that are written, and keys that end with their owner's
//! tenure, against real servers with every fault.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use twitcher::store::access::{Change, Condition, NodeAcl, PutOptions};
use twitcher::store::{Credentials, Store, StoreError, StoreSpec, Tenure, TenureId};
use twitcher::watch::{Key, Version};

use crate::fixture::etcd::{Cluster, Etcd};
use crate::fixture::proxy::Proxy;
use crate::fixture::server::LONG;
use crate::fixture::zookeeper::{self, Ensemble, ZooKeeper};
use crate::store_etcd;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn put(text: &str, value: &str, condition: Condition) -> Change {
    Change::put(key(text), value.to_owned(), condition)
}

fn put_for(tenure: TenureId, text: &str, value: &str, condition: Condition) -> Change {
    let options = PutOptions { tenure: Some(tenure), acl: NodeAcl::Open };
    Change::Put { key: key(text), value: value.to_owned().into(), condition, options }
}

fn require(text: &str, condition: Condition) -> Change {
    Change::Require { key: key(text), condition }
}

async fn value(store: &Store, text: &str) -> Option<String> {
    let entry = store.get(&key(text)).await.unwrap()?;
    Some(String::from_utf8(entry.value.unwrap_or_default().to_vec()).unwrap())
}

async fn version(store: &Store, text: &str) -> Version {
    store.get(&key(text)).await.unwrap().expect("a key").version
}

/// Waits, through times without an answer, until a key is gone.
async fn until_gone(store: &Store, text: &str) {
    let gone = async {
        while !matches!(store.get(&key(text)).await, Ok(None)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, gone).await.expect("the key to go in time");
}

async fn until_lost(tenure: &Tenure) {
    timeout(LONG, tenure.lost()).await.expect("the tenure to be lost in time");
    assert!(tenure.is_lost());
}

/// A requirement for a key that has gone or changed makes nothing.
async fn refuses_a_claim_of(store: &Store, alive: Version) {
    let claim = [require("/alive", Condition::Version(alive)), put("/claimed", "late", Condition::Any)];
    let asked = async {
        loop {
            match store.transact(&claim).await {
                Err(StoreError::Unavailable { .. } | StoreError::Unanswered { .. }) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                answer => return answer,
            }
        }
    };
    let conflict = timeout(LONG, asked).await.expect("an answer in time");
    assert!(matches!(&conflict, Err(StoreError::Conflict { key, .. }) if key == "/alive"), "{conflict:?}");
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
    // One transaction writes a key that it requires as well.
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
async fn a_transaction_is_made_whole_or_not_at_all() {
    let etcd = Etcd::start();
    whole_or_not_at_all(&Store::open(store_etcd::spec(&[etcd.port()], "/prod"))).await;
    let server = ZooKeeper::start();
    whole_or_not_at_all(&Store::open(server.spec("/chroot"))).await;
}

#[tokio::test]
async fn a_directory_makes_one_write_under_requirements_and_refuses_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::connect(&format!("dir://{}", dir.path().display())).await.unwrap();
    let fence = store.put(&key("/fence"), "1", Condition::Absent).await.unwrap();
    let tenure = store.tenure(Duration::from_secs(10)).await.unwrap();
    let write = put_for(tenure.id(), "/a", "1", Condition::Absent);
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

/// Somebody raises the fence all the time. What was written under one of its versions is older than the next one:
/// the server compares, in the same step as it writes.
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
async fn what_is_required_is_compared_by_the_server() {
    let etcd = Etcd::start();
    let open = || Store::open(store_etcd::spec(&[etcd.port()], ""));
    fenced(&open(), &open()).await;
    let server = ZooKeeper::start();
    let open = || Store::open(server.spec(""));
    fenced(&open(), &open()).await;
}

/// The answer to a transaction is lost after it was made. Sent again, it finds what it has made and makes nothing.
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
    let again = async {
        loop {
            match store.transact(&changes).await {
                Err(StoreError::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
                answer => return answer,
            }
        }
    };
    let again = timeout(LONG, again).await.expect("an answer in time");
    assert!(matches!(&again, Err(StoreError::Conflict { key, .. }) if key == "/fence"), "{again:?}");
    assert_eq!(value(store, "/grant").await.as_deref(), Some("first"));
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_nothing_twice() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    unanswered(&etcd_through(&proxy).await, &proxy, ("first", 1)).await;
    let server = ZooKeeper::start();
    let proxy = Proxy::start(server.port());
    unanswered(&zookeeper_through(&proxy).await, &proxy, ("first", 1)).await;
}

async fn ends_with_its_tenure(store: &Store) {
    let tenure = store.tenure(Duration::from_secs(10)).await.unwrap();
    assert!(tenure.ttl() >= Duration::from_secs(5), "{:?}", tenure.ttl());
    let changes = [
        put_for(tenure.id(), "/up/alive", "me", Condition::Absent),
        put("/up/stays", "1", Condition::Absent),
        require("/up/none", Condition::Absent),
    ];
    let versions = store.transact(&changes).await.unwrap();
    assert_eq!(versions, [version(store, "/up/alive").await, version(store, "/up/stays").await]);
    let successor = store.tenure(Duration::from_secs(10)).await.unwrap();
    assert_ne!(successor.id(), tenure.id());
    let taken = store.transact(&[put_for(successor.id(), "/up/alive", "other", Condition::Absent)]).await;
    assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
    // A successor that knows the version takes the name at once, and keeps it when the first tenure ends.
    let take = put_for(successor.id(), "/up/alive", "successor", Condition::Version(versions[0]));
    store.transact(&[take]).await.unwrap();
    tenure.revoke().await.unwrap();
    assert_eq!(value(store, "/up/alive").await.as_deref(), Some("successor"));
    assert!(!successor.is_lost());
    let id = successor.id();
    successor.revoke().await.unwrap();
    until_gone(store, "/up/alive").await;
    assert_eq!(value(store, "/up/stays").await.as_deref(), Some("1"));
    let over = store.transact(&[put_for(id, "/up/alive", "late", Condition::Any)]).await.unwrap_err();
    assert!(matches!(over, StoreError::Refused { .. }), "{over}");
    assert_eq!(value(store, "/up/alive").await, None);
}

#[tokio::test]
async fn keys_end_with_their_tenure_and_can_be_taken_over_before() {
    let etcd = Etcd::start();
    ends_with_its_tenure(&Store::open(store_etcd::spec(&[etcd.port()], "/prod"))).await;
    let server = ZooKeeper::start();
    ends_with_its_tenure(&Store::open(server.spec("/chroot"))).await;
}

/// The way to the server is cut for longer than the time to live, as if this machine slept.
async fn expires(store: &Store, proxy: &Proxy, witness: &Store) {
    let tenure = store.tenure(Duration::from_secs(2)).await.unwrap();
    let alive = store.transact(&[put_for(tenure.id(), "/alive", "me", Condition::Absent)]).await.unwrap()[0];
    // It is kept for longer than its time to live as long as there is a way.
    tokio::time::sleep(tenure.ttl() * 2).await;
    assert_eq!(version(witness, "/alive").await, alive);
    proxy.cut();
    until_gone(witness, "/alive").await;
    proxy.heal();
    until_lost(&tenure).await;
    refuses_a_claim_of(store, alive).await;
    let late = store.transact(&[put_for(tenure.id(), "/alive", "late", Condition::Any)]).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(value(witness, "/alive").await, None);
}

#[tokio::test]
async fn a_tenure_that_expires_meanwhile_is_lost_and_claims_nothing() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let witness = Store::open(store_etcd::spec(&[etcd.port()], ""));
    expires(&etcd_through(&proxy).await, &proxy, &witness).await;
    let server = ZooKeeper::start();
    let proxy = Proxy::start(server.port());
    expires(&zookeeper_through(&proxy).await, &proxy, &Store::open(server.spec(""))).await;
}

/// A key of this tenure, kept for as long as it takes to expire.
async fn kept(store: &Store, tenure: &Tenure, alive: Version, what: &str) {
    let until = Instant::now() + tenure.ttl() + Duration::from_secs(2);
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!tenure.is_lost(), "{what}");
    }
    let asked = async {
        loop {
            if let Ok(entry) = store.get(&key("/alive")).await {
                return entry;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let entry = timeout(LONG, asked).await.expect("an answer in time");
    assert_eq!(entry.map(|entry| entry.version), Some(alive), "{what}");
}

#[tokio::test]
async fn a_lease_outlives_members_that_are_killed_frozen_and_cut_off() {
    let mut cluster = Cluster::start(3);
    let ports: Vec<u16> = cluster.members.iter().map(Etcd::port).collect();
    let store = Store::open(store_etcd::spec(&ports, ""));
    let tenure = store.tenure(Duration::from_secs(10)).await.unwrap();
    let alive = store.transact(&[put_for(tenure.id(), "/alive", "me", Condition::Absent)]).await.unwrap()[0];
    for place in 0..3 {
        cluster.members[place].kill();
        kept(&store, &tenure, alive, &format!("member {place} is killed")).await;
        cluster.members[place].start_again();
    }
    let leader = cluster.leader().await;
    cluster.members[leader].freeze();
    kept(&store, &tenure, alive, "the leader is frozen").await;
    cluster.members[leader].thaw();
    let leader = cluster.leader().await;
    cluster.cut_off(leader).await;
    kept(&store, &tenure, alive, "the leader is cut off").await;
    cluster.reunite();
    tenure.revoke().await.unwrap();
    until_gone(&store, "/alive").await;
}

#[tokio::test]
async fn a_session_outlives_the_member_that_it_is_connected_to() {
    let mut ensemble = Ensemble::start();
    let store = Store::open(ensemble.spec());
    let tenure = store.tenure(Duration::from_secs(10)).await.unwrap();
    let alive = store.transact(&[put_for(tenure.id(), "/alive", "me", Condition::Absent)]).await.unwrap()[0];
    for place in 0..3 {
        ensemble.members[place].kill();
        kept(&store, &tenure, alive, &format!("member {place} is killed")).await;
        ensemble.members[place].start_again();
    }
    tenure.revoke().await.unwrap();
    until_gone(&store, "/alive").await;
}

#[tokio::test]
async fn a_store_that_was_restored_knows_no_tenure_that_is_younger() {
    let mut etcd = Etcd::start();
    let store = Store::open(store_etcd::spec(&[etcd.port()], ""));
    store.put(&key("/before"), "1", Condition::Absent).await.unwrap();
    let backup = etcd.back_up();
    let tenure = store.tenure(Duration::from_secs(6)).await.unwrap();
    let alive = store.transact(&[put_for(tenure.id(), "/alive", "me", Condition::Absent)]).await.unwrap()[0];
    etcd.restore(&backup);
    until_lost(&tenure).await;
    refuses_a_claim_of(&store, alive).await;

    let mut server = ZooKeeper::start();
    let store = Store::open(server.spec(""));
    let tenure = store.tenure(Duration::from_secs(6)).await.unwrap();
    let alive = store.transact(&[put_for(tenure.id(), "/alive", "me", Condition::Absent)]).await.unwrap()[0];
    server.wipe();
    until_lost(&tenure).await;
    refuses_a_claim_of(&store, alive).await;
}

#[tokio::test]
async fn a_node_of_its_creator_is_changed_by_nobody_else() {
    let server = ZooKeeper::start();
    let dir = tempfile::tempdir().unwrap();
    let identified = |name: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, format!("{name}:secret\n")).unwrap();
        let credentials = Some(Credentials::Digest { digest_file: file });
        Store::open(StoreSpec { credentials, ..server.spec("") })
    };
    let (owner, other, nobody) = (identified("owner"), identified("other"), Store::open(server.spec("")));
    let mine = |acl, tenure| {
        let options = PutOptions { tenure, acl };
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
    // A node that inherits takes what its parent has.
    let parent = Change::Put {
        key: key("/p"),
        value: "".into(),
        condition: Condition::Absent,
        options: PutOptions { tenure: None, acl: NodeAcl::Creator },
    };
    owner.transact(&[parent]).await.unwrap();
    let child = Change::Put {
        key: key("/p/child"),
        value: "1".into(),
        condition: Condition::Absent,
        options: PutOptions { tenure: None, acl: NodeAcl::Parent },
    };
    owner.transact(&[child]).await.unwrap();
    let denied = other.put(&key("/p/child"), "2", Condition::Any).await.unwrap_err();
    assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");
    owner.put(&key("/p/child"), "2", Condition::Any).await.unwrap();
}
