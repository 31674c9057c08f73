//! Single requests.

use std::time::Duration;

use twitcher::internals::store::zookeeper::Access;
use twitcher::store::StoreError;
use twitcher::store::{Change, Condition, Reached};
use twitcher::watch::{Key, Version};

use crate::fixture::zookeeper::{OPEN, ZooKeeper};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

async fn open(server: &ZooKeeper, chroot: &str) -> Access {
    Access::open(&server.spec(chroot), Duration::from_secs(30)).await.unwrap()
}

#[tokio::test]
async fn values_are_written_read_and_deleted_under_conditions() {
    let server = ZooKeeper::start();
    for chroot in ["", "/made/by/put"] {
        let access = open(&server, chroot).await;
        assert_eq!(access.get(&key("/a/b")).await.unwrap(), None);
        assert_eq!(access.children(&key("/a")).await.unwrap(), None);
        let first = access.put(&key("/a/b"), "1".into(), Condition::Absent).await.unwrap();
        for condition in [Condition::Absent, Condition::Version(Version::Revision(1))] {
            let conflict = access.put(&key("/a/b"), "2".into(), condition).await;
            assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
        }
        let second = access.put(&key("/a/b"), "2".into(), Condition::Version(first)).await.unwrap();
        let entry = access.get(&key("/a/b")).await.unwrap().unwrap();
        assert_eq!((entry.value, entry.version), (Some("2".into()), second));
        let above = access.get(&key("/a")).await.unwrap().unwrap();
        assert_eq!(above.value, Some("".into()), "a node always has a value");
        let large = vec![7; 1_000_000];
        access.put(&key("/a/large"), large.clone().into(), Condition::Any).await.unwrap();
        assert_eq!(access.get(&key("/a/large")).await.unwrap().unwrap().value, Some(large.into()));
        assert_eq!(
            access.children(&key("/a")).await.unwrap(),
            Some(vec!["b".to_owned(), "large".to_owned()])
        );
        let listing = access.tree(&key("/a")).await.unwrap();
        assert_eq!(listing.entries.keys().collect::<Vec<_>>(), ["", "b", "large"]);
        let refused = access.delete(&key("/a"), Condition::Any).await.unwrap_err();
        assert!(refused.to_string().contains("children"), "{refused}");
        let conflict = access.delete(&key("/a/b"), Condition::Version(first)).await;
        assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
        assert!(access.delete(&key("/a/b"), Condition::Version(second)).await.unwrap());
        assert!(!access.delete(&key("/a/b"), Condition::Any).await.unwrap());
    }
}

#[tokio::test]
async fn many_changes_are_made_in_order_in_atomic_chunks() {
    let server = ZooKeeper::start();
    let access = open(&server, "").await;
    let put = |path: String, value: &'static str, condition| Change::put(key(&path), value, condition);
    let mut changes: Vec<Change> =
        (0..2000).map(|n| put(format!("/t/d{}/n{n}", n % 7), "1", Condition::Absent)).collect();
    changes.push(put("/t/d0/n0".to_owned(), "2", Condition::Any));
    changes.push(Change::Delete { key: key("/t/d0/n0"), condition: Condition::Any });
    changes.push(put("/t/d0/n0/below".to_owned(), "3", Condition::Absent));
    let (mut done, mut sent) = (Vec::new(), Vec::new());
    let mut told = |reached| match reached {
        Reached::Sent(count) => sent.push(count),
        Reached::Made(count) => done.push(count),
    };
    access.apply(&changes, &mut told).await.unwrap();
    assert_eq!(sent, done);
    assert_eq!(done.last(), Some(&changes.len()));
    assert!(done.windows(2).all(|two| two[0] < two[1]) && done.len() < 20, "{done:?}");
    assert_eq!(access.tree(&key("/t")).await.unwrap().entries.len(), 1 + 7 + 2000 + 1);
    let conflicting = [
        put("/half".to_owned(), "1", Condition::Absent),
        put("/t/d0/n0/below".to_owned(), "4", Condition::Absent),
    ];
    let conflict = access.apply(&conflicting, &mut |_| ()).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
    assert_eq!(access.get(&key("/half")).await.unwrap(), None, "no half of a transaction");
}

#[tokio::test]
async fn concurrent_compare_and_set_writes_lose_none() {
    let server = ZooKeeper::start();
    let access = open(&server, "").await;
    access.put(&key("/n"), "0".into(), Condition::Absent).await.unwrap();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let access = access.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    loop {
                        let entry = access.get(&key("/n")).await.unwrap().unwrap();
                        let number: u32 =
                            std::str::from_utf8(&entry.value.unwrap()).unwrap().parse().unwrap();
                        let next = (number + 1).to_string();
                        match access.put(&key("/n"), next.into(), Condition::Version(entry.version)).await {
                            Ok(_) => break,
                            Err(StoreError::Conflict { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(access.get(&key("/n")).await.unwrap().unwrap().value, Some("80".into()));
}

#[tokio::test]
async fn a_recreated_node_is_not_mistaken_for_the_old_one() {
    const ATTEMPTS: usize = 3000;
    let server = ZooKeeper::start();
    let access = open(&server, "").await;
    let client = server.client().await;
    // Nodes that are deleted and created again continuously; each was changed zero times. Records when each was created.
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let maker = tokio::spawn(async move {
        let mut made = Vec::new();
        while stopped.try_recv().is_err() {
            made.push(client.create("/n", b"x", &OPEN).await.unwrap().0.czxid);
            tokio::time::sleep(Duration::from_millis(made.len() as u64 % 4)).await;
            client.delete("/n", None).await.unwrap();
        }
        made
    });
    let (mut written, mut reported) = (Vec::new(), 0);
    for _ in 0..ATTEMPTS {
        let Some(entry) = access.get(&key("/n")).await.unwrap() else { continue };
        let Version::Revision(asked) = entry.version else { panic!("{entry:?}") };
        match access.put(&key("/n"), "y".into(), Condition::Version(entry.version)).await {
            Ok(Version::Revision(done)) => written.push((asked, done)),
            Err(StoreError::Conflict { .. }) => {}
            Err(StoreError::Refused { why, .. }) if why.contains("made it again") => reported += 1,
            other => panic!("{other:?}"),
        }
    }
    stop.send(()).unwrap();
    let made = maker.await.unwrap();
    println!("{} nodes were made; {} writes, and {reported} reported", made.len(), written.len());
    // The node that existed at a moment is the last one created before it.
    let node = |zxid: i64| made.partition_point(|czxid| *czxid <= zxid);
    for (asked, done) in written {
        assert_eq!(node(asked), node(done), "asked for the node of {asked}, wrote to another at {done}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error_within_the_limit() {
    let mut server = ZooKeeper::start();
    let spec = server.spec("");
    // Long enough to open it on a slow machine.
    let access = Access::open(&spec, Duration::from_secs(15)).await.unwrap();
    server.freeze();
    let error = access.get(&key("/a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    server.thaw();
    server.kill();
    let error = Access::open(&spec, Duration::from_secs(2)).await.unwrap_err();
    assert!(error.to_string().contains(&server.address()), "{error}");
}
