//! Each part of a `twitcher.conf` broken in turn, with and without last valid values.

use super::*;

/// A file with every part.
const GOOD: &str = "\
default_store = 'main'
state_dir = '/srv/state'
control_socket = '/run/c.sock'
log = 'json'
log_level = 'debug'
max_processes = 7
history_bytes = 20000
shutdown_grace = '7s'
http_listen = '127.0.0.1:1'
host = 'web-1'
[vars]
role = 'web'
[defaults]
timeout = '5m'
cwd = '/srv/${role}'
store = 'zk'
[fleet]
ttl = '20s'
[store.main]
url = 'etcd://a'
[store.zk]
url = 'zookeeper://a'
";

/// What is wrong, by the part that has it: the line, and what it becomes.
const FAULTS: &[(&str, &str, &str)] = &[
    ("`default_store`", "default_store = 'main'", "default_store = 'mian'"),
    ("`default_store`", "default_store = 'main'", "default_store = "),
    ("`state_dir`", "state_dir = '/srv/state'", "state_dir = 'srv'"),
    ("`control_socket`", "control_socket = '/run/c.sock'", "control_socket = 1"),
    ("`log`", "log = 'json'", "log = 'fil'"),
    ("`log_level`", "log_level = 'debug'", "log_levle = 'debug'"),
    ("`max_processes`", "max_processes = 7", "max_processes = 0"),
    ("`history_bytes`", "history_bytes = 20000", "history_bytes = 1"),
    ("`shutdown_grace`", "shutdown_grace = '7s'", "shutdown_grace = '7 parsecs'"),
    ("`http_listen`", "http_listen = '127.0.0.1:1'", "http_listen = 'localhost:1'"),
    ("`host`", "host = 'web-1'", "host = ''"),
    ("[vars]", "role = 'web'", "role = 1"),
    ("[vars]", "role = 'web'", "role = web"),
    ("[defaults]", "timeout = '5m'", "timeout = 'soon'"),
    ("[defaults]", "store = 'zk'", "store = 'kz'"),
    ("[defaults]", "timeout = '5m'", "timeout = \"\"\"5m"),
    ("[fleet]", "ttl = '20s'", "ttl = '1s'"),
    ("[store.main]", "url = 'etcd://a'", "url = 'etdc://a'"),
    ("[store.main]", "url = 'etcd://a'", "url = 'etcd://a'\npassword = 'x'"),
    ("[store.main]", "[store.main]", "[store.main]\ndigest_file = '/d'"),
    ("[defaults]", "[defaults]", "[default]"),
    ("[defaults]", "[defaults]", "[[default]]"),
];

fn path() -> Arc<Path> {
    Path::new("twitcher.conf").into()
}

fn merged(text: &str, last: Option<&Known>) -> Merged {
    let local = Local::named("machine");
    merge(&path(), &File::of(&path(), text, &local), last, &local)
}

