//! A `twitcher.conf` or `local.conf` with errors: at a start, with and without remembered settings, and at a reload.

use super::*;

/// Two stores, and a watch on each.
fn two_stores(more: &str) -> Site {
    let site = Site::new();
    site.conf(&format!("{more}[store.main]\nurl = 'dir:///a'\n[store.other]\nurl = 'dir:///b'\n"));
    site.write("main.toml", format!("{}store = 'main'\n", watch(1)));
    site.write("other.toml", format!("{}store = 'other'\n", watch(1)));
    site
}

impl Site {
    /// Writes a `twitcher.conf` whose state directory is one of this site.
    fn conf(&self, text: &str) {
        self.write("twitcher.conf", format!("state_dir = '{}'\n{text}", self.path("state").display()));
    }

    /// Remembers the settings in effect.
    fn remember(&mut self) {
        let state = self.path("state");
        let _ = fs::create_dir(&state);
        self.loader.remember_in(&state).unwrap();
    }

    fn remembered(&self) -> String {
        let state = self.path("state");
        fs::read_to_string(state.join("settings")).unwrap().replace(&state.display().to_string(), "STATE")
    }

    /// A daemon starts anew.
    fn restart(&mut self) -> Reload {
        self.loader = Loader::with(self.top.path(), Trust::Anyone, Box::new(FakeAccounts(0)), "host");
        self.loader.reload()
    }

    fn withheld(reload: &Reload) -> String {
        let withheld = reload.files.iter().flat_map(|report| &report.withheld);
        withheld.map(|watch| format!("{}: {}", watch.name, watch.why)).collect::<Vec<_>>().join("; ")
    }
}

