//! The algebra of differences.

use std::path::Path;

use super::*;
use crate::config::accounts::{self, tests::FakeAccounts};
use crate::config::fields::WATCH;
use crate::config::raw::{self, AccountName, Local};
use crate::config::{Settings, Severity, lower};

/// The watches that a file defines.
pub(in crate::config) fn watches(text: &str) -> Watches {
    let stores = raw::settings(
        Path::new("/t/twitcher.conf").into(),
        "[store.main]\nurl = 'dir:///k'\n",
        &Local::named("host"),
    );
    let (settings, _) = lower::settings(&stores);
    let site = settings.as_ref().map(Settings::site);
    let raw = raw::watch_file(Path::new("/t/file.toml").into(), text, site.as_ref());
    let mut resolve =
        |uid: Option<&AccountName>, gid: Option<&AccountName>| accounts::resolve(&FakeAccounts(0), uid, gid);
    let lower::Lowered { watches, problems, .. } =
        lower::watches_alone(&raw, "file", settings.as_ref(), &mut resolve);
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning), "{problems:?}");
    watches.into_iter().map(|placed| (placed.spec.name.clone(), Arc::new(placed.spec))).collect()
}

fn one(line: &str) -> Watches {
    watches(&format!("[[watch]]\nkey = '/a'\naction = 'true'\n{line}\n"))
}

#[test]
fn comments_order_and_spelling_mean_nothing() {
    let plain = watches(
        "[[watch]]\nname = 'a'\nkey = '/a'\naction = 'true'\ntimeout = '60s'\nsuccess_codes = [0, 3]\numask = '022'\nenv = { A = '1', B = '2' }\nnotify_signal = 'HUP'\n",
    );
    let odd = watches(
        "# a comment\nwatch = [{ env = { B = \"2\", A = '''1''' }, umask = 0o22, success_codes = [3, 0, 0x3], store = 'local',\n timeout = \"1m\", action = \"tr\\u0075e\", znode = '/a', name = 'a', notify_signal = 1, run_mode = 'queue', retries = 3 }]\n",
    );
    assert_eq!(plain, odd);
    assert!(Diff::between(&plain, &odd).is_empty());
}

/// Fields that do not decide when or how the action runs.
const OUTSIDE_IDENTITY: &[&str] = &["name", "description", "enabled"];

/// Other fields that a field needs to have an effect.
fn needed_by(field: &str) -> &'static str {
    match field {
        "max_parallel" => "run_mode = 'parallel'",
        "settle_max" => "settle = '1s'",
        "min_entries" | "max_shrink" => "watch_type = 'tree'",
        _ => "",
    }
}

/// Uses the table of fields, so that none can be forgotten.
#[test]
fn every_field_is_part_of_the_definition_and_of_its_identity() {
    for field in WATCH {
        let needed = needed_by(field.name);
        let required = [("key", "key = '/a'"), ("action", "action = 'true'")].into_iter();
        let replaced = |name: &str| name == field.name || (field.name == "script" && name == "action");
        let others: Vec<&str> =
            required.clone().filter(|(name, _)| !replaced(name)).map(|(_, line)| line).collect();
        let plain: Vec<&str> = required.map(|(_, line)| line).collect();
        let before = watches(&format!("[[watch]]\n{}\n{needed}\n", plain.join("\n")));
        let after = watches(&format!("[[watch]]\n{}\n{needed}\n{}\n", others.join("\n"), field.sample()));
        assert!(!Diff::between(&before, &after).is_empty(), "{}", field.name);
        if field.name == "hosts" {
            assert!(after.is_empty(), "the tests' host is not among the example's");
            continue;
        }
        let identity = |watches: &Watches| watches.values().next().unwrap().identity();
        let moved = identity(&before) != identity(&after);
        assert_eq!(moved, !OUTSIDE_IDENTITY.contains(&field.name), "{}:\n{}", field.name, identity(&after));
    }
}

