//! Which etcd keys belong to a target, and their paths within it. Pure.
//!
//! The top of a store holds the keys that begin with its prefix and a slash; without a prefix, all keys. A key without a
//! leading slash is then its own path, and `/a` and `a` have the same path: [`shown`](super::shown) decides which of them
//! is shown. A key that cannot have a path belongs to no target: one that is not UTF-8 or contains a NUL character, and
//! `/a//`.

use std::fmt;
use std::sync::Arc;

use crate::watch::{Key, Spelling, WatchType};

/// The keys of one store: those with its prefix.
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
    /// The same without the key equal to the base, for a user who may not read that one.
    Below(Vec<u8>),
    /// Everything below a base, the store's prefix, and a slash: the tree of `/`.
    Top(Vec<u8>),
    /// The first segments of all keys: the children of `/` of a store without a prefix.
    AllChildren(Sight),
    /// All keys: the tree of `/` of a store without a prefix.
    All(Sight),
}

/// Which keys of the whole cluster are read and watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// All.
    Whole,
    /// Those with a leading slash, for a user who may not read all.
    Slashed,
}

impl KeySpace {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The etcd key of a configured key.
    pub(super) fn exact(&self, key: &Key) -> Vec<u8> {
        self.within(key.as_str())
    }

    pub(super) fn scope(&self, key: &Key, watch_type: WatchType) -> Scope {
        match watch_type {
            WatchType::Data => Scope::Data(self.exact(key)),
            WatchType::Children if self.is_whole(key) => Scope::AllChildren(Sight::Whole),
            WatchType::Children => {
                let mut base = self.within(key.base());
                base.push(b'/');
                Scope::Children(base)
            }
            WatchType::Tree if self.is_whole(key) => Scope::All(Sight::Whole),
            WatchType::Tree if key.base().is_empty() => Scope::Top(self.within("")),
            WatchType::Tree => Scope::Tree(self.within(key.base())),
        }
    }

    /// Whether a key's subtree is the whole cluster.
    fn is_whole(&self, key: &Key) -> bool {
        self.prefix.is_empty() && key.base().is_empty()
    }

    /// A slash separates the prefix from the key, even if the key was written without one.
    fn within(&self, key: &str) -> Vec<u8> {
        let slash = if self.prefix.is_empty() || key.is_empty() || key.starts_with('/') { "" } else { "/" };
        [&self.prefix, slash, key].concat().into_bytes()
    }
}

impl Range {
    pub(super) fn single(key: &[u8]) -> Self {
        Self { start: key.to_vec(), end: None }
    }

