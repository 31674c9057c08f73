//! The messages about bad files: one of each kind, as printed. Watches are also lowered, as for a real file.

use std::path::Path;

use super::*;
use crate::config::accounts::{self, tests::FakeAccounts};
use crate::config::fields::{DAEMON, FLEET, FLEET_SETTINGS, STORE, TLS};
use crate::config::lower;
use crate::watch::{StoreName, WatchSpec};

mod fleet;
mod hostile;
mod machine;
mod settings;
mod values;

const CONF: &str = "[store.main]\nurl = \"etcd://a\"\n[store.zk]\nurl = \"zookeeper://a\"\n";

fn load(text: &str) -> (Vec<WatchSpec>, Vec<Problem>) {
    load_with(CONF, text)
}

fn load_with(conf: &str, text: &str) -> (Vec<WatchSpec>, Vec<Problem>) {
    let conf = settings(Path::new("twitcher.conf").into(), conf, &Local::named("host"));
    let (settings, problems) = lower::settings(&conf);
    assert_eq!(problems, []);
    let site = settings.as_ref().map(crate::config::Settings::site);
    let raw = watch_file(Path::new("/etc/twitcher/git.toml").into(), text, site.as_ref());
    let mut resolve =
        |uid: Option<&AccountName>, gid: Option<&AccountName>| accounts::resolve(&FakeAccounts(0), uid, gid);
    let lower::Lowered { watches, problems, .. } =
        lower::watches_alone(&raw, "git", settings.as_ref(), &mut resolve);
    (watches.into_iter().map(|placed| placed.spec).collect(), problems)
}

fn printed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// The messages about a watch file.
fn said(text: &str) -> String {
    printed(&load(text).1)
}

/// The messages about one line of an otherwise valid watch: first line and help.
fn about(line: &str) -> String {
    let text = format!("[[watch]]\nkey = \"/git/head\"\naction = \"true\"\n{line}\n");
    let problems = load(&text).1;
    let short = |problem: &Problem| {
        let text = problem.to_string();
        let first = text.lines().next().unwrap_or_default().replace("/etc/twitcher/git.toml:", "");
        format!("{first}\n  {}", problem.help.as_deref().unwrap_or_default())
    };
    problems.iter().map(short).collect::<Vec<_>>().join("\n")
}

/// The messages about twitcher.conf.
fn said_of_settings(text: &str) -> String {
    let conf = settings(Path::new("twitcher.conf").into(), text, &Local::named("host"));
    printed(&lower::settings(&conf).1)
}

#[test]
fn a_good_file_is_not_talked_about() {
    assert_eq!(said("[[watch]]\nkey = \"/git/head\"\naction = \"true\"\n"), "");
    assert_eq!(said(""), "");
    assert_eq!(said("# nothing\n\n"), "");
    assert_eq!(said("watch = [{ key = '/a', action = ['true'] }]"), "");
    assert_eq!(said("[[watch]]\r\nznode = \"/a\"\r\naction = \"true\"\r\n"), "");
}

#[test]
fn every_example_of_every_field_is_correct() {
    for field in WATCH {
        let rest = match field.name {
            "key" => "action = 'true'",
            "action" | "script" => "key = '/a'",
            "max_parallel" => "key = '/a'\naction = 'true'\nrun_mode = 'parallel'",
            "settle_max" => "key = '/a'\naction = 'true'\nsettle = '1s'",
            "min_entries" | "max_shrink" => "key = '/a'\naction = 'true'\nwatch_type = 'tree'",
            "uid" => continue,
            _ => "key = '/a'\naction = 'true'",
        };
        assert_eq!(said(&format!("[[watch]]\n{}\n{rest}\n", field.sample())), "", "{}", field.name);
    }
    for field in FLEET {
        let watch = format!(
            "[[watch]]\nkey = '/a'\naction = 'true'\ntimeout = '1m'\n[watch.fleet]\n{}\n",
            field.sample()
        );
        assert_eq!(said(&watch), "", "{}", field.name);
    }
    for field in FLEET_SETTINGS {
        let text = format!("{CONF}[fleet]\n{}\n", field.sample());
        assert_eq!(said_of_settings(&text), "", "{}", field.name);
    }
    for field in DAEMON {
        let text = format!("{}\n{CONF}", field.sample());
        assert_eq!(said_of_settings(&text), "", "{}", field.name);
    }
    let store = |url: &str, fields: &[&str], table: &[super::super::fields::Field]| {
        let samples: Vec<String> = table
            .iter()
            .filter(|field| fields.contains(&field.name))
            .map(super::super::fields::Field::sample)
            .collect();
        format!("[store.a]\nurl = \"{url}\"\n{}\n", samples.join("\n"))
    };
    assert_eq!(said_of_settings(&store("etcd://a", &["username", "password_file"], STORE)), "");
    assert_eq!(said_of_settings(&store("zookeeper://a", &["digest_file", "session_timeout"], STORE)), "");
    let tls: Vec<String> = TLS.iter().map(super::super::fields::Field::sample).collect();
    assert_eq!(
        said_of_settings(&format!("[store.a]\nurl = \"etcd://a\"\n[store.a.tls]\n{}", tls.join("\n"))),
        ""
    );
}

