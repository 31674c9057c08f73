//! `[watch.fleet]`, `[defaults.fleet]` and `[fleet]`: what they mean, and what is said where they are wrong.

use std::time::Duration;

use super::*;
use crate::watch::RunOnLoad;
use crate::watch::fleet::terms::{Share, StopOnFailures};
use crate::watch::fleet::{FleetPage, FleetSpec, HostGlobs, MaxParallel, Terms};

/// A watch on etcd that may have permits.
fn watch(lines: &str) -> String {
    format!("[[watch]]\nkey = \"/git/head\"\nstore = \"main\"\naction = \"true\"\n{lines}\n")
}

fn with_permits(fields: &str) -> String {
    watch(&format!("timeout = \"2m\"\n[watch.fleet]\n{fields}"))
}

/// The one watch of a file without problems.
fn one(conf: &str, text: &str) -> WatchSpec {
    let (mut watches, problems) = load_with(&format!("{conf}{CONF}"), text);
    assert_eq!(printed(&problems), "");
    watches.pop().unwrap()
}

fn fleet(text: &str) -> FleetSpec {
    *one("", text).fleet.unwrap()
}

/// First line and help of each problem of a watch file.
fn brief(conf: &str, text: &str) -> String {
    let problems = load_with(&format!("{conf}{CONF}"), text).1;
    let short = |problem: &Problem| {
        let text = problem.to_string();
        let first = text.lines().next().unwrap_or_default().replace("/etc/twitcher/git.toml:", "");
        format!("{first}\n  {}", problem.help.as_deref().unwrap_or_default())
    };
    problems.iter().map(short).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_table_is_one_host_at_a_time_and_stops_at_the_first_failure() {
    let spec = one("", &with_permits(""));
    let fleet = spec.fleet.as_ref().unwrap();
    assert_eq!((fleet.group.as_key(), &*fleet.terms), ("git", &Terms::default()));
    assert_eq!(spec.policy.run_on_load, RunOnLoad::Changed, "unless it is written");
    let written = one("", &watch("timeout = 1\nrun_on_load = true\n[watch.fleet]\n"));
    assert_eq!(written.policy.run_on_load, RunOnLoad::Always);
    let plain = one("", &watch(""));
    assert!(plain.fleet.is_none() && plain.policy.run_on_load == RunOnLoad::Always);
    assert!(one("", &watch("fleet = false")).fleet.is_none());
}

#[test]
fn every_field_is_read() {
    let fields = "group = \"web\"\nmax_parallel = \"10%\"\ncanary = [\"c-*\", \"!c-9\"]\nwaves = [1, \"5%\", 40, \"50%\"]\n\
                  soak = \"1m\"\nhold = 30\ndeadline = \"1h\"\nstop_on_failures = 3";
    let fleet = fleet(&with_permits(fields));
    assert_eq!(fleet.group.as_key(), "web");
    let terms = Terms {
        max_parallel: MaxParallel::Share(Share::Percent(10)),
        canary: HostGlobs(vec!["c-*".to_owned(), "!c-9".to_owned()]),
        waves: vec![Share::Count(1), Share::Percent(5), Share::Count(40), Share::Percent(50)],
        soak: Duration::from_mins(1),
        hold: Duration::from_secs(30),
        deadline: Duration::from_hours(1),
        stop_on_failures: StopOnFailures::Share(Share::Count(3)),
    };
    assert_eq!(*fleet.terms, terms);
}

#[test]
fn defaults_follow_other_fields() {
    let minutes = Duration::from_mins;
    for (fields, soak) in [("canary = [\"a\"]", minutes(5)), ("waves = [1]", minutes(5)), ("", minutes(0))] {
        assert_eq!(fleet(&with_permits(fields)).terms.soak, soak, "{fields}");
    }
    let deadline = |timeout: &str| {
        fleet(&watch(&format!("timeout = \"{timeout}\"\nkill_after = \"1m\"\n[watch.fleet]"))).terms.deadline
    };
    assert_eq!((deadline("2m"), deadline("9m")), (minutes(10), minutes(20)));
    let never = fleet(&with_permits("stop_on_failures = \"never\""));
    assert_eq!(never.terms.stop_on_failures, StopOnFailures::Never);
}

#[test]
fn without_a_limit_no_other_default_changes() {
    let spec = one("", &watch("run_mode = \"parallel\"\n[watch.fleet]\nmax_parallel = \"unlimited\""));
    assert_eq!(spec.policy.run_on_load, RunOnLoad::Always);
    assert!(!spec.fleet.unwrap().needs_permits());
}

#[test]
fn fields_that_are_wrong_by_themselves_are_explained() {
    let fields = "group = \"\"\nmax_parallel = 0\ncanary = [\"[\", 5]\nwaves = [0, \"101%\", \"5\", 1.5]\nsoak = \"x\"\n\
                  hold = -1\ndeadline = 0\nstop_on_failures = \"nevr\"\nmax_paralel = 1\nttl = \"1s\"";
    insta::assert_snapshot!(brief("", &with_permits(fields)), @r#"
    7:9: error: a name has 1 to 128 characters: letters, digits, `.`, `_`, `-`, `@`, `:` or `/`, and does not begin with `-`
      for example `group = "git"`
    8:16: error: `max_parallel` is 0, expected a number of hosts from 1 to 1000000, a percentage from `"1%"` to `"100%"`, or `"unlimited"`
      for example `max_parallel = "10%"`
    9:11: error: `[` is not a pattern for host names: `[` has no `]`
      for example `canary = ["web-canary-*"]`
    9:16: error: a pattern is a string, not a whole number
      for example `canary = ["web-canary-*"]`
    10:10: error: a wave is 0, expected a number of hosts from 1 to 1000000, or a percentage from `"1%"` to `"100%"`
      for example `waves = [1, "10%"]`
    10:13: error: a wave is `"101%"`, expected a number of hosts from 1 to 1000000, or a percentage from `"1%"` to `"100%"`
      for example `waves = [1, "10%"]`
    10:21: error: a wave is `"5"`, expected a number of hosts from 1 to 1000000, or a percentage from `"1%"` to `"100%"`
      a number of hosts has no quotes: `5`; a percentage has its sign: `"5%"`
    10:26: error: a wave is a number with a fraction, expected a number of hosts from 1 to 1000000, or a percentage from `"1%"` to `"100%"`
      for example `waves = [1, "10%"]`
    11:8: error: `soak` is not a duration: a duration is numbers with the units `d`, `h`, `m`, `s`, `ms`, for example `30s` or `1h30m`
      for example `soak = "10m"`
    12:8: error: `hold` is not a duration: a duration must not be negative
      for example `hold = "30s"`
    13:12: error: `deadline` must be above zero
      leave `deadline` out for its default, 10m, or twice timeout and kill_after together if that is longer
    14:20: error: `stop_on_failures` is `"nevr"`, expected a number of hosts from 1 to 1000000, a percentage from `"1%"` to `"100%"`, or `"never"`
      for example `stop_on_failures = 3`
    15:1: error: unknown field of a fleet table `max_paralel`
      did you mean `max_parallel`? for example `max_parallel = "10%"`
    16:1: error: unknown field of a fleet table `ttl`
      it is a setting of the machine: write it below a line `[fleet]` in twitcher.conf
    "#);
    let each = [
        "max_parallel = \"10\"",
        "max_parallel = true",
        "max_parallel = \"0%\"",
        "waves = 5",
        "canary = \"a\"",
    ];
    let said: Vec<String> = each.iter().map(|field| brief("", &with_permits(field))).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    7:16: error: `max_parallel` is `"10"`, expected a number of hosts from 1 to 1000000, a percentage from `"1%"` to `"100%"`, or `"unlimited"`
      a number of hosts has no quotes: `10`; a percentage has its sign: `"10%"`
    7:16: error: `max_parallel` is a boolean, expected a number of hosts from 1 to 1000000, a percentage from `"1%"` to `"100%"`, or `"unlimited"`
      for example `max_parallel = "10%"`
    7:16: error: `max_parallel` is `"0%"`, expected a number of hosts from 1 to 1000000, a percentage from `"1%"` to `"100%"`, or `"unlimited"`
      for example `max_parallel = "10%"`
    7:9: error: `waves` is a whole number, expected an array of numbers of hosts and percentages of them, such as `[1, "10%"]`
      for example `waves = [1, "10%"]`
    7:10: error: `canary` is a string, expected an array of patterns for host names, such as `["web-canary-*"]`
      for example `canary = ["web-canary-*"]`
    "#);
}

#[test]
fn fields_that_do_not_go_together_are_explained() {
    let unlimited =
        "max_parallel = \"unlimited\"\ncanary = []\nwaves = []\nsoak = 0\nhold = 0\nstop_on_failures = 1";
    let said: Vec<String> = [
        watch(&format!("[watch.fleet]\n{unlimited}")),
        watch("[watch.fleet]\n"),
        watch("timeout = \"2m\"\nrun_mode = \"parallel\"\n[watch.fleet]"),
        watch("timeout = \"2m\"\nrun_mode = \"discard\"\n[watch.fleet]"),
        watch("timeout = \"2m\"\nkill_after = \"5s\"\n[watch.fleet]\ndeadline = \"2m5s\""),
        with_permits("waves = [1, \"10%\", 1]"),
        with_permits(&format!("waves = [{}]", (1..18).map(|n| n.to_string()).collect::<Vec<_>>().join(", "))),
        with_permits(&format!("canary = [\"{}\"]", "x".repeat(1030))),
        watch("fleet = true"),
        watch("fleet = \"web\""),
        with_permits(&format!("group = \"{}\"", "a".repeat(65))),
    ]
    .iter()
    .map(|text| brief("", text))
    .collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    7:10: error: `canary` stands beside `max_parallel = "unlimited"`, where there are no permits
      keep one of them
    8:9: error: `waves` stands beside `max_parallel = "unlimited"`, where there are no permits
      keep one of them
    9:8: error: `soak` stands beside `max_parallel = "unlimited"`, where there are no permits
      keep one of them
    10:8: error: `hold` stands beside `max_parallel = "unlimited"`, where there are no permits
      keep one of them
    11:20: error: `stop_on_failures` stands beside `max_parallel = "unlimited"`, where there are no permits
      keep one of them
    5:1: error: a watch with permits of a fleet needs `timeout`: nothing else bounds a run that nobody sees
      write for example `timeout = "2m"` in the watch
    6:12: error: a watch with `run_mode = "parallel"` cannot act under permits of a fleet
      write `run_mode = "queue"` or `"restart"`, or `max_parallel = "unlimited"` in `[watch.fleet]`
    6:12: error: a watch with `run_mode = "discard"` cannot act under permits of a fleet
      write `run_mode = "queue"` or `"restart"`, or `max_parallel = "unlimited"` in `[watch.fleet]`
    8:12: error: `deadline` is not longer than `timeout` and `kill_after` together, 2m 5s
      leave it out for twice that, at least 10m
    7:9: error: `waves` do not rise
      each wave has more hosts than the one before it, as in `[1, "10%", "50%"]`
    7:9: error: there are at most 16 waves
      the last wave, all hosts, is implied
    7:10: error: `canary` takes 1033 bytes of every host's record, and 1024 is the most
      write fewer patterns, as in `["web-canary-*"]`
    5:9: error: `fleet` is `true`, expected a table or `false`
      write a line `[watch.fleet]`; an empty table means one host at a time, and `fleet = false` no fleet
    5:9: error: `fleet` is a string, expected a table or `false`
      write a line `[watch.fleet]`; an empty table means one host at a time, and `fleet = false` no fleet
    7:9: error: the fleet's group: the name `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` takes 65 bytes in a key, and 64 is the most: choose a shorter one
      write a shorter `group` in `[watch.fleet]`
    "#);
}

#[test]
fn a_watch_of_the_fleets_own_keys_takes_no_part_in_it() {
    let text = |key: &str, kind: &str| {
        format!(
            "[[watch]]\nkey = \"{key}\"\nstore = \"main\"\nwatch_type = \"{kind}\"\naction = \"true\"\ntimeout = 1\n[watch.fleet]\n"
        )
    };
    for (key, kind, refused) in [
        ("/", "tree", true),
        ("/twitcher", "tree", true),
        ("/twitcher/", "children", true),
        ("/twitcher/fleet", "tree", true),
        ("/twitcher/fleet/git/control", "data", true),
        ("/twitcher", "data", false),
        ("/twitcher/fleet2", "tree", false),
        ("/git", "tree", false),
    ] {
        let said = brief("", &text(key, kind));
        assert_eq!(
            said.contains("the fleet's own keys are in what it watches"),
            refused,
            "{key} {kind}: {said}"
        );
        assert_eq!(said.is_empty(), !refused, "{said}");
    }
    // They are in another store, or elsewhere in it.
    for conf in ["[fleet]\nstore = \"zk\"\n", "[fleet]\nprefix = \"/other\"\n"] {
        assert_eq!(brief(conf, &text("/twitcher", "tree")), "");
    }
    let plain = "[[watch]]\nkey = \"/\"\nstore = \"main\"\nwatch_type = \"tree\"\naction = \"true\"\n";
    assert_eq!(brief("", plain), "", "no machine of a fleet");
    insta::assert_snapshot!(brief("[fleet]\nttl = \"1m\"\n", plain), @r"
    2:7: warning: the keys of fleets, below /twitcher/fleet, are in what is watched
      it runs whenever a host of a fleet does; watch another key
    ");
}

#[test]
fn a_group_has_one_watch_a_host() {
    let second = |fields: &str| format!("{}{}", with_permits("group = \"web\""), watch(fields));
    let same = second("name = \"other\"\ntimeout = 1\n[watch.fleet]\ngroup = \"web\"");
    insta::assert_snapshot!(brief("", &same), @r"
    15:9: error: the watch `git` in line 1 is in the fleet's group `web` already
      a group has one watch a host: give each a `group` of its own
    ");
    for fields in [
        "name = \"other\"\ntimeout = 1\n[watch.fleet]\n",
        "name = \"other\"\ntimeout = 1\nenabled = false\n[watch.fleet]\ngroup = \"web\"",
        "name = \"other\"\nhosts = [\"elsewhere\"]\ntimeout = 1\n[watch.fleet]\ngroup = \"web\"",
    ] {
        assert_eq!(brief("", &second(fields)), "", "{fields}");
    }
    let in_another_store = "[[watch]]\nname = \"zk\"\nkey = \"/a\"\nstore = \"zk\"\naction = \"true\"\ntimeout = 1\n[watch.fleet]\ngroup = \"web\"\n";
    let both = format!("{}{in_another_store}", with_permits("group = \"web\""));
    assert_eq!(brief("", &both), "");
    assert!(brief("[fleet]\nstore = \"main\"\n", &both).contains("is in the fleet's group `web` already"));
}

#[test]
fn a_default_fleet_takes_every_watch_that_fits() {
    let unlimited = "[defaults.fleet]\nmax_parallel = \"unlimited\"\n";
    let limited = "[defaults.fleet]\nmax_parallel = 5\ndeadline = \"11m\"\n";
    let terms =
        |conf: &str, lines: &str| one(conf, &watch(lines)).fleet.map(|fleet| fleet.terms.max_parallel);
    let five = Some(MaxParallel::Share(Share::Count(5)));
    assert_eq!(terms(unlimited, ""), Some(MaxParallel::Unlimited));
    assert_eq!(terms(unlimited, "run_mode = \"parallel\""), Some(MaxParallel::Unlimited));
    assert_eq!(terms(limited, "timeout = 1"), five);
    assert_eq!(terms(limited, ""), None, "no timeout");
    assert_eq!(terms(limited, "timeout = 1\nrun_mode = \"discard\""), None);
    assert_eq!(terms(limited, "timeout = 1\nfleet = false"), None);
    let own = "timeout = 1\n[watch.fleet]\n";
    assert_eq!(
        terms(unlimited, own),
        Some(MaxParallel::Share(Share::Count(1))),
        "a table is taken as a whole"
    );
    let long = one(limited, &watch("timeout = \"20m\""));
    assert_eq!(long.fleet.unwrap().terms.deadline, Duration::from_secs(2410), "a default that does not fit");
    // A directory is no fleet of several hosts, unless its keys are elsewhere.
    let local = "[[watch]]\nkey = \"/a\"\naction = \"true\"\n";
    assert!(one(unlimited, local).fleet.is_none());
    assert!(one(&format!("[fleet]\nstore = \"main\"\n{unlimited}"), local).fleet.is_some());
}

#[test]
fn check_is_told_what_the_tables_come_to() {
    let notes = |conf: &str, text: &str| {
        let conf =
            settings(Path::new("twitcher.conf").into(), &format!("{conf}{CONF}"), &Local::named("host"));
        let settings = lower::settings(&conf).0.unwrap();
        let raw = watch_file(Path::new("git.toml").into(), text, Some(&settings.site()));
        let mut resolve = |uid: Option<&AccountName>, gid: Option<&AccountName>| {
            accounts::resolve(&FakeAccounts(0), uid, gid)
        };
        lower::watches_alone(&raw, "git", Some(&settings), &mut resolve).notes.join("\n")
    };
    let waves =
        with_permits("max_parallel = \"5%\"\ncanary = [\"c\"]\nwaves = [1]\nstop_on_failures = \"2%\"");
    let said = [
        notes("", &with_permits("")),
        notes("", &waves),
        notes("[defaults.fleet]\nmax_parallel = \"unlimited\"\n", &watch("")),
        notes("[defaults.fleet]\n", &watch("")),
        notes("[defaults.fleet]\n", &watch("run_mode = \"parallel\"\ntimeout = 1")),
        notes("[defaults.fleet]\n", "[[watch]]\nkey = \"/a\"\naction = \"true\"\ntimeout = 1\n"),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    git takes part in a fleet as group git: 1 host at a time, stops at the first failure
    git takes part in a fleet as group git: 5% of the hosts at a time, canaries first, 3 waves, stops when 2% of the hosts failed
    git takes part in a fleet as group git: acts at once, and only reports
    git takes no part in the fleet of [defaults.fleet]: a watch with permits of a fleet needs `timeout`: nothing else bounds a run that nobody sees
    git takes no part in the fleet of [defaults.fleet]: a watch with `run_mode = "parallel"` cannot act under permits of a fleet
    git takes no part in the fleet of [defaults.fleet]: store local is a directory of this machine
    "#);
}

#[test]
fn the_settings_of_the_machine_are_read() {
    let conf = format!(
        "{CONF}[fleet]\nstore = \"zk\"\nprefix = \"/f\"\nttl = \"1m\"\nconduct = false\npage = true\nacl = \"creator\"\n"
    );
    let conf = settings(Path::new("twitcher.conf").into(), &conf, &Local::named("host"));
    let fleet = lower::settings(&conf).0.unwrap().fleet;
    assert_eq!(fleet.store.as_ref().map(StoreName::as_str), Some("zk"));
    assert_eq!((fleet.prefix.as_str(), fleet.ttl, fleet.conduct), ("/f", Duration::from_mins(1), false));
    assert_eq!(fleet.page, FleetPage::Everywhere);
}

#[test]
fn wrong_settings_of_the_machine_are_explained() {
    let said = [
        "[fleet]\nstore = \"mian\"\nprefix = \"f/\"\nttl = \"1s\"\nconduct = \"yes\"\npage = \"all\"\nacl = \"mine\"\n\
         max_parallel = 1\nttll = 1\n[defaults.fleet]\nmax_parallel = \"unlimited\"\nsoak = 1\ngroup = \"a\"\n",
        "fleet = true\n[defaults]\nfleet = 1\n",
        "[fleet]\nprefix = \"/\"\nttl = \"11m\"\n",
    ]
    .map(said_of_settings);
    insta::assert_snapshot!(said.join("\n\n"), @r#"
    twitcher.conf:2:9: error: there is no store `mian` in twitcher.conf
     = help: known are local; write `[store.mian]` with its `url`

    twitcher.conf:3:10: error: `prefix` is `"f/"`, expected a key below the top of the store
      |
    3 | prefix = "f/"
      |          ^^^^
      = help: write a key such as `/twitcher/fleet`

    twitcher.conf:4:7: error: `ttl` must be from 10 s to 10 m
      |
    4 | ttl = "1s"
      |       ^^^^
      = help: 30s is the default; longer means less load, and silent hosts are noticed later

    twitcher.conf:5:11: error: `conduct` is a string, expected `true` or `false`
      |
    5 | conduct = "yes"
      |           ^^^^^
      = help: for example `conduct = false`

    twitcher.conf:6:8: error: `page` is `"all"`, expected `true`, `false` or `"loopback"`
      |
    6 | page = "all"
      |        ^^^^^
      = help: for example `page = false`

    twitcher.conf:7:7: error: `acl` is `"mine"`, expected one of `"open"`, `"creator"`
      |
    7 | acl = "mine"
      |       ^^^^^^
      = help: for example `acl = "creator"`

    twitcher.conf:8:1: error: unknown field of [fleet] `max_parallel`
      |
    8 | max_parallel = 1
      | ^^^^^^^^^^^^
      = help: it is about a watch: write it below a line `[watch.fleet]` in a watch file, or `[defaults.fleet]` here

    twitcher.conf:9:1: error: unknown field of [fleet] `ttll`
      |
    9 | ttll = 1
      | ^^^^
      = help: did you mean `ttl`? for example `ttl = "1m"`

    twitcher.conf:12:8: error: `soak` stands beside `max_parallel = "unlimited"`, where there are no permits
       |
    12 | soak = 1
       |        ^
       = help: keep one of them

    twitcher.conf:13:9: error: `group` is about one watch and has no default for all
       |
    13 | group = "a"
       |         ^^^
       = help: write it in `[watch.fleet]` of the watch

    twitcher.conf:1:9: error: `fleet` is a table, not a boolean
      |
    1 | fleet = true
      |         ^^^^
      = help: write a line `[fleet]` and below it for example `ttl = "30s"`

    twitcher.conf:3:9: error: `fleet` is a whole number, expected a table or `false`
      |
    3 | fleet = 1
      |         ^
      = help: write a line `[defaults.fleet]`; an empty table means one host at a time, and `fleet = false` no fleet

    twitcher.conf:2:10: error: `prefix` is `"/"`, expected a key below the top of the store
      |
    2 | prefix = "/"
      |          ^^^
      = help: write a key such as `/twitcher/fleet`

    twitcher.conf:3:7: error: `ttl` must be from 10 s to 10 m
      |
    3 | ttl = "11m"
      |       ^^^^^
      = help: 30s is the default; longer means less load, and silent hosts are noticed later
    "#);
}

#[test]
fn a_table_of_the_fleet_at_the_wrong_place_is_explained() {
    insta::assert_snapshot!(brief("", "[fleet]\nmax_parallel = 1\n"), @r"
    1:2: error: `fleet` stands outside of a watch
      write `[watch.fleet]` below the fields of the watch; `[fleet]` with the machine's settings belongs in twitcher.conf
    ");
    insta::assert_snapshot!(brief("", &watch("flete = 1")), @r"
    5:1: error: unknown field `flete`
      did you mean the table `[watch.fleet]`?
    ");
}
