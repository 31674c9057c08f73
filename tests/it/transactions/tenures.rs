//! Keys that end with their owner's tenure, and what may be claimed with them, under every fault of real servers.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use twitcher::store::{Change, Condition, PutOptions, Store, StoreError, Tenure, TenureId};
use twitcher::watch::Version;

use super::{
    answered, answering, etcd_through, key, put, refuses_a_claim, require, value, version, zookeeper_through,
};
use crate::fixture::etcd::{Cluster, Etcd};
use crate::fixture::proxy::Proxy;
use crate::fixture::server::LONG;
use crate::fixture::zookeeper::{self, Ensemble, ZooKeeper};
use crate::store_etcd;

pub(super) fn put_for(tenure: TenureId, text: &str, value: &str, condition: Condition) -> Change {
    let options = PutOptions::default().with_tenure(tenure);
    Change::Put { key: key(text), value: value.to_owned().into(), condition, options }
}

/// Waits, despite unanswered requests, until a key is gone.
async fn until_gone(store: &Store, text: &str) {
    let gone = async {
        while !matches!(store.get(&key(text)).await, Ok(None)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, gone).await.expect("the key to go in time");
}

/// A tenure, asked for until there is an answer. One whose answer was lost expires.
async fn tenure(store: &Store, ttl: Duration) -> Tenure {
    let asked = async {
        loop {
            match store.tenure(ttl).await {
                Err(StoreError::Unavailable { .. } | StoreError::Unanswered { .. }) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                answer => return answer.unwrap(),
            }
        }
    };
    timeout(LONG, asked).await.expect("a tenure in time")
}

async fn until_lost(tenure: &Tenure) {
    timeout(LONG, tenure.lost()).await.expect("the tenure to be lost in time");
    assert!(tenure.is_lost());
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
async fn keys_expire_with_their_tenure_and_can_be_taken_over_earlier() {
    let etcd = Etcd::start();
    ends_with_its_tenure(&Store::open(store_etcd::spec(&[etcd.port()], "/prod"))).await;
    let server = ZooKeeper::start();
    ends_with_its_tenure(&Store::open(server.spec("/chroot"))).await;
}

/// The connection to the server is cut for longer than the time to live.
async fn expires(store: &Store, proxy: &Proxy, witness: &Store) {
    let tenure = store.tenure(Duration::from_secs(2)).await.unwrap();
    let alive = store.transact(&[put_for(tenure.id(), "/alive", "me", Condition::Absent)]).await.unwrap()[0];
    // While connected, it is kept for longer than its time to live.
    tokio::time::sleep(tenure.ttl() * 2).await;
    assert_eq!(version(witness, "/alive").await, alive);
    proxy.cut();
    until_gone(witness, "/alive").await;
    proxy.heal();
    until_lost(&tenure).await;
    refuses_a_claim(store, "/alive", alive).await;
    let late = store.transact(&[put_for(tenure.id(), "/alive", "late", Condition::Any)]).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(value(witness, "/alive").await, None);
}

#[tokio::test]
async fn an_expired_tenure_is_lost_and_claims_nothing() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let witness = Store::open(store_etcd::spec(&[etcd.port()], ""));
    expires(&etcd_through(&proxy).await, &proxy, &witness).await;
    let server = ZooKeeper::start();
    let proxy = Proxy::start(server.port());
    expires(&zookeeper_through(&proxy).await, &proxy, &Store::open(server.spec(""))).await;
}

/// The owner is suspended: a claim is in flight when the tenure ends, and arrives afterwards.
async fn sleeps(store: &Store, proxy: &Proxy, witness: &Store) {
    let tenure = store.tenure(Duration::from_secs(2)).await.unwrap();
    let alive = store.transact(&[put_for(tenure.id(), "/alive", "me", Condition::Absent)]).await.unwrap()[0];
    let claim = [require("/alive", Condition::Version(alive)), put("/claimed", "late", Condition::Any)];
    proxy.stall();
    let (late, ()) = futures::future::join(store.transact(&claim), async {
        until_gone(witness, "/alive").await;
        proxy.heal();
    })
    .await;
    let refused = matches!(
        late,
        Err(StoreError::Conflict { .. } | StoreError::Unavailable { .. } | StoreError::Unanswered { .. })
    );
    assert!(refused, "{late:?}");
    until_lost(&tenure).await;
    refuses_a_claim(store, "/alive", alive).await;
}

#[tokio::test]
async fn a_claim_after_the_end_of_its_tenure_is_refused() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let witness = Store::open(store_etcd::spec(&[etcd.port()], ""));
    sleeps(&etcd_through(&proxy).await, &proxy, &witness).await;
    let server = ZooKeeper::start();
    let proxy = Proxy::start(server.port());
    sleeps(&zookeeper_through(&proxy).await, &proxy, &Store::open(server.spec(""))).await;
}

/// An owner whose key must stay, and a fence that was raised once.
struct Owner {
    store: Store,
    tenure: Tenure,
    alive: Version,
    /// The fence's former version.
    stale: Version,
    fence: Version,
}

