//! Changes whose event the server does not deliver, because the node's ACL denied reading it at that moment: servers since
//! 3.8.4 and 3.9.2, and those with their fix. The one-shot watch is consumed all the same.

use std::time::{Duration, Instant};

use twitcher::internals::store::session::TargetId;
use twitcher::watch::Content;
use twitcher::watch::WatchType::{Children, Data, Tree};
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions};

use super::open;
use crate::fixture::conversation::{Conversation, arm, children, tree, value};
use crate::fixture::daemon::Daemon;
use crate::fixture::zookeeper::{OPEN, ZooKeeper};

/// Time within which a change must be noticed, with an allowance for a busy machine.
const NOTICED: Duration = Duration::from_secs(10 + 5);

const CLOSED: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::creator_all());

/// A client with an identity, whose nodes with the ACL [`CLOSED`] nobody else can read.
async fn owner(server: &ZooKeeper) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_mins(1));
    connector.with_auth("digest", b"me:secret").connect(&server.address()).await.unwrap()
}

async fn close(owner: &Client, path: &str) {
    owner.set_acl(path, &Acls::creator_all(), None).await.unwrap();
}

async fn reopen(owner: &Client, path: &str) {
    owner.set_acl(path, &Acls::anyone_all(), None).await.unwrap();
}

async fn set(owner: &Client, path: &str, text: &str) {
    owner.set_data(path, text.as_bytes(), None).await.unwrap();
}

async fn soon(seen: &mut Conversation, what: &str, holds: impl Fn(&Conversation) -> bool) {
    let began = Instant::now();
    seen.until(what, holds).await;
    let took = began.elapsed();
    println!("{what}: after {took:?}");
    assert!(took < NOTICED, "{what}: only after {took:?}");
}

#[tokio::test]
async fn a_change_while_the_acl_was_closed_for_milliseconds_is_noticed() {
    let server = ZooKeeper::start();
    let owner = owner(&server).await;
    for path in ["/data", "/names", "/names/one", "/gone", "/tree", "/tree/a", "/tree/b", "/tree/c"] {
        owner.create(path, b"0", &OPEN).await.unwrap();
    }
    let mut seen = open(&server.spec(""));
    seen.arm(vec![
        arm(1, "/data", Data),
        arm(2, "/names", Children),
        arm(3, "/gone", Data),
        arm(4, "/tree", Tree),
    ]);
    seen.until("all is read", |seen| seen.states.len() == 4).await;
    for (round, text) in ["1", "2"].into_iter().enumerate() {
        for path in ["/data", "/names", "/gone", "/tree/a", "/tree/b"] {
            close(&owner, path).await;
        }
        set(&owner, "/data", text).await;
        let name = format!("/names/{text}");
        owner.create(&name, b"", &OPEN).await.unwrap();
        owner.delete("/gone", None).await.unwrap();
        set(&owner, "/tree/a", text).await;
        // Deleted and created again, with a new child, while the ACL is closed.
        owner.delete("/tree/b", None).await.unwrap();
        owner.create("/tree/b", text.as_bytes(), &CLOSED).await.unwrap();
        owner.create("/tree/b/x", text.as_bytes(), &CLOSED).await.unwrap();
        for path in ["/data", "/names", "/tree/a", "/tree/b", "/tree/b/x"] {
            reopen(&owner, path).await;
        }
        let tree = tree(&[
            ("", Some("0")),
            ("a", Some(text)),
            ("b", Some(text)),
            ("b/x", Some(text)),
            ("c", Some("0")),
        ]);
        let names = if round == 0 { children(&["1", "one"]) } else { children(&["1", "2", "one"]) };
        soon(&mut seen, &format!("the changes of round {text}"), |seen| {
            seen.content(1) == Some(&value(text))
                && seen.content(2) == Some(&names)
                && seen.content(3) == Some(&Content::Absent)
                && seen.content(4) == Some(&tree)
        })
        .await;
        owner.create("/gone", b"0", &OPEN).await.unwrap();
        seen.until_is(3, &value("0")).await;
        owner.delete("/tree/b/x", None).await.unwrap();
        seen.until("the event of the deletion", |seen| match seen.content(4) {
            Some(Content::Tree(entries)) => !entries.contains("b/x"),
            _ => false,
        })
        .await;
    }
    assert!(seen.lost.is_none(), "{:?}", seen.lost);
}

