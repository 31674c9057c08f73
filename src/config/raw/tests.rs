//! What is said about bad files: one message of each kind, as it is printed. Watches are lowered too, as a file is.

use std::path::Path;

use super::*;
use crate::config::accounts::{self, tests::FakeAccounts};
use crate::config::lower;
use crate::watch::WatchSpec;

const CONF: &str = "[store.main]\nurl = \"etcd://a\"\n[store.zk]\nurl = \"zookeeper://a\"\n";

fn load(text: &str) -> (Vec<WatchSpec>, Vec<Problem>) {
    let (settings, problems) = lower::settings(&settings(Path::new("twitcher.conf").into(), CONF), "host");
    assert_eq!(problems, []);
    let raw = watch_file(Path::new("/etc/twitcher/git.toml").into(), text);
    let mut resolve =
        |uid: Option<&AccountName>, gid: Option<&AccountName>| accounts::resolve(&FakeAccounts(0), uid, gid);
    let mut context = lower::Context { settings: settings.as_ref(), resolve: &mut resolve };
    let (watches, problems) = lower::watches(&raw, "git", &mut context);
    (watches.into_iter().map(|(spec, _)| spec).collect(), problems)
}

fn printed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// What is said about a watch file.
fn said(text: &str) -> String {
    printed(&load(text).1)
}

/// What is said about a line of an otherwise good watch: its first line and its help.
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

