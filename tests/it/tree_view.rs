//! `twitcher tree`: as text for pipes, its error without a terminal, and its behaviour in a terminal.

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
fn once_prints_the_tree_and_exits() {
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
fn without_a_terminal_the_error_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let output = tree(dir.path(), &["/"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("no terminal: use --once"));
}

/// A directory with these files as keys.
fn keys(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (file, value) in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value).unwrap();
    }
    dir
}

/// The view in a terminal, and its exit status afterwards.
fn view(size: (u16, u16), url: &str, args: &str) -> Terminal {
    let command = format!("{} tree {args}; echo status $?; read -r _", env!("CARGO_BIN_EXE_twitcher"));
    Terminal::start(size, &command, &[("TWITCHER_STORE", url)])
}

fn view_of(size: (u16, u16), dir: &tempfile::TempDir) -> Terminal {
    let terminal = view(size, &format!("dir://{}", dir.path().display()), "/");
    // The number of keys is shown once all of them are read: a key pressed earlier moves within what is loaded.
    terminal.shows("connected · ");
    terminal
}

#[test]
fn once_prints_full_values_into_a_pipe_and_cuts_them_on_a_terminal() {
    let long = format!("{}|", "0123456789".repeat(30));
    let dir = keys(&[("long", &long)]);
    let output = tree(dir.path(), &["/", "--once"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("/\n└─ long = {long}\n"));
    let terminal = view((60, 10), &format!("dir://{}", dir.path().display()), "--once");
    let screen = terminal.shows("status 0");
    let cut = format!("/\n└─ long = {}…\nstatus 0", &long[..60 - 11]);
    assert!(screen.starts_with(&cut), "{screen}");
}

#[test]
fn a_store_that_is_never_reached_ends_the_view_after_the_timeout() {
    let terminal = view((100, 10), "etcd://127.0.0.1:1", "/ --timeout 500ms");
    let screen = terminal.shows("status 1");
    assert!(screen.contains("Connection refused") && screen.contains("is it running"), "{screen}");
}

#[test]
fn a_refused_subtree_is_not_a_lost_connection() {
    let dir = keys(&[("a", "1")]);
    std::os::unix::fs::symlink("m", dir.path().join("m")).unwrap();
    for size in [(40, 12), (120, 12)] {
        let terminal = view(size, &format!("dir://{}", dir.path().display()), "/m");
        let in_words = |screen: &str| screen.split_whitespace().collect::<Vec<_>>().join(" ");
        let screen =
            terminal.until("a reason", |screen| in_words(screen).contains("follow the symbolic link"));
        assert!(screen.contains("connected") && !screen.contains("NOT CONNECTED"), "{screen}");
    }
}

/// Clusters whose width terminals disagree on: rows are redrawn over each other, and no remains are left.
#[test]
fn wide_clusters_leave_no_artifacts() {
    let shown = [
        ("👩\u{200d}👩\u{200d}👧\u{200d}👦", "👩\\u{200d}👩\\u{200d}👧\\u{200d}👦"),
        ("🇪🇺🇫🇷", "\\u{1f1ea}\\u{1f1fa}\\u{1f1eb}\\u{1f1f7}"),
        ("❤\u{fe0f}", "❤\\u{fe0f}"),
        ("👍🏽", "👍\\u{1f3fd}"),
        ("1\u{fe0f}\u{20e3}", "1\\u{fe0f}\\u{20e3}"),
        ("한글", "한글"),
        ("e\u{301}", "e\u{301}"),
    ];
    let rows: Vec<(String, &str, &str)> =
        (0..70).map(|number| (format!("k{number:02}"), shown[number % 7].0, shown[number % 7].1)).collect();
    let files: Vec<(&str, &str)> = rows.iter().map(|(file, value, _)| (file.as_str(), *value)).collect();
    let dir = keys(&files);
    let terminal = view_of((60, 20), &dir);
    terminal.press("v");
    for key in ["C-d", "j", "C-d", "k", "C-u", "j", "C-d"] {
        terminal.press(key);
    }
    let screen = terminal.shows("38/71");
    let seen: Vec<&str> = screen.lines().filter(|line| line.contains("k2") || line.contains("k3")).collect();
    assert!(seen.len() > 10, "{screen}");
    for line in seen {
        let (_, row) = line.split_once('k').unwrap();
        let row = format!("k{}", row.trim_end_matches([' ', '┃']));
        assert!(rows.iter().any(|(file, _, shown)| row == format!("{file} = {shown}")), "{row}:\n{screen}");
    }
}

#[test]
fn help_can_be_scrolled_on_a_small_terminal() {
    let dir = keys(&[("a", "1")]);
    let terminal = view_of((40, 8), &dir);
    terminal.press("?");
    terminal.shows("Keys");
    let mut read = String::new();
    terminal.until("the last line", |screen| {
        read.push_str(screen);
        terminal.press("Down");
        screen.contains("leave")
    });
    for word in ["wheel", "Ctrl-L", "Ctrl-Z", "Ctrl-W", "expand"] {
        assert!(read.contains(word), "{word}: {read}");
    }
    terminal.press("q");
    terminal.until("the tree", |screen| screen.contains("▾ /") || screen.contains("status 0"));
}

#[test]
fn an_erased_search_returns_to_its_start() {
    let dir = keys(&[("a", "1"), ("b/c/needle", "2"), ("z", "3")]);
    let terminal = view_of((60, 12), &dir);
    terminal.press("j");
    terminal.shows("2/");
    for erase in ["C-u", "C-w"] {
        terminal.types("/needle");
        terminal.shows("1 of 1");
        terminal.press(erase);
        terminal.shows("part of a name");
        terminal.press("Escape");
        terminal.shows("2/");
    }
}

/// In a terminal of `script`'s own, which is restored when the view is terminated.
#[test]
fn the_terminal_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("keys");
    std::fs::create_dir(&store).unwrap();
    std::fs::write(store.join("k"), "ZZZZZZ").unwrap();
    let shown = dir.path().join("shown");
    // The view is terminated once the value is on the screen. The pattern does not match its own command line.
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

/// The view in a terminal, with keys and a mouse, while the store changes, is killed and restarted.
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
    // A click selects, and the value is shown beside it; another click shows it as JSON.
    let place = (9, row(&screen, "two"));
    terminal.mouse(0, place, true);
    terminal.mouse(0, place, false);
    terminal.shows("/v/a/two");
    terminal.press("2");
    terminal.shows("\"x\": 1");
    // Writes of others appear, and are marked.
    good(url, &["put", "/v/a/three", "3"]);
    terminal.until("a new key", |screen| {
        screen.lines().any(|line| line.contains("three") && line.trim_start().starts_with(['◆', '+', '●']))
    });
    // A click on the arrow of an open object closes it.
    let place = (5, row(&terminal.screen(), "▾ a"));
    terminal.mouse(0, place, true);
    terminal.mouse(0, place, false);
    terminal.until("a closed object", |screen| screen.contains("▸ a") && !screen.contains("three"));
    // Everything is redrawn on request, and the view goes on.
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
fn the_view_follows_etcd() {
    let etcd = std::cell::RefCell::new(Etcd::start());
    let url = etcd.borrow().url();
    the_view_lives_with_its_store(&url, || etcd.borrow_mut().kill(), || etcd.borrow_mut().start_again());
}

#[test]
fn the_view_follows_zookeeper() {
    let server = std::cell::RefCell::new(ZooKeeper::start());
    let url = server.borrow().url();
    the_view_lives_with_its_store(&url, || server.borrow_mut().kill(), || server.borrow_mut().start_again());
}
