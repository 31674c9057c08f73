//! The state of a target that a store showed at one moment.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::subtree::Subtree;

/// The sequence number of a state within one subscription.
///
/// Strictly rising within a subscription; a store that was restored from an older backup still shows a *later* state
/// here, so decisions compare this and never versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

/// The store's own mark of a state; within one life of a store, equal versions mean equal states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Version {
    /// etcd `mod_revision`, ZooKeeper `mzxid` or `pzxid`: decimal.
    Revision(i64),
    /// A content hash, for stores without revisions: 32 hexadecimal digits.
    Hash(ContentHash),
}

/// 128 bits, kept as bytes: a `u128` would align each of many thousands of states to 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash([u8; 16]);

impl ContentHash {
    /// The version of absent content.
    pub const ZERO: Self = Self([0; 16]);

    /// The version of a number.
    pub const fn new(hash: u128) -> Self {
        Self(hash.to_be_bytes())
    }
}

impl Version {
    /// Whether it comes before another within one life of a store. Hashes have no order.
    pub fn is_before(self, other: Self) -> bool {
        match (self, other) {
            (Self::Revision(this), Self::Revision(other)) => this < other,
            (Self::Revision(_) | Self::Hash(_), Self::Revision(_) | Self::Hash(_)) => false,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(revision) => write!(f, "{revision}"),
            Self::Hash(ContentHash(bytes)) => write!(f, "{:032x}", u128::from_be_bytes(*bytes)),
        }
    }
}

/// Text that is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a version is a number such as 1042 (etcd, ZooKeeper) or 32 hexadecimal digits (dir)")]
pub struct InvalidVersion;

impl std::str::FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let digits = |radix| text.chars().all(|c: char| c.is_digit(radix));
        if text.len() == 32 && digits(16) {
            u128::from_str_radix(text, 16)
                .map(|hash| Self::Hash(ContentHash::new(hash)))
                .map_err(|_| InvalidVersion)
        } else if digits(10) {
            text.parse().map(Self::Revision).map_err(|_| InvalidVersion)
        } else {
            Err(InvalidVersion)
        }
    }
}

/// The content of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Content {
    /// Nothing: the key does not exist (children, tree: neither the key nor anything below it).
    Absent,
    /// The key exists; its value was not read.
    Unread,
    /// A value, byte for byte.
    Value(Bytes),
    /// The names of the direct children, sorted and distinct. May be empty where the node exists.
    Children(Arc<[Arc<str>]>),
    /// The whole subtree.
    Tree(Subtree),
}

impl Content {
    /// Whether there is nothing at the target.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// How many entries a guard counts: the names of children; of a tree the leaves, with or without a value, and the
    /// inner nodes with a value. The root of a tree counts only with a value that is not empty, because an emptied
    /// directory or znode leaves it behind. A value is one entry.
    pub fn entries(&self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Unread | Self::Value(_) => 1,
            Self::Children(names) => names.len() as u64,
            Self::Tree(tree) => {
                let counts = |&(path, value): &(&str, Option<&[u8]>)| match (path, value) {
                    ("", value) => value.is_some_and(|value| !value.is_empty()),
                    (_, Some(_)) => true,
                    (path, None) => {
                        let below = format!("{path}/");
                        !tree.from(&below).next().is_some_and(|(next, _)| next.starts_with(&below))
                    }
                };
                tree.iter().filter(counts).count() as u64
            }
        }
    }

    /// Bytes, about, that keeping this content takes while `later` is kept too. Trees share the pages that did
    /// not change: a tree is weighed by the pages that `later` no longer has.
    pub fn bytes_beside(&self, later: &Self) -> usize {
        match (self, later) {
            (Self::Absent | Self::Unread, _) => 0,
            (Self::Value(value), _) => value.len(),
            (Self::Children(names), _) => names.iter().map(|name| name.len() + size_of::<Arc<str>>()).sum(),
            (Self::Tree(tree), Self::Tree(later)) => tree.bytes_beside(later),
            (Self::Tree(tree), Self::Absent | Self::Unread | Self::Value(_) | Self::Children(_)) => {
                tree.bytes_beside(&Subtree::new())
            }
        }
    }
}

