//! An immutable subtree: typed reads, iteration and differences. Pure; cheap to clone and keep.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as Plain, StrDeserializer};

use super::place::{glimpse, is_within, key_read, key_text};
use crate::store::dir;
use crate::watch::{Content, InvalidKey, Key, Spelling, State, Subtree, Version};

/// The content at and below a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    key: Key,
    version: Option<Version>,
    entries: Subtree,
}

/// A value that does not have the requested type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} holds {value}, which is not a {wanted}: {why}")]
#[non_exhaustive]
pub struct ReadError {
    /// The key in its store.
    pub key: String,
    /// The beginning of the value.
    pub value: String,
    /// The requested type.
    pub wanted: &'static str,
    /// Why the value does not have that type.
    pub why: String,
}

/// How much of a subtree to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Exactly one node.
    Node,
    /// A node and everything below it.
    Below,
}

/// A path whose value changed, or whose [key](Snapshot::key_of) did. `Some(None)` is a node without a value, `None` no
/// node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The path, relative to the top of the subtree.
    pub path: Arc<str>,
    /// The old value.
    pub before: Option<Option<Bytes>>,
    /// The new value.
    pub after: Option<Option<Bytes>>,
}

impl Snapshot {
    /// An empty snapshot, before the first state.
    pub fn empty(key: Key) -> Self {
        Self { key, version: None, entries: Subtree::new() }
    }

    /// The snapshot of a tree's state.
    pub fn of(key: Key, state: &State) -> Self {
        let entries = match &state.content {
            Content::Tree(entries) => entries.clone(),
            Content::Absent | Content::Unread | Content::Value(_) | Content::Children(_) => Subtree::new(),
        };
        Self { key, version: Some(state.version), entries }
    }

    /// The key at its top.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The key of a path in the store, from which the path was read and to which it is written.
    ///
    /// In an etcd without a prefix, the tree of `/` contains all keys, and the path `foo` may stand for `/foo` or `foo`: this
    /// returns the right one. If both exist, `/foo` is shown; a path without a node is the key `/foo`.
    pub fn key_of(&self, path: &str) -> Result<Key, InvalidKey> {
        key_read(&self.key, path, self.spelling(path))
    }

    fn spelling(&self, path: &str) -> Spelling {
        self.entries.spelling(path).unwrap_or_default()
    }

    /// Its version; `None` before the first state.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The whole content.
    pub fn entries(&self) -> &Subtree {
        &self.entries
    }

    /// The version that a write of this path can require, which differs from the subtree's; `None` if the key does not exist.
    pub fn version_of(&self, path: &str) -> Option<Version> {
        Some(match (self.entries.origin(path)?.revision, self.bytes(path)) {
            // A directory's versions are hashes of values.
            (0, Some(value)) => dir::value_version(value),
            (0, None) => dir::NOTHING,
            (revision, _) => Version::Revision(revision),
        })
    }

