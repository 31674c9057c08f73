//! `twitcher check`: what it finds, how it shows that, and what it may see.

mod online;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use crate::fixture::executable;

const NOBODY: u32 = 65534;

/// Checks a watch file as nobody, who cannot reach the directory of this binary.
fn check_as_nobody(watch: &str) -> Output {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let binary = place.path().join("twitcher");
    executable::copy(env!("CARGO_BIN_EXE_twitcher"), &binary);
    let config = place.path().join("config");
    std::fs::create_dir(&config).unwrap();
    std::fs::write(config.join("a.toml"), watch).unwrap();
    Command::new(binary).args(["check", "-c"]).arg(config).uid(NOBODY).gid(NOBODY).output().unwrap()
}

#[test]
fn files_for_a_root_daemon_pass_for_any_user() {
    let checked = check_as_nobody("[[watch]]\nkey='/a'\naction='true'\nuid='daemon'\ngid='daemon'\n");
    let (out, note) = (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success(), "{out}{note}");
    assert!(note.contains("as for a daemon that runs as root"), "{note}");
}

#[test]
fn an_unknown_user_is_a_problem_for_any_user() {
    let checked = check_as_nobody("[[watch]]\nkey='/a'\naction='true'\nuid='no-such-user'\n");
    assert_eq!(checked.status.code(), Some(1));
    let out = String::from_utf8_lossy(&checked.stdout);
    assert!(out.contains("there is no user `no-such-user`"), "{out}");
}

#[test]
fn there_is_no_note_if_no_account_is_named() {
    let checked = check_as_nobody("[[watch]]\nkey='/a'\naction='true'\n");
    assert!(checked.status.success());
    assert_eq!(String::from_utf8_lossy(&checked.stderr), "");
}

/// The problems of a `twitcher.conf` with a store that names this file, checked as root.
fn check_file(field: &str, prepare: impl FnOnce(&std::path::Path)) -> (bool, String) {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = place.path().join("secret");
    prepare(&file);
    let table = match field {
        "password_file" => "url = 'etcd://a'\nusername = 'u'\n",
        "digest_file" => "url = 'zookeeper://a'\n",
        _ => "url = 'etcd://a'\n[store.main.tls]\n",
    };
    let conf = format!("[store.main]\n{table}{field} = '{}'\n", file.display());
    std::fs::write(place.path().join("twitcher.conf"), conf).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_twitcher"));
    let checked = command.args(["check", "-c"]).arg(place.path()).output().unwrap();
    (checked.status.success(), String::from_utf8_lossy(&checked.stdout).into_owned())
}

