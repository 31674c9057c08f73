//! The identity is a format on disk: golden texts, and the changes that must not affect it.

use std::ffi::OsStr;
use std::sync::Arc;

use super::*;
use crate::watch::fixture::minimal;
use crate::watch::fleet::{GroupName, MaxParallel, Terms};
use crate::watch::{
    Key, Machine, MutexName, OnDelete, OnFailure, Output, SignalNumber, StoreName, Validate, WatchName,
    WatchType,
};

/// A watch in which every field differs from its default.
fn full() -> WatchSpec {
    let ms = Duration::from_millis;
    WatchSpec {
        name: WatchName::new("git").unwrap(),
        description: "text for people".into(),
        enabled: false,
        target: Target {
            store: StoreName::new("main").unwrap(),
            key: Key::new("/a \"b\"\\\nc é").unwrap(),
            watch_type: WatchType::Tree,
        },
        action: Action::Program(vec![
            "/bin/x".into(),
            "".into(),
            OsStr::from_bytes(b"\xff\"").to_owned(),
            "a, b".into(),
        ]),
        surroundings: Arc::new(Surroundings {
            account: Account {
                uid: 33,
                gid: 34,
                groups: Some(vec![34, 50]),
                user: "www-data".into(),
                home: "/var/www".into(),
                shell: "/bin/sh".into(),
            },
            cwd: "/srv/www".into(),
            umask: 0o7,
            inherit_env: true,
            env: BTreeMap::from([("A".into(), "1".into()), ("B = C".into(), "x\ny".into())]),
            nice: Some(-5),
            limits: BTreeMap::from([(Limit::Nofile, Some(1024)), (Limit::Core, None)]),
        }),
        pipe_stdin: false,
        format: Format::Yaml,
        output: Output::Null,
        verify_interval: ms(60_000),
        splay: ms(90_000),
        mutex: Some(MutexName::new("nginx").unwrap()),
        fleet: Some(Box::new(FleetSpec { group: GroupName::new("a b").unwrap(), terms: Arc::default() })),
        validate: Some(Box::new(Action::Shell("nginx -t".into()))),
        on_give_up: Some(Box::new(Action::Program(vec!["mail".into(), "ops".into()]))),
        machine: Arc::default(),
        policy: Arc::new(PolicySpec {
            run_on_load: RunOnLoad::Changed,
            run_mode: RunMode::Parallel { max: 4 },
            on_delete: OnDelete::Run,
            notify_signal: Some(SignalNumber(1)),
            timeout: Some(ms(30_000)),
            kill_after: ms(10_000),
            settle: ms(1),
            settle_max: ms(2),
            splay: ms(4711),
            min_interval: ms(250),
            retries: Retries::Unlimited,
            retry_delay: ms(1000),
            retry_delay_max: ms(60_000),
            on_failure: OnFailure::Stop,
            success_codes: vec![0, 3],
            guard: Guard { min_entries: 3, max_shrink: Some(30), validate: Validate::Everything },
        }),
    }
}

#[test]
fn a_minimal_watch_is_only_its_target_and_action() {
    let identity = minimal().identity();
    assert_eq!(identity, "store = \"main\"\nkey = \"/git/head\"\naction = \"true\"\n");
    assert_eq!(minimal().fingerprint().0, "5e11741c95db70350d019cc867fc9267");
}

#[test]
fn the_format_of_every_field_is_fixed() {
    let expected = r#"store = "main"
key = "/a \"b\"\\\nc é"
watch_type = tree
action = ["/bin/x", "", "\xff\"", "a, b"]
uid = 33
gid = 34
cwd = "/srv/www"
umask = 007
inherit_env = true
env."A" = "1"
env."B = C" = "x\ny"
nice = -5
limits.core = unlimited
limits.nofile = 1024
pipe_stdin = false
format = yaml
output = null
verify_interval = 60000000000ns
splay = 90000000000ns
mutex = "nginx"
fleet.group = a%20b
validate = "nginx -t"
on_give_up = ["mail", "ops"]
run_on_load = changed
run_mode = parallel
max_parallel = 4
on_delete = run
notify_signal = 1
timeout = 30000000000ns
kill_after = 10000000000ns
settle = 1000000ns
settle_max = 2000000ns
min_interval = 250000000ns
retries = unlimited
retry_delay = 1000000000ns
retry_delay_max = 60000000000ns
on_failure = stop
success_codes = [0, 3]
min_entries = 3
max_shrink = 30%
"#;
    assert_eq!(full().identity(), expected);
}

