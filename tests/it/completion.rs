//! Tab in each shell, with the packaged completions, typed into a terminal.

use std::path::{Path, PathBuf};

use crate::fixture::program::{good, program};
use crate::fixture::terminal::Terminal;

/// A store with a few keys, the generated completions, and the program in PATH.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("twitcher-shell.").tempdir().unwrap();
        let place = Self { dir };
        for key in ["/nginx/port", "/nginx/host", "/nginx/a:b=c", "/zoo"] {
            good(&place.store(), &["put", key, "v"]);
        }
        good("", &["generate", place.path("share").to_str().unwrap()]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn store(&self) -> String {
        format!("dir://{}", self.path("keys").display())
    }

    /// A terminal with a shell that has read these lines.
    fn shell(&self, shell: &str, package: &str, args: &str, lines: &str) -> Terminal {
        assert!(Path::new(shell).exists(), "{shell} is missing: apt-get install {package}");
        let file = self.path("start");
        std::fs::write(&file, lines).unwrap();
        let path = format!("{}:/usr/bin:/bin", program().parent().unwrap().display());
        let home = self.dir.path().to_str().unwrap();
        let share = self.path("share");
        let env = [
            ("PATH", path.as_str()),
            ("HOME", home),
            ("XDG_DATA_DIRS", share.to_str().unwrap()),
            ("XDG_CONFIG_HOME", home),
            ("SHARE", share.to_str().unwrap()),
            ("START", file.to_str().unwrap()),
        ];
        // Wide, because a wrapped line cannot be found on the screen.
        Terminal::start((300, 30), &format!("{shell} {args}"), &env)
    }
}

/// Keys with characters that are special to a shell, with the typed beginning and the value of each.
const ODD: [(&str, &str, &str); 12] = [
    ("/c/semi;rm", "/c/se", "semi"),
    ("/c/tick`id`", "/c/ti", "tick"),
    ("/c/dollar$HOME", "/c/dol", "dollar"),
    ("/c/with space", "/c/wi", "blank"),
    ("/c/quo'te", "/c/qu", "quote"),
    ("/c/dou\"ble", "/c/dou", "double"),
    ("/c/back\\slash", "/c/ba", "backslash"),
    ("/c/star*", "/c/st", "star"),
    ("/c/amp&(a)|<b>", "/c/am", "ampersand"),
    ("/c/hash #x!y", "/c/ha", "hash"),
    ("/c/{a,b}~", "/c/{", "brace"),
    ("/c/col:on=x y", "/c/co", "colon"),
];

/// Every completion is one shell word that is exactly the key, so that the program gets that key.
fn odd_keys_are_one_word(terminal: &Terminal, store: &str, begin: &[&str]) {
    terminal.shows("ready>");
    for (key, typed, value) in ODD {
        good(store, &["put", key, &format!("is-{value}")]);
        for open in begin {
            // A word that begins like a glob is not completed.
            if typed.ends_with('{') && open.is_empty() {
                continue;
            }
            let end = typed.rsplit('/').next().unwrap();
            let line = format!("twitcher get --store {store} {open}{typed}");
            completes_to(terminal, &line, end, &format!("is-{value}"));
        }
    }
}

/// Types a line, Tab and Enter: the completed line makes the program print a value.
fn completes_to(terminal: &Terminal, line: &str, end: &str, value: &str) {
    terminal.types(&format!("clear; {line}"));
    terminal.until("the line", |screen| screen.trim_end().ends_with(end) && screen.contains("ready>"));
    terminal.press("Tab");
    terminal.until(&format!("more than {line}"), |screen| {
        !screen.trim_end().ends_with(end) && screen.contains(end)
    });
    terminal.press("Enter");
    terminal.until(&format!("{value} for {line}"), |screen| {
        screen.lines().any(|line| line.trim_end() == value) && screen.trim_end().ends_with("ready>")
    });
}

