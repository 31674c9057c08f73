//! Single requests against a real member.

use std::time::{Duration, Instant};

use twitcher::internals::store::{Access, StoreError};
use twitcher::store::{Change, Condition, Reached};
use twitcher::watch::Version;

use super::basics::put;
use super::cluster::put_once_led;
use super::{key, spec};
use crate::fixture::etcd::{Cluster, Etcd};
use crate::fixture::server::LONG;

#[tokio::test]
async fn keys_are_written_read_compared_and_deleted() {
    let etcd = Etcd::start();
    let access = Access::open(&spec(&[etcd.port()], "/prod"), LONG).await.unwrap();
    let (a, b) = (key("/a"), key("/b"));
    assert_eq!(access.get(&a).await.unwrap(), None);
    let first = access.put(&a, "1".into(), Condition::Absent).await.unwrap();
    let entry = access.get(&a).await.unwrap().unwrap();
    assert_eq!((entry.value.as_deref(), entry.version), (Some(b"1".as_slice()), first));
    assert_eq!(entry.metadata[2], ("version", "1".to_owned()));
    let response = etcd.client().await.get("/prod/a", None).await.unwrap();
    assert_eq!(response.kvs()[0].value(), b"1");

    let conflict = access.put(&a, "2".into(), Condition::Absent).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { .. }), "{conflict}");
    assert_eq!(
        conflict.to_string(),
        format!("/a was changed meanwhile: expected no such key, found version {first}")
    );
    let second = access.put(&a, "2".into(), Condition::Version(first)).await.unwrap();
    let conflict = access.put(&a, "3".into(), Condition::Version(first)).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { .. }), "{conflict}");
    let conflict = access.delete(&a, Condition::Version(first)).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { .. }), "{conflict}");
    let strange = access
        .put(&a, "3".into(), Condition::Version(Version::Hash(twitcher::watch::ContentHash::new(7))))
        .await
        .unwrap_err();
    assert!(matches!(strange, StoreError::Refused { .. }), "{strange}");
    assert!(access.delete(&a, Condition::Version(second)).await.unwrap());
    assert!(!access.delete(&a, Condition::Any).await.unwrap());
    let too_large = access.put(&b, vec![0; 2 << 20].into(), Condition::Any).await.unwrap_err();
    assert!(matches!(too_large, StoreError::Refused { .. }), "{too_large}");
    let said = too_large.to_string();
    assert!(said.contains("--max-request-bytes") && !said.contains("64 MiB"), "{said}");
}

#[tokio::test]
async fn subtrees_are_listed_at_one_revision_and_written_in_transactions() {
    let etcd = Etcd::start();
    let access = Access::open(&spec(&[etcd.port()], ""), LONG).await.unwrap();
    assert_eq!(access.children(&key("/t")).await.unwrap(), None);
    let changes: Vec<Change> = (0..300)
        .map(|number| {
            Change::put(key(&format!("/t/{}/{number}", number % 3)), number.to_string(), Condition::Absent)
        })
        .collect();
    let mut told = Vec::new();
    access.apply(&changes, &mut |reached| told.push(reached)).await.unwrap();
    assert_eq!(told, [128, 256, 300].map(|done| [Reached::Sent(done), Reached::Made(done)]).concat());
    assert_eq!(access.children(&key("/t")).await.unwrap().unwrap(), ["0", "1", "2"]);
    assert_eq!(access.children(&key("/t/0/0")).await.unwrap().unwrap(), [""; 0]);
    let listing = access.tree(&key("/t")).await.unwrap();
    assert_eq!(listing.entries.len(), 300);
    assert_eq!(listing.entries["1/298"].value.as_deref(), Some(b"298".as_slice()));
    let revision = put(&mut etcd.client().await, "/t", "top").await;
    let listing = access.tree(&key("/t")).await.unwrap();
    assert_eq!(listing.revision, Some(revision));
    assert_eq!(listing.entries[""].version, Version::Revision(revision));

    let version = listing.entries["0/0"].version;
    let mixed = |condition| {
        [
            Change::put(key("/t/0/0"), "x", Condition::Version(version)),
            Change::Delete { key: key("/t/1/1"), condition },
        ]
    };
    let stale = mixed(Condition::Version(Version::Revision(1)));
    let conflict =
        access.apply(&stale, &mut |reached| assert_eq!(reached, Reached::Sent(2))).await.unwrap_err();
    assert!(conflict.to_string().starts_with("/t/1/1 was changed"), "{conflict}");
    assert_eq!(access.get(&key("/t/0/0")).await.unwrap().unwrap().value.unwrap(), "0");
    access.apply(&mixed(Condition::Any), &mut |_| ()).await.unwrap();
    assert_eq!(access.get(&key("/t/0/0")).await.unwrap().unwrap().value.unwrap(), "x");
    assert_eq!(access.get(&key("/t/1/1")).await.unwrap(), None);
}

/// By the size of the first page, the next one would contain all the rest, which is more than a page may hold.
#[tokio::test]
async fn a_tree_with_growing_values_is_read_completely() {
    let etcd = Etcd::start();
    let access = Access::open(&spec(&[etcd.port()], ""), LONG).await.unwrap();
    let put = |path: String, size: usize| Change::put(key(&path), vec![b'x'; size], Condition::Any);
    let small = (0..600).map(|n| put(format!("/t/a/{n:03}"), n));
    let large = (0..40).map(|n| put(format!("/t/b/{n:03}"), (1 << 20) - n));
    let changes: Vec<Change> = small.chain(large).collect();
    access.apply(&changes, &mut |_| ()).await.unwrap();
    let sizes: Vec<(String, Option<usize>)> = access
        .tree(&key("/t"))
        .await
        .unwrap()
        .entries
        .into_iter()
        .map(|(path, entry)| (path, entry.value.map(|value| value.len())))
        .collect();
    let small = (0..600).map(|n| (format!("a/{n:03}"), Some(n)));
    let large = (0..40).map(|n| (format!("b/{n:03}"), Some((1 << 20) - n)));
    assert!(sizes.into_iter().eq(small.chain(large)));
}

#[tokio::test]
async fn a_request_has_a_time_limit_and_a_frozen_member_is_passed_over() {
    let cluster = Cluster::start(3);
    let ports: Vec<u16> = cluster.members.iter().map(Etcd::port).collect();
    let mut cluster = cluster;
    cluster.members[1].kill();
    // It may have been the leader.
    put_once_led(&mut cluster.members[0].client().await, "/n", "1").await;
    for _ in 0..6 {
        let access = Access::open(&spec(&ports, ""), LONG).await.unwrap();
        assert_eq!(access.get(&key("/none")).await.unwrap(), None);
    }
    let one = Etcd::start();
    // Long enough to open it on a slow machine.
    let limit = Duration::from_secs(15);
    let access = Access::open(&spec(&[one.port()], ""), limit).await.unwrap();
    one.freeze();
    let began = Instant::now();
    let late = access.get(&key("/n")).await.unwrap_err();
    assert!(matches!(late, StoreError::Unavailable { .. }), "{late}");
    assert!(Access::open(&spec(&[one.port()], ""), Duration::from_secs(2)).await.is_err());
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
}