fn write(text: &str, mode: u32) -> impl FnOnce(&std::path::Path) {
    move |path| {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn check_reads_the_files_of_stores() {
    let (well, told) = check_file("password_file", write("hunter2\n", 0o600));
    assert!(well && !told.contains("warning"), "{told}");
    let pipe = |path: &std::path::Path| {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    };
    for (field, (well, told), expected) in [
        ("password_file", check_file("password_file", |_| ()), "No such file"),
        ("password_file", check_file("password_file", write("\n", 0o600)), "it is empty"),
        ("password_file", check_file("password_file", pipe), "it is not a regular file"),
        ("digest_file", check_file("digest_file", write("hunter2\n", 0o600)), "`user:password`"),
        ("ca", check_file("ca", write("hunter2\n", 0o644)), "it holds no certificate in PEM"),
    ] {
        assert!(!well && told.contains(expected), "{field}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let (well, told) = check_file("password_file", write("hunter2\n", 0o644));
    assert!(
        well && told.contains("warning") && told.contains("is readable by everyone (mode 0644)"),
        "{told}"
    );
    let theirs = |path: &std::path::Path| {
        write("hunter2\n", 0o600)(path);
        std::os::unix::fs::chown(path, Some(NOBODY), None).unwrap();
    };
    let (well, told) = check_file("password_file", theirs);
    assert!(!well && told.contains("belongs to user 65534"), "{told}");
}

#[test]
fn a_secret_in_the_settings_is_not_shown() {
    let place = tempfile::tempdir().unwrap();
    let conf = "[store.main]\nurl = 'etcd://a'\npassword = 'hunter2'\n";
    std::fs::write(place.path().join("twitcher.conf"), conf).unwrap();
    std::fs::write(place.path().join("key.toml"), "hunter2\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_twitcher"));
    let checked = command.args(["check", "-c"]).arg(place.path()).output().unwrap();
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(
        told.contains("unknown field of a store table `password`") && told.contains("password_file ="),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
}

/// A configuration directory.
struct Site(tempfile::TempDir);

impl Site {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let site = Self(place);
        for (name, text) in files {
            site.write(name, text);
        }
        site
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    /// What the command prints, and its exit status.
    fn check(&self, args: &[&str]) -> (String, Option<i32>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twitcher"));
        let output = command.arg("check").args(args).arg("-c").arg(self.0.path()).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(!told.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        (told.replace(self.0.path().to_str().unwrap(), "ETC"), output.status.code())
    }
}

const GOOD: &str = "[[watch]]\nkey = '/a'\naction = 'true'\n";

#[test]
fn only_what_is_not_right_is_shown_and_the_rest_counted() {
    let site = Site::new(&[("a.toml", GOOD), ("b.toml", GOOD), ("twitcher.conf", "log = 'stderr'\n")]);
    assert_eq!(site.check(&[]), ("3 files, 2 watches: no problems\n".to_owned(), Some(0)));
    let (named, _) = site.check(&["-v"]);
    assert_eq!(
        named,
        "ETC/twitcher.conf: ok\nETC/a.toml: ok\nETC/b.toml: ok\n3 files, 2 watches: no problems\n"
    );

    site.write("bad.toml", "[[watch]]\nkey = '/a'\nactoin = 'true'\n");
    site.write("odd.toml", "[[watch]]\nkey = '/a'\naction = ['no-such-program']\nmax_parallel = 3\n");
    let (told, code) = site.check(&[]);
    assert!(told.ends_with("\n5 files, 3 watches: 1 error, 2 warnings\n"), "{told}");
    assert!(
        !told.contains("ETC/a.toml") && told.contains("ETC/bad.toml:3:1: error: unknown field"),
        "{told}"
    );
    assert_eq!(code, Some(1));
    std::fs::remove_file(site.0.path().join("bad.toml")).unwrap();
    assert_eq!(site.check(&[]).1, Some(0), "warnings only");
    assert_eq!(site.check(&["--strict"]).1, Some(1));
    assert!(Site::new(&[]).check(&[]).0.contains("0 files, 0 watches: nothing to check"));
}

#[test]
fn what_is_found_can_be_read_by_programs() {
    let site = Site::new(&[("a.toml", GOOD), ("bad.toml", "[[watch]]\nkey = '/a'\nactoin = 'true'\n")]);
    let (told, code) = site.check(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &json["files"], &json["watches"]), (Some(1), &2.into(), &1.into()));
    assert_eq!((&json["errors"], &json["warnings"]), (&1.into(), &0.into()));
    let problem = serde_json::json!({
        "file": "ETC/bad.toml", "line": 3, "column": 1, "severity": "error", "message": "unknown field `actoin`",
        "hint": "did you mean `action`? for example `action = [\"systemctl\", \"reload\", \"nginx\"]`",
    });
    assert_eq!(json["problems"], serde_json::json!([problem]));
    assert_eq!(site.check(&["--output-format", "json"]).0, told);

    let (told, code) = site.check(&["--output-format", "github"]);
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("::error file=ETC/bad.toml,line=3,col=1::unknown field `actoin`%0Adid you mean"),
        "{told}"
    );
    assert_eq!((lines[1..].to_vec(), code), (vec!["2 files, 1 watch: 1 error"], Some(1)));
}

#[test]
fn a_broken_twitcher_conf_is_one_message() {
    let site = Site::new(&[("twitcher.conf", "log_levle = 'info'\n")]);
    for number in 0..20 {
        site.write(&format!("{number}.toml"), GOOD);
    }
    let (told, code) = site.check(&[]);
    assert!(told.ends_with("\n21 files, 20 watches: 1 error\n"), "{told}");
    assert!(told.contains("ETC/twitcher.conf:1:1: error: unknown setting `log_levle`"), "{told}");
    assert_eq!(code, Some(1));
}

#[test]
fn files_that_look_like_mistakes_are_warned_of() {
    let site = Site::new(&[("a.toml", GOOD), ("b.tml", GOOD), ("c.TOML", GOOD), ("old.twc", "register()")]);
    site.write("README.md", "no watch");
    let (told, code) = site.check(&[]);
    for name in ["b.tml", "c.TOML", "old.twc"] {
        assert!(
            told.contains(&format!("ETC/{name}: warning: not read: a watch file ends with `.toml`")),
            "{told}"
        );
    }
    assert!(
        told.contains("`mv 'ETC/b.tml' 'ETC/b.toml'`") && told.contains("`twitcher convert 'ETC/old.twc'`"),
        "{told}"
    );
    assert!(told.ends_with("\n1 file, 1 watch: 3 warnings\n"), "{told}");
    assert_eq!(code, Some(0));
}

/// What makes every run fail is found before the first.
#[test]
fn programs_directories_and_shell_are_looked_at() {
    let site = Site::new(&[]);
    let place = site.0.path().join("scripts");
    std::fs::create_dir(&place).unwrap();
    let script = |name: &str, text: &str| {
        let file = place.join(name);
        executable::write(&file, text);
        file.display().to_string()
    };
    let (good, bad) = (script("good", "#!/bin/sh\ntrue\n"), script("bad", "#!/bin/sh\nif true\n"));
    let lost = script("lost", "#!/no/such/shell\n");
    for (lines, told) in [
        ("action = ['no-such-program']".to_owned(), "warning: there is no program `no-such-program` in PATH"),
        ("action = ['/no/such/program']".to_owned(), "warning: there is no program `/no/such/program`"),
        ("action = ['/etc/passwd']".to_owned(), "warning: /etc/passwd is not an executable file"),
        (format!("action = ['{lost}']"), "the interpreter `/no/such/shell` that the first line of"),
        (format!("action = '{lost} x'"), "the interpreter `/no/such/shell` that the first line of"),
        (format!("action = ['{bad}']"), "scripts/bad: line "),
        (
            "action = 'no-such-program --x'".to_owned(),
            "warning: there is no program `no-such-program` in PATH",
        ),
        ("action = 'if true'".to_owned(), "error: `action` is not valid shell: "),
        ("action = ['sh', '-c', 'if true']".to_owned(), "error: `action` is not valid shell: "),
        ("script = \"#!/bin/sh\\nif true\\n\"".to_owned(), "error: `script` is not valid shell: "),
        (
            "script = \"#!/no/such\\n\"".to_owned(),
            "warning: the interpreter `/no/such` of the script is not there",
        ),
        ("action = 'true'\ncwd = '/no/such'".to_owned(), "warning: there is no directory /no/such"),
        ("action = 'true'\ncwd = '/etc/passwd'".to_owned(), "warning: /etc/passwd is not a directory"),
        (
            "action = 'true'\nkey = '/a/$HOST'".to_owned(),
            "warning: `$HOST` in the key is taken as it is written",
        ),
    ] {
        let key = if lines.contains("key =") { "" } else { "key = '/a'\n" };
        site.write("a.toml", &format!("[[watch]]\n{key}{lines}\n"));
        let (found, code) = site.check(&[]);
        assert!(found.contains(told), "{lines}: {found}");
        let summary = if found.contains(": error: ") { "1 error\n" } else { "1 warning\n" };
        assert!(found.ends_with(&format!("1 file, 1 watch: {summary}")), "{lines}: {found}");
        assert_eq!(code, Some(i32::from(summary == "1 error\n")), "{lines}");
        // Of another machine's programs nothing is known.
        if !lines.contains("$HOST") {
            assert!(site.check(&["--host", "web-1"]).0.ends_with("no problems\n"), "{lines}");
        }
    }
    for lines in [
        format!("action = ['{good}']"),
        "action = 'cd /tmp; for i in 1 2; do echo $i; done'".to_owned(),
        "action = ['cat']".to_owned(),
        "action = ['./x']\nenabled = false".to_owned(),
        "script = \"#!/usr/bin/env python3\\nif x:\\n\"\nenabled = false".to_owned(),
        "action = 'true'\nenv = { PATH = '/no/such' }".to_owned(),
    ] {
        site.write("a.toml", &format!("[[watch]]\nkey = '/a'\n{lines}\n"));
        let (found, _) = site.check(&[]);
        assert!(found.ends_with("no problems\n"), "{lines}: {found}");
    }
}

#[test]
fn a_server_name_that_cannot_work_is_an_error() {
    let conf = |url: &str, name: &str| {
        let text = format!("[store.main]\nurl = '{url}'\n[store.main.tls]\nserver_name = '{name}'\n");
        Site::new(&[("twitcher.conf", &text)]).check(&[]).0
    };
    let told = conf("etcd://a", "https://etcd1:2379");
    assert!(told.contains("twitcher.conf:4:15: error: no certificate can have the name"), "{told}");
    assert!(told.contains("`server_name = \"etcd1\"`"), "{told}");
    let told = conf("zookeeper://a", "zk.example");
    assert!(told.contains("error: `server_name` does not work for a ZooKeeper store"), "{told}");
    assert!(conf("etcd://a", "etcd.example").ends_with("1 file, 0 watches: no problems\n"));
}

/// The problems fit the terminal, and are in colour there.
#[test]
fn a_screen_of_any_width_is_fitted() {
    let long = format!("[[watch]]\nkey = '/a'\nactoin = '{}'\n", "long ".repeat(60));
    let site = Site::new(&[("a-watch-file-with-quite-a-long-name.toml", &long)]);
    site.write(
        "odd.toml",
        "[[watch]]\nkey = '/a'\naction = ['no-such-program', 'and', 'some', 'more', 'words']\n",
    );
    let program = env!("CARGO_BIN_EXE_twitcher");
    for width in [40, 80, 200] {
        let mut command = Command::new(program);
        let output =
            command.args(["check", "-c"]).arg(site.0.path()).env("COLUMNS", width.to_string()).output();
        let shown = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(
            shown.contains("^^^^^^") && shown.ends_with("2 files, 1 watch: 1 error, 1 warning\n"),
            "{shown}"
        );
        let widest = shown.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width, "{width}: {widest}\n{shown}");
    }
    let command = format!("{program} check -c {}; read -r rest", site.0.path().display());
    let terminal = crate::fixture::terminal::Terminal::start((80, 40), &command, &[]);
    terminal.shows("2 files, 1 watch: 1 error, 1 warning");
}
