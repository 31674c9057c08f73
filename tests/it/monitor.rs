//! `twitcher monitor` and the completion of keys, as they are typed, against each kind of store.

use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fixture::daemon::until;
use crate::fixture::etcd::Etcd;
use crate::fixture::program::{Program, good, program, run};
use crate::fixture::terminal::Terminal;
use crate::fixture::zookeeper::ZooKeeper;

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn events(text: &str) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    json(text)
        .iter()
        .map(|line| format!("{} {} {}", word(&line["event"]), word(&line["key"]), word(&line["value"])))
        .collect()
}

/// Writes a key until a monitor that was just started sees it: from then on it sees everything.
fn wake(store: &str, monitor: &Program) {
    let mut number = 0;
    until("the monitor to look", || {
        number += 1;
        good(store, &["put", "/m/wake", &number.to_string()]);
        monitor.out().contains("/m/wake").then_some(())
    });
}

fn changes_are_told(store: &str) {
    good(store, &["put", "/m/old", "there before"]);
    let mut monitor = Program::start(store, &["monitor", "/m", "--json"]);
    wake(store, &monitor);
    good(store, &["put", "/m/a", "one"]);
    monitor.says(r#""value":"one""#);
    good(store, &["put", "/m/a", "two"]);
    monitor.says(r#""value":"two""#);
    good(store, &["put", "/beside", "not meant"]);
    good(store, &["del", "/m/a"]);
    monitor.says(r#""event":"delete""#);
    let told: Vec<String> =
        events(&monitor.out()).into_iter().filter(|event| !event.contains("/m/wake")).collect();
    assert_eq!(told, ["put /m/a one", "put /m/a two", "delete /m/a null"]);
}

#[test]
fn changes_of_etcd_are_told() {
    changes_are_told(&Etcd::start().url());
}

#[test]
fn changes_of_zookeeper_are_told() {
    let server = ZooKeeper::start();
    changes_are_told(&server.url());
    let output = run(&server.url(), &["monitor", "/m", "--from", "-3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("keeps no history; only etcd does"));
    let output = run(&server.url(), &["monitor", "/m", "--after", "3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--after: "));
}

#[test]
fn changes_of_a_directory_are_told() {
    let place = tempfile::tempdir().unwrap();
    changes_are_told(&format!("dir://{}", place.path().display()));
}

/// What is shown as the version of a write is that of the key, which a write can demand.
fn versions_are_those_of_the_keys(store: &str) {
    let mut monitor = Program::start(store, &["monitor", "/m", "--json"]);
    wake(store, &monitor);
    good(store, &["put", "/m/a", "one"]);
    good(store, &["put", "/m/b", "beside"]);
    monitor.says(r#""value":"beside""#);
    let told = json(&monitor.out());
    for (key, value) in [("/m/a", "two"), ("/m/b", "three")] {
        let version = told.iter().rfind(|line| line["key"] == key).unwrap()["version"].as_str().unwrap();
        let got: Value = serde_json::from_str(&good(store, &["get", key, "--json"])).unwrap();
        assert_eq!(got["version"], version, "{key}");
        good(store, &["put", key, value, "--if-version", version]);
    }
    monitor.says(r#""value":"three""#);
}

#[test]
fn versions_of_etcd_are_those_of_the_keys() {
    versions_are_those_of_the_keys(&Etcd::start().url());
}

#[test]
fn versions_of_zookeeper_are_those_of_the_keys() {
    versions_are_those_of_the_keys(&ZooKeeper::start().url());
}

#[test]
fn versions_of_a_directory_are_those_of_the_keys() {
    let place = tempfile::tempdir().unwrap();
    versions_are_those_of_the_keys(&format!("dir://{}", place.path().display()));
}

#[test]
fn what_is_written_again_is_told_and_what_is_not_is_not() {
    let server = ZooKeeper::start();
    let store = &server.url();
    let mut monitor = Program::start(store, &["monitor", "/m", "--json"]);
    wake(store, &monitor);
    let waits = |monitor: &Program, count: usize| {
        until("another change", || (monitor.out().matches("/m/leaf").count() >= count).then_some(()));
    };
    good(store, &["put", "/m/leaf", ""]);
    waits(&monitor, 1);
    good(store, &["put", "/m/leaf", ""]);
    waits(&monitor, 2);
    // A node with children and without a value is shown otherwise than a leaf, and nobody wrote it.
    good(store, &["put", "/m/leaf/child", "c"]);
    waits(&monitor, 3);
    good(store, &["del", "/m/leaf/child"]);
    waits(&monitor, 4);
    good(store, &["put", "/m/end", "x"]);
    monitor.says("/m/end");
    let told: Vec<String> =
        events(&monitor.out()).into_iter().filter(|event| event.contains("/m/leaf")).collect();
    assert_eq!(told, ["put /m/leaf ", "put /m/leaf ", "put /m/leaf/child c", "delete /m/leaf/child null"]);
}

/// A key that the store can never hold.
fn never_held(store: &str, key: &str, why: &str) {
    let mut monitor = Program::start(store, &["monitor", key]);
    assert_eq!(monitor.code(), Some(1), "{key}");
    assert!(monitor.err().contains(why), "{}", monitor.err());
}

#[test]
fn a_key_that_the_store_cannot_hold_is_refused() {
    let server = ZooKeeper::start();
    never_held(&server.url(), "/a//b", "empty name between two slashes");
    let place = tempfile::tempdir().unwrap();
    let store = format!("dir://{}", place.path().display());
    never_held(&store, "/.hid", "begins with a dot");
    never_held(&store, "/a//b", "empty name between two slashes");
}

#[test]
fn what_cannot_be_read_is_said_until_it_can_be() {
    let place = tempfile::tempdir().unwrap();
    let store = &format!("dir://{}", place.path().display());
    let looped = place.path().join("m");
    std::os::unix::fs::symlink("m", &looped).unwrap();
    let mut monitor = Program::start(store, &["monitor", "/m", "--json"]);
    monitor.complains("/m cannot be watched, and is waited for: ");
    std::fs::remove_file(&looped).unwrap();
    monitor.complains("/m can be watched again");
    wake(store, &monitor);
    good(store, &["put", "/m/a", "two"]);
    monitor.says(r#""value":"two""#);
    assert_eq!(monitor.err().matches("cannot be watched").count(), 1, "{}", monitor.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_be_read_is_said() {
    use zookeeper_client::{Acls, CreateMode};
    let server = ZooKeeper::start();
    let client = server.client().await;
    client.auth("digest", b"owner:secret").await.unwrap();
    let private = CreateMode::Persistent.with_acls(Acls::creator_all());
    client.create("/private", b"", &private).await.unwrap();
    let monitor = Program::start(&server.url(), &["monitor", "/"]);
    tokio::task::block_in_place(|| monitor.complains("/ cannot be watched, and is waited for: "));
    client.delete("/private", None).await.unwrap();
    tokio::task::block_in_place(|| monitor.complains("/ can be watched again"));
}

#[test]
fn a_revision_that_is_to_come_is_said_and_what_comes_is_told() {
    let etcd = Etcd::start();
    let store = &etcd.url();
    good(store, &["put", "/m/a", "one"]);
    let mut monitor = Program::start(store, &["monitor", "/m", "--json", "--from", "9000"]);
    monitor.complains("revision 9000 is to come: the store is at 2, and what changes from now on is told");
    good(store, &["put", "/m/a", "two"]);
    monitor.says(r#""value":"two""#);
    // The next one is no mistake.
    let mut next = Program::start(store, &["monitor", "/m", "--json", "--from", "4"]);
    good(store, &["put", "/m/a", "three"]);
    next.says(r#""value":"three""#);
    assert_eq!((events(&next.out()).len(), next.err().as_str()), (1, ""));
}

#[test]
fn a_terminal_is_told_what_is_watched() {
    let etcd = Etcd::start();
    let command = format!("{} monitor /m", program().display());
    let terminal = Terminal::start((80, 10), &command, &[("TWITCHER_STORE", &etcd.url())]);
    terminal.shows("twitcher: watching /m and what is below it in etcd://");
}

#[test]
fn the_past_is_told_as_far_as_etcd_remembers() {
    let etcd = Etcd::start();
    let store = &etcd.url();
    for number in 1..=10 {
        good(store, &["put", &format!("/m/{}", number % 3), &number.to_string()]);
    }
    good(store, &["del", "/m/0"]);
    good(store, &["put", "/beside", "x"]);
    // Revision 1 is the empty store.
    let mut all = Program::start(store, &["monitor", "/m", "--json", "--from", "5"]);
    all.says("delete");
    let told = events(&all.out());
    assert_eq!(told.len(), 8, "{told:?}");
    assert_eq!(told[0], "put /m/1 4");
    assert_eq!(json(&all.out())[0]["time"], Value::Null, "nobody knows when that was");

    let mut after = Program::start(store, &["monitor", "/m", "--json", "--after", "5"]);
    after.says("delete");
    assert_eq!(events(&after.out()), told[1..]);

    let mut newest = Program::start(store, &["monitor", "/m", "--json", "--from", "-3"]);
    newest.says("delete");
    assert_eq!(events(&newest.out()), ["put /m/0 9", "put /m/1 10", "delete /m/0 null"]);
    good(store, &["put", "/m/new", "now"]);
    newest.says("now");
    assert_eq!(events(&newest.out()).len(), 4);

    etcd.ctl(&["compact", "10"]);
    let mut compacted = Program::start(store, &["monitor", "/m", "--json", "--from", "-100"]);
    compacted.says("now");
    compacted.complains("etcd was compacted: only 4 changes are known, those since revision 10");
    assert_eq!(events(&compacted.out())[0], "put /m/0 9");
    let mut compacted = Program::start(store, &["monitor", "/m", "--json", "--from", "2"]);
    compacted.says("now");
    compacted.complains("what changed before revision 10 is forgotten");
    assert_eq!(events(&compacted.out()).len(), 4);
}

/// etcd tells a long past in several batches; what comes last in it are deletions, of which no key tells.
#[test]
fn the_newest_changes_are_the_last_of_a_long_past() {
    let etcd = Etcd::start();
    let store = &etcd.url();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut client = etcd.client().await;
        for number in 0..1500 {
            client.put(format!("/m/{number:04}"), "v", None).await.unwrap();
        }
        client.put("/m/stays", "v", None).await.unwrap();
        for number in 0..1500 {
            client.delete(format!("/m/{number:04}"), None).await.unwrap();
        }
        client.put("/beside", "x", None).await.unwrap();
    });
    let mut newest = Program::start(store, &["monitor", "/m", "--json", "--from", "-3"]);
    newest.says("1499");
    let expected = ["1497", "1498", "1499"].map(|number| format!("delete /m/{number} null"));
    assert_eq!(events(&newest.out()), expected);
    // All that exists is older than what is known.
    etcd.ctl(&["compact", "3003"]);
    let mut forgotten = Program::start(store, &["monitor", "/m", "--json", "--from", "-3"]);
    forgotten.complains("etcd was compacted: only 0 changes are known");
    good(store, &["put", "/m/new", "now"]);
    forgotten.says("now");
    assert_eq!(events(&forgotten.out()), ["put /m/new now"]);
}

#[test]
fn no_change_is_lost_or_doubled_by_a_new_connection() {
    let mut etcd = Etcd::start();
    let store = &etcd.url();
    let mut monitor = Program::start(store, &["monitor", "/m", "--json", "--from", "1"]);
    for number in 1..=30 {
        if number % 10 == 0 {
            etcd.kill();
            etcd.start_again();
        }
        good(store, &["put", "/m/k", &format!("v{number}")]);
    }
    monitor.says("v30");
    let expected: Vec<String> = (1..=30).map(|number| format!("put /m/k v{number}")).collect();
    assert_eq!(events(&monitor.out()), expected);
    // A store that lost its past has a new one.
    etcd.wipe();
    monitor.complains("the store was restored or replaced");
    good(store, &["put", "/m/k", "anew"]);
    monitor.says("anew");
}

#[test]
fn lines_are_cut_to_the_width() {
    let etcd = Etcd::start();
    let store = &etcd.url();
    let long = "x".repeat(500);
    good(store, &["put", "/m/long", &long]);
    let output = Program::start_with(store, &["monitor", "/m", "--from", "-1"], &[("COLUMNS", "60")]);
    until("a line", || output.out().contains('\n').then_some(()));
    let out = output.out();
    let line = out.lines().next().unwrap();
    assert_eq!(line.chars().count(), 60, "{line}");
    assert!(
        line.starts_with("-  ") && line.contains("put     /m/long  xxx") && line.ends_with('…'),
        "{line}"
    );
}

#[test]
fn a_monitor_that_nobody_reads_ends_quietly() {
    let etcd = Etcd::start();
    let store = etcd.url();
    good(&store, &["put", "/m/a", "1"]);
    let mut command = Command::new(program());
    command.env("TWITCHER_STORE", &store).args(["monitor", "/m", "--from", "-1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    drop(out);
    let status = until("the end of the monitor", || child.try_wait().unwrap());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn a_store_that_is_not_there_is_said() {
    let port = crate::fixture::port::Port::claim();
    let store = format!("etcd://127.0.0.1:{port}");
    let output = run(&store, &["monitor", "/m", "--timeout", "2s"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&port.to_string()));
}

fn completed(store: &str, words: &[&str]) -> Vec<String> {
    let mut command = Command::new(program());
    command.env("COMPLETE", "fish").env("TWITCHER_STORE", store).args(["--", "twitcher"]).args(words);
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

#[test]
fn tab_completes_keys_and_stores() {
    let place = tempfile::tempdir().unwrap();
    let store = format!("dir://{}", place.path().display());
    for key in ["/nginx/port", "/nginx/host", "/notes", "/zoo"] {
        good(&store, &["put", key, "v"]);
    }
    assert_eq!(completed(&store, &["get", "/n"]), ["/nginx", "/notes"]);
    assert_eq!(completed(&store, &["ls", "/nginx/"]), ["/nginx/host", "/nginx/port"]);
    assert_eq!(completed(&store, &["watch", "/ng"]), ["/nginx", "/nginx/"]);
    assert_eq!(completed("", &["get", "--store", &store, "/z"]), ["/zoo"]);
    assert_eq!(completed("dir:///no/such", &["get", "/"]), [""; 0]);
    let config = place.path().join("config");
    std::fs::create_dir(&config).unwrap();
    let settings = "[store.main]\nurl = \"etcd://localhost:2379\"\n";
    std::fs::write(config.join("twitcher.conf"), settings).unwrap();
    let config = config.to_str().unwrap();
    assert_eq!(completed("", &["-c", config, "get", "--store", ""]), ["local", "main"]);
}

#[test]
fn bash_asks_the_program() {
    let place = tempfile::tempdir().unwrap();
    let store = format!("dir://{}", place.path().display());
    good(&store, &["put", "/nginx", "v"]);
    let share = place.path().join("share");
    good("", &["generate", share.to_str().unwrap()]);
    let script = "source \"$1\"; COMP_LINE='twitcher get /n' COMP_POINT=15
        _twitcher twitcher /n get; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["-c", script, "bash"]).arg(share.join("bash-completion/completions/twitcher"));
    let path = format!("{}:/usr/bin:/bin", program().parent().unwrap().display());
    let output = bash.env("PATH", path).env("TWITCHER_STORE", &store).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim_end(), "/nginx", "{}", String::from_utf8_lossy(&output.stderr));
}
