//! Configuration files of any bytes, for fuzzing.

use std::path::Path;

use super::raw::{self, Local};
use super::{Settings, lower};
use crate::watch::Account;

const CONF: &str =
    "[store.main]\nurl = \"etcd://a\"\n[store.zk]\nurl = \"zookeeper://a\"\n[vars]\nrole = \"web\"\n";

/// Parses and lowers a watch file, with and without settings.
pub(crate) fn watch_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let conf = raw::settings(Path::new("twitcher.conf").into(), CONF, &Local::named("host"));
    let (settings, _) = lower::settings(&conf);
    let site = settings.as_ref().map(Settings::site);
    for site in [site.as_ref(), None] {
        let raw = raw::watch_file(Path::new("/etc/twitcher/a.toml").into(), &text, site);
        let account = Account {
            uid: 0,
            gid: 0,
            groups: None,
            user: "root".to_owned(),
            home: "/".into(),
            shell: "/bin/sh".into(),
        };
        let mut resolve = |_: Option<&_>, _: Option<&_>| Ok(account.clone());
        let lowered = lower::watches_alone(&raw, "a", settings.as_ref(), &mut resolve);
        for problem in &lowered.problems {
            assert!(!problem.to_string().is_empty());
        }
        for placed in &lowered.watches {
            assert_eq!(placed.spec.fingerprint(), placed.spec.clone().fingerprint());
        }
    }
}

/// Parses the bytes as `twitcher.conf` and as `local.conf`.
pub(crate) fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let raw = raw::settings(Path::new("twitcher.conf").into(), &text, &Local::named("host"));
    let (_, problems) = lower::settings(&raw);
    let local = raw::local(Path::new("local.conf").into(), &text);
    for problem in problems.iter().chain(&local.problems) {
        assert!(!problem.to_string().is_empty());
    }
}
