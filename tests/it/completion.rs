//! Tab in each shell, with the completions that packages ship, typed into a terminal.

use std::path::{Path, PathBuf};

use crate::fixture::program::{good, program};
use crate::fixture::terminal::Terminal;

/// A store with a few keys, what `generate` writes, and the program in the path.
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
        // Wide, because a line that is wrapped cannot be found on the screen.
        Terminal::start((300, 30), &format!("{shell} {args}"), &env)
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

fn keys_are_completed(terminal: &Terminal, store: &str) {
    let with = format!("twitcher get --store {store}");
    terminal.shows("ready>");
    tab(terminal, &format!("{with} /z"), &format!("{with} /zoo"));
    tab(terminal, &format!("{with} /nginx/p"), &format!("{with} /nginx/port"));
    tab(terminal, &format!("twitcher ls --store={store} /z"), &format!("twitcher ls --store={store} /zoo"));
    tab(terminal, "twitcher mon", "twitcher monitor");
}

#[test]
fn bash_completes_keys_behind_a_url() {
    let place = Place::new();
    let lines = "PS1='ready> '; source \"$SHARE/bash-completion/completions/twitcher\"";
    let start = format!("--rcfile {}", place.path("start").display());
    let terminal = place.shell("/bin/bash", "bash", &start, lines);
    keys_are_completed(&terminal, &place.store());
    // bash splits words also at what a key has.
    let with = format!("twitcher get --store {}", place.store());
    tab(&terminal, &format!("{with} /nginx/a:b"), &format!("{with} /nginx/a:b=c"));
}

#[test]
fn zsh_completes_keys_behind_a_url() {
    let place = Place::new();
    let lines =
        "PS1='ready> '; fpath=($SHARE/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D";
    std::fs::write(place.path(".zshrc"), lines).unwrap();
    let terminal = place.shell("/usr/bin/zsh", "zsh", "--no-globalrcs", lines);
    keys_are_completed(&terminal, &place.store());
}

#[test]
fn fish_completes_keys_behind_a_url() {
    let place = Place::new();
    let lines = "function fish_prompt; echo 'ready> '; end; set -g fish_greeting; set -g fish_autosuggestion_enabled 0";
    let start = format!("--init-command 'source {}'", place.path("start").display());
    let terminal = place.shell("/usr/bin/fish", "fish", &start, lines);
    keys_are_completed(&terminal, &place.store());
}
