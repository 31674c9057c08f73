//! Splits a key into names below the store's root. Touches no file.

use std::ffi::OsStr;

use crate::store::StoreError;
use crate::watch::Key;

/// A key's names from the root down; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyPath {
    names: Vec<String>,
}

impl KeyPath {
    /// Splits a key. Slashes at either end do not count.
    ///
    /// Names that begin with a dot are not keys: `.` and `..` would lead out of the store, and editors, `put` and Kubernetes
    /// (`..data`) use hidden files beside the real ones.
    pub(super) fn of(key: &Key) -> Result<Self, StoreError> {
        let inner = key.as_str().trim_matches('/');
        if inner.is_empty() {
            return Ok(Self { names: Vec::new() });
        }
        let names: Vec<String> = inner.split('/').map(str::to_owned).collect();
        for name in &names {
            let why = if name.is_empty() {
                "it has an empty name between two slashes; write one slash"
            } else if name.starts_with('.') {
                "a name that begins with a dot is not a key of a directory; rename the file"
            } else if name.len() > 255 {
                "a file name has at most 255 bytes"
            } else {
                continue;
            };
            return Err(StoreError::Refused { what: format!("use key {key}"), why: why.to_owned() });
        }
        Ok(Self { names })
    }

    /// The names, from the root down.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The same, as a queue for a walk.
    pub(super) fn steps(&self) -> impl Iterator<Item = &OsStr> {
        self.names.iter().map(OsStr::new)
    }
}

/// Whether a file of this name is a key: text that does not begin with a dot.
pub(super) fn key_name(name: &OsStr) -> Option<&str> {
    name.to_str().filter(|name| !name.starts_with('.') && !name.is_empty())
}

/// The path of `name` below `at`, where `""` is the top.
pub(super) fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") }
}

/// The parent of `at`, and its last name; `None` for the top.
pub(super) fn split(at: &str) -> Option<(&str, &str)> {
    match at.rsplit_once('/') {
        Some(pair) => Some(pair),
        None if at.is_empty() => None,
        None => Some(("", at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(key: &str) -> Option<Vec<String>> {
        KeyPath::of(&Key::new(key).unwrap()).ok().map(|place| place.names)
    }

    #[test]
    fn slashes_at_either_end_do_not_count() {
        let expected = Some(vec!["git".to_owned(), "head".to_owned()]);
        for key in ["/git/head", "git/head", "/git/head/", "//git/head"] {
            assert_eq!(names(key), expected, "{key}");
        }
        assert_eq!(names("/"), Some(vec![]));
    }

    #[test]
    fn no_key_leads_out_of_the_store_or_to_a_hidden_file() {
        for key in ["..", "/a/../b", "/./a", "/a//b", "/..data/key", "/.git"] {
            assert_eq!(names(key), None, "{key}");
        }
    }

    #[test]
    fn split_undoes_join() {
        for (at, name) in [("", "a"), ("a", "b"), ("a/b", "c")] {
            assert_eq!(split(&join(at, name)), Some((at, name)));
        }
        assert_eq!(split(""), None);
    }
}