    /// etcd's notation for "all keys". It has no empty key.
    fn whole() -> Self {
        Self { start: vec![0], end: Some(vec![0]) }
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
    /// The ranges to read, in one transaction.
    pub(super) fn reads(&self) -> Vec<Range> {
        match self {
            Self::Data(key) => vec![Range::single(key)],
            Self::Children(base) => vec![Range::prefix(base)],
            Self::Tree(base) => vec![Range::single(base), Range::prefix(&slashed(base))],
            Self::Below(base) | Self::Top(base) => vec![Range::prefix(&slashed(base))],
            Self::AllChildren(Sight::Whole) | Self::All(Sight::Whole) => vec![Range::whole()],
            Self::AllChildren(Sight::Slashed) | Self::All(Sight::Slashed) => vec![Range::prefix(b"/")],
        }
    }

    /// The part that a user who may not read all of it may still read.
    pub(super) fn narrower(&self) -> Option<Self> {
        match self {
            Self::Tree(base) => Some(Self::Below(base.clone())),
            Self::AllChildren(Sight::Whole) => Some(Self::AllChildren(Sight::Slashed)),
            Self::All(Sight::Whole) => Some(Self::All(Sight::Slashed)),
            Self::AllChildren(Sight::Slashed)
            | Self::All(Sight::Slashed)
            | Self::Data(_)
            | Self::Children(_)
            | Self::Below(_)
            | Self::Top(_) => None,
        }
    }

    /// The inverse of [`narrower`](Self::narrower): the scope for a user who may read each key.
    pub(super) fn widest(&self) -> Self {
        match self {
            Self::Below(base) => Self::Tree(base.clone()),
            Self::AllChildren(_) => Self::AllChildren(Sight::Whole),
            Self::All(_) => Self::All(Sight::Whole),
            Self::Data(_) | Self::Children(_) | Self::Tree(_) | Self::Top(_) => self.clone(),
        }
    }

    /// The ranges to watch. A tree is one range that also covers keys between the base and its descendants (`/a-b` lies between
    /// `/a` and `/a/b`), so that a transaction's changes arrive together; [`Scope::path`] drops foreign keys. `split`: two
    /// exact watches instead, for a user who may not read the keys between.
    pub(super) fn watches(&self, split: bool) -> Vec<Range> {
        match self {
            Self::Tree(base) if !split => {
                let end = Range::prefix(&slashed(base)).end;
                vec![Range { start: base.clone(), end }]
            }
            Self::Data(_)
            | Self::Children(_)
            | Self::Tree(_)
            | Self::Below(_)
            | Self::Top(_)
            | Self::AllChildren(_)
            | Self::All(_) => self.reads(),
        }
    }

    /// A key's name within the target: the path in a tree, the name of the child in children, empty for the target itself;
    /// `None` for keys that do not belong to it.
    pub(super) fn path(&self, key: &[u8]) -> Option<Arc<str>> {
        let rest = std::str::from_utf8(self.rest(key)?).ok()?;
        match (self, rest) {
            (Self::Data(_), _) => Some("".into()),
            (Self::Children(_) | Self::AllChildren(_), rest) => {
                rest.split('/').next().filter(|name| !name.contains('\0')).map(Arc::from)
            }
            // The key `/a/` is not the key `/a`, which leaves no path for `/a//`.
            (Self::Tree(_) | Self::Below(_) | Self::Top(_) | Self::All(_), "" | "/") => Some(rest.into()),
            (Self::Tree(_) | Self::Below(_) | Self::Top(_) | Self::All(_), "//") => None,
            (Self::Tree(_) | Self::Below(_) | Self::Top(_) | Self::All(_), rest) if rest.contains('\0') => {
                None
            }
            (Self::Tree(_) | Self::Below(_) | Self::Top(_), rest) => rest.strip_prefix('/').map(Arc::from),
            (Self::All(_), rest) => Some(rest.strip_prefix('/').unwrap_or(rest).into()),
        }
    }

    /// The spelling of a key of the target, which its path does not determine.
    pub(super) fn spelling(&self, key: &[u8]) -> Spelling {
        match self {
            Self::AllChildren(_) | Self::All(_) if !key.starts_with(b"/") => Spelling::Plain,
            Self::Data(_)
            | Self::Children(_)
            | Self::Tree(_)
            | Self::Below(_)
            | Self::Top(_)
            | Self::AllChildren(_)
            | Self::All(_) => Spelling::Slashed,
        }
    }

    /// Whether a key belongs to the target but cannot have a path.
    pub(super) fn leaves_out(&self, key: &[u8]) -> bool {
        self.rest(key).is_some() && self.path(key).is_none()
    }

    /// What follows the base in a key of the target.
    fn rest<'a>(&self, key: &'a [u8]) -> Option<&'a [u8]> {
        let is_child = |rest: &[u8]| !rest.is_empty() && !rest.starts_with(b"/");
        match self {
            Self::Data(base) => key.strip_prefix(base.as_slice()).filter(|rest| rest.is_empty()),
            Self::Children(base) => key.strip_prefix(base.as_slice()).filter(|rest| is_child(rest)),
            Self::Tree(base) => {
                key.strip_prefix(base.as_slice()).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
            }
            Self::Below(base) | Self::Top(base) => {
                key.strip_prefix(base.as_slice()).filter(|rest| rest.starts_with(b"/"))
            }
            Self::AllChildren(sight) => {
                let seen = Some(key).filter(|key| sight.sees(key))?;
                Some(seen.strip_prefix(b"/").unwrap_or(seen)).filter(|rest| is_child(rest))
            }
            Self::All(sight) => Some(key).filter(|key| sight.sees(key)),
        }
    }
}