    /// Whether the key exists.
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains(path)
    }

    /// A value byte for byte; `None` if there is none.
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        self.entries.get(path)?
    }

    /// A value as text; `None` if there is none.
    pub fn text(&self, path: &str) -> Result<Option<&str>, ReadError> {
        let text =
            |value| std::str::from_utf8(value).map_err(|error| self.error::<&str>(path, value, &error));
        self.bytes(path).map(text).transpose()
    }

    /// A value as a number, a boolean, or any other type of `serde` that JSON can express; text that is not JSON is offered
    /// as a string, so that `String` and plain enums work without quotes. `None` if there is no value.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ReadError> {
        let Some(value) = self.bytes(path) else { return Ok(None) };
        let json = match serde_json::from_slice(value) {
            Ok(read) => return Ok(Some(read)),
            Err(error) => error,
        };
        let plain = std::str::from_utf8(value).ok().and_then(|text| {
            let text: StrDeserializer<'_, Plain> = serde::de::IntoDeserializer::into_deserializer(text);
            T::deserialize(text).ok()
        });
        plain.map(Some).ok_or_else(|| self.error::<T>(path, value, &json))
    }

    /// Every path and value in order; `None` for a node without a value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.entries.iter()
    }

    /// The same for a path and everything below it.
    pub fn below(&self, path: &str) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let begins = path.to_owned();
        let within = path.to_owned();
        self.entries
            .from(path)
            .take_while(move |(path, _)| path.starts_with(&begins))
            .filter(move |(path, _)| is_within(path, &within))
    }

    /// The names directly below a path.
    pub fn children(&self, path: &str) -> BTreeSet<&str> {
        let above = if path.is_empty() { 0 } else { path.len() + 1 };
        let below = self.below(path).filter(|(other, _)| *other != path);
        below.filter_map(|(path, _)| path.get(above..)?.split('/').next()).collect()
    }

    /// The differences to a later snapshot at a path, in order. The cost is proportional to their number.
    pub fn differences(&self, later: &Self, path: &str, scope: Scope) -> Vec<Difference> {
        let owned = |value: Option<Option<&[u8]>>| value.map(|value| value.map(Bytes::copy_from_slice));
        let meant = |other: &str| match scope {
            Scope::Node => other == path,
            Scope::Below => is_within(other, path),
        };
        let meant = self.entries.differences(&later.entries).filter(|(path, ..)| meant(path));
        meant
            .map(|(path, before, after)| Difference {
                path: path.into(),
                before: owned(before),
                after: owned(after),
            })
            .collect()
    }

    fn error<T>(&self, path: &str, value: &[u8], why: &dyn std::fmt::Display) -> ReadError {
        let key = key_text(&self.key, path, self.spelling(path));
        ReadError { key, value: glimpse(value, 60), wanted: std::any::type_name::<T>(), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::watch::Seq;

    type Values = BTreeMap<String, Option<Bytes>>;

    fn snapshot(values: &Values) -> Snapshot {
        let entries = values.iter().map(|(path, value)| (path, value.as_ref())).collect();
        let state = State { seq: Seq(1), version: Version::Revision(7), content: Content::Tree(entries) };
        Snapshot::of(Key::new("/top").unwrap(), &state)
    }

    fn texts(pairs: &[(&str, &str)]) -> Snapshot {
        let value = |(path, text): &(&str, &str)| ((*path).to_owned(), Some((*text).to_owned().into()));
        snapshot(&pairs.iter().map(value).collect())
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        Low,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Server {
        host: String,
        port: u16,
    }

    #[test]
    fn values_are_read_as_the_requested_type() {
        let tree = texts(&[
            ("", "-42\n"),
            ("on", "true"),
            ("ratio", "1.5"),
            ("name", "web"),
            ("level", "low"),
            ("server", r#"{"host": "a", "port": 80}"#),
            ("list", "[1, 2]"),
        ]);
        assert_eq!(tree.get::<i64>(""), Ok(Some(-42)));
        assert_eq!(tree.get::<bool>("on"), Ok(Some(true)));
        assert_eq!(tree.get::<f64>("ratio"), Ok(Some(1.5)));
        assert_eq!(tree.get::<String>("name"), Ok(Some("web".to_owned())));
        assert_eq!(tree.get::<String>("ratio"), Ok(Some("1.5".to_owned())));
        assert_eq!(tree.get::<Level>("level"), Ok(Some(Level::Low)));
        assert_eq!(tree.get::<Server>("server"), Ok(Some(Server { host: "a".into(), port: 80 })));
        assert_eq!(tree.get::<Vec<u8>>("list"), Ok(Some(vec![1, 2])));
        assert_eq!(tree.get::<i64>("none"), Ok(None));
        assert_eq!(tree.text(""), Ok(Some("-42\n")));
        let error = tree.get::<u16>("name").unwrap_err().to_string();
        assert_eq!(error, "/top/name holds \"web\", which is not a u16: expected value at line 1 column 1");
        assert!(
            tree.get::<u8>("")
                .unwrap_err()
                .to_string()
                .starts_with("/top holds \"-42\\n\", which is not a u8")
        );
    }

    #[test]
    fn keys_below_and_beside_a_path_are_distinguished() {
        let tree = texts(&[
            ("", "r"),
            ("a", "1"),
            ("a!", "2"),
            ("a/b", "3"),
            ("a/b/c", "4"),
            ("a/d", "5"),
            ("ab", "6"),
        ]);
        let below = |path| tree.below(path).map(|(path, _)| path.to_owned()).collect::<Vec<_>>();
        assert_eq!(below("a"), ["a", "a/b", "a/b/c", "a/d"]);
        assert_eq!(below("a/b"), ["a/b", "a/b/c"]);
        assert_eq!(below("").len(), 7);
        assert_eq!(tree.children("").into_iter().collect::<Vec<_>>(), ["a", "a!", "ab"]);
        assert_eq!(tree.children("a").into_iter().collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(tree.children("ab").len(), 0);
    }

    fn values() -> impl Strategy<Value = Values> {
        let value = prop::option::of("[xy]?").prop_map(|value| value.map(Bytes::from));
        prop::collection::btree_map("([ab!](/[ab!]){0,2})?", value, 0..9)
    }

    proptest! {
        #[test]
        fn differences_turn_one_snapshot_into_the_other(before in values(), after in values(), path in "([ab](/[ab])?)?") {
            let (first, last) = (snapshot(&before), snapshot(&after));
            for scope in [Scope::Node, Scope::Below] {
                let mut made = before.clone();
                for difference in first.differences(&last, &path, scope) {
                    prop_assert_ne!(&difference.before, &difference.after);
                    prop_assert_eq!(made.get(&*difference.path), difference.before.as_ref());
                    match difference.after {
                        Some(value) => made.insert(difference.path.to_string(), value),
                        None => made.remove(&*difference.path),
                    };
                }
                let meant = |other: &String| match scope {
                    Scope::Node => *other == path,
                    Scope::Below => is_within(other, &path),
                };
                let kept = before.iter().filter(|(path, _)| !meant(path));
                let expected: Values = kept.chain(after.iter().filter(|(path, _)| meant(path)))
                    .map(|(path, value)| (path.clone(), value.clone())).collect();
                prop_assert_eq!(made, expected);
            }
        }
    }
}
