//! A concurrent change between the reading of a load and its writing is a conflict: it is reported, never overwritten.
//! The proxy holds back the load's requests once the load has the answers to its reads.

use crate::fixture::etcd::Etcd;
use crate::fixture::program::{Program, good, run};
use crate::fixture::proxy::Proxy;
use crate::fixture::server::wait_for;
use crate::fixture::zookeeper::ZooKeeper;

/// Answers to reading `/top` are larger than this, because of one value; all earlier ones are smaller.
const ANSWER: usize = 30 << 10;

/// A load that has read, and has not written.
struct Held {
    direct: String,
    proxy: Proxy,
    load: Program,
}

/// A store by its scheme and port.
type Place = (&'static str, u16);

impl Held {
    /// Starts to load a document at `/top`, where the large value is beside the test's own keys.
    fn start(place: Place, args: &[&str], document: &str) -> Self {
        Self::start_deep(place, args, document, "zzz")
    }

    /// The same with a path for the large value, which must be among the last that are read.
    fn start_deep((scheme, port): Place, args: &[&str], document: &str, path: &str) -> Self {
        let direct = format!("{scheme}://127.0.0.1:{port}");
        let large = "x".repeat(40 << 10);
        good(&direct, &["put", &format!("/top/{path}"), &large]);
        let proxy = Proxy::start(port);
        proxy.hold_after_answer(ANSWER);
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("document.yaml");
        // If the rest is deleted, it may go as well.
        let same = if args.is_empty() { format!("{path}: {large}\n") } else { String::new() };
        std::fs::write(&file, format!("{document}{same}")).unwrap();
        let url = format!("{scheme}://127.0.0.1:{}", proxy.port());
        let mut all = vec!["load", file.to_str().unwrap(), "--at", "/top", "--timeout", "60s"];
        all.extend(args);
        let load = Program::start(&url, &all);
        proxy.until_held();
        Self { direct, proxy, load }
    }

    /// A concurrent change.
    fn meanwhile(self, args: &[&str]) -> Self {
        good(&self.direct, args);
        self
    }

    /// Lets the load write; returns its error.
    #[track_caller]
    fn fails(mut self) -> String {
        self.proxy.heal();
        let (code, said) = (self.load.code(), self.load.err());
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(self.load.out(), "", "{said}");
        said
    }
}

/// The value of a key; `None` if it does not exist.
fn value(url: &str, key: &str) -> Option<String> {
    let output = run(url, &["get", key]);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Concurrent changes while `/top/a`, `/top/b` and `/top/new` are loaded, or `/top/b` is deleted.
fn nothing_of_others_is_overwritten(place: Place) {
    let url = format!("{}://127.0.0.1:{}", place.0, place.1);
    let merge: (&[&str], _) = (&[], "a: mine\nb: mine\nnew: mine\n");
    let replace: (&[&str], _) = (&["--replace"], "a: mine\n");
    for ((args, document), meanwhile, key, theirs) in [
        (merge, ["put", "/top/b", "theirs"].as_slice(), "/top/b", Some("theirs")),
        (merge, &["put", "/top/new", "theirs"], "/top/new", Some("theirs")),
        (merge, &["put", "/top/new", "mine"], "/top/new", Some("mine")),
        (merge, &["del", "/top/b"], "/top/b", None),
        (replace, &["put", "/top/b", "theirs"], "/top/b", Some("theirs")),
        (replace, &["del", "/top/b"], "/top/b", None),
    ] {
        for key in ["/top/a", "/top/b"] {
            good(&url, &["put", key, "old"]);
        }
        run(&url, &["del", "/top/new"]);
        let said = Held::start(place, args, document).meanwhile(meanwhile).fails();
        assert!(said.contains(&format!("{key} was changed meanwhile")), "{meanwhile:?}: {said}");
        assert!(said.contains("; nothing was changed"), "{meanwhile:?}: {said}");
        assert_eq!(value(&url, key).as_deref(), theirs, "{meanwhile:?}");
        assert_eq!(value(&url, "/top/a").as_deref(), Some("old"), "{meanwhile:?}: half of it was written");
    }
}

/// Keys that are not in the document do not interfere.
fn what_is_beside_it_may_change(place: Place) {
    let url = format!("{}://127.0.0.1:{}", place.0, place.1);
    for key in ["/top/a", "/top/b", "/top/c"] {
        good(&url, &["put", key, "old"]);
    }
    let mut held = Held::start(place, &[], "a: mine\nb: old\n")
        .meanwhile(&["put", "/top/c", "theirs"])
        .meanwhile(&["put", "/other", "theirs"]);
    held.proxy.heal();
    assert_eq!(held.load.code(), Some(0), "{}", held.load.err());
    assert_eq!(value(&url, "/top/a").as_deref(), Some("mine"));
    assert_eq!(value(&url, "/top/c").as_deref(), Some("theirs"));
}

#[test]
fn a_load_overwrites_no_concurrent_change_in_etcd() {
    let etcd = Etcd::start();
    nothing_of_others_is_overwritten(("etcd", etcd.port()));
    what_is_beside_it_may_change(("etcd", etcd.port()));
}

#[test]
fn a_load_overwrites_no_concurrent_change_in_zookeeper() {
    let server = ZooKeeper::start();
    nothing_of_others_is_overwritten(("zookeeper", server.port()));
    what_is_beside_it_may_change(("zookeeper", server.port()));
}

/// A directory is read without its lock and written with it: a load that waits for the lock has read.
#[test]
fn a_load_overwrites_no_concurrent_change_in_a_directory() {
    let (_place, url) = super::directory();
    let root = std::path::Path::new(url.strip_prefix("dir://").unwrap());
    good(&url, &["put", "/a", "old"]);
    good(&url, &["put", "/b", "old"]);
    let lock = root.join(".twitcher.lock");
    for (args, document, theirs) in [
        (&[] as &[&str], "a: mine\nb: mine\n", Some("theirs")),
        (&[], "a: mine\nb: mine\n", None),
        (&["--replace"], "a: old\n", Some("theirs")),
    ] {
        std::fs::write(root.join("b"), "old").unwrap();
        let held = std::fs::File::open(&lock).unwrap();
        held.lock().unwrap();
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("document.yaml");
        std::fs::write(&file, document).unwrap();
        let mut load = Program::start(
            &url,
            &[["load", file.to_str().unwrap(), "--timeout", "60s"].as_slice(), args].concat(),
        );
        wait_for("the load to wait for the lock", || load.has_open(&lock));
        // A writer that does not use the lock, such as an editor.
        match theirs {
            Some(theirs) => std::fs::write(root.join("b"), theirs).unwrap(),
            None => std::fs::remove_file(root.join("b")).unwrap(),
        }
        held.unlock().unwrap();
        let (code, said) = (load.code(), load.err());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("/b was changed meanwhile"), "{said}");
        assert_eq!(std::fs::read_to_string(root.join("b")).ok().as_deref(), theirs);
        let left = match args {
            [] => {
                "the changes before it are kept: 1 of 2 changes, the last to /a; `--dry-run` shows what is left"
            }
            _ => "nothing was changed",
        };
        assert!(said.contains(left), "{said}");
        std::fs::write(root.join("a"), "old").unwrap();
    }
}

/// A node with children and an empty value may get a value meanwhile, and a node that is to be deleted a child.
#[test]
fn a_load_overwrites_no_concurrent_change_of_an_empty_node_in_zookeeper() {
    let server = ZooKeeper::start();
    let place = ("zookeeper", server.port());
    let url = server.url();
    good(&url, &["put", "/top/a/b", "old"]);
    let merge = || Held::start_deep(place, &[], "a: {\"\": mine}\n", "a/zzz");
    let replace = || Held::start_deep(place, &["--replace"], "x: 1\n", "a/zzz");
    let said = merge().meanwhile(&["put", "/top/a", "theirs"]).fails();
    assert!(said.contains("/top/a was changed meanwhile"), "{said}");
    assert_eq!(value(&url, "/top/a").as_deref(), Some("theirs"));

    let said = replace().meanwhile(&["put", "/top/a", "again"]).fails();
    assert!(said.contains("/top/a was changed meanwhile"), "{said}");
    let said = replace().meanwhile(&["put", "/top/a/c", "theirs"]).fails();
    assert!(said.contains("/top/a has children") && said.contains("nothing was changed"), "{said}");
    assert_eq!(value(&url, "/top/a/b").as_deref(), Some("old"));
    assert_eq!(value(&url, "/top/a/c").as_deref(), Some("theirs"));
}

/// The first chunk is made before the second meets the conflict: nothing of the second is made.
#[test]
fn a_conflict_in_a_later_chunk_reports_what_was_written_in_etcd() {
    let etcd = Etcd::start();
    let url = etcd.url();
    let document = |value: &str| -> String {
        let lines: Vec<String> = (0..200).map(|n| format!("k{n:03}: {value}\n")).collect();
        lines.concat()
    };
    let mut command = assert_cmd::Command::new(crate::fixture::program::program());
    command.env("TWITCHER_STORE", &url).args(["load", "-", "--at", "/top"]).write_stdin(document("old"));
    command.assert().success();
    let said = Held::start(("etcd", etcd.port()), &[], &document("mine"))
        .meanwhile(&["put", "/top/k150", "theirs"])
        .fails();
    assert!(said.contains("loaded 128 of 200, to /top/k127\n"), "{said}");
    assert!(said.contains("/top/k150 was changed meanwhile"), "{said}");
    let left = "the changes before it are kept: 128 of 200 changes, the last to /top/k127; `--dry-run` shows what is left";
    assert!(said.contains(left), "{said}");
    for (key, expected) in [
        ("k000", "mine"),
        ("k127", "mine"),
        ("k128", "old"),
        ("k149", "old"),
        ("k150", "theirs"),
        ("k199", "old"),
    ] {
        assert_eq!(value(&url, &format!("/top/{key}")).as_deref(), Some(expected), "{key}");
    }
}

#[test]
fn a_conflict_in_a_later_chunk_reports_what_was_written_in_zookeeper() {
    let server = ZooKeeper::start();
    let url = server.url();
    for key in ["/top/a", "/top/b", "/top/c"] {
        good(&url, &["put", key, "old"]);
    }
    let half = "y".repeat(300 << 10);
    let said = Held::start(("zookeeper", server.port()), &[], &format!("a: {half}\nb: {half}\nc: mine\n"))
        .meanwhile(&["put", "/top/c", "theirs"])
        .fails();
    assert!(said.contains("/top/c was changed meanwhile"), "{said}");
    assert!(said.contains("loaded 1 of 3, to /top/a\n"), "{said}");
    let left =
        "the changes before it are kept: 1 of 3 changes, the last to /top/a; `--dry-run` shows what is left";
    assert!(said.contains(left), "{said}");
    for (key, expected) in [("/top/a", half.as_str()), ("/top/b", "old"), ("/top/c", "theirs")] {
        assert!(value(&url, key).as_deref() == Some(expected), "{key}");
    }
}

/// A server that disappears without an answer may have made the changes.
#[test]
fn an_unanswered_change_is_not_called_undone_in_etcd() {
    let mut etcd = Etcd::start();
    let held = Held::start(("etcd", etcd.port()), &[], "a: mine\nb: mine\n");
    etcd.kill();
    let said = held.fails();
    let unknown = "whether the first 2 of 2 changes, up to /top/b, were made is not known; `--dry-run` shows what is left";
    assert!(said.contains(unknown) && !said.contains("nothing was changed"), "{said}");
}

#[test]
fn an_unanswered_change_is_not_called_undone_in_zookeeper() {
    let mut server = ZooKeeper::start();
    let held = Held::start(("zookeeper", server.port()), &[], "a: mine\nb: mine\n");
    server.kill();
    let said = held.fails();
    let unknown = "whether the first 2 of 2 changes, up to /top/b, were made is not known; `--dry-run` shows what is left";
    assert!(said.contains(unknown) && !said.contains("nothing was changed"), "{said}");
}