/// Each command that completes keys, up to the key.
const COMMANDS: [&str; 10] =
    ["get", "put", "del", "ls", "tree", "dump", "load - --at", "monitor", "watch", "watch /a --once"];

/// A program in the place of twitcher, which completes as twitcher does and else prints its last argument.
fn printing(place: &Place) -> PathBuf {
    let directory = place.path("printing");
    std::fs::create_dir_all(&directory).unwrap();
    let text = format!(
        "#!/bin/bash\nif [ \"$COMPLETE\" ]; then exec '{}' \"$@\"; fi\nprintf '<%s>\\n' \"${{@: -1}}\"\n",
        program().display()
    );
    crate::fixture::executable::write(&directory.join("twitcher"), &text);
    directory
}

/// What each command that completes keys puts on the line is one word of the shell that is exactly the key.
fn every_command_gets_odd_keys_as_one_word(terminal: &Terminal, place: &Place) {
    let store = place.store();
    terminal.types(&format!(
        "export TWITCHER_STORE={store}; export PATH={}:/usr/bin:/bin",
        printing(place).display()
    ));
    terminal.press("Enter");
    for (key, _, _) in ODD {
        good(&store, &["put", key, "v"]);
    }
    for command in COMMANDS {
        for (key, typed, _) in ODD.iter().filter(|(_, typed, _)| !typed.ends_with('{')) {
            let end = typed.rsplit('/').next().unwrap();
            completes_to(terminal, &format!("twitcher {command} {typed}"), end, &format!("<{key}>"));
        }
    }
}

/// Types a line and Tab, waits for what it becomes, and empties the line.
fn tab(terminal: &Terminal, typed: &str, completed: &str) {
    terminal.types(typed);
    terminal.press("Tab");
    terminal.until(&format!("`{completed}` in the place of `{typed}`"), |screen| {
        screen.lines().any(|line| line.trim_end().ends_with(completed.trim_end()))
    });
    terminal.press("C-u");
}

fn keys_are_completed(terminal: &Terminal, place: &Place) {
    let (store, home) = (&place.store(), place.dir.path().to_str().unwrap());
    std::fs::create_dir_all(place.path("config")).unwrap();
    let watch = "[[watch]]\nkey = '/greeting'\nuid = 'nobody-here'\naction = 'cat'\n";
    std::fs::write(place.path("config/greeting.toml"), watch).unwrap();
    let with = format!("twitcher get --store {store}");
    terminal.shows("ready>");
    tab(terminal, &format!("{with} /z"), &format!("{with} /zoo"));
    tab(terminal, &format!("{with} /nginx/p"), &format!("{with} /nginx/port"));
    tab(terminal, &format!("twitcher ls --store={store} /z"), &format!("twitcher ls --store={store} /zoo"));
    tab(
        terminal,
        &format!("twitcher tree --store {store} /z"),
        &format!("twitcher tree --store {store} /zoo"),
    );
    tab(terminal, "twitcher mon", "twitcher monitor");
    // Watches of the configuration that the line names, whether a daemon runs or not.
    let config = "twitcher -c $HOME/config";
    for command in ["status", "explain", "history", "trigger", "wait", "pause", "resume"] {
        let line = format!("{config} {command} gre");
        tab(terminal, &line.replace("$HOME", home), &format!("{command} greeting"));
    }
    tab(terminal, &format!("twitcher check {home}/config/gr"), "/config/greeting.toml");
    tab(terminal, "twitcher status --check=na", "--check=nagios");
    tab(terminal, "twitcher status --color ne", "--color never");
}