#[tokio::test]
async fn a_node_created_with_a_closed_acl_is_refused_and_read_once_it_is_opened() {
    let server = ZooKeeper::start();
    let owner = owner(&server).await;
    owner.create("/tree", b"0", &OPEN).await.unwrap();
    let mut seen = open(&server.spec(""));
    seen.arm(vec![
        arm(1, "/data", Data),
        arm(2, "/data", Children),
        arm(3, "/tree", Tree),
        arm(4, "/new", Tree),
    ]);
    seen.until("all is read", |seen| seen.states.len() == 4).await;
    for path in ["/data", "/data/x", "/tree/a", "/tree/a/below", "/new"] {
        owner.create(path, b"1", &CLOSED).await.unwrap();
    }
    soon(&mut seen, "all are refused", |seen| seen.refused.len() == 4).await;
    for id in 1..=4 {
        let error = seen.refused[&TargetId(id)].to_string();
        assert!(error.contains("not authorized"), "{error}");
    }
    for path in ["/data", "/tree/a", "/tree/a/below", "/new"] {
        reopen(&owner, path).await;
    }
    soon(&mut seen, "all are read", |seen| {
        seen.content(1) == Some(&value("1"))
            && seen.content(2) == Some(&children(&["x"]))
            && seen.content(3) == Some(&tree(&[("", Some("0")), ("a", Some("1")), ("a/below", Some("1"))]))
            && seen.content(4) == Some(&tree(&[("", Some("1"))]))
    })
    .await;
    // The watches are set: further changes arrive as events.
    for path in ["/data", "/tree/a", "/new"] {
        set(&owner, path, "2").await;
    }
    owner.create("/data/y", b"", &OPEN).await.unwrap();
    seen.until_is(1, &value("2")).await;
    seen.until_is(2, &children(&["x", "y"])).await;
    seen.until_is(3, &tree(&[("", Some("0")), ("a", Some("2")), ("a/below", Some("1"))])).await;
    seen.until_is(4, &tree(&[("", Some("2"))])).await;
}

#[tokio::test]
async fn a_node_whose_acl_alone_changed_is_refused() {
    let server = ZooKeeper::start();
    let owner = owner(&server).await;
    for path in ["/data", "/names", "/tree", "/tree/a"] {
        owner.create(path, b"0", &OPEN).await.unwrap();
    }
    let mut seen = open(&server.spec(""));
    seen.arm(vec![arm(1, "/data", Data), arm(2, "/names", Children), arm(3, "/tree", Tree)]);
    seen.until("all is read", |seen| seen.states.len() == 3).await;
    for path in ["/data", "/names", "/tree/a"] {
        close(&owner, path).await;
    }
    soon(&mut seen, "all are refused", |seen| seen.refused.len() == 3).await;
    assert!(seen.refused[&TargetId(3)].to_string().contains("/tree/a"), "{:?}", seen.refused);
}

/// And the action is given the new state once the node can be read.
#[test]
fn a_watch_that_cannot_be_read_is_unreachable_and_not_converged() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = ZooKeeper::start();
    let owner = runtime.block_on(owner(&server));
    for path in ["/tree", "/tree/a", "/data"] {
        runtime.block_on(owner.create(path, b"0", &OPEN)).unwrap();
    }
    let settings = format!("[store.zk]\nurl = \"{}\"\n", server.url());
    let mut daemon = Daemon::prepare(&settings);
    let top = daemon.place.path().display().to_string();
    daemon.write(
        "w.toml",
        &format!(
            "[[watch]]\nname = \"tree\"\nstore = \"zk\"\nkey = \"/tree\"\nwatch_type = \"tree\"\naction = \"cat >{top}/tree\"\n\
             [[watch]]\nname = \"data\"\nstore = \"zk\"\nkey = \"/data\"\naction = \"cat >{top}/data\"\n"
        ),
    );
    daemon.run();
    for name in ["tree", "data"] {
        daemon.until_converged(name);
    }
    for path in ["/tree/a", "/data"] {
        runtime.block_on(close(&owner, path));
        runtime.block_on(set(&owner, path, "1"));
    }
    let began = Instant::now();
    for name in ["tree", "data"] {
        let watch = daemon.until_watch(name, |watch| watch["state"] == "unreachable");
        assert_eq!(watch["converged"], false, "{watch:#}");
    }
    assert!(began.elapsed() < NOTICED, "only after {:?}", began.elapsed());
    for path in ["/tree/a", "/data"] {
        runtime.block_on(reopen(&owner, path));
    }
    let began = Instant::now();
    daemon.until_file("tree", |text| text.contains("\"a\":\"1\"") || text.contains("\"a\": \"1\""));
    daemon.until_file("data", |text| text == "1");
    assert!(began.elapsed() < NOTICED, "only after {:?}", began.elapsed());
    for name in ["tree", "data"] {
        daemon.until_converged(name);
    }
}