#[test]
fn terms_of_a_fleet_change_under_a_live_watch() {
    let fleet = |fields: &str| one(&format!("timeout = 1\nrun_on_load = true\n[watch.fleet]\n{fields}"));
    let before = fleet("");
    for (fields, same) in [
        ("max_parallel = 5", true),
        ("canary = ['a']", true),
        ("deadline = '1h'", true),
        ("group = 'x'", false),
    ] {
        let after = fleet(fields);
        let (before, after) = (before.values().next().unwrap(), after.values().next().unwrap());
        assert_eq!(before.means_the_same_as(after), same, "{fields}");
        assert_eq!(before.fingerprint() == after.fingerprint(), same, "{fields}");
        assert!(!before.is_defined_as(after), "the live watch is told");
    }
    let [plain, none] =
        ["", "fleet = false"].map(|line| one(&format!("timeout = 1\nrun_on_load = true\n{line}")));
    assert_eq!(plain, none);
    assert!(!plain.values().next().unwrap().means_the_same_as(before.values().next().unwrap()));
}

#[test]
fn every_value_means_something_else() {
    let plain = one("");
    for line in [
        "run_on_load = false",
        "run_on_load = 'changed'",
        "run_mode = 'discard'",
        "run_mode = 'parallel'",
        "run_mode = 'restart'",
        "retries = 0",
        "retries = 'unlimited'",
        "env = { A = '' }",
        "limits = { core = 0 }",
        "limits = { core = 'unlimited' }",
    ] {
        assert_eq!(Diff::between(&plain, &one(line)).changed.len(), 1, "{line}");
    }
    let parallel = one("run_mode = 'parallel'");
    assert_eq!(parallel, one("run_mode = 'parallel'\nmax_parallel = 16"));
    assert_ne!(parallel, one("run_mode = 'parallel'\nmax_parallel = 15"));
    assert_ne!(one("settle = 1"), one("settle = 1\nsettle_max = 2"));
    assert_eq!(one("settle = 1"), one("settle = '1s'\nsettle_max = 10"));
}

#[test]
fn every_default_is_that_of_the_contract() {
    insta::assert_debug_snapshot!(one("").into_values().next().unwrap(), @r#"
    WatchSpec {
        name: WatchName(
            "file",
        ),
        description: "",
        enabled: true,
        target: Target {
            store: StoreName(
                "local",
            ),
            key: Key(
                "/a",
            ),
            watch_type: Data,
        },
        action: Shell(
            "true",
        ),
        surroundings: Surroundings {
            account: Account {
                uid: 0,
                gid: 0,
                groups: None,
                user: "root",
                home: "/root",
                shell: "/bin/bash",
            },
            cwd: "/",
            umask: 18,
            inherit_env: false,
            env: {},
            nice: None,
            limits: {},
        },
        pipe_stdin: true,
        format: Raw,
        output: Log,
        verify_interval: 300s,
        splay: 0ns,
        mutex: None,
        fleet: None,
        validate: None,
        on_give_up: None,
        machine: Machine {
            host: "host",
            vars: {},
        },
        policy: PolicySpec {
            run_on_load: Always,
            run_mode: Queue,
            on_delete: Ignore,
            notify_signal: None,
            timeout: None,
            kill_after: 5s,
            settle: 0ns,
            settle_max: 0ns,
            splay: 0ns,
            min_interval: 0ns,
            retries: AtMost(
                3,
            ),
            retry_delay: 5s,
            retry_delay_max: 300s,
            on_failure: Keep,
            success_codes: [
                0,
            ],
            guard: Guard {
                min_entries: 0,
                max_shrink: None,
                validate: Nothing,
            },
        },
    }
    "#);
}

fn some_watches() -> impl proptest::strategy::Strategy<Value = Watches> {
    let watch = (0..6_u8, 0..3_u8);
    proptest::strategy::Strategy::prop_map(
        proptest::collection::btree_map(watch.0, watch.1, 0..6),
        |chosen| {
            let text = |(name, retries)| {
                format!("[[watch]]\nname = 'w{name}'\nkey = '/a'\naction = 'true'\nretries = {retries}\n")
            };
            let text: Vec<String> = chosen.into_iter().map(text).collect();
            watches(&text.concat())
        },
    )
}

proptest::proptest! {
    #[test]
    fn a_difference_leads_from_one_set_to_the_other(old in some_watches(), new in some_watches()) {
        let diff = Diff::between(&old, &new);
        let mut applied = old.clone();
        diff.apply(&mut applied);
        proptest::prop_assert_eq!(&applied, &new);
        let parts = diff.added.len() + diff.changed.len() + diff.unchanged.len();
        proptest::prop_assert_eq!(parts, new.len());
        proptest::prop_assert_eq!(diff.is_empty(), old == new);
        proptest::prop_assert!(Diff::between(&new, &new).is_empty());
    }
}
