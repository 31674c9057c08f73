//! Values that are invalid by themselves, and invalid combinations.

use super::{about, said};

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
fn what_other_programs_call_a_field_is_understood() {
    for (line, meant) in [
        ("command = 'x'", "action"),
        ("exec = 'x'", "action"),
        ("user = 'nobody'", "uid"),
        ("group = 'nogroup'", "gid"),
        ("path = '/x'", "key"),
        ("workdir = '/x'", "cwd"),
        ("environment = {}", "env"),
    ] {
        let said = about(line);
        assert!(said.contains(&format!("unknown field `{}`", line.split(' ').next().unwrap())), "{said}");
        assert!(said.contains(&format!("did you mean `{meant}`?")), "{said}");
    }
}

/// TOML's own words say nothing of what to write.
#[test]
fn slips_of_toml_are_explained() {
    let mask = about("umask = 022");
    assert!(mask.contains("a umask is written in quotes, as in `umask = \"022\"`"), "{mask}");
    let number = about("retries = 03");
    assert!(number.contains("without the zero in front"), "{number}");
    let backslash = about(r#"description = "\d+""#);
    assert!(backslash.contains(r"write the text between single quotes, as in `'\d+'`"), "{backslash}");
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
    4:11: error: `timeout` is not a duration: a duration must not be negative
      for example `timeout = "30s"`
    4:11: error: `timeout` is not a duration: a duration must not be negative
      for example `timeout = "30s"`
    4:11: error: `timeout` is not a duration: a duration without a unit is written without quotes and counts seconds
      for example `timeout = "30s"`
    4:11: error: `timeout` is not a duration: a duration is numbers with the units `d`, `h`, `m`, `s`, `ms`, for example `30s` or `1h30m`
      for example `timeout = "30s"`
    4:11: error: `timeout` is a boolean, expected a duration such as `"250ms"`, `"30s"`, `"1h30m"`, `"1d"` or a number of seconds
      for example `timeout = "30s"`
    4:11: error: `timeout` is not a duration: a duration is at most a year
      for example `timeout = "30s"`
    4:11: error: `timeout` is not a duration: a duration is at most a year
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
    4:7: error: user 77 has no account on this machine, so its group is unknown
      set `gid` too
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
    4:16: error: `B=` is not a name of an environment variable
      a name must not be empty or contain `=` or NUL
    4:28: error: `TWITCHER_KEY` is one of the daemon's own variables
      names that begin with `TWITCHER_` are set for each run; take another name
    4:48: error: `` is not a name of an environment variable
      a name must not be empty or contain `=` or NUL
    4:13: error: a NUL character would end this text early in every program that reads it
      remove the NUL character
    4:7: error: `env` is an array, expected a table of environment variables, all strings
      for example `env = { BRANCH = "main" }`
    4:12: error: unknown limit `nofiles`
      did you mean `nofile`?
    4:32: error: the limit `core` must not be negative
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
      remove the NUL character
    "#);
}

#[test]
fn what_does_not_go_together_is_said() {
    insta::assert_snapshot!([
        "script = \"#!/bin/sh\"",
        "settle = \"5s\"\nsettle_max = \"1s\"",
        "settle_max = \"1s\"",
        "retry_delay = \"5s\"\nretry_delay_max = \"1s\"",
        "max_parallel = 3",
        "run_mode = \"parallel\"\nnotify_signal = \"HUP\"",
        "znode = \"/b\"",
        "store = \"man\"",
        "store = \"nowhere\"",
        "min_entries = 2\nmax_shrink = \"30%\"",
        "watch_type = \"tree\"\nmax_shrink = \"100%\"",
        "watch_type = \"tree\"\nmax_shrink = 30",
        "retries = \"unlimited\"\non_give_up = \"mail ops\"",
        "retries = \"unlimited\"\non_give_up = \"mail ops\"\nwatch_type = \"tree\"\nmin_entries = 1",
    ].map(about).join("\n"), @r#"
    4:10: error: `script` and `action` cannot be combined
      keep one of them
    5:14: error: `settle_max` is shorter than `settle`
      write at least `settle`, for example 10 times as much
    4:14: warning: `settle_max` has no effect without `settle`
      set `settle` too
    5:19: error: `retry_delay_max` is shorter than `retry_delay`
      write at least `retry_delay`
    4:16: warning: `max_parallel` has no effect here
      it needs `run_mode = "parallel"`
    5:17: warning: `notify_signal` has no effect here
      it needs `run_mode = "queue"`
    4:1: error: `key` is written twice: `znode` is another name for it
      keep one of them
    4:9: error: there is no store `man` in twitcher.conf
      did you mean `main`?
    4:9: error: there is no store `nowhere` in twitcher.conf
      known are local, main, zk; write `[store.nowhere]` with its `url`
    4:15: error: `min_entries` counts entries, and a single value has none
      it goes with `watch_type = "tree"` or `"children"`; leave it out here
    5:14: error: `max_shrink` counts entries, and a single value has none
      it goes with `watch_type = "tree"` or `"children"`; leave it out here
    5:14: error: `max_shrink` is `"100%"`, expected a percentage from `"0%"` to `"99%"`
      for example `max_shrink = "50%"`
    5:14: error: `max_shrink` is a whole number, expected a percentage from `"0%"` to `"99%"`
      write it in quotes, as a percentage: `max_shrink = "30%"`
    5:14: warning: `on_give_up` never runs here, because `retries = "unlimited"` and no guard holds a state back
      limit `retries`, or leave it out

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
      = help: remove the NUL character
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
    /etc/twitcher/git.toml:3:7: error: a key must not be empty; the top of a store is `/`
      |
    3 | key = ""
      |       ^^
      = help: for example `key = "/git/head"`
    /etc/twitcher/git.toml:3:7: error: a NUL character would end this text early in every program that reads it
      |
    3 | key = "a\u0000"
      |       ^^^^^^^^^
      = help: remove the NUL character
    "#);
    assert!(with(("main", &"x".repeat(10_000))).contains("this one has 10000"));
}
