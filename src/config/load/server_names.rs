//! What `check` reports of `server_name`: no certificate can have such a name, or the store takes none. Pure.

use rustls::pki_types::ServerName;

use crate::config::problem::{Problem, word};
use crate::config::raw::{RawSettings, RawStore};
use crate::store::{StoreKind, StoreUrl};

/// The `server_name`s that cannot work.
pub(super) fn problems(raw: &RawSettings) -> Vec<Problem> {
    raw.stores.values().filter_map(|store| problem(raw, store)).collect()
}

fn problem(raw: &RawSettings, store: &RawStore) -> Option<Problem> {
    let at = store.tls.as_ref()?.text("server_name")?;
    let url = store.table.url("url")?.value;
    let (message, help) = fault(&url, &at.value)?;
    Some(raw.source.problem(at.span, message).with_help(help))
}

fn fault(url: &StoreUrl, name: &str) -> Option<(String, String)> {
    match url.kind() {
        // It has no TLS at all, which is said already.
        StoreKind::Dir => None,
        StoreKind::ZooKeeper => Some((
            "`server_name` does not work for a ZooKeeper store: it is not connected with it".to_owned(),
            "take it out, and write the host in `url` as the certificate has it".to_owned(),
        )),
        StoreKind::Etcd => ServerName::try_from(name).is_err().then(|| {
            let bare = name.split("://").last().unwrap_or(name);
            let bare = bare.split(['/', ':']).next().unwrap_or(bare);
            let example = if ServerName::try_from(bare).is_ok() { bare } else { "etcd.example" };
            (
                format!("no certificate can have the name `{}`", word(name)),
                format!(
                    "write the name alone, without scheme, port or wildcard: `server_name = \"{example}\"`"
                ),
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_work_is_found() {
        let fault = |url: &str, name: &str| fault(&url.parse().unwrap(), name);
        for name in ["etcd.example", "10.0.0.1", "::1", "etcd_1"] {
            assert_eq!(fault("etcd://a", name), None, "{name}");
        }
        for (name, example) in [
            ("https://etcd1:2379/", "\"etcd1\""),
            ("etcd1:2379", "\"etcd1\""),
            ("*.example", "\"etcd.example\""),
            ("two words", "\"etcd.example\""),
        ] {
            let (message, help) = fault("etcd+tls://a", name).unwrap();
            assert!(message.contains(name) && help.contains(example), "{message} {help}");
        }
        assert!(fault("zookeeper+tls://a", "zk.example").unwrap().0.contains("ZooKeeper"));
        assert_eq!(fault("dir:///a", "x"), None);
    }
}
