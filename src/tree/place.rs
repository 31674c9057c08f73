//! Where a path of a subtree is in its store.

use crate::watch::{InvalidKey, Key, Spelling};

/// The key of a path relative to another key, as [`Subtree`](crate::watch::Subtree) has them: `""` is the key
/// itself, `"a/b"` is below it, and `"/"` is the key with a slash at its end. Slashes at the key's own end do not
/// count, as in the subtree of it.
pub fn key_at(key: &Key, path: &str) -> Result<Key, InvalidKey> {
    match path {
        "" if key.base().is_empty() => Ok(key.clone()),
        "" => Key::new(key.base()),
        "/" => Key::new(&format!("{}/", key.base())),
        path => Key::new(&format!("{}/{path}", key.base())),
    }
}

/// The key of a path that was read, which in the tree of `/` may be [written](Spelling) in two ways.
pub fn key_read(key: &Key, path: &str, spelling: Spelling) -> Result<Key, InvalidKey> {
    match spelling {
        Spelling::Slashed => key_at(key, path),
        Spelling::Plain => Key::new(path),
    }
}

/// The same as text for people, also where it is too long for a key, or has a NUL character.
pub fn key_text(key: &Key, path: &str, spelling: Spelling) -> String {
    key_read(key, path, spelling).map_or_else(|_| path.to_owned(), |key| key.to_string())
}

/// Whether a path is another or below it; everything is below `""`.
pub fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| above.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_behind_its_key() {
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
    fn neighbours_are_not_within() {
        for (path, above, within) in
            [("a", "", true), ("a", "a", true), ("a/b", "a", true), ("ab", "a", false), ("a", "a/b", false)]
        {
            assert_eq!(is_within(path, above), within, "{path} {above}");
        }
    }
}
