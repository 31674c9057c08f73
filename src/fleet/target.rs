//! What the members of a group watch, as their records name it: key, type and the store's prefix, never addresses.

use std::sync::Arc;

use crate::watch::{Choice as _, Key, WatchType};

/// The text of a record: `TYPE KEY`, or `TYPE@PREFIX KEY` where the store has a prefix or chroot. In the prefix `%`
/// and the space are `%25` and `%20`.
pub fn text(watch_type: WatchType, prefix: &str, key: &Key) -> Arc<str> {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        return format!("{} {key}", watch_type.word()).into();
    }
    let prefix = prefix.replace('%', "%25").replace(' ', "%20");
    format!("{}@/{prefix} {key}", watch_type.word()).into()
}

/// Type and key out of such a text; `None` where it is none.
pub fn parse(text: &str) -> Option<(WatchType, Key)> {
    let (kind, key) = text.split_once(' ')?;
    let word = kind.split_once('@').map_or(kind, |(word, _)| word);
    Some((WatchType::from_word(word)?, Key::new(key).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_unambiguous_and_give_the_key_back() {
        let key = Key::new("/git head").unwrap();
        assert_eq!(&*text(WatchType::Data, "", &key), "data /git head");
        assert_eq!(&*text(WatchType::Tree, "/a b%/", &key), "tree@/a%20b%25 /git head");
        for watch_type in WatchType::ALL {
            for prefix in ["", "/p", "p q"] {
                assert_eq!(parse(&text(*watch_type, prefix, &key)), Some((*watch_type, key.clone())));
            }
        }
        for wrong in ["", "data", "date /a", "/git/head"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