fn names<'a>(parts: impl Iterator<Item = &'a Part>) -> String {
    parts.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_broken_part_has_its_last_valid_value_and_the_others_those_of_the_file() {
    let last = Known::valid(GOOD).unwrap();
    let good = merged(GOOD, None).settings.unwrap();
    for (part, line, wrong) in FAULTS {
        assert!(GOOD.contains(line), "{line}");
        let broken = GOOD.replace(line, wrong);
        let Merged { settings, known, kept } = merged(&broken, Some(&last));
        assert_eq!((names(kept.iter()).as_str(), names(known.unknown())), (*part, String::new()), "{wrong}");
        assert_eq!(settings.unwrap(), good, "{wrong}");
        assert_eq!(known.gaps(), Gaps::default(), "{wrong}");
        // For the other parts, the file's values are in effect.
        let other = broken.replace("'7s'", "'8s'").replace("zookeeper://a", "zookeeper://b");
        if *part != "`shutdown_grace`" {
            let settings = merged(&other, Some(&last)).settings.unwrap();
            assert_eq!(settings.shutdown_grace.as_secs(), 8, "{wrong}");
            assert_eq!(settings.stores["zk"].url.to_string(), "zookeeper://b:2181", "{wrong}");
        }
    }
}

/// Unknown tables, each of which may be meant as any table that is missing in the file.
const UNKNOWN_TABLES: &[&str] = &[
    "[watch.defaults]\nuid = 'nobody'\n",
    "[common]\nuid = 'nobody'\n",
    "[common.deeper]\nuid = 'nobody'\n",
    "[[common]]\nuid = 'nobody'\n",
    "common = { uid = 'nobody' }\n",
    "common = [{ uid = 'nobody' }]\n",
];

#[test]
fn an_unknown_table_blames_every_table_that_is_missing() {
    let (settings, rest) = GOOD.split_once("[vars]").unwrap();
    assert!(rest.contains("[defaults]"));
    let last = Known::valid(GOOD).unwrap();
    let good = merged(GOOD, None).settings.unwrap();
    for unknown in UNKNOWN_TABLES {
        let text = format!("{settings}{unknown}");
        let Merged { settings, known, kept } = merged(&text, Some(&last));
        let all = "[vars] [defaults] [fleet] [store.local] [store.main] [store.zk]";
        assert_eq!((names(kept.iter()).as_str(), names(known.unknown()).as_str()), (all, ""), "{unknown}");
        assert_eq!(settings.unwrap(), good, "{unknown}");
        assert!(known.gaps().stores.may_be("other"), "{unknown}");
        // Without last valid values nothing is loaded.
        let Merged { known, kept, .. } = merged(&text.replace("default_store = 'main'\n", ""), None);
        assert_eq!(names(kept.iter()), "", "{unknown}");
        assert_eq!(names(known.unknown()), "[vars] [defaults] [fleet] [store.local]", "{unknown}");
        assert_eq!(known.gaps().total.as_deref(), Some("[vars], [defaults]"), "{unknown}");
        // Tables that are written have the file's values, and may use `${name}`.
        let (inline, table) = if unknown.starts_with('[') { ("", *unknown) } else { (*unknown, "") };
        let text = format!("{inline}{}{table}", GOOD.replace("timeout = '5m'", "timeout = '6m'"));
        let Merged { settings, known, kept } = merged(&text, Some(&last));
        assert_eq!(
            (names(kept.iter()).as_str(), names(known.unknown()).as_str()),
            ("[store.local]", ""),
            "{unknown}"
        );
        let expected = merged(&GOOD.replace("timeout = '5m'", "timeout = '6m'"), None).settings.unwrap();
        assert_eq!(settings.unwrap(), expected, "{unknown}");
    }
}

#[test]
fn without_a_last_valid_value_only_three_settings_have_defaults() {
    for (part, line, wrong) in FAULTS {
        let Merged { settings, known, kept } = merged(&GOOD.replace(line, wrong), None);
        let (settings, gaps) = (settings.unwrap(), known.gaps());
        // [defaults] name one of the variables.
        let unknown = part.replace("[vars]", "[vars] [defaults]");
        assert_eq!((names(known.unknown()), names(kept.iter())), (unknown, String::new()), "{wrong}");
        let told = match gaps {
            Gaps { total: Some(total), .. } => format!("nothing is loaded for want of {total}"),
            Gaps { default_store: true, .. } => "watches that name no store".to_owned(),
            Gaps { fleet: true, .. } => "watches of fleets".to_owned(),
            gaps => {
                gaps.stores.named.iter().map(|name| format!("watches of {name}")).collect::<Vec<_>>().concat()
            }
        };
        let expected = match *part {
            "`default_store`" => "watches that name no store".to_owned(),
            "[fleet]" => "watches of fleets".to_owned(),
            "[store.main]" => "watches of main".to_owned(),
            "[vars]" => "nothing is loaded for want of [vars], [defaults]".to_owned(),
            "`log`" | "`log_level`" | "`http_listen`" | "`state_dir`" | "`control_socket`" => String::new(),
            part => format!("nothing is loaded for want of {part}"),
        };
        assert_eq!(told, expected, "{wrong}");
        assert_eq!(settings.stores.contains_key("main"), *part != "[store.main]", "{wrong}");
        assert_eq!(known.is_unknown("state_dir"), *part == "`state_dir`", "{wrong}");
        assert_eq!(known.is_unknown("control_socket"), *part == "`control_socket`", "{wrong}");
    }
}

#[test]
fn parts_that_are_wrong_only_beside_others_are_taken_back() {
    // The last [defaults] name a variable that the new [vars] do not have.
    let last = Known::valid(GOOD).unwrap();
    let text = GOOD.replace("role = 'web'", "tier = 'web'").replace("timeout = '5m'", "timeout = 'soon'");
    let Merged { settings, known, kept } = merged(&text, Some(&last));
    assert!(settings.is_some() && kept.is_empty());
    assert_eq!(names(known.unknown()), "[defaults]");
    // A store that is gone, and a [defaults] that named it.
    let text = GOOD.replace("[store.zk]", "[store.kz]").replace("timeout = '5m'", "timeout = 'soon'");
    let Merged { settings, known, .. } = merged(&text, Some(&last));
    assert!(settings.is_some());
    assert_eq!(names(known.unknown()), "[defaults]");
}

#[test]
fn the_two_paths_are_read_from_a_file_that_is_not_toml() {
    let text = "<html>\n [x\n\"\"\"\nstate_dir = '/srv/other'\n  control_socket='/run/o.sock'\nhost = 'b'\n";
    let Merged { settings, known, kept } = merged(text, None);
    let settings = settings.unwrap();
    assert_eq!(settings.state_dir, Path::new("/srv/other"));
    assert_eq!(settings.control_socket, Path::new("/run/o.sock"));
    assert!(!known.is_unknown("state_dir") && !known.is_unknown("control_socket") && kept.is_empty());
    assert!(known.gaps().total.is_some() && known.gaps().stores.may_be("main"));
    // With the last valid values all is as before but these two.
    let last = Known::valid(GOOD).unwrap();
    let mut good = merged(GOOD, None).settings.unwrap();
    let settings = merged(text, Some(&last)).settings.unwrap();
    good.state_dir = "/srv/other".into();
    good.control_socket = "/run/o.sock".into();
    good.stores.insert(StoreName::new("local").unwrap(), settings.stores["local"].clone());
    assert_eq!(settings, good);
    // Two that contradict each other, one that is no path, and none.
    for text in
        ["[x\nstate_dir = '/a'\nstate_dir = '/b'\n", "[x\nstate_dir = 'a'\n", "[x\nstate_dir = \n", "[x\n"]
    {
        let file = File::of(&path(), text, &Local::named("machine"));
        assert_eq!(file.state_dir(), Err(()), "{text}");
        assert!(
            merge(&path(), &file, None, &Local::named("machine")).known.is_unknown("state_dir"),
            "{text}"
        );
    }
    assert_eq!(File::of(&path(), "", &Local::named("machine")).state_dir(), Ok(None));
    assert_eq!(File::unread().state_dir(), Err(()));
}

#[test]
fn a_file_that_cannot_be_read_leaves_everything_as_it_was() {
    let last = Known::valid(GOOD).unwrap();
    let local = Local::named("machine");
    let Merged { settings, known, .. } = merge(&path(), &File::unread(), Some(&last), &local);
    assert_eq!(settings, merged(GOOD, None).settings);
    // A watch may name a store that is not among the last valid ones: the file may have it.
    assert_eq!(known.gaps().total, None);
    assert!(known.gaps().stores.may_be("other"));
    // The same again, from what is in effect now.
    let again = merge(&path(), &File::unread(), Some(&known), &local);
    assert_eq!((again.settings, again.known), (settings_of(&known), known));
}

fn settings_of(known: &Known) -> Option<Settings> {
    let raw = raw::settings(path(), &known.parts.text(), &Local::named("machine"));
    lower::settings(&raw).0
}

#[test]
fn settings_in_an_unknown_table_are_blamed_where_they_are_not_written() {
    for (text, blamed) in [
        ("[daemon]\nmax_processes = 7\nlog_stdout = 1\n", "`max_processes` [vars] [defaults] [fleet]"),
        ("max_processes = 6\n[vars]\n[fleet]\n[daemon]\nmax_processes = 7\n", "[defaults]"),
        ("[[daemon]]\nhost = 'a'\n[[daemon]]\nlog = 'json'\n", "`log` `host` [vars] [defaults] [fleet]"),
        // A watch in the wrong file is a watch.
        ("[[watch]]\nkey = '/a'\n", ""),
        ("daemon = []\n", ""),
        ("daemon = 1\n", ""),
    ] {
        let file = File::of(&path(), text, &Local::named("machine"));
        let blamed_names: BTreeSet<String> = file.blamed.iter().map(ToString::to_string).collect();
        let expected: BTreeSet<String> = blamed.split_whitespace().map(ToOwned::to_owned).collect();
        assert_eq!(blamed_names, expected, "{text}");
        assert_eq!(file.hides_stores, !blamed.is_empty(), "{text}");
    }
}

#[test]
fn fields_below_a_head_that_is_missing_blame_their_table_where_it_is_not_written() {
    let known = |text: &str| {
        let file = File::of(&path(), text, &Local::named("machine"));
        let blamed: BTreeSet<String> = file.blamed.iter().map(ToString::to_string).collect();
        (blamed.into_iter().collect::<Vec<_>>().join(" "), file.hides_stores)
    };
    for (text, blamed, hides_stores) in [
        ("[store.x]\nurl = 'etcd://a'\nuid = 'www'\n", "[defaults] [store.x]", false),
        ("[store.x]\nurl = 'etcd+tls://a'\n[store.x.tls]\numask = '027'\n", "[defaults] [store.x]", false),
        ("[store.x]\nurl = 'etcd://a'\nuid = 'www'\n[defaults]\n", "[store.x]", false),
        ("[store.x]\nurl = 'etcd://a'\nttl = '20s'\n", "[fleet] [store.x]", false),
        ("[fleet]\nuid = 'www'\n", "[defaults] [fleet]", false),
        ("[fleet]\nwaves = [1]\n", "[defaults] [fleet]", false),
        ("[fleet]\nurl = 'etcd://a'\n", "[fleet]", true),
        ("[defaults]\nttl = '20s'\n", "[defaults] [fleet]", false),
        ("[defaults]\nurl = 'etcd://a'\n", "[defaults]", true),
        ("[defaults]\nttl = '20s'\n[fleet]\n", "[defaults]", false),
    ] {
        assert_eq!(known(text), (blamed.to_owned(), hides_stores), "{text}");
    }
}

#[test]
fn a_name_that_most_likely_meant_a_part_blames_it() {
    for (more, part) in [
        ("default_stoer = 'x'\n", "`default_store`"),
        ("timeout = '1m'\n", "[defaults]"),
        ("[var]\na = 'b'\n", "[vars]"),
        ("[default]\ntimeout = '1m'\n", "[defaults]"),
        ("[flet]\nttl = '1m'\n", "[fleet]"),
        ("[[default]]\ntimeout = '1m'\n", "[defaults]"),
        ("[vars]\nhost = 'b'\n", "`host` [vars]"),
        ("[defaults]\nmax_processes = 3\n", "`max_processes` [defaults]"),
        ("[store.x]\nurl = 'etcd://a'\nstate_dir = '/b'\n", "`state_dir` [store.x]"),
    ] {
        let file = File::of(&path(), more, &Local::named("machine"));
        assert_eq!(names(file.blamed.iter()), part, "{more}");
    }
    for more in ["[stores.x]\nurl = 'etcd://a'\n", "url = 'etcd://a'\n", "store = 1\n"] {
        assert!(File::of(&path(), more, &Local::named("machine")).hides_stores, "{more}");
    }
}

#[test]
fn the_valid_parts_of_remembered_settings_are_used() {
    let of = |text: &str| Known::remembered(&path(), text, "machine");
    assert_eq!(of(GOOD), Some((Known::valid(GOOD).unwrap(), Some(Local::named("machine")))));
    // A later version may have written more.
    let later = GOOD.replace("ttl = '20s'", "ttl = '20s'\nmode = 'new'");
    let (known, local) = of(&format!("default_stores = ['a']\n{later}[limits]\na = 1\n")).unwrap();
    assert_eq!(names(known.unknown()), "[fleet]");
    assert_eq!(local, Some(Local::named("machine")));
    assert_eq!(of("[[["), None);
}

#[test]
fn the_values_of_local_conf_are_remembered_separately() {
    let of = |text: &str| Known::remembered(&path(), text, "machine").unwrap();
    let said = Local {
        host: Some("it's \"b\"".to_owned()),
        vars: BTreeMap::from([("role".to_owned(), "db".to_owned()), ("zone".to_owned(), "a\nb".to_owned())]),
        ..Local::named("machine")
    };
    for local in [
        said.clone(),
        Local { host: None, ..said.clone() },
        Local { vars: BTreeMap::new(), ..said.clone() },
        Local::named("machine"),
    ] {
        // [defaults] may name what only local.conf defines.
        let good = Known::valid(&GOOD.replace("timeout = '5m'", "env = { A = '${role}' }")).unwrap();
        let text = good.to_remember(&local);
        assert_eq!(of(&text), (good, Some(local)), "{text}");
    }
    let zone = Known::valid("[defaults]\ncwd = '/${zone}'\n").unwrap();
    assert_eq!(of(&zone.to_remember(&said)), (zone, Some(said)));
    // What cannot be understood of it leaves the machine unknown, and what names its variables.
    for bad in ["local = 1\n", "[local]\nhost = 1\n", "[local.vars]\na = 1\n", "[local]\nmode = 'new'\n"] {
        let (known, local) = of(bad);
        assert_eq!((names(known.unknown()).as_str(), local), ("`host` [vars]", None), "{bad}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_lines_are_damaged_there_are_settings(damaged in proptest::collection::vec((0usize..24, 0usize..4), 0..6)) {
        let mut lines: Vec<String> = GOOD.lines().map(ToOwned::to_owned).collect();
        for (at, how) in damaged {
            if let Some(line) = lines.get_mut(at) {
                match how {
                    0 => line.clear(),
                    1 => line.insert(0, '['),
                    2 => line.push('\''),
                    _ => *line = line.replacen(['a', 'e', 'o'], "x", 1),
                }
            }
        }
        let text = lines.join("\n");
        let last = Known::valid(GOOD).unwrap();
        for last in [None, Some(&last)] {
            proptest::prop_assert!(merged(&text, last).settings.is_some(), "{}", text);
        }
    }
}