impl Owner {
    async fn begin(store: Store, ttl: Duration) -> Self {
        // A cluster that has just started may elect another leader: each request is sent until it is answered.
        let stale = answered(&store, &[put("/fence", "1", Condition::Any)]).await.unwrap()[0];
        let fence = answered(&store, &[put("/fence", "2", Condition::Any)]).await.unwrap()[0];
        let tenure = tenure(&store, ttl).await;
        let put = put_for(tenure.id(), "/alive", "me", Condition::Any);
        let alive = answered(&store, &[put]).await.unwrap()[0];
        Self { store, tenure, alive, stale, fence }
    }

    /// For as long as expiry would take, the key stays, and claims are accepted and refused correctly.
    async fn holds(&self, what: &str) {
        let until = Instant::now() + self.tenure.ttl() + Duration::from_secs(2);
        let alive = || require("/alive", Condition::Version(self.alive));
        let mut claims = 0;
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(!self.tenure.is_lost(), "{what}");
            refuses_a_claim(&self.store, "/fence", self.stale).await;
            let fence = require("/fence", Condition::Version(self.fence));
            let claim = [fence, alive(), put("/right", what, Condition::Any)];
            answered(&self.store, &claim).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            claims += 1;
        }
        assert!(claims > 0);
        assert_eq!(version(&self.store, "/alive").await, self.alive, "{what}");
    }

    async fn ends(self) {
        // Without an answer, which a cluster without a leader gives, its keys expire.
        match self.tenure.revoke().await {
            Ok(()) | Err(StoreError::Unavailable { .. } | StoreError::Unanswered { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        until_gone(&self.store, "/alive").await;
        refuses_a_claim(&self.store, "/alive", self.alive).await;
    }
}

#[tokio::test]
async fn a_lease_survives_killed_frozen_and_partitioned_members() {
    let mut cluster = Cluster::start(3);
    let ports: Vec<u16> = cluster.members.iter().map(Etcd::port).collect();
    let owner = Owner::begin(Store::open(store_etcd::spec(&ports, "")), Duration::from_secs(10)).await;
    for place in 0..3 {
        cluster.members[place].kill();
        owner.holds(&format!("member {place} is killed")).await;
        cluster.members[place].start_again();
    }
    let leader = cluster.leader().await;
    cluster.members[leader].freeze();
    owner.holds("the leader is frozen").await;
    cluster.members[leader].thaw();
    let leader = cluster.leader().await;
    cluster.cut_off(leader).await;
    owner.holds("the leader is cut off").await;
    cluster.reunite();
    owner.ends().await;
}

#[tokio::test]
async fn a_session_survives_killed_and_frozen_members() {
    let mut ensemble = Ensemble::start();
    // Its members take 5 s (syncLimit) to miss a frozen leader; a busy machine takes as long again to elect another.
    let owner = Owner::begin(Store::open(ensemble.spec()), Duration::from_secs(20)).await;
    for place in 0..3 {
        ensemble.members[place].kill();
        owner.holds(&format!("member {place} is killed")).await;
        ensemble.members[place].start_again();
    }
    let leader = ensemble.leader().expect("a leader");
    ensemble.members[leader].freeze();
    owner.holds("the leader is frozen").await;
    ensemble.members[leader].thaw();
    owner.ends().await;
}

#[tokio::test]
async fn a_session_survives_a_partition_from_members() {
    let ensemble = Ensemble::start();
    let proxies: Vec<Proxy> = ensemble.members.iter().map(|member| Proxy::start(member.port())).collect();
    let ways: Vec<String> = proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port())).collect();
    let store = answering(zookeeper::store(&ways, "")).await;
    let owner = Owner::begin(store, Duration::from_secs(10)).await;
    // One of them is the member that the session is connected to.
    for (place, proxy) in proxies.iter().enumerate() {
        proxy.stall();
        owner.holds(&format!("nothing passes to and from member {place}")).await;
        proxy.heal();
    }
    owner.ends().await;
}

/// After a restore the fence is older than the last required version.
async fn knows_nothing_younger(store: &Store, restore: impl FnOnce()) {
    let raised = store.put(&key("/fence"), "2", Condition::Any).await.unwrap();
    let tenure = store.tenure(Duration::from_secs(6)).await.unwrap();
    let alive = store.transact(&[put_for(tenure.id(), "/alive", "me", Condition::Absent)]).await.unwrap()[0];
    restore();
    until_lost(&tenure).await;
    refuses_a_claim(store, "/alive", alive).await;
    refuses_a_claim(store, "/fence", raised).await;
    assert_eq!(value(store, "/fence").await.as_deref(), Some("1"), "it was restored");
}

#[tokio::test]
async fn a_restored_store_has_no_younger_tenure_or_fence() {
    let mut etcd = Etcd::start();
    let store = Store::open(store_etcd::spec(&[etcd.port()], ""));
    store.put(&key("/fence"), "1", Condition::Absent).await.unwrap();
    let backup = etcd.back_up();
    knows_nothing_younger(&store, || etcd.restore(&backup)).await;

    let mut server = ZooKeeper::start();
    let before = Store::open(server.spec(""));
    before.put(&key("/fence"), "1", Condition::Absent).await.unwrap();
    let backup = server.back_up();
    let store = answering(server.spec("")).await;
    knows_nothing_younger(&store, || server.restore(&backup)).await;
}
