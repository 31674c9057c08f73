//! Which etcd keys a target means, and what a key is called inside of its target. Pure.
//!
//! The top of a store holds the keys that begin with its prefix and a slash; without a prefix, those that begin with
//! a slash. So every key of a tree has a path of its own, by which it can be written and deleted. A key that can have
//! none belongs to no target: one that is not UTF-8, and `/a//`.

use std::fmt;

use crate::watch::{Key, WatchType};

/// The keys of one store: all those behind its prefix.
#[derive(Debug, Clone)]
pub(super) struct KeySpace {
    prefix: String,
}

/// `[start, end)`, as etcd writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: Vec<u8>,
    /// `None`: only the key `start`.
    pub(super) end: Option<Vec<u8>>,
}

/// The keys of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// One key.
    Data(Vec<u8>),
    /// Everything below a base, which ends with a slash.
    Children(Vec<u8>),
    /// A base without a slash at its end, and everything below it and a slash.
    Tree(Vec<u8>),
    /// Everything below a base, the store's prefix, and a slash: the tree of `/`.
    Top(Vec<u8>),
}

impl KeySpace {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The etcd key of a key as configured.
    pub(super) fn exact(&self, key: &Key) -> Vec<u8> {
        self.within(key.as_str())
    }

    pub(super) fn scope(&self, key: &Key, watch_type: WatchType) -> Scope {
        match watch_type {
            WatchType::Data => Scope::Data(self.exact(key)),
            WatchType::Children => {
                let mut base = self.within(key.base());
                base.push(b'/');
                Scope::Children(base)
            }
            WatchType::Tree if key.base().is_empty() => Scope::Top(self.within("")),
            WatchType::Tree => Scope::Tree(self.within(key.base())),
        }
    }

    /// A prefix is a place: what follows it begins with a slash even where the key was written without.
    fn within(&self, key: &str) -> Vec<u8> {
        let slash = if self.prefix.is_empty() || key.is_empty() || key.starts_with('/') { "" } else { "/" };
        [&self.prefix, slash, key].concat().into_bytes()
    }
}

impl Range {
    pub(super) fn single(key: &[u8]) -> Self {
        Self { start: key.to_vec(), end: None }
    }

    fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            None => end.push(0),
        }
        Self { start: prefix.to_vec(), end: Some(end) }
    }
}

impl Scope {
    /// What is read, in one transaction.
    pub(super) fn reads(&self) -> Vec<Range> {
        match self {
            Self::Data(key) => vec![Range::single(key)],
            Self::Children(base) => vec![Range::prefix(base)],
            Self::Tree(base) => vec![Range::single(base), Range::prefix(&slashed(base))],
            Self::Top(base) => vec![Range::prefix(&slashed(base))],
        }
    }

    /// What is watched. A tree is one range that also covers keys between the base and what is below it
    /// (`/a-b` lies between `/a` and `/a/b`), so that a transaction's changes come as one: foreign keys
    /// are left out by [`Scope::path`]. `split`: as two exact watches, for a user who may not see the rest.
    pub(super) fn watches(&self, split: bool) -> Vec<Range> {
        match self {
            Self::Tree(base) if !split => {
                let end = Range::prefix(&slashed(base)).end;
                vec![Range { start: base.clone(), end }]
            }
            Self::Data(_) | Self::Children(_) | Self::Tree(_) | Self::Top(_) => self.reads(),
        }
    }

    /// What a key is called inside of the target: the path in a tree, the name of the child in children,
    /// empty for the target itself; `None` for keys that do not belong to it.
    pub(super) fn path<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        let rest = std::str::from_utf8(self.rest(key)?).ok()?;
        match (self, rest) {
            (Self::Data(_), _) => Some(""),
            (Self::Children(_), rest) => rest.split('/').next(),
            // The key `/a/` is not the key `/a`, and that leaves no path for `/a//`.
            (Self::Tree(_) | Self::Top(_), "" | "/") => Some(rest),
            (Self::Tree(_) | Self::Top(_), "//") => None,
            (Self::Tree(_) | Self::Top(_), rest) => rest.strip_prefix('/'),
        }
    }

    /// Whether a key would belong to the target, if it could be given a name.
    pub(super) fn leaves_out(&self, key: &[u8]) -> bool {
        self.rest(key).is_some() && self.path(key).is_none()
    }

    /// What follows the base in a key of the target.
    fn rest<'a>(&self, key: &'a [u8]) -> Option<&'a [u8]> {
        let (base, belongs): (_, fn(&[u8]) -> bool) = match self {
            Self::Data(base) => (base, <[u8]>::is_empty),
            Self::Children(base) => (base, |rest| !rest.is_empty() && !rest.starts_with(b"/")),
            Self::Tree(base) => (base, |rest| rest.is_empty() || rest.starts_with(b"/")),
            Self::Top(base) => (base, |rest| rest.starts_with(b"/")),
        };
        key.strip_prefix(base.as_slice()).filter(|rest| belongs(rest))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(key) => write!(f, "{}", key.escape_ascii()),
            Self::Children(base) => write!(f, "the children of {}", base.escape_ascii()),
            Self::Tree(base) => write!(f, "{} and everything below it", base.escape_ascii()),
            Self::Top(base) => write!(f, "everything below {}/", base.escape_ascii()),
        }
    }
}

