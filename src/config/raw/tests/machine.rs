//! One set of files for all machines: `[vars]`, `${name}`, `[defaults]`, `hosts`, `local.conf`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::watch::{Guard, Limit, RunMode};

const VARS: &str = "[vars]\nrole = \"web\"\ndb-host = \"db 1\"\n";

fn watch(line: &str) -> String {
    format!("[[watch]]\nkey = \"/git/head\"\naction = \"true\"\n{line}\n")
}

/// The one watch of a file.
fn one(conf: &str, text: &str) -> WatchSpec {
    let (mut watches, problems) = load_with(conf, text);
    assert_eq!(printed(&problems), "");
    assert_eq!(watches.len(), 1);
    watches.remove(0)
}

#[test]
fn names_stand_for_their_values_in_key_cwd_and_env() {
    let text = "[[watch]]\nkey = \"/${role}/${host}\"\naction = \"echo ${role}\"\ncwd = \"/srv/${role}\"\n\
                env = { DB = \"${db-host}\", LITERAL = \"$${role}\" }\n";
    let spec = one(VARS, text);
    assert_eq!(spec.target.key.as_str(), "/web/host");
    assert_eq!(spec.surroundings.cwd, Path::new("/srv/web"));
    let env = BTreeMap::from([("DB".into(), "db 1".into()), ("LITERAL".into(), "${role}".into())]);
    assert_eq!(spec.surroundings.env, env);
    assert_eq!(spec.action, crate::watch::Action::Shell("echo ${role}".into()), "an action is left alone");
    let told: Vec<(String, &str)> = spec.machine.environment().collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(
        told,
        [("TWITCHER_HOST", "host"), ("TWITCHER_VAR_DB_HOST", "db 1"), ("TWITCHER_VAR_ROLE", "web")]
    );
}

#[test]
fn an_unknown_name_is_an_error_at_its_place() {
    let (watches, problems) = load_with(VARS, "[[watch]]\nkey = \"/a/${rol}\"\naction = \"true\"\n");
    assert!(watches.is_empty());
    let text = printed(&problems);
    assert!(text.starts_with("/etc/twitcher/git.toml:2:11: error: there is no `rol` in [vars]"), "{text}");
    assert!(text.contains("did you mean `${role}`?"), "{text}");
    // A path that does not begin with `/` after expansion.
    let (_, problems) = load_with(VARS, &watch("cwd = \"${role}\""));
    assert!(printed(&problems).contains("`cwd` must be an absolute path"), "{problems:?}");
}

#[test]
fn names_and_values_of_vars_are_checked() {
    for (line, expected) in [
        ("host = \"a\"", "`host` is a setting of its own, not one of [vars]"),
        ("Role = \"a\"", "`Role` is not a name of [vars]"),
        ("a-b = \"1\"\na_b = \"2\"", "are the same variable, TWITCHER_VAR_A_B"),
        ("role = 1", "`role` is a whole number, expected a string"),
    ] {
        let said = said_of_settings(&format!("[vars]\n{line}\n"));
        assert!(said.contains(expected), "{line}: {said}");
    }
    assert!(said_of_settings("vars = 1").contains("`vars` is a table, not a whole number"));
}

#[test]
fn defaults_are_for_every_watch_that_does_not_say_otherwise() {
    let conf = format!(
        "{VARS}[defaults]\ntimeout = \"5m\"\nretries = \"unlimited\"\ncwd = \"/${{role}}\"\nrun_mode = \"parallel\"\n\
         max_parallel = 2\nenv = {{ A = \"1\", B = \"2\" }}\nlimits = {{ core = 0, nofile = 5 }}\n"
    );
    let spec = one(&conf, &watch("timeout = \"1s\"\nenv = { B = \"own\" }\nlimits = { nofile = 6 }"));
    assert_eq!(spec.policy.timeout, Some(Duration::from_secs(1)));
    assert_eq!(spec.policy.retries, crate::watch::Retries::Unlimited);
    assert_eq!(spec.policy.run_mode, RunMode::Parallel { max: 2 });
    assert_eq!(spec.surroundings.cwd, Path::new("/web"));
    assert_eq!(spec.surroundings.env, BTreeMap::from([("A".into(), "1".into()), ("B".into(), "own".into())]));
    assert_eq!(spec.surroundings.limits, BTreeMap::from([(Limit::Core, Some(0)), (Limit::Nofile, Some(6))]));
}

