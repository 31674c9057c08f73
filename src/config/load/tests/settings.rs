//! The settings in effect, and what they mean for watches.

use super::*;
use crate::config::lower;
use crate::config::raw::{self, Local};
use crate::watch::StoreName;

#[test]
fn an_empty_directory_has_the_default_settings_and_nothing_else() {
    let mut site = Site::new();
    let reload = site.loader.reload();
    assert!(reload.settings_changed && reload.diff.is_empty() && reload.files.is_empty());
    let settings = reload.settings.unwrap();
    insta::assert_debug_snapshot!(settings, @r#"
    Settings {
        default_store: StoreName(
            "local",
        ),
        state_dir: "/var/lib/twitcher",
        control_socket: "/run/twitcher/control.sock",
        log: Auto,
        log_level: Info,
        max_processes: 256,
        history_bytes: 262144,
        shutdown_grace: 20s,
        http_listen: None,
        machine: Machine {
            host: "host",
            vars: {},
        },
        fleet: FleetSettings {
            store: None,
            prefix: Key(
                "/twitcher/fleet",
            ),
            ttl: 30s,
            conduct: true,
            page: Loopback,
            acl: Open,
            is_written: false,
        },
        defaults: Defaults {
            values: {},
            fleet: None,
        },
        stores: {
            StoreName(
                "local",
            ): StoreSpec {
                name: StoreName(
                    "local",
                ),
                url: Dir {
                    root: "/var/lib/twitcher/keys",
                },
                credentials: None,
                tls: None,
                session_timeout: 10s,
                tree_limits: TreeLimits {
                    bytes: 268435456,
                    entries: 1000000,
                },
            },
        },
    }
    "#);
    assert!(!site.loader.reload().settings_changed);
}

#[test]
fn stores_come_from_the_settings_and_a_file_that_names_another_is_broken() {
    let mut site = Site::new();
    site.write("twitcher.conf", "default_store = 'main'\nhost = 'h'\n[store.main]\nurl = 'etcd://a'\n");
    site.write("git.toml", watch(1));
    site.write("zk.toml", format!("{}store = 'zk'\n", watch(1)));
    assert_eq!(site.reload(), "+git [broken] zk.toml:5:9: there is no store `zk` in twitcher.conf");
    assert_eq!(site.loader.watches()["git"].spec.target.store.as_str(), "main");
    site.write("twitcher.conf", "[store.main]\nurl = 'etcd://a'\n[store.zk]\nurl = 'zookeeper://z'\n");
    assert_eq!(
        told(&site.loader.reload_watches()),
        "[broken] zk.toml:5:9: there is no store `zk` in twitcher.conf"
    );
    assert_eq!(site.reload(), "+zk *git");
    assert_eq!(site.loader.watches()["git"].spec.target.store.as_str(), "local");
}

#[test]
fn a_store_that_a_watch_still_needs_stays_when_it_is_no_longer_configured() {
    let mut site = Site::new();
    site.write("twitcher.conf", "[store.main]\nurl = 'etcd://a'\n");
    site.write("git.toml", format!("{}store = 'main'\n", watch(1)));
    assert_eq!(site.reload(), "+git");
    site.remove("twitcher.conf");
    assert_eq!(site.reload(), "[broken] git.toml:5:9: there is no store `main` in twitcher.conf");
    assert_eq!(site.names(), "git");
    let main = StoreName::new("main").unwrap();
    assert!(site.loader.settings().unwrap().stores.contains_key(&main));
    site.remove("git.toml");
    assert_eq!(site.reload(), "-git");
    assert!(!site.loader.settings().unwrap().stores.contains_key(&main));
}

#[test]
fn the_local_store_follows_the_state_directory() {
    let mut site = Site::new();
    site.write("twitcher.conf", "state_dir = '/srv/state'\n");
    site.reload();
    let local = site.loader.settings().unwrap().stores["local"].url.to_string();
    assert_eq!(local, "dir:///srv/state/keys");
    site.write("twitcher.conf", "[store.local]\nurl = 'etcd://a'\n");
    site.reload();
    assert_eq!(site.loader.settings().unwrap().stores["local"].url.to_string(), "etcd://a:2379");
}

#[test]
fn the_settings_file_shows_every_default_as_it_is() {
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/twitcher.conf");
    let text = fs::read_to_string(etc).unwrap();
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "nothing is active");
    let load =
        |text: &str| lower::settings(&raw::settings(Path::new("c").into(), text, &Local::named("web-17")));
    let active = |line: &&str| !line.starts_with("# ") && *line != "#";
    let written: Vec<&str> = text.lines().filter(active).map(|line| line.trim_start_matches('#')).collect();
    let (top, stores) = written.split_at(written.iter().position(|line| line.starts_with('[')).unwrap());
    let (mut settings, problems) = load(&top.join("\n"));
    assert_eq!(problems, []);
    let mut defaults = lower::fallback(&Local::named("web-17")).unwrap();
    defaults.http_listen = settings.as_mut().unwrap().http_listen;
    assert_eq!(settings, Some(defaults), "what is commented out is the default");
    assert_eq!(load(&stores.join("\n")).1, []);
    for field in crate::config::fields::DAEMON {
        assert!(top.iter().any(|line| line.starts_with(&format!("{} =", field.name))), "{}", field.name);
    }
    for field in crate::config::fields::STORE.iter().chain(crate::config::fields::TLS) {
        assert!(stores.iter().any(|line| line.starts_with(&format!("{} =", field.name))), "{}", field.name);
    }
}
