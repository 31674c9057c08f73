//! Converts keys to znode paths, which are absolute within the chroot.

use std::sync::Arc;

use crate::store::StoreError;
use crate::watch::Key;

/// The path of a key's node. A slash at the end does not count; the one at the start is optional.
pub(super) fn path_of(key: &Key) -> Result<Arc<str>, StoreError> {
    let inner = key.base().trim_start_matches('/');
    for name in inner.split('/') {
        let why = if name.is_empty() && !inner.is_empty() {
            "it has an empty name between two slashes; write one slash"
        } else if name == "." || name == ".." {
            "ZooKeeper allows no `.` and `..` in paths"
        } else if let Some(c) = name.chars().find(|c| !allowed(*c)) {
            let why = format!("ZooKeeper allows no character U+{:04X} in paths", u32::from(c));
            return Err(StoreError::Refused { what: format!("use key {key}"), why });
        } else {
            continue;
        };
        return Err(StoreError::Refused { what: format!("use key {key}"), why: why.to_owned() });
    }
    let written = key.as_str().strip_prefix('/') == Some(inner);
    Ok(if written { key.shared() } else { format!("/{inner}").into() })
}

/// What ZooKeeper's `PathUtils.validatePath` accepts. It checks UTF-16 code units, so it refuses emoji too.
fn allowed(c: char) -> bool {
    !matches!(c, '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// The path of the node at a relative path below `top`; `""` is `top` itself.
pub(super) fn below(top: &Arc<str>, at: &str) -> Arc<str> {
    match (&**top, at) {
        (_, "") => Arc::clone(top),
        ("/", at) => format!("/{at}").into(),
        (top, at) => format!("{top}/{at}").into(),
    }
}

/// A path relative to `top`; `""` for `top` itself. The inverse of [`below`].
pub(super) fn place_in<'a>(top: &str, path: &'a str) -> Option<&'a str> {
    match path.strip_prefix(top)? {
        "" => Some(""),
        rest if top == "/" => Some(rest),
        rest => rest.strip_prefix('/'),
    }
}

/// `name` below the relative path `at`.
pub(super) fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") }
}

/// All ancestors of a path, the highest first, without `/`.
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end]).filter(|above| !above.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(key: &str) -> Option<String> {
        path_of(&Key::new(key).unwrap()).ok().map(|path| path.to_string())
    }

    #[test]
    fn keys_become_absolute_paths() {
        for (key, expected) in
            [("/", "/"), ("/a", "/a"), ("a/b", "/a/b"), ("/a/b/", "/a/b"), ("/ä/…", "/ä/…")]
        {
            assert_eq!(path(key).as_deref(), Some(expected), "{key}");
        }
    }

    #[test]
    fn keys_that_zookeeper_cannot_hold_are_refused() {
        for key in ["/a//b", "/a/../b", "/.", "/a\u{1}", "/a\u{7f}", "/\u{e001}", "/\u{ffff}", "/😀"] {
            assert_eq!(path(key), None, "{key:?}");
        }
    }

    #[test]
    fn relative_paths_lie_below_their_top() {
        assert_eq!(&*below(&"/".into(), ""), "/");
        assert_eq!(&*below(&"/".into(), "a/b"), "/a/b");
        assert_eq!(&*below(&"/x".into(), ""), "/x");
        assert_eq!(&*below(&"/x".into(), "a"), "/x/a");
        for (top, at) in [("/", ""), ("/", "a/b"), ("/x", ""), ("/x", "a"), ("/x/y", "x/y")] {
            assert_eq!(place_in(top, &below(&top.into(), at)), Some(at), "{top} {at}");
        }
        assert_eq!(place_in("/x", "/xy"), None);
        assert_eq!(place_in("/x", "/y/x"), None);
        assert_eq!(join("", "a"), "a");
        assert_eq!(join("a", "b"), "a/b");
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a", "/a/b"]);
        assert_eq!(ancestors("/a").count(), 0);
    }
}
