//! A write that was sent and not answered may have been done: the tools say so, and never claim the contrary. The proxy
//! passes the request on, and drops the answer.

use std::path::Path;

use crate::fixture::etcd::Etcd;
use crate::fixture::port::Port;
use crate::fixture::program::{Program, good, run};
use crate::fixture::proxy::Proxy;
use crate::fixture::zookeeper::ZooKeeper;

/// The error of a command whose answer is lost: until its time limit, or with its connection.
fn said((scheme, port): (&str, u16), args: &[&str], mark: (&'static str, u64), connection: bool) -> String {
    let proxy = Proxy::start(port);
    proxy.lose_answers(mark.0, mark.1);
    let url = format!("{scheme}://127.0.0.1:{}", proxy.port());
    let limit = if connection { "60s" } else { "2s" };
    let mut program = Program::start(&url, &[args, &["--timeout", limit]].concat());
    if connection {
        proxy.until_lost();
        proxy.cut();
    }
    let (code, said) = (program.code(), program.err());
    assert_eq!(code, Some(1), "{args:?}: {said}");
    assert!(!said.contains("nothing was"), "{args:?}: {said}");
    said
}

fn what_may_have_been_done_is_said(place: (&str, u16), put: u64, delete: u64) {
    let direct = format!("{}://127.0.0.1:{}", place.0, place.1);
    let version = || {
        let json: serde_json::Value =
            serde_json::from_str(&good(&direct, &["get", "/key", "--json"])).unwrap();
        json["version"].as_str().unwrap().to_owned()
    };
    for connection in [false, true] {
        let unknown = |said: &str, verb: &str, key: &str| {
            let text =
                format!("whether it was {verb} is not known; `twitcher get {key}` shows what is there now");
            assert!(said.contains(&text), "{said}");
        };
        let text = said(place, &["put", "/key", "value-one"], ("value-one", put), connection);
        assert!(text.contains("cannot write /key: "), "{text}");
        unknown(&text, "written", "/key");
        assert_eq!(good(&direct, &["get", "/key"]), "value-one");
        let args = ["put", "/key", "value-two", "--if-version", &version()];
        unknown(&said(place, &args, ("value-two", put), connection), "written", "/key");
        assert_eq!(good(&direct, &["get", "/key"]), "value-two");
        let args = ["put", "/new", "value-new", "--if-absent"];
        unknown(&said(place, &args, ("value-new", put), connection), "written", "/new");
        assert_eq!(good(&direct, &["get", "/new"]), "value-new");
        let args = ["del", "/new"];
        unknown(&said(place, &args, ("/new", delete), connection), "deleted", "/new");
        assert_eq!(run(&direct, &["get", "/new"]).status.code(), Some(1));
        let args = ["del", "/key", "--if-version", &version()];
        unknown(&said(place, &args, ("/key", delete), connection), "deleted", "/key");
        assert_eq!(run(&direct, &["get", "/key"]).status.code(), Some(1));
    }
}

#[test]
fn an_unanswered_write_is_reported_as_unknown_by_etcd() {
    let etcd = Etcd::start();
    what_may_have_been_done_is_said(("etcd", etcd.port()), 1, 1);
}

#[test]
fn an_unanswered_write_is_reported_as_unknown_by_zookeeper() {
    let server = ZooKeeper::start();
    // A node is looked up twice before it is deleted.
    what_may_have_been_done_is_said(("zookeeper", server.port()), 1, 3);
}

#[test]
fn a_write_that_was_not_sent_is_not_reported_as_unknown() {
    let server = ZooKeeper::start();
    good(&server.url(), &["put", "/key", "old"]);
    // The answer to the read of the node before its change.
    let text = said(("zookeeper", server.port()), &["put", "/key", "new"], ("/key", 1), true);
    assert!(!text.contains("is not known"), "{text}");
    assert_eq!(good(&server.url(), &["get", "/key"]), "old");
}

/// Waiting for a lock that another process holds fails: that outcome is certain and must not be called unknown.
#[test]
fn a_write_to_a_locked_directory_is_not_reported_as_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("dir://{}", dir.path().display());
    good(&url, &["put", "/key", "old"]);
    let lock = std::fs::File::open(dir.path().join(".twitcher.lock")).unwrap();
    lock.lock().unwrap();
    let output = run(&url, &["put", "/key", "new", "--timeout", "100ms"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("cannot write /key: ") && text.contains("another program holds it"), "{text}");
    assert!(!text.contains("is not known"), "{text}");
    assert_eq!(std::fs::read(Path::new(dir.path()).join("key")).unwrap(), b"old");
}

#[test]
fn a_dead_etcd_is_said_to_be_unreachable_and_not_unreadable() {
    let port = Port::claim();
    let output = run(&format!("etcd://127.0.0.1:{port}"), &["put", "/key", "value", "--timeout", "2s"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let begin = format!("cannot write /key: connect to etcd at 127.0.0.1:{port}: ");
    assert!(said.contains(&begin) && said.contains("refused"), "{said}");
}