/// In the watch itself such a field is an error or a warning instead.
#[test]
fn a_default_that_does_not_fit_is_skipped() {
    let conf = "[defaults]\nmax_parallel = 2\nnotify_signal = \"HUP\"\nsettle_max = \"1s\"\nretry_delay_max = \"1s\"\n";
    let spec = one(conf, &watch("run_mode = \"restart\"\nsettle = \"2s\"\nretry_delay = \"3s\""));
    assert_eq!((spec.policy.run_mode, spec.policy.notify_signal), (RunMode::Restart, None));
    assert_eq!(spec.policy.settle_max, Duration::from_secs(20));
    assert_eq!(spec.policy.retry_delay, Duration::from_secs(3));
    assert_eq!(one("[defaults]\nsettle_max = \"1s\"\n", &watch("")).policy.settle, Duration::ZERO);
    let conf = "[defaults]\nmin_entries = 2\nmax_shrink = \"30%\"\n";
    assert_eq!(one(conf, &watch("")).policy.guard, Guard::default());
    let spec = one(conf, &watch("watch_type = \"tree\"\nmin_entries = 1"));
    assert_eq!(spec.policy.guard, Guard { min_entries: 1, max_shrink: Some(30), ..Guard::default() });
}

#[test]
fn what_is_about_one_watch_has_no_default() {
    for line in ["name = \"a\"", "description = \"a\"", "key = \"/a\"", "znode = \"/a\"", "hosts = [\"a\"]"] {
        let said = said_of_settings(&format!("[defaults]\n{line}\n"));
        assert!(said.contains("describes a single watch and cannot have a default"), "{said}");
    }
    let said = said_of_settings("[defaults]\ntimeuot = \"5m\"\nstore = \"mian\"\nretries = -1\n");
    for expected in ["did you mean `timeout`?", "there is no store `mian`", "`retries` is -1"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_watch_for_other_hosts_is_not_there_and_is_not_judged_by_this_one() {
    let text = "[[watch]]\nname = \"a\"\nkey = \"/${unknown}\"\naction = \"true\"\nuid = \"nobody-here\"\nhosts = [\"db-*\"]\n\
                [[watch]]\nname = \"a\"\nkey = \"/here\"\naction = \"true\"\nhosts = [\"!db-*\"]\n";
    assert_eq!(one("", text).target.key.as_str(), "/here");
    // Errors that hold on every host are reported.
    let (_, problems) = load_with("", &watch("hosts = [\"db\"]\ntimeout = \"x\""));
    assert!(printed(&problems).contains("`timeout` is not a duration"), "{problems:?}");
    for (hosts, expected) in [
        ("[]", "`hosts` names no host"),
        ("\"a\"", "`hosts` is a string, expected an array of patterns"),
        ("[\"[a\"]", "`[a` is not a pattern for host names: `[` has no `]`"),
    ] {
        let said = about(&format!("hosts = {hosts}"));
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn enabled_and_mutex_are_read() {
    let spec = one("", &watch("enabled = false\nmutex = \"nginx\""));
    assert!(!spec.enabled);
    assert_eq!(spec.mutex.unwrap().as_str(), "nginx");
    assert!(about("mutex = \"a b\"").contains("a name has 1 to 128 characters"));
}

#[test]
fn local_conf_holds_host_and_vars_and_wins() {
    let read = |text: &str| local(Path::new("local.conf").into(), text);
    let good = read("host = \"db-1\"\n[vars]\nrole = \"db\"\n");
    assert_eq!(printed(&good.problems), "");
    let machine = Local { hostname: "system".into(), host: good.host, vars: good.vars };
    let conf = settings(Path::new("twitcher.conf").into(), &format!("host = \"x\"\n{VARS}"), &machine);
    assert_eq!(conf.machine.host, "db-1");
    let vars = BTreeMap::from([("role".into(), "db".into()), ("db-host".into(), "db 1".into())]);
    assert_eq!(conf.machine.vars, vars);
    for (text, expected) in [
        ("log = \"json\"\n", "local.conf holds `host` and `[vars]` and nothing else"),
        ("[vras]\na = \"1\"\n", "local.conf holds `host` and `[vars]` and nothing else"),
        ("host = \"\"\n", "`host` must be one line that is not empty"),
    ] {
        let said = printed(&read(text).problems);
        assert!(said.contains(expected), "{said}");
    }
}
