//! `twitcher tree`: as text for pipes, what it says without a terminal, and how it lives in one.

use assert_cmd::Command;

use crate::fixture::etcd::Etcd;
use crate::fixture::program::good;
use crate::fixture::terminal::Terminal;
use crate::fixture::zookeeper::ZooKeeper;

fn tree(store: &std::path::Path, args: &[&str]) -> std::process::Output {
    let mut command = Command::cargo_bin("twitcher").unwrap();
    let store = format!("dir://{}", store.display());
    command.args(["tree", "--store", &store]).args(args).output().unwrap()
}

#[test]
fn once_prints_the_tree_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("nginx/upstream")).unwrap();
    for (file, value) in [
        ("nginx/port", &b"8080\n"[..]),
        ("nginx/upstream/a", b"10.0.0.1"),
        ("nginx/upstream/b", b"\x1b[31m"),
        ("nginx/zip", b"\xff\x00"),
    ] {
        std::fs::write(dir.path().join(file), value).unwrap();
    }
    let output = tree(dir.path(), &["/nginx", "--once"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    /nginx
    ├─ port = 8080
    ├─ upstream
    │  ├─ a = 10.0.0.1
    │  └─ b = \u{1b}[31m
    └─ zip = <2 bytes>
    ");
    let output = tree(dir.path(), &["/none", "--once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("`/none` does not exist in "));
    assert_eq!(tree(dir.path(), &["/", "--once"]).status.code(), Some(0));
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let output = tree(dir.path(), &["/"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("no terminal: use --once"));
}

/// In a terminal of `script`'s own, which is given back as it was when the view is terminated.
#[test]
fn the_terminal_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("keys");
    std::fs::create_dir(&store).unwrap();
    std::fs::write(store.join("k"), "ZZZZZZ").unwrap();
    let shown = dir.path().join("shown");
    // The view is ended once the value is on the screen. The pattern does not match its own command line.
    let inside = format!(
        "stty rows 20 cols 90; before=$(stty -g); {} tree / --store dir://{} & view=$!; \
         i=0; until grep -q 'ZZZ[Z]ZZ' {} || [ $i -ge 600 ]; do sleep 0.1; i=$((i+1)); done; \
         kill -TERM $view; wait $view; echo \"status $?\"; [ \"$before\" = \"$(stty -g)\" ] && echo as-before",
        env!("CARGO_BIN_EXE_twitcher"),
        store.display(),
        shown.display(),
    );
    let mut command = std::process::Command::new("script");
    command.args(["--quiet", "--flush", "--command", &inside]).arg(&shown);
    let output = command.env("TERM", "xterm").env("SHELL", "/bin/sh").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let (view, after) = said.rsplit_once("\x1b[?1049l").unwrap_or_else(|| panic!("{said}"));
    assert!(view.contains("ZZZZZZ"), "{said}");
    assert!(after.contains("status 0") && after.contains("as-before"), "{said}");
}

/// The view in a terminal, with keys and a mouse, while the store changes, is killed and comes back.
fn the_view_lives_with_its_store(url: &str, mut kill: impl FnMut(), mut start: impl FnMut()) {
    for (key, value) in [("/v/a/one", "1"), ("/v/a/two", r#"{"x":1}"#), ("/v/b", "text")] {
        good(url, &["put", key, value]);
    }
    let command = format!("{} tree /v; echo status $?", env!("CARGO_BIN_EXE_twitcher"));
    let env = [("TWITCHER_STORE", url), ("NO_COLOR", "1")];
    let terminal = Terminal::start((100, 20), &command, &env);
    let screen = terminal.until("the tree", |screen| screen.contains("connected") && screen.contains("one"));
    let row = |screen: &str, text: &str| {
        let row = screen.lines().position(|line| line.contains(text)).unwrap();
        u16::try_from(row + 1).unwrap()
    };
    // A click selects, and the value stands beside it, as JSON by a click as well.
    let place = (9, row(&screen, "two"));
    terminal.mouse(0, place, true);
    terminal.mouse(0, place, false);
    terminal.shows("/v/a/two");
    terminal.press("2");
    terminal.shows("\"x\": 1");
    // What others write is there, and marked.
    good(url, &["put", "/v/a/three", "3"]);
    terminal.until("a new key", |screen| {
        screen.lines().any(|line| line.contains("three") && line.trim_start().starts_with(['◆', '+', '●']))
    });
    // A click on the arrow of an object that is open closes it.
    let place = (5, row(&terminal.screen(), "▾ a"));
    terminal.mouse(0, place, true);
    terminal.mouse(0, place, false);
    terminal.until("a closed object", |screen| screen.contains("▸ a") && !screen.contains("three"));
    // Everything is drawn anew when somebody asks, and goes on.
    terminal.press("C-l");
    // 40 columns hold the tree, with the value below.
    terminal.resize((40, 14));
    terminal.press("G");
    let narrow = terminal.until("a narrow view", |screen| screen.contains("/v/b") && screen.contains("text"));
    assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    kill();
    terminal.shows("NOT CONNECTED");
    terminal.resize((100, 20));
    start();
    terminal.until("a connection", |screen| screen.contains(" connected"));
    good(url, &["put", "/v/after", "all"]);
    terminal.shows("after");
    terminal.press("/");
    terminal.types("thr");
    terminal.press("Enter");
    terminal.shows("/v/a/three");
    terminal.press("q");
    terminal.shows("status 0");
}

#[test]
fn the_view_lives_with_etcd() {
    let etcd = std::cell::RefCell::new(Etcd::start());
    let url = etcd.borrow().url();
    the_view_lives_with_its_store(&url, || etcd.borrow_mut().kill(), || etcd.borrow_mut().start_again());
}

#[test]
fn the_view_lives_with_zookeeper() {
    let server = std::cell::RefCell::new(ZooKeeper::start());
    let url = server.borrow().url();
    the_view_lives_with_its_store(&url, || server.borrow_mut().kill(), || server.borrow_mut().start_again());
}