/// Whether a later state is the same as an earlier one, or an update of it.
///
/// An unchanged value under a higher revision is an update: the same value was written again. Under a lower one it is
/// not: the store was restored to the same value, or the last event in a tree was a deletion, whose revision no remaining
/// key has. Names of children are compared as they are, and so is absence. If either content was not read, the versions
/// decide.
pub fn is_same(before: (Version, &Content), now: (Version, &Content)) -> bool {
    let (old_version, old) = before;
    let (new_version, new) = now;
    match (old, new) {
        (Content::Absent, Content::Absent) => true,
        (Content::Children(old), Content::Children(new)) => old == new,
        (Content::Value(old), Content::Value(new)) => old == new && !old_version.is_before(new_version),
        (Content::Tree(old), Content::Tree(new)) => !old_version.is_before(new_version) && old == new,
        (Content::Unread, Content::Unread | Content::Value(_)) | (Content::Value(_), Content::Unread) => {
            old_version == new_version
        }
        (
            Content::Absent | Content::Unread | Content::Children(_) | Content::Value(_) | Content::Tree(_),
            Content::Absent | Content::Unread | Content::Children(_) | Content::Value(_) | Content::Tree(_),
        ) => false,
    }
}

/// One state of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Its sequence number in the subscription.
    pub seq: Seq,
    /// The store's mark of it.
    pub version: Version,
    /// The content.
    pub content: Content,
}

impl State {
    /// The input of `is_same`.
    pub fn as_seen(&self) -> (Version, &Content) {
        (self.version, &self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_weighed_by_the_pages_it_does_not_share() {
        let pairs = (0..10_000).map(|n| (format!("key/{n:05}"), "v".repeat(100)));
        let pairs: Vec<(String, String)> = pairs.collect();
        let tree: Subtree = pairs.iter().map(|(path, value)| (path.as_str(), Some(value.as_str()))).collect();
        let whole = Content::Tree(tree.clone()).bytes_beside(&Content::Absent);
        assert!((1_000_000..2_000_000).contains(&whole), "{whole}");
        let mut later = tree.clone();
        later.insert("key/05000", Some(b"another"));
        let tree = Content::Tree(tree);
        let beside = tree.bytes_beside(&Content::Tree(later));
        assert!((100..10_000).contains(&beside), "{beside}");
        assert_eq!(tree.bytes_beside(&tree.clone()), 0);
        assert_eq!(Content::Value("abc".into()).bytes_beside(&Content::Absent), 3);
    }

    #[test]
    fn entries_are_leaves_and_inner_nodes_with_a_value() {
        let tree = |nodes: &[(&str, Option<&str>)]| {
            Content::Tree(nodes.iter().map(|(path, value)| (*path, *value)).collect::<Subtree>())
        };
        let cases = [
            (Content::Absent, 0),
            (Content::Children([].into()), 0),
            (Content::Children(["a".into(), "b".into()].into()), 2),
            (tree(&[]), 0),
            (tree(&[("", None)]), 0),
            (tree(&[("", Some(""))]), 0),
            (tree(&[("", Some("x"))]), 1),
            (tree(&[("", None), ("a", None)]), 1),
            (tree(&[("", None), ("a", None), ("a-b", None), ("a/c", Some("")), ("a/d", None)]), 3),
            (tree(&[("a", Some("x")), ("a/b", Some("y"))]), 2),
            (tree(&[("a", None), ("a/b", None), ("a/b/c", None), ("a/bc", None)]), 2),
        ];
        for (content, expected) in cases {
            assert_eq!(content.entries(), expected, "{content:?}");
        }
    }

    #[test]
    fn versions_are_shown_as_the_contract_says() {
        assert_eq!(Version::Revision(1042).to_string(), "1042");
        let hash = |hash| Version::Hash(ContentHash::new(hash));
        assert_eq!(hash(0xab).to_string(), format!("{:0>32}", "ab"));
        for version in [Version::Revision(0), Version::Revision(i64::MAX), hash(1), hash(u128::MAX)] {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        for wrong in ["", "-1", "+1", "1 ", "ab", "99999999999999999999"] {
            assert_eq!(wrong.parse::<Version>(), Err(InvalidVersion), "{wrong:?}");
        }
    }
}
