//! Which keys a watch file can name in each kind of store. Pure.

use super::StoreUrl;
use crate::watch::Key;

impl StoreUrl {
    /// Why this store can never have such a key, if so. etcd keys are arbitrary bytes.
    pub(crate) fn key_fault(&self, key: &Key) -> Option<&'static str> {
        let key = match self {
            Self::Etcd { .. } => return None,
            Self::ZooKeeper { .. } | Self::Dir { .. } => key.as_str(),
        };
        let Some(path) = key.strip_prefix('/') else {
            return Some("a key of this store begins with `/`");
        };
        if path.is_empty() {
            return None;
        }
        if path.ends_with('/') {
            return Some("a key of this store does not end with `/`");
        }
        let odd = |segment: &str| matches!(segment, "" | "." | "..");
        path.split('/').any(odd).then_some("a key of this store has no empty segment, `.` or `..`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_spelling_except_in_etcd() {
        let url = |text: &str| text.parse::<StoreUrl>().unwrap();
        let (etcd, zookeeper, dir) = (url("etcd://a"), url("zookeeper://a"), url("dir:///a"));
        for (text, is_good) in [
            ("/", true),
            ("/a/b", true),
            ("/...", true),
            ("git/head", false),
            ("/a/", false),
            ("//a", false),
            ("/a//b", false),
            ("/./a", false),
            ("/a/..", false),
            ("//", false),
        ] {
            let key = Key::new(text).unwrap();
            assert_eq!(zookeeper.key_fault(&key).is_none(), is_good, "{text}");
            assert_eq!(dir.key_fault(&key).is_none(), is_good, "{text}");
            assert_eq!(etcd.key_fault(&key), None, "{text}");
        }
    }
}
