//! What differs between machines: `local.conf`, `hosts`, checks for other machines.

use std::collections::BTreeMap;

use super::*;

/// A site with a watch for each role, and files that are the same everywhere.
fn fleet() -> Site {
    let site = Site::new();
    site.write("twitcher.conf", "[vars]\nrole = 'web'\n[defaults]\ntimeout = '5m'\n");
    site.write("role.toml", "[[watch]]\nkey = '/${role}/${host}'\naction = 'true'\n");
    site.write("db.toml", "[[watch]]\nkey = '/db'\naction = 'true'\nhosts = ['db-*']\n");
    site
}

#[test]
fn what_differs_between_machines_stands_in_local_conf() {
    let mut site = fleet();
    assert_eq!(site.reload(), "+role");
    let key = |site: &Site| site.loader.watches()["role"].spec.target.key.to_string();
    assert_eq!(key(&site), "/web/host");
    assert_eq!(site.loader.watches()["role"].spec.policy.timeout, Some(Duration::from_mins(5)));
    site.write("local.conf", "host = 'db-1'\n[vars]\nrole = 'db'\n");
    assert_eq!(site.reload(), "+db *role");
    assert_eq!(key(&site), "/db/db-1");
    // An error in it changes nothing, and is said.
    site.write("local.conf", "hots = 'db-2'\n");
    let told = site.reload();
    assert!(told.contains("local.conf:1:1: unknown setting `hots`"), "{told}");
    assert_eq!((key(&site).as_str(), site.names().as_str()), ("/db/db-1", "db role"));
    site.remove("local.conf");
    assert_eq!(site.reload(), "*role -db");
}

#[test]
fn a_local_conf_that_never_was_valid_loads_nothing() {
    let mut site = fleet();
    let conf = fs::read_to_string(site.path("twitcher.conf")).unwrap();
    site.write("twitcher.conf", format!("state_dir = '{}'\n{conf}", site.path("state").display()));
    site.write("local.conf", "host = 1\n");
    let told = site.reload();
    assert!(told.contains("local.conf:1:8"), "{told}");
    assert_eq!((site.names().as_str(), site.loader.reload().withheld), ("", 2));
}

#[test]
fn a_name_that_no_definition_uses_changes_no_watch() {
    let mut site = fleet();
    site.reload();
    site.write("twitcher.conf", "[vars]\nrole = 'web'\nother = 'x'\n[defaults]\ntimeout = '5m'\n");
    assert_eq!(site.reload(), "");
    let vars = &site.loader.watches()["role"].spec.machine.vars;
    assert_eq!(vars["other"], "x", "the next run is told");
    site.write("twitcher.conf", "[vars]\nrole = 'web'\n[defaults]\ntimeout = '6m'\n");
    assert_eq!(site.reload(), "*role");
}

#[test]
fn files_for_other_hosts_are_loaded_and_told_apart() {
    let mut site = fleet();
    let reload = site.loader.reload();
    let elsewhere: Vec<_> = reload.files.iter().filter(|file| file.is_elsewhere()).collect();
    assert_eq!(elsewhere.len(), 1);
    assert!(elsewhere[0].path.ends_with("db.toml") && elsewhere[0].state == LoadState::Loaded);
    let watch = &elsewhere[0].elsewhere[0];
    assert_eq!((watch.name.as_str(), watch.hosts.as_str()), ("db", "db-*"));
}

#[test]
fn a_check_for_another_host_leaves_this_one_out() {
    let site = fleet();
    site.write("local.conf", "host = 'web-1'\n");
    site.write("user.toml", "[[watch]]\nkey = '/a'\naction = 'true'\nuid = 'only-there'\n");
    let vars = BTreeMap::from([("role".to_owned(), "db".to_owned())]);
    let mut loader = Loader::for_host(site.top.path(), "db-7", vars).unwrap();
    let reload = loader.reload();
    assert!(reload.files.iter().all(|file| file.problems.is_empty()), "{:?}", reload.files);
    assert_eq!(loader.watches()["role"].spec.target.key.as_str(), "/db/db-7");
    assert!(loader.watches().contains_key("db") && loader.watches().contains_key("user"));
    assert!(Loader::for_host(site.top.path(), "a", BTreeMap::from([("A".into(), String::new())])).is_err());
}
