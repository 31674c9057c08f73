//! The root of an etcd without a prefix in daemon and tools: all keys, with or without a leading slash.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::program::{Program, good, program, run};
use crate::fixture::terminal::Terminal;

fn holding(pairs: &[(&str, &str)]) -> Etcd {
    let etcd = Etcd::start();
    for (key, value) in pairs {
        etcd.ctl(&["put", key, value]);
    }
    etcd
}

/// Every key of the server with its value.
fn keys(etcd: &Etcd) -> BTreeMap<String, String> {
    let told = etcd.ctl(&["get", "", "--prefix"]);
    let lines: Vec<&str> = told.lines().collect();
    lines.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_watch_of_the_root_runs_for_every_key() {
    let etcd = holding(&[("/a", "1")]);
    let mut daemon = Daemon::prepare(&format!("[store.main]\nurl = \"{}\"", etcd.url()));
    let out = daemon.path("out").display().to_string();
    daemon.write(
        "w.toml",
        &format!(
            "[[watch]]\nname='tree'\nstore='main'\nkey='/'\nwatch_type='tree'\nformat='json'\naction='cat > {out}.tree'\n\
             [[watch]]\nname='kids'\nstore='main'\nkey='/'\nwatch_type='children'\naction='cat > {out}.kids'\n"
        ),
    );
    daemon.run();
    let tree = |text: &str| -> serde_json::Value { text.parse().unwrap_or_default() };
    daemon.until_converged("tree");
    etcd.ctl(&["put", "foo", "bar"]);
    daemon.until_file("out.tree", |text| tree(text) == serde_json::json!({"a": "1", "foo": "bar"}));
    daemon.until_file("out.kids", |text| text == "a\nfoo\n");
    let runs = daemon.until_converged("tree")["runs"].clone();

    // It is hidden by a key with a slash, and so are its changes.
    etcd.ctl(&["put", "a", "behind"]);
    etcd.ctl(&["put", "a", "still behind"]);
    etcd.ctl(&["put", "z/1", "2"]);
    daemon.until_file("out.tree", |text| tree(text)["z"]["1"] == "2");
    let shown = tree(&daemon.read("out.tree"));
    assert_eq!(shown, serde_json::json!({"a": "1", "foo": "bar", "z": {"1": "2"}}));
    let watch = daemon.until_converged("tree");
    assert_eq!(watch["runs"].as_u64(), runs.as_u64().map(|runs| runs + 1), "one for z/1");
    assert!(daemon.log().contains("is left out"), "{}", daemon.log());
    etcd.ctl(&["del", "/a"]);
    daemon.until_file("out.tree", |text| tree(text)["a"] == "still behind");
    etcd.ctl(&["del", "foo"]);
    daemon.until_file("out.tree", |text| tree(text)["foo"].is_null());
    daemon.until_file("out.kids", |text| text == "a\nz\n");
}

#[test]
fn each_key_is_shown_by_its_own_name() {
    let etcd =
        holding(&[("/a", "1"), ("a", "behind"), ("foo", "22"), ("foo/bar", "3"), ("!", "4"), ("/x/y", "5")]);
    let store = &etcd.url();
    assert_eq!(good(store, &["ls", "/"]), "!\na\nfoo\nx\n");
    assert_eq!(good(store, &["ls", "/", "--tree"]), "!\n/a\nfoo\nfoo/bar\n/x/y\n");
    assert_eq!(good(store, &["ls", "foo"]), "bar\n");
    let long = good(store, &["ls", "/", "--long"]);
    let sizes: Vec<Vec<&str>> = long.lines().map(|line| line.split_whitespace().skip(1).collect()).collect();
    assert_eq!(sizes, [["1", "!"], ["1", "a"], ["2", "foo"], ["-", "x"]], "{long}");
    let whole = good(store, &["ls", "/", "--tree", "--long"]);
    assert!(whole.contains("  2  foo\n") && whole.contains("  1  /a\n"), "{whole}");
    let once = good(store, &["tree", "/", "--once"]);
    assert_eq!(once, "/\n├─ ! = 4\n├─ a = 1\n├─ foo = 22\n│  └─ bar = 3\n└─ x\n   └─ y = 5\n");
    for command in [&["dump", "/"][..], &["ls", "/", "--tree"], &["tree", "/", "--once"]] {
        let said = errors(&run(store, command));
        assert!(said.contains("1 of the keys at and below / cannot be shown"), "{command:?}: {said}");
        assert!(said.contains("so is `a` where there is `/a`"), "{command:?}: {said}");
    }
    for (key, other) in [("/foo", "foo"), ("x", "/x")] {
        for command in ["get", "ls", "dump"] {
            let output = run(store, &[command, key]);
            assert_eq!(output.status.code(), Some(1));
            let said = format!("`{key}` does not exist in {store}, but `{other}` does");
            assert!(errors(&output).contains(&said), "{}", errors(&output));
        }
    }
    etcd.ctl(&["del", "/a"]);
    let output = run(store, &["ls", "/", "--tree"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "!\na\nfoo\nfoo/bar\n/x/y\n");
    assert_eq!(errors(&output), "");

    // With a prefix a key has only one spelling.
    let below = &format!("{store}/foo");
    assert_eq!(good(below, &["ls", "/", "--tree"]), "");
    good(below, &["put", "bar", "beside"]);
    assert_eq!(keys(&etcd)["foo/bar"], "3");
    assert_eq!(good(below, &["ls", "/", "--tree"]), "/bar\n");
}

#[test]
fn load_and_del_change_the_keys_that_were_read() {
    let held = [("/a", "1"), ("a", "behind"), ("foo", "2"), ("foo/bar", "3"), ("/x/y", "4"), ("x/z", "5")];
    let etcd = holding(&held);
    let store = &etcd.url();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("all.yaml");
    let file = file.to_str().unwrap();
    std::fs::write(file, good(store, &["dump", "/", "--partial"])).unwrap();
    for more in [&[][..], &["--replace"]] {
        let loaded = good(store, &[&["load", file][..], more].concat());
        assert_eq!(loaded, "0 key(s) were added, 0 changed, 0 deleted, 5 the same\n");
        assert_eq!(keys(&etcd), pairs(&held));
    }
    std::fs::write(file, "a: 1\nfoo: {'': changed, new: added}\nx: {y: 4}\n").unwrap();
    let dry = good(store, &["load", file, "--replace", "--dry-run"]);
    assert_eq!(
        dry,
        "~ foo = \"2\" -> \"changed\"\n+ /foo/new = \"added\"\n- x/z = \"5\"\n- foo/bar = \"3\"\n\
         1 key(s) would be added, 1 changed, 2 deleted, 2 the same\n"
    );
    good(store, &["load", file, "--replace"]);
    let after = [("/a", "1"), ("a", "behind"), ("foo", "changed"), ("/foo/new", "added"), ("/x/y", "4")];
    assert_eq!(keys(&etcd), pairs(&after));

    let deleted = run(store, &["del", "/", "--tree", "--yes"]);
    assert_eq!(String::from_utf8_lossy(&deleted.stdout), "deleted 4 keys\n", "{}", errors(&deleted));
    assert!(errors(&deleted).contains("1 of the keys"), "{}", errors(&deleted));
    assert_eq!(keys(&etcd), pairs(&[("a", "behind")]));
    assert_eq!(good(store, &["del", "/", "--tree", "--yes"]), "deleted 1 key\n");
    assert_eq!(keys(&etcd), pairs(&[]));
}

#[test]
fn a_monitor_of_the_root_prints_every_change_with_its_key() {
    let etcd = holding(&[("/a", "1"), ("a", "behind"), ("foo", "2")]);
    let store = &etcd.url();
    let mut monitor = Program::start(store, &["monitor", "/", "--from", "1"]);
    monitor.says("foo");
    etcd.ctl(&["del", "/a"]);
    etcd.ctl(&["del", "foo"]);
    etcd.ctl(&["put", "a", "last"]);
    monitor.says("last");
    let out = monitor.out();
    let told: Vec<Vec<&str>> =
        out.lines().map(|line| line.split("  ").skip(1).map(str::trim).collect()).collect();
    let told: Vec<String> = told
        .iter()
        .map(|words| words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" "))
        .collect();
    let told: Vec<&str> = told.iter().filter_map(|line| line.split_once(' ').map(|(_, rest)| rest)).collect();
    assert_eq!(
        told,
        ["put /a 1", "put a behind", "put foo 2", "delete /a", "delete foo", "put a last"],
        "{out}"
    );
}

fn completed(store: &str, words: &[&str]) -> Vec<String> {
    let mut command = Command::new(program());
    command.env("COMPLETE", "fish").env("TWITCHER_STORE", store).args(["--", "twitcher"]).args(words);
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    told.lines().filter(|line| !line.starts_with("--")).map(ToOwned::to_owned).collect()
}

#[test]
fn tab_completes_keys_in_their_own_spelling() {
    let etcd =
        holding(&[("/a", "1"), ("a", "2"), ("foo", "3"), ("foo/bar", "4"), ("fob", "5"), ("/zoo/x", "6")]);
    let store = &etcd.url();
    assert_eq!(completed(store, &["get", ""]), ["/a", "a", "fob", "foo", "/zoo"]);
    assert_eq!(completed(store, &["get", "/"]), ["/a", "/zoo"]);
    assert_eq!(completed(store, &["get", "fo"]), ["fob", "foo"]);
    assert_eq!(completed(store, &["get", "foo"]), ["foo", "foo/"]);
    assert_eq!(completed(store, &["get", "foo/"]), ["foo/bar"]);
    assert_eq!(completed(store, &["get", "/z"]), ["/zoo", "/zoo/"]);
}

#[test]
fn the_tree_view_names_the_shown_key() {
    let etcd = holding(&[("/a", "1"), ("a", "behind"), ("foo/bar", "3")]);
    let store = etcd.url();
    let command = format!("{} tree /", program().display());
    let env = [("TWITCHER_STORE", store.as_str()), ("NO_COLOR", "1")];
    let terminal = Terminal::start((100, 20), &command, &env);
    terminal.until("the tree", |screen| screen.contains("connected") && screen.contains("bar"));
    let named = |key: &str, version: &str| {
        terminal.until(&format!("the key {key} and version {version}"), |screen| {
            let mut words = screen.split_whitespace();
            words.any(|word| word == key) && screen.contains(&format!("version {version}"))
        });
    };
    terminal.press("j");
    named("/a", "2");
    terminal.press("G");
    named("foo/bar", "4");
    etcd.ctl(&["put", "foo/bar", "more"]);
    named("foo/bar", "5");
    etcd.ctl(&["del", "/a"]);
    terminal.press("g");
    terminal.press("j");
    named("a", "3");
    etcd.ctl(&["del", "a"]);
    until("a deleted key that is still shown", || {
        let screen = terminal.screen();
        let mut words = screen.split_whitespace();
        (screen.contains("deleted") && words.any(|word| word == "a")).then_some(())
    });
}

/// etcd denies a range that is wider than the user's permission, even if all existing keys in it are readable.
#[test]
fn a_user_limited_to_slash_sees_only_keys_with_a_slash() {
    let etcd = holding(&[("/a", "1"), ("foo", "2")]);
    for args in [
        &["user", "add", "root:secret"][..],
        &["role", "add", "root"],
        &["user", "grant-role", "root", "root"],
        &["user", "add", "some:word"],
        &["role", "add", "slash"],
        &["role", "grant-permission", "slash", "--prefix=true", "readwrite", "/"],
        &["user", "grant-role", "some", "slash"],
        &["auth", "enable"],
    ] {
        etcd.ctl(args);
    }
    let root = |args: &[&str]| etcd.ctl(&[&["--user=root:secret"][..], args].concat());
    let mut daemon = Daemon::prepare("");
    let word = daemon.path("word");
    std::fs::write(&word, "word\n").unwrap();
    let settings = format!(
        "[store.main]\nurl = \"{}\"\nusername = \"some\"\npassword_file = \"{}\"\n",
        etcd.url(),
        word.display()
    );
    let conf = daemon.path("config/twitcher.conf");
    let before = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, format!("{before}{settings}")).unwrap();
    let say = |daemon: &Daemon, args: &[&str]| daemon.say(&[args, &["--store", "main"]].concat());
    assert_eq!(say(&daemon, &["ls", "/"]), "a\n");
    assert_eq!(say(&daemon, &["ls", "/", "--tree"]), "/a\n");
    assert_eq!(say(&daemon, &["dump", "/"]), "a: \"1\"\n");
    let config = daemon.path("config");
    let config = config.to_str().unwrap();
    let mut monitor = Program::start("main", &["-c", config, "monitor", "/", "--from", "-1"]);
    monitor.says("/a");

    let out = daemon.path("out").display().to_string();
    daemon.write(
        "w.toml",
        &format!(
            "[[watch]]\nname='tree'\nstore='main'\nkey='/'\nwatch_type='tree'\nverify_interval='1s'\naction='cat > {out}.tree'\n\
             [[watch]]\nname='kids'\nstore='main'\nkey='/'\nwatch_type='children'\nverify_interval='1s'\naction='cat > {out}.kids'\n"
        ),
    );
    daemon.run();
    daemon.until_file("out.kids", |text| text == "a\n");
    daemon.until_converged("tree");
    root(&["put", "/b", "3"]);
    root(&["put", "bare", "4"]);
    root(&["put", "/c", "5"]);
    daemon.until_file("out.kids", |text| text == "a\nb\nc\n");
    daemon.until_file("out.tree", |text| text.contains("\"c\""));
    monitor.says("/c");
    assert!(!daemon.read("out.tree").contains("foo") && !monitor.out().contains("bare"));
    let runs = daemon.until_converged("tree")["runs"].clone();
    // A verification compares only keys that this user may read.
    daemon.until_watch("tree", |watch| watch["verified_seconds"].as_f64().is_some_and(|age| age < 0.5));
    assert_eq!(daemon.watch("tree")["runs"], runs);
    assert!(!daemon.log().contains("created again"), "{}", daemon.log());

    // A user with more permissions sees more.
    root(&["role", "grant-permission", "slash", "--prefix=true", "readwrite", ""]);
    daemon.until_file("out.tree", |text| text.contains("\"foo\"") && text.contains("\"bare\""));
    daemon.until_file("out.kids", |text| text == "a\nb\nbare\nc\nfoo\n");
    root(&["put", "foo", "new"]);
    daemon.until_file("out.tree", |text| text.contains("new"));
    assert_eq!(say(&daemon, &["ls", "/", "--tree"]), "/a\n/b\nbare\n/c\nfoo\n");
    root(&["role", "revoke-permission", "slash", "--prefix=true", ""]);
    daemon.until_file("out.kids", |text| text == "a\nb\nc\n");
    daemon.until_file("out.tree", |text| text.contains("\"a\"") && !text.contains("foo"));
    assert!(!daemon.log().contains("created again"), "{}", daemon.log());
}
