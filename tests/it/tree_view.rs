//! `twitcher tree`: as text for pipes, and what it says without a terminal.

use assert_cmd::Command;

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
    assert_eq!(output.status.code(), Some(1));
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
