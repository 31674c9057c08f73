//! The messages about a bad `twitcher.conf`.

use super::said_of_settings;

#[test]
fn settings_are_explained() {
    insta::assert_snapshot!(said_of_settings(r#"
defaultstore = "main"
default_store = "mian"
log = "file"
http_listen = "localhost:1"
max_processes = 0
host = ""
state_dir = "x"
[[watch]]
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
      = help: known are local; write `[store.mian]` with its `url`

    twitcher.conf:4:7: error: `log` is `"file"`, expected one of `"auto"`, `"syslog"`, `"journald"`, `"stderr"`, `"json"`, `"syslog://HOST:PORT"`, `"syslog+tcp://HOST:PORT"`
      |
    4 | log = "file"
      |       ^^^^^^
      = help: for example `log = "journald"`

    twitcher.conf:5:15: error: `localhost:1` is not an address with a port; host names are not resolved
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
    "#);
}

#[test]
fn what_stands_in_the_wrong_table_is_sent_to_the_right_one() {
    for (text, says) in [
        (
            "[store.main]\nurl = 'etcd://a'\nlog_level = 'debug'\n",
            ":3:1: error: `log_level` is a setting of the daemon: move it above the first line in brackets",
        ),
        (
            "[store.main]\nurl = 'etcd://a'\n[store.main.tls]\nhttp_listen = '127.0.0.1:1'\n",
            ":4:1: error: `http_listen` is a setting of the daemon: move it above the first line in brackets",
        ),
        (
            "[store.main]\nurl = 'etcd://a'\n[store.main.tls]\nusername = 'x'\n",
            ":4:1: error: `username` is a field of the store: move it above the line `[store.NAME.tls]`",
        ),
        (
            "[store.main]\nurl = 'etcd://a'\nca = '/x'\n",
            ":3:1: error: `ca` is about certificates: move it below a line `[store.NAME.tls]`",
        ),
        (
            "url = 'etcd://a'\n",
            ":1:1: error: `url` is a field of a store: move it below a line such as `[store.main]`",
        ),
        (
            "retries = 3\n",
            ":1:1: error: `retries` is a field of a watch: write it in a watch file, or for all",
        ),
        ("[stores.zk]\nurl = 'zookeeper://a'\n", "did you mean `[store.zk]`?"),
        ("[default]\nretries = 3\n", "did you mean `[defaults]`?"),
    ] {
        let said = said_of_settings(text);
        assert!(said.contains(says), "{text}: {said}");
        assert_eq!(said.matches(": error: ").count(), 1, "{said}");
    }
}

/// The example is of the kind of store that is written.
#[test]
fn the_help_is_for_the_store_at_hand() {
    for (text, says) in [
        ("[store.a]\nurl = 'zk://a'\n", "did you mean `zookeeper://`?"),
        (
            "[store.a]\nurl = 'zk://a'\n",
            "for example `url = \"zookeeper://zk1:2181,zk2:2181,zk3:2181/chroot\"`",
        ),
        ("[store.a]\nurl = 'http://a:2379'\n", "did you mean `etcd://`?"),
        ("[store.a]\nurl = 'https://a:2379'\n", "for example `url = \"etcd+tls://"),
        ("[store.a]\nurl = 'file:///keys'\n", "for example `url = \"dir:///var/lib/twitcher/keys\"`"),
        ("[store.a]\nurl = '/keys'\n", "did you mean `url = \"dir:///keys\"`?"),
        ("[store.a]\nurl = 'zk1:2181,zk2:2181'\n", "did you mean `url = \"zookeeper://zk1:2181,zk2:2181\"`?"),
        ("[store.zk]\nsession_timeout = '5s'\n", "write for example `url = \"zookeeper://"),
        ("[store.a]\nurl = 'zookeeper://a'\npassword = 'x'\n", "write `digest_file = "),
        ("[store.a]\nurl = 'etcd://a'\npassword = 'x'\n", "write `password_file = "),
        ("[store.a]\nurl = 'dir:///a'\npassword = 'x'\n", "a `dir` store has no users"),
        ("[store.a]\nendpoints = ['a']\n", "did you mean `url`?"),
    ] {
        let said = said_of_settings(text);
        assert!(said.contains(says), "{text}: {said}");
    }
}

#[test]
fn log_servers_are_explained() {
    for (url, says) in [
        ("syslog://logs", "the URL of the log server names no port; most syslog servers listen on 514"),
        ("syslog+tls://logs:6514", "that forwards over TLS"),
        ("syslog://::1:514", r#"for example `log = "syslog://[2001:db8::1]:514"`"#),
        ("tcp://logs:514", r#"for example `log = "syslog+tcp://logs.example:514"`"#),
    ] {
        let said = said_of_settings(&format!("log = \"{url}\"\n"));
        assert!(said.contains("twitcher.conf:1:7: error: ") && said.contains(says), "{said}");
    }
    for url in ["syslog://logs:514", "syslog+tcp://[::1]:601"] {
        assert_eq!(said_of_settings(&format!("log = \"{url}\"\n")), "");
    }
}

#[test]
fn stores_are_explained_and_a_secret_is_not_shown() {
    insta::assert_snapshot!(said_of_settings(r#"
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
    twitcher.conf:3:7: error: a store URL must not contain a user or password; write `username` and `password_file` (etcd) or `digest_file` (ZooKeeper) in the store's table of twitcher.conf
     = help: for example `url = "etcd://etcd1:2379,etcd2:2379/prod"`

    twitcher.conf:6:12: error: `username` needs `password_file` beside it
     = help: set both or neither

    twitcher.conf:7:15: error: an etcd store has no `digest_file`
     = help: remove it, or check `url`

    twitcher.conf:8:1: error: unknown field of a store table `sesion_timeout`
     = help: did you mean `session_timeout`? for example `session_timeout = "30s"`

    twitcher.conf:10:8: error: `cert` needs `key` beside it
     = help: set both or neither

    twitcher.conf:13:17: error: a ZooKeeper store has no `password_file`
     = help: remove it, or check `url`

    twitcher.conf:14:19: error: `session_timeout` must be from 1 s to 10 m
     = help: servers take 2 to 20 times their tickTime, usually 4 s to 40 s

    twitcher.conf:17:12: error: a `dir` store has no `username`
     = help: remove it, or check `url`

    twitcher.conf:18:7: error: a `dir` store has no TLS
     = help: remove the table

    twitcher.conf:19:1: error: this store has no `url`
       |
    19 | [store.empty]
       | ^^^^^^^^^^^^^
       = help: write for example `url = "etcd://etcd1:2379,etcd2:2379/prod"`

    twitcher.conf:20:8: error: a name has 1 to 128 characters: letters, digits, `.`, `_`, `-`, `@`, `:` or `/`, and does not begin with `-`
       |
    20 | [store."a b"]
       |        ^^^^^
       = help: write each store below a line such as `[store.main]`

    twitcher.conf:22:1: error: the store `x` is not a table
     = help: write each store below a line such as `[store.main]`
    "#);
    assert!(!said_of_settings("[store.main]\nurl = \"etcd://root:hunter2@a\"\n").contains("hunter2"));
}
