//! `README.md`: its quick start, on every store that it names.

use std::path::Path;

use super::super::fixture::daemon::until;
use super::super::fixture::etcd::Etcd;
use super::super::fixture::server::Server;
use super::super::fixture::zookeeper::ZooKeeper;
use super::{Machine, TWITCHER, blocks};

const README: &str = include_str!("../../../README.md");
const QUICK_START: &str = "## Quick start";
const ONE_LINE: &str = "### The same, with etcd or ZooKeeper";

fn machine(home: &Path) -> Machine {
    let machine = Machine::new(home);
    machine.program("twitcher", &format!("exec '{TWITCHER}' \"$@\""));
    machine
}

/// Types the quick start in `home`, with its daemon as a server of this test: a person waits until it is there.
fn quick_start(machine: &Machine, home: &Path) -> Server {
    let page = blocks(README, QUICK_START, "sh");
    let [prepare, run, change] = page.as_slice() else {
        panic!("the quick start has other blocks: {page:?}")
    };
    machine.types(prepare);
    assert_eq!(run.trim(), "twitcher -c demo/config run &");
    let words = ["-c".to_owned(), home.join("demo/config").display().to_string(), "run".to_owned()];
    let daemon = Server::start(TWITCHER, &words, &home.join("log"));
    until("the daemon's answer", || {
        let status = machine.shell("twitcher -c demo/config status").output().unwrap().status;
        status.success().then_some(())
    });
    let shown = machine.types(change);
    said(home, "hello, world");
    assert!(shown.contains("greeting"), "{shown}");
    daemon
}

/// Waits until the action has said so, in the log.
fn said(home: &Path, greeting: &str) {
    until(greeting, || {
        let log = std::fs::read_to_string(home.join("log")).unwrap();
        log.contains(greeting).then_some(())
    });
}

#[test]
fn the_quick_start_works() {
    let home = tempfile::Builder::new().prefix("twitcher-readme.").tempdir().unwrap();
    let machine = machine(home.path());
    let _daemon = quick_start(&machine, home.path());
}

/// `twitcher watch` as the page has it: the greeting that is there, and each later one.
#[test]
fn a_watch_without_configuration_works_as_it_stands() {
    let home = tempfile::Builder::new().prefix("twitcher-readme.").tempdir().unwrap();
    let machine = machine(home.path());
    let _daemon = quick_start(&machine, home.path());
    let blocks = blocks(README, ONE_LINE, "sh");
    let block = blocks.iter().find(|block| block.starts_with("twitcher watch")).unwrap();
    let mut shell = machine.shell(&format!("exec {block}"));
    let place = home.path().join("watched");
    let mut watch = shell.stdout(std::fs::File::create(&place).unwrap()).spawn().unwrap();
    let shows = |text: &str| {
        until(text, || std::fs::read_to_string(&place).unwrap().contains(text).then_some(()));
    };
    shows("hello, world");
    machine.types("twitcher -c demo/config put /greeting 'hello again'");
    shows("hello again");
    let watching = nix::unistd::Pid::from_raw(i32::try_from(watch.id()).unwrap());
    nix::sys::signal::kill(watching, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(130));
}

/// The block of a store, on the server that stands for the one of the page.
fn one_line(scheme: &str, page: &str, here: &str) {
    let home = tempfile::Builder::new().prefix("twitcher-readme.").tempdir().unwrap();
    let machine = machine(home.path()).with(page, here);
    let _daemon = quick_start(&machine, home.path());
    let blocks = blocks(README, ONE_LINE, "sh");
    let block = blocks.iter().find(|block| block.contains(&format!("{scheme}://"))).unwrap();
    machine.types(block);
    said(home.path(), &format!("hello, {scheme}"));
}

#[test]
fn one_line_points_it_at_etcd() {
    let etcd = Etcd::start();
    one_line("etcd", "127.0.0.1:2379", &format!("127.0.0.1:{}", etcd.port()));
}

#[test]
fn one_line_points_it_at_zookeeper() {
    let zookeeper = ZooKeeper::start();
    one_line("zookeeper", "127.0.0.1:2181", &zookeeper.address());
}