/// What is said about twitcher.conf.
fn said_of_settings(text: &str) -> String {
    printed(&lower::settings(&settings(Path::new("twitcher.conf").into(), text), "host").1)
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
            "uid" => continue,
            _ => "key = '/a'\naction = 'true'",
        };
        assert_eq!(said(&format!("[[watch]]\n{}\n{rest}\n", field.sample())), "", "{}", field.name);
    }
    for field in DAEMON {
        let text = format!("{}\n{CONF}", field.sample());
        assert_eq!(said_of_settings(&text), "", "{}", field.name);
    }
    let store = |url: &str, fields: &[&str], table: &[super::super::fields::Field]| {
        let samples: Vec<String> =
            table.iter().filter(|field| fields.contains(&field.name)).map(|field| field.sample()).collect();
        format!("[store.a]\nurl = \"{url}\"\n{}\n", samples.join("\n"))
    };
    assert_eq!(said_of_settings(&store("etcd://a", &["username", "password_file"], STORE)), "");
    assert_eq!(said_of_settings(&store("zookeeper://a", &["digest_file", "session_timeout"], STORE)), "");
    let tls: Vec<String> = TLS.iter().map(|field| field.sample()).collect();
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

    /etc/twitcher/git.toml:4:11: error: `timeout` is no duration: a duration is not negative
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

    /etc/twitcher/git.toml:4:10: error: `settle` is no duration: a duration is a number and one of `ms`, `s`, `m`, `h`
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
    /etc/twitcher/git.toml:1:1: error: `key` stands outside of a watch
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
fn a_wrong_value_is_shown_with_what_is_expected() {
    insta::assert_snapshot!([
        "pipe_stdin = \"true\"",
        "run_on_load = \"chnaged\"",
        "run_on_load = 1",
        "run_mode = \"fast\"",
        "watch_type = []",
        "max_parallel = 0",
        "max_parallel = 1.5",
        "retries = -1",
        "retries = \"unlimted\"",
        "retries = 99999999999999999999",
        "name = \"a b\"",
        "nice = 20",
        "cwd = \"srv\"",
        "umask = 22",
        "umask = \"0888\"",
        "umask = \"01777\"",
    ].map(about).join("\n"), @r#"
    4:14: error: `pipe_stdin` is a string, expected `true` or `false`
      write it without quotes: `pipe_stdin = true`
    4:15: error: `run_on_load` is `"chnaged"`, expected `true`, `false` or `"changed"`
      did you mean `run_on_load = "changed"`?
    4:15: error: `run_on_load` is a whole number, expected `true`, `false` or `"changed"`
      for example `run_on_load = "changed"`
    4:12: error: `run_mode` is `"fast"`, expected one of `"queue"`, `"discard"`, `"parallel"`, `"restart"`
      for example `run_mode = "restart"`
    4:14: error: `watch_type` is an array, expected one of `"data"`, `"children"`, `"tree"`
      for example `watch_type = "tree"`
    4:16: error: `max_parallel` is 0, expected a whole number from 1 to 4096
      for example `max_parallel = 4`
    4:16: error: `max_parallel` is a number with a fraction, expected a whole number from 1 to 4096
      for example `max_parallel = 4`
    4:11: error: `retries` is -1, expected a whole number from 0 to 1000000 or `"unlimited"`
      for example `retries = "unlimited"`
    4:11: error: `retries` is `"unlimted"`, expected a whole number from 0 to 1000000 or `"unlimited"`
      did you mean `retries = "unlimited"`?
    4:11: error: `retries` is 99999999999999999999, expected a whole number from 0 to 1000000 or `"unlimited"`
      for example `retries = "unlimited"`
    4:8: error: a name has 1 to 128 characters: letters, digits, `.`, `_`, `-`, `@`, `:` or `/`, and does not begin with `-`
      for example `name = "git-pull"`
    4:8: error: `nice` is 20, expected a whole number from -20 to 19
      for example `nice = 10`
    4:7: error: `cwd` must be an absolute path of less than 4096 bytes
      for example `cwd = "/srv/www"`
    4:9: error: a umask is octal digits in quotes, from `"000"` to `"777"`
      a number without `0o` would be decimal: write `umask = "022"`
    4:9: error: a umask is octal digits in quotes, from `"000"` to `"777"`
      for example `umask = "077"`
    4:9: error: a umask is octal digits in quotes, from `"000"` to `"777"`
      for example `umask = "077"`
    "#);
}

#[test]
fn durations_signals_and_accounts_are_explained() {
    insta::assert_snapshot!([
        "timeout = 0",
        "timeout = -1",
        "timeout = \"-1s\"",
        "timeout = \"5\"",
        "timeout = \"5 minutes\"",
        "timeout = true",
        "timeout = nan",
        "timeout = 1e99",
        "verify_interval = \"0s\"",
        "notify_signal = \"HPU\"",
        "notify_signal = 65",
        "notify_signal = 1.0",
        "uid = -1",
        "uid = 4294967295",
        "uid = \"nobody-here\"",
        "uid = \"\"",
        "uid = 77",
        "gid = \"wheel\"",
        "gid = false",
    ].map(about).join("\n"), @r#"
    4:11: error: `timeout` must be above zero
      leave `timeout` out for its default, none
    4:11: error: `timeout` is no duration: a duration is not negative
      for example `timeout = "30s"`
    4:11: error: `timeout` is no duration: a duration is not negative
      for example `timeout = "30s"`
    4:11: error: `timeout` is no duration: a duration without a unit is written without quotes and counts seconds
      for example `timeout = "30s"`
    4:11: error: `timeout` is no duration: a duration is a number and one of `ms`, `s`, `m`, `h`
      for example `timeout = "30s"`
    4:11: error: `timeout` is a boolean, expected a duration such as `"250ms"`, `"30s"`, `"5m"`, `"2h"` or a number of seconds
      for example `timeout = "30s"`
    4:11: error: `timeout` is no duration: a duration is at most a year
      for example `timeout = "30s"`
    4:11: error: `timeout` is no duration: a duration is at most a year
      for example `timeout = "30s"`
    4:19: error: `verify_interval` must be above zero
      leave `verify_interval` out for its default, 5m
    4:17: error: there is no such signal; a signal is a name such as `"HUP"` or a number from 1 to 64 (32 and 33 are the C library's)
      did you mean `"HUP"`?
    4:17: error: there is no such signal; a signal is a name such as `"HUP"` or a number from 1 to 64 (32 and 33 are the C library's)
      `kill -l` lists the signals
    4:17: error: `notify_signal` is a number with a fraction, expected a signal such as `"HUP"`, `"SIGHUP"` or `1`
      for example `notify_signal = "HUP"`
    4:7: error: `uid` is -1, expected a number from 0 to 4294967294
      for example `uid = "www-data"`
    4:7: error: `uid` is 4294967295, expected a number from 0 to 4294967294
      for example `uid = "www-data"`
    4:7: error: there is no user `nobody-here` on this machine
      `getent passwd` lists them; after adding it, run `twitcher reload`
    4:7: error: `uid` is empty
      for example `uid = "www-data"`
    4:7: error: user 77 has no account on this machine, so its group cannot be known
      give `gid` too
    4:7: error: there is no group `wheel` on this machine
      `getent group` lists them; after adding it, run `twitcher reload`
    4:7: error: `gid` is a boolean, expected a name or a number
      for example `gid = "adm"`
    "#);
}

#[test]
fn tables_and_arrays_are_checked_to_their_last_entry() {
    insta::assert_snapshot!([
        "env = { A = 1, \"B=\" = \"x\", TWITCHER_KEY = \"x\", \"\" = \"x\" }",
        "env = { A = \"a\\u0000b\" }",
        "env = []",
        "limits = { nofiles = 1, core = -1, cpu = \"unlimted\" }",
        "success_codes = []",
        "success_codes = [0, 256, \"1\"]",
        "description = \"a\\u0000b\"",
    ].map(about).join("\n"), @r#"
    4:13: error: the variable `A` is a whole number, expected a string
      write it between quotes
    4:16: error: `B=` is no name of an environment variable
      a name is not empty and has no `=` or NUL in it
    4:28: error: `TWITCHER_KEY` is one of the daemon's own variables
      names that begin with `TWITCHER_` are set for each run; take another name
    4:48: error: `` is no name of an environment variable
      a name is not empty and has no `=` or NUL in it
    4:13: error: a NUL character would end this text early in every program that reads it
      take the NUL character out
    4:7: error: `env` is an array, expected a table of environment variables, all strings
      for example `env = { BRANCH = "main" }`
    4:12: error: unknown limit `nofiles`
      did you mean `nofile`?
    4:32: error: the limit `core` is not negative
      write a whole number or `"unlimited"`
    4:42: error: the limit `cpu` is a string, expected a whole number or `"unlimited"`
      for example `limits = { nofile = 1024, core = "unlimited" }`
    4:17: error: no exit code would mean success
      for example `success_codes = [0, 3]`
    4:21: error: an exit code is a whole number from 0 to 255
      for example `success_codes = [0, 3]`
    4:26: error: an exit code is a whole number from 0 to 255
      for example `success_codes = [0, 3]`
    4:15: error: a NUL character would end this text early in every program that reads it
      take the NUL character out
    "#);
}

#[test]
fn what_does_not_go_together_is_said() {
    insta::assert_snapshot!([
        "script = \"#!/bin/sh\"",
        "format = \"lines\"",
        "format = \"toml\"",
        "watch_type = \"children\"\nformat = \"raw\"",
        "watch_type = \"tree\"\nformat = \"raw\"",
        "settle = \"5s\"\nsettle_max = \"1s\"",
        "settle_max = \"1s\"",
        "retry_delay = \"5s\"\nretry_delay_max = \"1s\"",
        "max_parallel = 3",
        "run_mode = \"parallel\"\nnotify_signal = \"HUP\"",
        "znode = \"/b\"",
        "store = \"man\"",
        "store = \"nowhere\"",
    ].map(about).join("\n"), @r#"
    4:10: error: `script` stands beside `action`
      keep one of them
    4:10: error: `lines` cannot hold what this watch sees, one value
      take `raw`, `json` or `yaml`, or another `watch_type`
    4:10: error: `toml` cannot hold what this watch sees, one value
      take `raw`, `json` or `yaml`, or another `watch_type`
    5:10: error: `raw` cannot hold what this watch sees, a list of names
      take `lines`, `json` or `yaml`, or another `watch_type`
    5:10: error: `raw` cannot hold what this watch sees, a tree
      take `json`, `yaml` or `toml`, or another `watch_type`
    5:14: error: `settle_max` is shorter than `settle`
      write at least `settle`, for example 10 times as much
    4:14: warning: `settle_max` does nothing without `settle`
      write `settle` too
    5:19: error: `retry_delay_max` is shorter than `retry_delay`
      write at least `retry_delay`
    4:16: warning: `max_parallel` does nothing here
      it goes with `run_mode = "parallel"`
    5:17: warning: `notify_signal` does nothing here
      it goes with `run_mode = "queue"`
    4:1: error: `key` is written twice: `znode` is another name for it
      keep one of them
    4:9: error: there is no store `man` in twitcher.conf
      did you mean `main`?
    4:9: error: there is no store `nowhere` in twitcher.conf
      known are local, main, zk; write `[store.nowhere]` with its `url`
    "#);
}

#[test]
fn an_action_is_there_and_can_be_executed() {
    let with = |line: &str| said(&format!("[[watch]]\nkey = '/a'\n{line}"));
    insta::assert_snapshot!([
        "",
        "action = ''",
        "action = []",
        "action = ['', 'a']",
        "action = 5",
        "action = ['a', \"b\\u0000\"]",
        "script = 'echo'",
        "script = '#!sh'",
    ].map(with).join("\n"), @r#"
    /etc/twitcher/git.toml:1:1: error: this watch has neither `action` nor `script`
      |
    1 | [[watch]]
      | ^^^^^^^^^
      = help: write for example `action = ["systemctl", "reload", "nginx"]`
    /etc/twitcher/git.toml:3:10: error: the action is empty
      |
    3 | action = ''
      |          ^^
      = help: for example `action = ["systemctl", "reload", "nginx"]`
    /etc/twitcher/git.toml:3:10: error: the action names no program
      |
    3 | action = []
      |          ^^
      = help: for example `action = ["systemctl", "reload", "nginx"]`
    /etc/twitcher/git.toml:3:10: error: the action names no program
      |
    3 | action = ['', 'a']
      |          ^^^^^^^^^
      = help: for example `action = ["systemctl", "reload", "nginx"]`
    /etc/twitcher/git.toml:3:10: error: `action` is a whole number, expected a string for `/bin/sh -c`, or an array of a program and its arguments
      |
    3 | action = 5
      |          ^
      = help: for example `action = ["systemctl", "reload", "nginx"]`
    /etc/twitcher/git.toml:3:16: error: a NUL character would end this text early in every program that reads it
      |
    3 | action = ['a', "b\u0000"]
      |                ^^^^^^^^^
      = help: take the NUL character out
    /etc/twitcher/git.toml:3:10: error: a script begins with a `#!` line that names its interpreter by an absolute path
      |
    3 | script = 'echo'
      |          ^^^^^^
      = help: for example a first line `#!/bin/sh`; for one line of shell use `action = "…"`
    /etc/twitcher/git.toml:3:10: error: a script begins with a `#!` line that names its interpreter by an absolute path
      |
    3 | script = '#!sh'
      |          ^^^^^^
      = help: for example a first line `#!/bin/sh`; for one line of shell use `action = "…"`
    "#);
    let long = "a".repeat(128 * 1024);
    assert!(with(&format!("action = '{long}'")).contains("more than 131071 bytes"));
    assert!(with(&format!("action = ['a', '{long}']")).contains("more than 131071 bytes"));
    assert!(with(&format!("action = 'true'\nenv = {{ A = '{long}' }}")).contains("more than 131071 bytes"));
    assert_eq!(with(&format!("action = '{}'", &long[1..])), "");
}

#[test]
fn a_key_is_one_that_its_store_can_have() {
    let with = |(store, key): (&str, &str)| {
        said(&format!("[[watch]]\nstore = '{store}'\nkey = \"{key}\"\naction = 'a'"))
    };
    for fine in [("main", "a//b/../"), ("main", "/"), ("zk", "/"), ("zk", "/a.b/..c"), ("local", "/a b")] {
        assert_eq!(with(fine), "", "{fine:?}");
    }
    insta::assert_snapshot!([("zk", "a"), ("zk", "/a/"), ("local", "/a/../b"), ("zk", "/a//b"), ("main", ""), ("main", "a\\u0000")].map(with).join("\n"), @r#"
    /etc/twitcher/git.toml:3:7: error: a key of this store begins with `/`, and this is `a`
      |
    3 | key = "a"
      |       ^^^
      = help: a key is written like `/nginx/upstream`, and the top of the store is `/`
    /etc/twitcher/git.toml:3:7: error: a key of this store does not end with `/`, and this is `/a/`
      |
    3 | key = "/a/"
      |       ^^^^^
      = help: a key is written like `/nginx/upstream`, and the top of the store is `/`
    /etc/twitcher/git.toml:3:7: error: a key of this store has no empty segment, `.` or `..`, and this is `/a/../b`
      |
    3 | key = "/a/../b"
      |       ^^^^^^^^^
      = help: a key is written like `/nginx/upstream`, and the top of the store is `/`
    /etc/twitcher/git.toml:3:7: error: a key of this store has no empty segment, `.` or `..`, and this is `/a//b`
      |
    3 | key = "/a//b"
      |       ^^^^^^^
      = help: a key is written like `/nginx/upstream`, and the top of the store is `/`
    /etc/twitcher/git.toml:3:7: error: a key is not empty; the top of a store is `/`
      |
    3 | key = ""
      |       ^^
      = help: for example `key = "/git/head"`
    /etc/twitcher/git.toml:3:7: error: a NUL character would end this text early in every program that reads it
      |
    3 | key = "a\u0000"
      |       ^^^^^^^^^
      = help: take the NUL character out
    "#);
    assert!(with(("main", &"x".repeat(10_000))).contains("this one has 10000"));
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

#[test]
fn settings_and_stores_are_explained() {
    insta::assert_snapshot!(said_of_settings(r#"
defaultstore = "main"
default_store = "mian"
log = "file"
http_listen = "localhost:1"
max_processes = 0
host = ""
state_dir = "x"
[[watch]]
[store.main]
url = "etcd://root:hunter2@a"
[store.etcd]
url = "etcd://a"
username = "u"
digest_file = "/x"
sesion_timeout = "1s"
[store.etcd.tls]
cert = "/x"
[store.zk]
url = "zookeeper://a"
password_file = "/x"
session_timeout = "1h"
[store.keys]
url = "dir:///x"
username = "u"
tls = {}
[store.empty]
[store."a b"]
[store]
x = 1
"#), @r#"
    twitcher.conf:2:1: error: unknown setting `defaultstore`
      |
    2 | defaultstore = "main"
      | ^^^^^^^^^^^^
      = help: did you mean `default_store`? for example `default_store = "main"`

    twitcher.conf:3:17: error: there is no store `mian` in twitcher.conf
      |
    3 | default_store = "mian"
      |                 ^^^^^^
      = help: did you mean `main`?

    twitcher.conf:4:7: error: `log` is `"file"`, expected one of `"auto"`, `"syslog"`, `"journald"`, `"stderr"`, `"json"`
      |
    4 | log = "file"
      |       ^^^^^^
      = help: for example `log = "journald"`

    twitcher.conf:5:15: error: `localhost:1` is no address with a port; a host name is not looked up
      |
    5 | http_listen = "localhost:1"
      |               ^^^^^^^^^^^^^
      = help: for example `http_listen = "127.0.0.1:9464"`

    twitcher.conf:6:17: error: `max_processes` is 0, expected a whole number from 1 to 100000
      |
    6 | max_processes = 0
      |                 ^
      = help: for example `max_processes = 64`

    twitcher.conf:7:8: error: `host` must be one line that is not empty
      |
    7 | host = ""
      |        ^^
      = help: for example `host = "web-17"`

    twitcher.conf:8:13: error: `state_dir` must be an absolute path of less than 4096 bytes
      |
    8 | state_dir = "x"
      |             ^^^
      = help: for example `state_dir = "/var/lib/twitcher"`

    twitcher.conf:9:3: error: unknown setting `watch`
      |
    9 | [[watch]]
      |   ^^^^^
      = help: watches belong in files `*.toml` beside this one

    twitcher.conf:11:7: error: a store URL holds no user or password; write `username` and `password_file` (etcd) or `digest_file` (ZooKeeper) in the store's table of twitcher.conf
     = help: for example `url = "etcd://etcd1:2379,etcd2:2379/prod"`

    twitcher.conf:12:1: error: an etcd store has no `session_timeout`
       |
    12 | [store.etcd]
       | ^^^^^^^^^^^^
       = help: take it out, or see `url`

    twitcher.conf:14:12: error: `username` needs `password_file` beside it
       |
    14 | username = "u"
       |            ^^^
       = help: write both or none of them

    twitcher.conf:15:15: error: an etcd store has no `digest_file`
       |
    15 | digest_file = "/x"
       |               ^^^^
       = help: take it out, or see `url`

    twitcher.conf:16:1: error: unknown field of a store table `sesion_timeout`
       |
    16 | sesion_timeout = "1s"
       | ^^^^^^^^^^^^^^
       = help: did you mean `session_timeout`? for example `session_timeout = "30s"`

    twitcher.conf:18:8: error: `cert` needs `key` beside it
       |
    18 | cert = "/x"
       |        ^^^^
       = help: write both or none of them

    twitcher.conf:21:17: error: a ZooKeeper store has no `password_file`
       |
    21 | password_file = "/x"
       |                 ^^^^
       = help: take it out, or see `url`

    twitcher.conf:22:19: error: `session_timeout` must be from 1 s to 10 m
       |
    22 | session_timeout = "1h"
       |                   ^^^^
       = help: servers take 2 to 20 times their tickTime, mostly 4 s to 40 s

    twitcher.conf:25:12: error: a `dir` store has no `username`
       |
    25 | username = "u"
       |            ^^^
       = help: take it out, or see `url`

    twitcher.conf:26:7: error: a `dir` store has no TLS
       |
    26 | tls = {}
       |       ^^
       = help: take the table out

    twitcher.conf:27:1: error: this store has no `url`
       |
    27 | [store.empty]
       | ^^^^^^^^^^^^^
       = help: write for example `url = "etcd://etcd1:2379,etcd2:2379/prod"`

    twitcher.conf:28:8: error: a name has 1 to 128 characters: letters, digits, `.`, `_`, `-`, `@`, `:` or `/`, and does not begin with `-`
       |
    28 | [store."a b"]
       |        ^^^^^
       = help: write each store below a line such as `[store.main]`

    twitcher.conf:30:1: error: the store `x` is no table
       |
    30 | x = 1
       | ^
       = help: write each store below a line such as `[store.main]`
    "#);
}

#[test]
fn a_file_full_of_problems_is_cut() {
    let text = "a".repeat(3).replace('a', "[[watch]]\nx1 = 1\nx2 = 1\nx3 = 1\n").repeat(30);
    let problems = load(&text).1;
    assert!(problems.len() <= MOST_PROBLEMS + 200 && printed(&problems).contains("more problems"));
}

#[test]
fn deep_nesting_is_refused_and_overflows_no_stack() {
    for text in [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(500_000)),
        format!("[[{}a]]", "a.".repeat(500_000)),
        format!("[watch]\n{}a = 1\n[watch]\n", "a . ".repeat(200_000)),
        format!("a = {}", "{ a.a.a.a.a.a.a.a = ".repeat(79)),
    ] {
        assert!(load(&text).0.is_empty());
        assert!(!load(&text).1.is_empty(), "{:.40}", text);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,300}") {
        load(&text);
        said_of_settings(&text);
    }

    #[test]
    fn no_text_that_looks_like_a_file_makes_it_panic(
        lines in proptest::collection::vec("(\\[\\[?|\"|'|)?(watch|key|action|env|limits|store|tls|url|name|uid|x)(\\.[a-z]|\\]\\]?|\"|'|) ?(=|\\]\\]|) ?(\"/a\"|-?[0-9]{1,3}|\\[|\\{ ?a = |'''|\"\"\"|true|\\}|#|nan|\"5s\"|)", 0..12)
    ) {
        let text = lines.join("\n");
        load(&text);
        said_of_settings(&text);
    }
}