impl Sight {
    fn sees(self, key: &[u8]) -> bool {
        match self {
            Self::Whole => !key.is_empty(),
            Self::Slashed => key.starts_with(b"/"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(key) => write!(f, "{}", key.escape_ascii()),
            Self::Children(base) => write!(f, "the children of {}", base.escape_ascii()),
            Self::Tree(base) => write!(f, "{} and everything below it", base.escape_ascii()),
            Self::Below(base) | Self::Top(base) => write!(f, "everything below {}/", base.escape_ascii()),
            Self::AllChildren(_) => write!(f, "the children of /"),
            Self::All(Sight::Whole) => write!(f, "all keys"),
            Self::All(Sight::Slashed) => write!(f, "everything below /"),
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
    fn keys_are_appended_to_the_prefix() {
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
        assert_eq!(scope("", "/", WatchType::Children), Scope::AllChildren(Sight::Whole));
        assert_eq!(scope("", "/", WatchType::Tree), Scope::All(Sight::Whole));
    }

    #[test]
    fn a_target_distinguishes_its_keys_from_neighbours() {
        let tree = scope("", "/a", WatchType::Tree);
        let children = scope("", "/a", WatchType::Children);
        let names = scope("", "/", WatchType::Children);
        let all = scope("", "/", WatchType::Tree);
        for (key, in_tree, in_children, in_names, in_all) in [
            ("/a", Some(""), None, Some("a"), Some("a")),
            ("/a/", Some("/"), None, Some("a"), Some("a/")),
            ("/a/b", Some("b"), Some("b"), Some("a"), Some("a/b")),
            ("/a/b/c", Some("b/c"), Some("b"), Some("a"), Some("a/b/c")),
            ("/a//", None, None, Some("a"), Some("a//")),
            ("/a//c", Some("/c"), None, Some("a"), Some("a//c")),
            ("/a-b", None, None, Some("a-b"), Some("a-b")),
            ("/ab/c", None, None, Some("ab"), Some("ab/c")),
            ("/", None, None, None, Some("/")),
            ("//", None, None, None, None),
            ("//b", None, None, None, Some("/b")),
        ] {
            assert_eq!(tree.path(key.as_bytes()).as_deref(), in_tree, "{key}");
            assert_eq!(children.path(key.as_bytes()).as_deref(), in_children, "{key}");
            assert_eq!(names.path(key.as_bytes()).as_deref(), in_names, "{key}");
            assert_eq!(names.narrower().unwrap().path(key.as_bytes()).as_deref(), in_names, "{key}");
            assert_eq!(all.path(key.as_bytes()).as_deref(), in_all, "{key}");
            assert_eq!(all.narrower().unwrap().path(key.as_bytes()).as_deref(), in_all, "{key}");
            assert_eq!(all.spelling(key.as_bytes()), Spelling::Slashed, "{key}");
        }
        for (key, in_names, in_all) in
            [("a", "a", "a"), ("a/b", "a", "a/b"), ("b/", "b", "b/"), ("b//", "b", "b//"), ("!", "!", "!")]
        {
            assert_eq!(tree.path(key.as_bytes()), None, "{key}");
            assert_eq!(children.path(key.as_bytes()), None, "{key}");
            assert_eq!(names.path(key.as_bytes()).as_deref(), Some(in_names), "{key}");
            assert_eq!(all.path(key.as_bytes()).as_deref(), Some(in_all), "{key}");
            assert_eq!(all.spelling(key.as_bytes()), Spelling::Plain, "{key}");
            assert_eq!(names.narrower().unwrap().path(key.as_bytes()), None, "{key}");
            assert_eq!(all.narrower().unwrap().path(key.as_bytes()), None, "{key}");
        }
        let prefixed = scope("/prod", "/", WatchType::Tree);
        for (key, path) in [("/prod", None), ("/prod/", Some("/")), ("/prod/a", Some("a")), ("/prod-a", None)]
        {
            assert_eq!(prefixed.path(key.as_bytes()).as_deref(), path, "{key}");
        }
    }

    #[test]
    fn keys_without_a_path_belong_to_no_target_and_are_recognised() {
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
            let names_only_above = key == "/" && watch_type == WatchType::Children;
            assert_eq!(scope.leaves_out(b"/a/\0"), !names_only_above, "{scope}");
            assert_eq!(scope.leaves_out(b"/\0/a"), key == "/", "{scope}");
            assert_eq!(scope.leaves_out(b"\0/a"), key == "/", "{scope}");
            assert!(!scope.leaves_out(b"/a/b"), "{scope}");
            assert_eq!(scope.leaves_out(b"b\xff"), key == "/", "{scope}");
            assert!(!scope.narrower().is_some_and(|scope| scope.leaves_out(b"b\xff")), "{scope}");
        }
        assert!(scope("", "/a", WatchType::Tree).leaves_out(b"/a//"));
    }

    #[test]
    fn ranges_cover_the_keys_of_the_target() {
        let range = |start: &str, end: &str| Range { start: start.into(), end: Some(end.into()) };
        let tree = scope("", "/a", WatchType::Tree);
        assert_eq!(tree.reads(), [Range::single(b"/a"), range("/a/", "/a0")]);
        assert_eq!(tree.watches(true), tree.reads());
        assert_eq!(tree.watches(false), [range("/a", "/a0")]);
        let below = tree.narrower().unwrap();
        assert_eq!((below.reads(), below.watches(false)), (vec![range("/a/", "/a0")], below.reads()));
        assert_eq!((below.narrower(), below.widest()), (None, tree));
        assert_eq!(below.path(b"/a"), None);
        assert_eq!((below.path(b"/a/").as_deref(), below.path(b"/a/b").as_deref()), (Some("/"), Some("b")));
        for all in [scope("", "/", WatchType::Children), scope("", "/", WatchType::Tree)] {
            assert_eq!((all.reads(), all.watches(false)), (vec![range("\0", "\0")], vec![range("\0", "\0")]));
            let narrower = all.narrower().unwrap();
            assert_eq!(
                (narrower.reads(), narrower.watches(false)),
                (vec![range("/", "0")], vec![range("/", "0")])
            );
            assert_eq!((narrower.narrower(), narrower.widest()), (None, all));
        }
        assert_eq!(scope("/prod", "/", WatchType::Tree).watches(false), [range("/prod/", "/prod0")]);
        assert_eq!(Range::prefix(b"a\xff\xff").end.unwrap(), b"b");
        assert_eq!(Range::prefix(b"\xff").end.unwrap(), [0]);
    }
}
