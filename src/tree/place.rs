//! Converts paths of a subtree to keys of its store.

use crate::watch::{InvalidKey, Key, Spelling};

/// The key of a path relative to another key, as [`Subtree`](crate::watch::Subtree) has them: `""` is the key itself,
/// `"a/b"` is below it, and `"/"` is the key with a slash appended. Slashes at the end of the key itself do not count, as
/// in its subtree.
pub fn key_at(key: &Key, path: &str) -> Result<Key, InvalidKey> {
    match path {
        "" if key.base().is_empty() => Ok(key.clone()),
        "" => Key::new(key.base()),
        "/" => Key::new(&format!("{}/", key.base())),
        path => Key::new(&format!("{}/{path}", key.base())),
    }
}

/// The key of a path that was read, which has two possible [spellings](Spelling) in the tree of `/`.
pub fn key_read(key: &Key, path: &str, spelling: Spelling) -> Result<Key, InvalidKey> {
    match spelling {
        Spelling::Slashed => key_at(key, path),
        Spelling::Plain => Key::new(path),
    }
}

/// The same for messages, even if it is too long for a key or contains a NUL character.
pub fn key_text(key: &Key, path: &str, spelling: Spelling) -> String {
    key_read(key, path, spelling).map_or_else(|_| path.to_owned(), |key| key.to_string())
}

/// A path in quotes, for messages: in one line, and without the middle of a very long one.
#[cfg(feature = "daemon")]
pub fn quoted(path: &str) -> String {
    const LONGEST: usize = 160;
    const END: usize = 40;
    let length = path.chars().count();
    if length <= LONGEST {
        return format!("{path:?}");
    }
    let beginning: String = path.chars().take(LONGEST - END).collect();
    let end: String = path.chars().skip(length - END).collect();
    format!("{:?}", format!("{beginning}…{end}"))
}

/// The beginning of a value in one line: text in quotes with control characters escaped, or a count of bytes.
pub(crate) fn glimpse(value: &[u8], characters: usize) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => {
            let mut shown: String = text.chars().take(characters).flat_map(char::escape_debug).collect();
            if text.chars().nth(characters).is_some() {
                shown.push('…');
            }
            format!("\"{shown}\"")
        }
        Err(_) => format!("<{} bytes>", value.len()),
    }
}

/// Whether a path is another path or below it; everything is below `""`.
pub fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| above.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_in_one_bounded_line() {
        assert_eq!(glimpse(&[b'x'; 5], 3), "\"xxx…\"");
        assert_eq!(glimpse(b"\xff\0", 3), "<2 bytes>");
    }

    #[test]
    fn a_path_is_appended_to_its_key() {
        for (key, path, at) in [
            ("/a", "", "/a"),
            ("/a", "b/c", "/a/b/c"),
            ("/a", "/", "/a/"),
            ("/a", "/b", "/a//b"),
            ("/a/", "b", "/a/b"),
            ("/a/", "", "/a"),
            ("/a/", "/", "/a/"),
            ("/", "", "/"),
            ("/", "b", "/b"),
            ("/", "/", "/"),
            ("a", "b", "a/b"),
        ] {
            assert_eq!(key_at(&Key::new(key).unwrap(), path).unwrap().as_str(), at, "{key} {path}");
        }
        assert!(key_at(&Key::new("/a").unwrap(), "\0").is_err());
    }

    #[test]
    fn a_path_is_shown_in_one_readable_line() {
        assert_eq!(quoted("a\n\"b"), "\"a\\n\\\"b\"");
        assert_eq!(quoted(&"é".repeat(160)).chars().count(), 162);
        let long = quoted(&format!("begin{}end", "/é".repeat(5000)));
        assert!(
            long.starts_with("\"begin/é") && long.contains("é/…é/") && long.ends_with("/éend\""),
            "{long}"
        );
        assert_eq!(long.chars().count(), 163);
    }

    #[test]
    fn neighbours_are_not_within() {
        for (path, above, within) in
            [("a", "", true), ("a", "a", true), ("a/b", "a", true), ("ab", "a", false), ("a", "a/b", false)]
        {
            assert_eq!(is_within(path, above), within, "{path} {above}");
        }
    }
}