#[test]
fn bash_completes_keys_behind_a_url() {
    let place = Place::new();
    let lines = "PS1='ready> '; source \"$SHARE/bash-completion/completions/twitcher\"";
    let start = format!("--rcfile {}", place.path("start").display());
    let terminal = place.shell("/bin/bash", "bash", &start, lines);
    keys_are_completed(&terminal, &place);
    // bash splits words also at what a key has.
    let with = format!("twitcher get --store {}", place.store());
    tab(&terminal, &format!("{with} /nginx/a:b"), &format!("{with} /nginx/a:b=c"));
    odd_keys_are_one_word(&terminal, &place.store(), &["", "'", "\"", "$'"]);
    // A line feed, which only bash receives.
    good(&place.store(), &["put", "/c/new\nline", "is-line"]);
    for open in ["", "'", "\"", "$'"] {
        completes_to(&terminal, &format!("{with} {open}/c/ne"), "/c/ne", "is-line");
    }
    // The common prefix of several keys.
    for key in ["/d/a b;1", "/d/a b;2"] {
        good(&place.store(), &["put", key, &format!("is-{}", &key[7..])]);
    }
    for (open, between, close) in [("", "\\ b\\;", ""), ("'", " b;'", "")] {
        terminal.types(&format!("clear; {with} {open}/d/a"));
        terminal.until("the line", |screen| screen.trim_end().ends_with("/d/a"));
        terminal.press("Tab");
        terminal.until("the common prefix", |screen| {
            screen.trim_end().ends_with(&format!("/d/a{between}{close}"))
        });
        // There are two candidates: nothing is chosen, and nothing is broken.
        terminal.press("Tab");
        terminal.press("Tab");
        terminal.until("both", |screen| {
            let mut below = screen.lines().filter(|line| !line.contains("ready>"));
            below.any(|line| line.trim_end().ends_with('2') && line.contains('1'))
        });
        terminal.types("2");
        terminal.press("Enter");
        terminal.until("its value", |screen| {
            screen.lines().any(|line| line.trim_end() == "is-2") && screen.trim_end().ends_with("ready>")
        });
    }
}

#[test]
fn zsh_completes_keys_behind_a_url() {
    let place = Place::new();
    let lines =
        "PS1='ready> '; fpath=($SHARE/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D";
    std::fs::write(place.path(".zshrc"), lines).unwrap();
    let terminal = place.shell("/usr/bin/zsh", "zsh", "--no-globalrcs", lines);
    keys_are_completed(&terminal, &place);
    odd_keys_are_one_word(&terminal, &place.store(), &["", "'"]);
}

#[test]
fn fish_completes_keys_behind_a_url() {
    let place = Place::new();
    let lines = "function fish_prompt; echo 'ready> '; end; set -g fish_greeting; set -g fish_autosuggestion_enabled 0";
    let start = format!("--init-command 'source {}'", place.path("start").display());
    let terminal = place.shell("/usr/bin/fish", "fish", &start, lines);
    keys_are_completed(&terminal, &place);
    odd_keys_are_one_word(&terminal, &place.store(), &["", "'"]);
}

#[test]
fn bash_completes_odd_keys_of_every_command() {
    let place = Place::new();
    let lines = "PS1='ready> '; source \"$SHARE/bash-completion/completions/twitcher\"";
    let start = format!("--rcfile {}", place.path("start").display());
    every_command_gets_odd_keys_as_one_word(&place.shell("/bin/bash", "bash", &start, lines), &place);
}

#[test]
fn zsh_completes_odd_keys_of_every_command() {
    let place = Place::new();
    let lines =
        "PS1='ready> '; fpath=($SHARE/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D";
    std::fs::write(place.path(".zshrc"), lines).unwrap();
    every_command_gets_odd_keys_as_one_word(
        &place.shell("/usr/bin/zsh", "zsh", "--no-globalrcs", lines),
        &place,
    );
}

#[test]
fn fish_completes_odd_keys_of_every_command() {
    let place = Place::new();
    let lines = "function fish_prompt; echo 'ready> '; end; set -g fish_greeting; set -g fish_autosuggestion_enabled 0";
    let start = format!("--init-command 'source {}'", place.path("start").display());
    every_command_gets_odd_keys_as_one_word(&place.shell("/usr/bin/fish", "fish", &start, lines), &place);
}