#[test]
fn a_broken_store_withholds_only_its_own_watches() {
    let mut site = two_stores("");
    site.conf("[store.main]\nurl = 'dir:///a'\n[store.other]\nurl = 'rid:///b'\n");
    site.write("both.toml", format!("{}store='main'\n{}store='other'\n", watch(1), watch(1)));
    site.write("wrong.toml", format!("{}store = 'nope'\n", watch(1)));
    let reload = site.restart();
    assert_eq!(site.names(), "both main");
    assert_eq!(Site::withheld(&reload), "both-2: [store.other]; other: [store.other]");
    assert_eq!(reload.withheld, 2);
    insta::assert_snapshot!(reload.complaints.join("\n"), @r"
    twitcher.conf has errors (twitcher.conf:5:7: `rid://` is no kind of store; there are `etcd://`, `etcd+tls://`, `zookeeper://`, `zookeeper+tls://`, `dir://`): no valid value is known for [store.other]
    2 watches are not loaded until twitcher.conf is corrected and `twitcher reload` is run: 2 for want of [store.other]
    ");
    assert!(told(&reload).contains("wrong.toml:5:9: there is no store `nope`"), "{}", told(&reload));
    // Once it is corrected, they are loaded, and the others are unchanged.
    site.conf("[store.main]\nurl = 'dir:///a'\n[store.other]\nurl = 'dir:///b'\n");
    site.remove("wrong.toml");
    assert_eq!(site.reload(), "+both-2 +other");
    assert_eq!(site.loader.reload().complaints, Vec::<String>::new());
}

#[test]
fn a_start_with_a_bad_file_uses_the_remembered_settings() {
    let mut site = two_stores(
        "max_processes = 7\ndefault_store = 'other'\n[vars]\nrole = 'web'\n[defaults]\ntimeout = '3m'\n",
    );
    site.write("role.toml", "[[watch]]\nkey = '/${role}'\naction = 'true'\n");
    let good = site.restart();
    assert_eq!(site.names(), "main other role");
    site.remember();
    let specs: Vec<_> = good.watches.values().map(|watch| watch.spec.clone()).collect();
    for bad in [
        "max_processes = 0\n",
        "max_processes = 7\n[defaults]\ntimeout = 'soon'\n",
        "max_processes = 7\n[vars]\nrole = 1\n",
        "[store.other]\nurl = 'x'\n",
        "no toml\n",
        "[[[\n",
        "\u{0}",
    ] {
        site.conf(bad);
        let reload = site.restart();
        let now: Vec<_> = reload.watches.values().map(|watch| watch.spec.clone()).collect();
        // The readable files leave parts out, which then have their defaults.
        if bad.contains("no toml") || bad.contains("[[[") || bad.contains('\u{0}') {
            assert_eq!((now, reload.withheld), (specs.clone(), 0), "{bad}: {reload:?}");
            assert_eq!(reload.settings, good.settings, "{bad}");
        }
        assert_eq!(reload.complaints.len(), 1, "{bad}: {:?}", reload.complaints);
    }
    // If the file cannot be read at all, the state directory is not known.
    for bad in [vec![b'#'; 2 << 20], b"\xff".to_vec()] {
        site.write("twitcher.conf", bad);
        let reload = site.restart();
        assert!(reload.settings.is_none() && reload.watches.is_empty());
        assert_eq!(reload.withheld, 3);
    }
    // A dangling link is not a file that was left out on purpose.
    site.remove("twitcher.conf");
    symlink("nowhere", site.path("twitcher.conf")).unwrap();
    assert!(site.restart().settings.is_none());
    site.remove("twitcher.conf");
    // A file with an invalid byte is read up to that byte.
    let conf = format!("state_dir = '{}'\n# \n", site.path("state").display());
    site.write("twitcher.conf", [conf.as_bytes(), b"\xe4"].concat());
    assert_eq!(site.restart().settings, good.settings);
    assert_eq!(site.names(), "main other role");
}

#[test]
fn unusable_remembered_settings_are_ignored_with_a_complaint() {
    let mut site = two_stores("");
    let _ = site.restart();
    site.remember();
    site.conf("host = 1\n");
    let settings = site.path("state/settings");
    for damage in [
        |path: &Path| fs::write(path, "[[[").unwrap(),
        |path: &Path| {
            fs::remove_file(path).unwrap();
            symlink("elsewhere", path).unwrap();
        },
    ] {
        damage(&settings);
        let reload = site.restart();
        let told = format!("{} cannot be used: ", settings.display());
        assert!(reload.complaints[0].contains(&told), "{:?}", reload.complaints);
        assert_eq!((site.names().as_str(), reload.withheld), ("", 2));
    }
}

#[test]
fn without_remembered_settings_a_watch_that_needs_an_unknown_part_is_not_loaded() {
    let mut site = Site::new();
    site.write("plain.toml", watch(1));
    site.write("main.toml", format!("{}store = 'main'\n", watch(1)));
    site.write("fleet.toml", format!("{}store = 'main'\ntimeout = 1\n[watch.fleet]\n", watch(1)));
    let store = "[store.main]\nurl = 'etcd://a'\n";
    for (bad, names) in [
        ("log = 1\n", "fleet main plain"),
        ("log_level = 1\nhttp_listen = 1\n", "fleet main plain"),
        ("default_store = 'nope'\n", "fleet main"),
        ("[fleet]\nttl = 1\n", "main plain"),
        ("[store.local]\nurl = 1\n", "fleet main"),
        ("default_store = 'x'\n[store.x]\nurl = 1\n", "fleet main"),
        ("[fleet]\nstore = 'x'\n[store.x]\nurl = 1\n", "main plain"),
        ("host = 1\n", ""),
        ("max_processes = 0\n", ""),
        ("[vars]\na = 1\n", ""),
        ("[defaults]\ntimeout = 'x'\n", ""),
        ("what is this\n", ""),
    ] {
        site.conf(&format!("{bad}{store}"));
        let reload = site.restart();
        assert_eq!(site.names(), names, "{bad}");
        let loaded = names.split_whitespace().count();
        assert_eq!((reload.withheld, reload.settings.is_some()), (3 - loaded, true), "{bad}");
        assert_eq!(reload.complaints.len(), 1 + usize::from(loaded < 3), "{bad}: {:?}", reload.complaints);
    }
    // Watch files are still checked.
    site.write("bad.toml", "[[watch]]\nactoin = 1\n");
    assert!(told(&site.restart()).contains("bad.toml:2:1: unknown field `actoin`"));
    // `state_dir` itself.
    site.write("twitcher.conf", "state_dir = 'x'\n");
    let reload = site.restart();
    assert!(reload.settings.is_none() && reload.watches.is_empty());
    // The socket.
    site.conf("control_socket = 'x'\n");
    let reload = site.restart();
    assert!(reload.settings.is_some() && reload.lacks_control_socket);
    site.conf("");
    assert!(!site.loader.reload().lacks_control_socket);
}

#[test]
fn a_file_that_breaks_later_changes_nothing() {
    let mut site = two_stores("max_processes = 7\n");
    let good = site.restart();
    for bad in
        ["max_processes = 9\nlog = 'fil'\n", "[store.main]\nurl = 'dir:///c'\n[vars]\na = 1\n", "no toml", ""]
    {
        if bad.is_empty() {
            fs::remove_file(site.path("twitcher.conf")).unwrap();
            nix::unistd::mkfifo(&site.path("twitcher.conf"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        } else {
            site.conf(bad);
        }
        let reload = site.loader.reload();
        assert!(!reload.settings_changed && reload.diff.is_empty(), "{bad}");
        assert_eq!((reload.settings, reload.complaints.len()), (good.settings.clone(), 1), "{bad}");
        assert!(
            reload.complaints[0].contains("its last valid version stays in effect"),
            "{:?}",
            reload.complaints
        );
        let mut command = Loader::with(site.top.path(), Trust::Anyone, Box::new(FakeAccounts(0)), "host");
        assert!(command.reload_settings().is_err(), "commands that need a store say what is wrong");
    }
}

#[test]
fn a_definition_that_depends_on_an_unknown_part_leaves_the_running_one() {
    let mut site = Site::new();
    site.conf("[fleet]\nttl = 1\n[store.main]\nurl = 'etcd://a'\n");
    site.write("a.toml", format!("{}store = 'main'\n", watch(1)));
    let _ = site.restart();
    assert_eq!(site.names(), "a");
    site.write("a.toml", format!("{}store = 'main'\ntimeout = 1\n[watch.fleet]\n", watch(2)));
    let reload = site.loader.reload();
    assert_eq!((reload.diff.is_empty(), reload.withheld), (true, 1));
    // [fleet] still has its error, and now the store has one too: the store keeps its last valid value.
    site.conf("[fleet]\nttl = 1\n[store.main]\nurl = 'x'\n");
    assert_eq!(Site::withheld(&site.loader.reload()), "a: [fleet]");
    assert_eq!(site.loader.settings().unwrap().stores["main"].url.to_string(), "etcd://a:2379");
    site.conf("[store.main]\nurl = 'etcd://a'\n");
    assert_eq!(site.reload(), "*a");
}

#[test]
fn valid_settings_are_remembered_with_the_machine_and_without_secrets() {
    let mut site = two_stores(
        "http_listen = '127.0.0.1:9464'\n[vars]\nrole = 'web'\nrack = '3'\n[defaults]\nenv = { A = '${role}' }\n",
    );
    site.write("local.conf", "host = 'web-7'\n[vars]\nrole = 'db'\n");
    let _ = site.restart();
    site.remember();
    insta::assert_snapshot!(site.remembered(), @r#"
    # The last valid settings, kept by twitcher for a start with a bad twitcher.conf. Do not edit.
    state_dir = "STATE"
    http_listen = "127.0.0.1:9464"

    [vars]
    role = "web"
    rack = "3"

    [defaults.env]
    A = "${role}"

    [store.main]
    url = "dir:///a"

    [store.other]
    url = "dir:///b"

    [local]
    host = "web-7"

    [local.vars]
    role = "db"
    "#);
    // A bad file is not remembered: neither one that says a password …
    let before = site.remembered();
    site.conf("[store.main]\nurl = 'etcd://u:hunter2@a'\npassword = 'hunter2'\n");
    let _ = site.loader.reload();
    site.remember();
    let _ = site.restart();
    site.remember();
    assert_eq!(site.remembered(), before);
    // … nor one for a check.
    let mut check = Loader::for_check(site.top.path());
    assert!(check.reload().settings.is_none());
    // What local.conf said is remembered, too.
    site.conf("");
    site.write("local.conf", "host = 1\n");
    let settings = site.restart().settings.unwrap();
    assert_eq!((settings.machine.host.as_str(), settings.machine.vars["role"].as_str()), ("web-7", "db"));
}

#[test]
fn a_bad_local_conf_keeps_only_its_own_last_valid_values() {
    let mut site = Site::new();
    let machine = |reload: Reload| {
        let machine = reload.settings.unwrap().machine.clone();
        let vars: Vec<String> = machine.vars.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{} {}", machine.host, vars.join(" "))
    };
    let conf = "host = 'a'\n[vars]\nrole = 'web'\nrack = '3'\n[defaults]\nenv = { A = '${zone}' }\n";
    site.conf(conf);
    site.write("local.conf", "[vars]\nzone = 'x'\nrack = '4'\n");
    assert_eq!(machine(site.restart()), "a rack=4 role=web zone=x");
    site.remember();
    // What twitcher.conf says now is valid: it counts, and with it [defaults] that name a variable of local.conf.
    site.write("local.conf", "[vars]\nzone = 1\n");
    let newer =
        conf.replace("'a'", "'b'").replace("'web'", "'db'").replace("'3'", "'5'").replace("A =", "B =");
    site.conf(&newer);
    site.write("w.toml", watch(1));
    for _ in 0..2 {
        let reload = site.restart();
        assert_eq!(reload.withheld, 0, "{:?}", reload.complaints);
        assert!(!reload.complaints[0].contains("the last valid values"), "{:?}", reload.complaints);
        let env = format!("{:?}", reload.watches["w"].spec);
        assert!(env.contains("\"B\": \"x\""), "{env}");
        assert_eq!(machine(reload), "b rack=4 role=db zone=x");
        // Read once more, it is the same, and may be remembered: the values of local.conf are still its last valid ones.
        assert_eq!(machine(site.loader.reload()), "b rack=4 role=db zone=x");
        site.remember();
    }
    // A variable that twitcher.conf has no longer is gone.
    site.conf("host = 'c'\n");
    assert_eq!(machine(site.restart()), "c rack=4 zone=x");
    // Both bad: each has its own last valid values.
    site.conf("[[[\n");
    assert_eq!(machine(site.restart()), "b rack=4 role=db zone=x");
}

#[test]
fn a_misspelled_head_of_defaults_makes_no_watch_run_as_root() {
    let mut site = Site::new();
    let conf = "[defaults]\nuid = 'www'\n";
    site.conf(conf);
    site.write("w.toml", watch(1));
    let good = site.restart();
    let uid = |reload: &Reload| format!("{:?}", reload.watches["w"].spec.surroundings.account);
    site.conf("");
    let root = uid(&site.restart());
    assert_ne!(uid(&good), root);
    site.conf(conf);
    let _ = site.restart();
    site.remember();
    for head in ["[watch.defaults]", "[common]", "[[common]]", "[[default]]"] {
        site.conf(&conf.replace("[defaults]", head));
        assert_eq!(uid(&site.restart()), uid(&good), "{head}");
        // Without remembered settings it is not loaded.
        let state = site.path("state/settings");
        let kept = fs::read(&state).unwrap();
        fs::remove_file(&state).unwrap();
        assert_eq!((site.restart().withheld, site.names().as_str()), (1, ""), "{head}");
        fs::write(&state, kept).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_complaint_is_short_however_many_files_there_are() {
    let mut site = Site::new();
    site.conf("[vars]\na = 1\nb = 2\n[store.x]\nurl = 1\n");
    for number in 0..300 {
        site.write(&format!("w{number}.toml"), watch(1));
    }
    let reload = site.restart();
    insta::assert_snapshot!(reload.complaints.join("\n"), @r"
    twitcher.conf has errors (twitcher.conf:3:5: `a` is a whole number, expected a string, and 2 more): no valid value is known for [vars], [store.x]
    300 watches are not loaded until twitcher.conf is corrected and `twitcher reload` is run: 300 for want of [vars]
    ");
    let with_problems = reload.files.iter().filter(|report| !report.problems.is_empty()).count();
    assert_eq!((reload.withheld, with_problems), (300, 1));
}

#[test]
fn a_check_of_a_bad_file_reports_its_problems_and_no_complaint() {
    let site = two_stores("");
    site.conf("[store.main]\nurl = 'rid:///a'\n");
    let mut check = Loader::with(site.top.path(), Trust::Anyone, Box::new(FakeAccounts(0)), "host");
    check.is_check = true;
    let reload = check.reload();
    assert!(reload.settings.is_none() && reload.complaints.is_empty() && reload.withheld == 0);
    let problems: usize = reload.files.iter().map(|report| report.problems.len()).sum();
    assert_eq!(problems, 1, "{:?}", reload.files);
}
