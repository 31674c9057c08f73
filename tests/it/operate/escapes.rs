//! Names that others chose contain no escape sequences when they reach a terminal.

use crate::fixture::daemon::Daemon;

#[test]
fn no_output_about_a_watch_contains_terminal_escapes() {
    let mut daemon = Daemon::prepare("");
    let keys = daemon.path("keys");
    // The store's error names the link, whose name another user chose.
    let link = "round\u{1b}]0;owned\u{7}\u{9b}31m";
    std::os::unix::fs::symlink(link, keys.join(link)).unwrap();
    let name = "k\u{1b}[31m";
    std::fs::write(keys.join(name), "v").unwrap();
    daemon.write("a.toml", "[[watch]]\nkey = \"/k\\u001b[31m\"\naction = 'printf \"\\033[31mred\"'\n");
    daemon.write("b.toml", "[[watch]]\nkey = \"/round\\u001b]0;owned\\u0007\\u009b31m\"\naction = 'true'\n");
    daemon.write("bad\u{1b}[2J.toml", "nonsense\u{1b}[2J = 1\n");
    daemon.run();
    daemon.until_runs("a", 1);
    daemon.until_watch("b", |watch| watch["error"].is_string());
    let asked: [&[&str]; 8] = [
        &["status"],
        &["status", "a"],
        &["status", "b"],
        &["explain", "a"],
        &["explain", "b"],
        &["history", "a"],
        &["check"],
        &["check", "--online"],
    ];
    for args in asked {
        let output = daemon.ask(args);
        for text in [&output.stdout, &output.stderr] {
            let text = std::str::from_utf8(text).unwrap();
            let steers = |c: char| c.is_control() && c != '\n';
            assert!(!text.contains(steers), "{args:?}: {text:?}");
        }
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
    let history = daemon.say(&["history", "a"]);
    assert!(history.contains("\\x1b[31mred"), "{history}");
}