#[test]
fn every_variant_of_a_field_has_its_own_form() {
    let mut spec = minimal();
    spec.action = Action::Script("#!/bin/sh\nexit 0\n".into());
    spec.policy = Arc::new(PolicySpec {
        run_on_load: RunOnLoad::Never,
        run_mode: RunMode::Restart,
        retries: Retries::AtMost(0),
        ..PolicySpec::default()
    });
    let expected = "store = \"main\"\nkey = \"/git/head\"\nscript = \"#!/bin/sh\\nexit 0\\n\"\n\
                    run_on_load = false\nrun_mode = restart\nretries = 0\n";
    assert_eq!(spec.identity(), expected);
    // A string for the shell differs from a program of one word.
    let (mut line, mut program) = (minimal(), minimal());
    line.action = Action::Shell("[\"true\"]".into());
    program.action = Action::Program(vec!["true".into()]);
    assert_ne!(line.identity(), program.identity());
}

#[test]
fn defaults_that_depend_on_another_field_are_omitted_too() {
    let mut spec = minimal();
    spec.target.watch_type = WatchType::Children;
    spec.format = Format::Lines;
    let (settle, retry_delay) = (Duration::from_secs(2), Duration::from_hours(1));
    spec.policy = Arc::new(PolicySpec {
        run_mode: RunMode::Parallel { max: RunMode::MAX_PARALLEL },
        settle,
        settle_max: settle * 10,
        retry_delay,
        retry_delay_max: retry_delay,
        ..PolicySpec::default()
    });
    let expected = "store = \"main\"\nkey = \"/git/head\"\nwatch_type = children\naction = \"true\"\n\
                    run_mode = parallel\nsettle = 2000000000ns\nretry_delay = 3600000000000ns\n";
    assert_eq!(spec.identity(), expected);
}

#[test]
fn the_identity_excludes_descriptions_and_facts_of_the_machine() {
    let mut spec = full();
    spec.name = WatchName::new("other").unwrap();
    spec.description = "other".into();
    spec.enabled = true;
    spec.machine = Arc::new(Machine { host: "other".into(), vars: BTreeMap::new() });
    let policy = Arc::make_mut(&mut spec.policy);
    policy.splay = Duration::ZERO;
    let account = &mut Arc::make_mut(&mut spec.surroundings).account;
    account.groups = Some(Vec::new());
    account.user = "other".into();
    account.home = "/other".into();
    account.shell = "/other".into();
    assert_eq!(spec.fingerprint(), full().fingerprint());
}

/// A fleet is given to many machines at once: its terms may change while they run, and a group that is called after
/// the watch is the default.
#[test]
fn terms_of_a_fleet_are_no_part_of_it_and_its_group_only_where_it_has_a_name_of_its_own() {
    let fleet = |group: &str, terms: Terms| {
        Some(Box::new(FleetSpec { group: GroupName::new(group).unwrap(), terms: Arc::new(terms) }))
    };
    let unlimited = Terms { max_parallel: MaxParallel::Unlimited, ..Terms::default() };
    let mut spec = minimal();
    spec.fleet = fleet("git", unlimited.clone());
    assert_eq!(spec.identity(), minimal().identity());
    assert!(!spec.means_the_same_as(&minimal()), "it begins or ends to take part");
    let mut other = spec.clone();
    other.fleet = fleet("git", Terms::default());
    assert!(!other.means_the_same_as(&spec), "from now on it needs permits");
    other.fleet = fleet("git", Terms { soak: Duration::from_secs(1), ..unlimited.clone() });
    assert!(other.means_the_same_as(&spec) && !other.is_defined_as(&spec), "a live watch takes them over");
    other.fleet = fleet("web", unlimited);
    assert!(!other.means_the_same_as(&spec));
    assert_eq!(other.identity(), minimal().identity() + "fleet.group = web\n");
}

/// A later version's field, with its default for every watch of today.
#[test]
fn an_added_field_with_its_default_changes_no_fingerprint() {
    for spec in [minimal(), full()] {
        let mut identity = Identity(spec.identity());
        identity.unless_default("added", "true", "true");
        identity.duration("also_added", Duration::ZERO, Duration::ZERO);
        assert_eq!(Fingerprint::of(&identity.0), spec.fingerprint());
        identity.unless_default("added", "false", "true");
        assert_ne!(Fingerprint::of(&identity.0), spec.fingerprint());
    }
}

#[test]
fn a_fingerprint_of_version_0_1_0_is_recognised() {
    assert!(!minimal().fingerprint().is_of_version_0_1_0());
    assert!(Fingerprint("3f2a9c0011223344".into()).is_of_version_0_1_0());
    assert!(!Fingerprint::default().is_of_version_0_1_0());
}