#[test]
fn all_problems_of_a_file_are_reported_at_once_with_place_line_caret_and_help() {
    insta::assert_snapshot!(said(r#"[[watch]]
key = "/git/head"
actoin = "git pull"
timeout = -1
run_mode = "que"

[[watch]]
name = "second"
uid = -1
action = ["echo", 5]
"#), @r#"
    /etc/twitcher/git.toml:3:1: error: unknown field `actoin`
      |
    3 | actoin = "git pull"
      | ^^^^^^
      = help: did you mean `action`? for example `action = ["systemctl", "reload", "nginx"]`

    /etc/twitcher/git.toml:4:11: error: `timeout` is not a duration: a duration must not be negative
      |
    4 | timeout = -1
      |           ^^
      = help: for example `timeout = "30s"`

    /etc/twitcher/git.toml:5:12: error: `run_mode` is `"que"`, expected one of `"queue"`, `"discard"`, `"parallel"`, `"restart"`
      |
    5 | run_mode = "que"
      |            ^^^^^
      = help: for example `run_mode = "restart"`

    /etc/twitcher/git.toml:7:1: error: this watch has no `key`
      |
    7 | [[watch]]
      | ^^^^^^^^^
      = help: write for example `key = "/git/head"`

    /etc/twitcher/git.toml:9:7: error: `uid` is -1, expected a number from 0 to 4294967294
      |
    9 | uid = -1
      |       ^^
      = help: for example `uid = "www-data"`

    /etc/twitcher/git.toml:10:19: error: an argument is a string, not a whole number
       |
    10 | action = ["echo", 5]
       |                   ^
       = help: write every argument between quotes
    "#);
}

#[test]
fn a_syntax_error_hides_no_other_problem() {
    insta::assert_snapshot!(said("[[watch]]\nkey = /git\nactoin = \"x\"\nsettle = \"1 day\"\n"), @r#"
    /etc/twitcher/git.toml:2:7: error: string values must be quoted, expected literal string
      |
    2 | key = /git
      |       ^^^^
      = help: write text between quotes, as in `key = "/git/head"`

    /etc/twitcher/git.toml:3:1: error: unknown field `actoin`
      |
    3 | actoin = "x"
      | ^^^^^^
      = help: did you mean `action`? for example `action = ["systemctl", "reload", "nginx"]`

    /etc/twitcher/git.toml:4:10: error: `settle` is not a duration: a duration is numbers with the units `d`, `h`, `m`, `s`, `ms`, for example `30s` or `1h30m`
      |
    4 | settle = "1 day"
      |          ^^^^^^^
      = help: for example `settle = "2s"`
    "#);
    insta::assert_snapshot!(said("[[watch]]\nkey = \"/a\"\naction = \"tru"), @r#"
    /etc/twitcher/git.toml:3:14: error: invalid basic string, expected `"`
      |
    3 | action = "tru
      |              ^
      = help: the file is TOML: `name = value` lines, text between quotes, tables below `[[watch]]`
    "#);
    insta::assert_snapshot!(said("[[watch]]\nkey = \"/a\"\nkey = \"/b\"\naction = \"true\"\n"), @r#"
    /etc/twitcher/git.toml:3:1: error: `key` is written twice
      |
    3 | key = "/b"
      | ^^^
      = help: keep one of them; several watches each begin with `[[watch]]`
    "#);
    insta::assert_snapshot!(said("[[watch]\nkey = \"/a\"\naction = \"true\"\n"), @r"
    /etc/twitcher/git.toml:1:9: error: unclosed array table, expected `]`
      |
    1 | [[watch]
      |         ^
      = help: the file is TOML: `name = value` lines, text between quotes, tables below `[[watch]]`
    ");
}

#[test]
fn what_does_not_belong_into_a_watch_file_is_said() {
    insta::assert_snapshot!(said("key = \"/a\"\n[watch]\n[store.main]\n[[watches]]\n"), @r#"
    /etc/twitcher/git.toml:1:1: error: `key` is outside of a watch
      |
    1 | key = "/a"
      | ^^^
      = help: write a line `[[watch]]` above it

    /etc/twitcher/git.toml:2:1: error: a watch begins with two brackets
      |
    2 | [watch]
      | ^^^^^^^
      = help: write `[[watch]]`: a file may hold several watches

    /etc/twitcher/git.toml:3:2: error: unknown name `store`
      |
    3 | [store.main]
      |  ^^^^^
      = help: a watch file holds `[[watch]]` tables and nothing else; settings and stores belong in twitcher.conf

    /etc/twitcher/git.toml:4:3: error: unknown table `watches`
      |
    4 | [[watches]]
      |   ^^^^^^^
      = help: did you mean `[[watch]]`?
    "#);
    insta::assert_snapshot!(said("watch = 5"), @r"
    /etc/twitcher/git.toml:1:9: error: `watch` is no field but the head of a table, and here is a whole number
      |
    1 | watch = 5
      |         ^
      = help: write the fields of a watch below a line `[[watch]]`
    ");
    insta::assert_snapshot!(said("watch = [5]"), @r"
    /etc/twitcher/git.toml:1:10: error: a watch is a table, not a whole number
      |
    1 | watch = [5]
      |          ^
      = help: write each watch below a line `[[watch]]`
    ");
}

#[test]
fn watches_without_a_name_are_called_after_the_file() {
    let watch = "[[watch]]\nkey = '/a'\naction = 'a'\n";
    let names = |text: &str| load(text).0.iter().map(|spec| spec.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&watch.repeat(3)), ["git", "git-2", "git-3"]);
    assert_eq!(names(&format!("{watch}{watch}name = 'x'\n{watch}")), ["git", "x", "git-3"]);
    insta::assert_snapshot!(said(&format!("{watch}{watch}name = 'git'\n")), @r"
    /etc/twitcher/git.toml:7:8: error: this file has a watch `git` already, in line 1
      |
    7 | name = 'git'
      |        ^^^^^
      = help: give each watch a `name` of its own
    ");
}