fn slashed(base: &[u8]) -> Vec<u8> {
    [base, b"/"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(prefix: &str, key: &str, watch_type: WatchType) -> Scope {
        KeySpace::new(prefix).scope(&Key::new(key).unwrap(), watch_type)
    }

    #[test]
    fn keys_are_put_behind_the_prefix() {
        for (prefix, key, etcd_key) in [
            ("", "/a", "/a"),
            ("", "a", "a"),
            ("", "/", "/"),
            ("/prod", "/a/b", "/prod/a/b"),
            ("/prod", "a", "/prod/a"),
            ("/prod", "/", "/prod/"),
        ] {
            assert_eq!(scope(prefix, key, WatchType::Data), Scope::Data(etcd_key.into()), "{prefix} {key}");
        }
        assert_eq!(scope("/prod", "/", WatchType::Tree), Scope::Top("/prod".into()));
        assert_eq!(scope("/prod", "/", WatchType::Children), Scope::Children("/prod/".into()));
        assert_eq!(scope("", "/a/", WatchType::Children), Scope::Children("/a/".into()));
        assert_eq!(scope("", "/a/", WatchType::Tree), Scope::Tree("/a".into()));
        assert_eq!(scope("", "/", WatchType::Tree), Scope::Top("".into()));
    }

    #[test]
    fn a_target_knows_its_keys_from_its_neighbours() {
        let tree = scope("", "/a", WatchType::Tree);
        let children = scope("", "/a", WatchType::Children);
        let top = scope("", "/", WatchType::Tree);
        for (key, in_tree, in_children, in_top) in [
            ("/a", Some(""), None, Some("a")),
            ("/a/", Some("/"), None, Some("a/")),
            ("/a/b", Some("b"), Some("b"), Some("a/b")),
            ("/a/b/c", Some("b/c"), Some("b"), Some("a/b/c")),
            ("/a//", None, None, Some("a//")),
            ("/a//c", Some("/c"), None, Some("a//c")),
            ("/a-b", None, None, Some("a-b")),
            ("/ab/c", None, None, Some("ab/c")),
            ("/", None, None, Some("/")),
            ("//", None, None, None),
            ("//b", None, None, Some("/b")),
            ("b", None, None, None),
        ] {
            assert_eq!(tree.path(key.as_bytes()), in_tree, "{key}");
            assert_eq!(children.path(key.as_bytes()), in_children, "{key}");
            assert_eq!(top.path(key.as_bytes()), in_top, "{key}");
        }
        let prefixed = scope("/prod", "/", WatchType::Tree);
        for (key, path) in [("/prod", None), ("/prod/", Some("/")), ("/prod/a", Some("a")), ("/prod-a", None)]
        {
            assert_eq!(prefixed.path(key.as_bytes()), path, "{key}");
        }
    }

    #[test]
    fn what_has_no_name_belongs_to_no_target_and_is_known_for_it() {
        let odd = b"/a/b/\xff";
        for (key, watch_type) in [
            ("/a", WatchType::Tree),
            ("/", WatchType::Tree),
            ("/a", WatchType::Children),
            ("/", WatchType::Children),
        ] {
            let scope = scope("", key, watch_type);
            assert_eq!(scope.path(odd), None, "{scope}");
            assert!(scope.leaves_out(odd), "{scope}");
            assert!(!scope.leaves_out(b"/a/b"), "{scope}");
            assert!(!scope.leaves_out(b"b\xff"), "{scope}");
        }
        assert!(scope("", "/a", WatchType::Tree).leaves_out(b"/a//"));
    }

    #[test]
    fn ranges_cover_what_belongs_to_the_target() {
        let range = |start: &str, end: &str| Range { start: start.into(), end: Some(end.into()) };
        let tree = scope("", "/a", WatchType::Tree);
        assert_eq!(tree.reads(), [Range::single(b"/a"), range("/a/", "/a0")]);
        assert_eq!(tree.watches(true), tree.reads());
        assert_eq!(tree.watches(false), [range("/a", "/a0")]);
        assert_eq!(scope("", "/", WatchType::Children).reads(), [range("/", "0")]);
        assert_eq!(scope("", "/", WatchType::Tree).reads(), [range("/", "0")]);
        assert_eq!(scope("/prod", "/", WatchType::Tree).watches(false), [range("/prod/", "/prod0")]);
        assert_eq!(Range::prefix(b"a\xff\xff").end.unwrap(), b"b");
        assert_eq!(Range::prefix(b"\xff").end.unwrap(), [0]);
    }
}
