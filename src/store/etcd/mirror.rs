//! A session's copy of one target: built by a read and updated by the events of its watch. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::keys::Scope;
use super::shown::{Effect, Shown};
use crate::store::session::Reading;
use crate::watch::{Content, Detail, Spelling, Version};

/// A key as a read or an event shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) key: Vec<u8>,
    /// `None`: it was deleted.
    pub(super) value: Option<Bytes>,
    /// `mod_revision`: that of the write or the deletion.
    pub(super) revision: i64,
    /// Whether the key did not exist just before.
    pub(super) created: bool,
}

/// The state of one target at one revision.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    detail: Detail,
    /// The highest revision seen in it.
    revision: i64,
    /// The revision up to which it is complete.
    as_of: i64,
    /// Number of keys seen that cannot be shown.
    left_out: u64,
    shape: Shape,
}

/// A mirror under construction, filled by the pages of a read.
#[derive(Debug)]
pub(super) struct Filling {
    mirror: Mirror,
    /// Keys without a leading slash that were read before those with one, which may [hide](super::shown) them.
    early: Vec<Seen>,
}

/// The effect of one event on a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// None: the key does not belong to the target, or is not shown.
    Nothing,
    /// A newer revision of the same state.
    Same,
    /// A new state. Rewriting the same value makes one.
    Another,
}

#[derive(Debug, Clone)]
enum Shape {
    Data(Option<Bytes>),
    /// The names of children, each with the number of keys that begin with it.
    Children(BTreeMap<Arc<str>, u64>),
    Tree(Shown),
}

impl Follows {
    fn another_if(another: bool) -> Self {
        if another { Self::Another } else { Self::Same }
    }
}

impl Filling {
    /// Nothing is read yet.
    pub(super) fn new(scope: &Scope, detail: Detail) -> Self {
        let shape = match scope {
            Scope::Data(_) => Shape::Data(None),
            Scope::Children(_) | Scope::AllChildren(_) => Shape::Children(BTreeMap::new()),
            Scope::Tree(_) | Scope::Below(_) | Scope::Top(_) | Scope::All(_) => Shape::Tree(Shown::default()),
        };
        Self { mirror: Mirror { detail, revision: 0, as_of: 0, left_out: 0, shape }, early: Vec::new() }
    }

    /// Adds a key. Keys must be added in order.
    pub(super) fn add(&mut self, scope: &Scope, seen: Seen) {
        let created = Seen { created: true, ..seen };
        match scope.spelling(&created.key) {
            Spelling::Plain if created.key.as_slice() < b"/".as_slice() => self.early.push(created),
            Spelling::Plain | Spelling::Slashed => drop(self.mirror.apply(scope, created)),
        }
    }

    /// Completes the read, which was made at this revision. An absent target gets it as its version.
    pub(super) fn end(mut self, scope: &Scope, revision: i64) -> Mirror {
        for seen in self.early {
            self.mirror.apply(scope, seen);
        }
        if self.mirror.is_empty() {
            self.mirror.revision = revision;
        }
        self.mirror.as_of = revision;
        self.mirror
    }
}

impl Mirror {
    /// Applies the events of one revision. Returns the new state if there is one.
    pub(super) fn follow(
        &mut self,
        scope: &Scope,
        events: impl IntoIterator<Item = Seen>,
    ) -> Option<Reading> {
        let mut changed = false;
        for event in events {
            self.as_of = self.as_of.max(event.revision);
            changed |= self.apply(scope, event) == Follows::Another;
        }
        changed.then(|| self.reading())
    }

    /// The revision up to which it is complete.
    pub(super) fn as_of(&self) -> i64 {
        self.as_of
    }

    /// Number of keys seen that cannot be shown.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    pub(super) fn reading(&self) -> Reading {
        let content = match &self.shape {
            Shape::Data(None) => Content::Absent,
            Shape::Data(Some(value)) => match self.detail {
                Detail::Values => Content::Value(value.clone()),
                Detail::Versions => Content::Unread,
            },
            Shape::Children(names) if names.is_empty() => Content::Absent,
            Shape::Children(names) => Content::Children(names.keys().cloned().collect()),
            Shape::Tree(shown) if shown.tree().is_empty() => Content::Absent,
            Shape::Tree(shown) => Content::Tree(shown.tree().clone()),
        };
        Reading { version: Version::Revision(self.revision), content }
    }

    /// Whether a keys-only read at a revision matches the mirror. If not, events are still in flight, or the watch
    /// is deaf. If the mirror is already newer than this read, the read cannot reveal a missed event, so treat it as
    /// agreeing.
    pub(super) fn agrees(&self, read: &Self, read_at: i64) -> bool {
        if self.as_of > read_at {
            return true;
        }
        match (&self.shape, &read.shape) {
            (Shape::Data(None), Shape::Data(None)) => true,
            (Shape::Data(Some(_)), Shape::Data(Some(_))) => self.revision == read.revision,
            (Shape::Children(ours), Shape::Children(theirs)) => ours == theirs,
            // After a deletion our revision is higher than that of any remaining key.
            (Shape::Tree(ours), Shape::Tree(theirs)) => {
                (theirs.tree().is_empty() || read.highest() <= self.highest()) && ours.has_keys_of(theirs)
            }
            (
                Shape::Data(_) | Shape::Children(_) | Shape::Tree(_),
                Shape::Data(_) | Shape::Children(_) | Shape::Tree(_),
            ) => false,
        }
    }

    fn is_empty(&self) -> bool {
        match &self.shape {
            Shape::Data(value) => value.is_none(),
            Shape::Children(names) => names.is_empty(),
            Shape::Tree(shown) => shown.tree().is_empty(),
        }
    }

    /// The highest revision seen of any key, shown or hidden.
    fn highest(&self) -> i64 {
        match &self.shape {
            Shape::Data(_) | Shape::Children(_) => self.revision,
            Shape::Tree(shown) => self.revision.max(shown.newest_behind()),
        }
    }

    fn apply(&mut self, scope: &Scope, seen: Seen) -> Follows {
        let Some(path) = scope.path(&seen.key) else {
            self.left_out += u64::from(scope.leaves_out(&seen.key));
            return Follows::Nothing;
        };
        let spelling = scope.spelling(&seen.key);
        let follows = match &mut self.shape {
            Shape::Data(value) => {
                let gone = value.is_none() && seen.value.is_none();
                let kept = match self.detail {
                    Detail::Values => seen.value,
                    Detail::Versions => seen.value.map(|_| Bytes::new()),
                };
                *value = kept;
                Follows::another_if(!gone)
            }
            Shape::Children(names) => match (seen.value, names.get_mut(&path)) {
                (Some(_), Some(keys)) => {
                    *keys += u64::from(seen.created);
                    Follows::Same
                }
                (Some(_), None) => {
                    names.insert(path, 1);
                    Follows::Another
                }
                (None, Some(keys)) if *keys > 1 => {
                    *keys -= 1;
                    Follows::Same
                }
                (None, _) => Follows::another_if(names.remove(&path).is_some()),
            },
            Shape::Tree(shown) => match seen.value {
                Some(value) => {
                    // Without values, each key's revision stands in for its value, so that a verification
                    // still detects a missed change.
                    let value = match self.detail {
                        Detail::Values => value,
                        Detail::Versions => seen.revision.to_string().into(),
                    };
                    let effect = shown.put(&path, spelling, &value, seen.revision);
                    self.left_out += u64::from(effect != Effect::Shown { hides: false });
                    if effect == Effect::Behind { Follows::Nothing } else { Follows::Another }
                }
                None if shown.delete(&path, spelling) => Follows::Another,
                None => Follows::Nothing,
            },
        };
        if follows != Follows::Nothing {
            self.revision = self.revision.max(seen.revision);
        }
        follows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::watch::{Key, WatchType};

    fn put(key: &str, revision: i64, value: &str, created: bool) -> Seen {
        Seen { key: key.into(), value: Some(value.to_owned().into()), revision, created }
    }

    fn delete(key: &str, revision: i64) -> Seen {
        Seen { key: key.into(), value: None, revision, created: false }
    }

    /// Keys with their revision and value.
    type Keys<'a> = &'a [(&'a str, i64, &'a str)];

    fn mirror(watch_type: WatchType, detail: Detail, keys: Keys<'_>) -> (Scope, Mirror) {
        let scope = super::super::keys::KeySpace::new("").scope(&Key::new("/a").unwrap(), watch_type);
        let mut filling = Filling::new(&scope, detail);
        for &(key, revision, value) in keys {
            filling.add(&scope, put(key, revision, value, false));
        }
        let mirror = filling.end(&scope, 50);
        (scope, mirror)
    }

    fn revision(reading: &Reading) -> i64 {
        match reading.version {
            Version::Revision(revision) => revision,
            Version::Hash(_) => panic!("etcd has revisions"),
        }
    }

    #[test]
    fn data_follows_every_write() {
        let (scope, mut mirror) = mirror(WatchType::Data, Detail::Values, &[]);
        assert_eq!(mirror.reading().content, Content::Absent);
        assert_eq!(revision(&mirror.reading()), 50, "absent as of the read");
        for (event, content) in [
            (put("/a", 51, "x", true), Content::Value("x".into())),
            (put("/a", 52, "x", false), Content::Value("x".into())),
            (delete("/a", 53), Content::Absent),
        ] {
            let expected = event.revision;
            let reading = mirror.follow(&scope, [event]).unwrap();
            assert_eq!((revision(&reading), reading.content), (expected, content));
        }
        assert_eq!(mirror.follow(&scope, [delete("/a", 54)]), None);
    }

    #[test]
    fn data_without_values_shows_only_presence() {
        let (scope, mut mirror) = mirror(WatchType::Data, Detail::Versions, &[("/a", 7, "")]);
        assert_eq!(mirror.reading().content, Content::Unread);
        let reading = mirror.follow(&scope, [put("/a", 51, "x", false)]).unwrap();
        assert_eq!((revision(&reading), reading.content), (51, Content::Unread));
    }

    #[test]
    fn a_child_appears_with_its_first_key_and_disappears_with_its_last() {
        let keys = [("/a/x/1", 7, ""), ("/a/x/2", 8, ""), ("/a/y", 9, "")];
        let (scope, mut mirror) = mirror(WatchType::Children, Detail::Values, &keys);
        let names = |reading: Reading| match reading.content {
            Content::Children(names) => names.join(" "),
            Content::Absent => String::new(),
            other @ (Content::Unread | Content::Value(_) | Content::Tree(_)) => panic!("{other:?}"),
        };
        assert_eq!(names(mirror.reading()), "x y");
        for (event, shown) in [
            (delete("/a/x/1", 51), None),
            (put("/a/x/2", 52, "new value", false), None),
            (delete("/a/x/2", 53), Some("y")),
            (put("/a/z/1", 54, "", true), Some("y z")),
            (put("/a/z/2", 55, "", true), None),
            (delete("/a/z/2", 56), None),
            (delete("/a/z/1", 57), Some("y")),
            (delete("/a/y", 58), Some("")),
            (put("/a", 59, "", true), None),
        ] {
            assert_eq!(mirror.follow(&scope, [event.clone()]).map(names).as_deref(), shown, "{event:?}");
        }
    }

    #[test]
    fn the_changes_of_one_revision_are_one_state_of_a_tree() {
        let (scope, mut mirror) =
            mirror(WatchType::Tree, Detail::Values, &[("/a", 7, "1"), ("/a/b", 8, "2")]);
        let reading = mirror.follow(&scope, [delete("/a", 51), put("/a/c/d", 51, "3", true)]).unwrap();
        let Content::Tree(tree) = reading.content else { panic!("a tree") };
        let paths: Vec<&str> = tree.paths().collect();
        assert_eq!(paths, ["b", "c/d"]);
        assert_eq!(mirror.follow(&scope, [put("/a-b", 52, "neighbour", true)]), None);
        assert_eq!(revision(&mirror.reading()), 51);
        assert_eq!(mirror.as_of(), 52);
    }

    #[test]
    fn a_read_shows_whether_the_watch_missed_an_event() {
        let heard = |watch_type, keys: Keys<'_>| mirror(watch_type, Detail::Values, keys).1;
        let table: [(WatchType, Keys<'_>, Keys<'_>, bool); 8] = [
            (WatchType::Data, &[("/a", 7, "x")], &[("/a", 7, "")], true),
            (WatchType::Data, &[("/a", 7, "x")], &[("/a", 8, "")], false),
            (WatchType::Data, &[("/a", 7, "x")], &[], false),
            (WatchType::Data, &[], &[("/a", 8, "")], false),
            (WatchType::Children, &[("/a/x", 7, "")], &[("/a/y", 7, "")], false),
            (WatchType::Tree, &[("/a/x", 9, "1")], &[("/a/x", 7, "")], true),
            (WatchType::Tree, &[("/a/x", 9, "1")], &[("/a/x", 11, "")], false),
            (WatchType::Tree, &[("/a/x", 9, "1")], &[], false),
        ];
        for (watch_type, ours, theirs, agree) in table {
            let agreed = heard(watch_type, ours).agrees(&heard(watch_type, theirs), 50);
            assert_eq!(agreed, agree, "{watch_type:?} {ours:?} {theirs:?}");
        }
        let (scope, mut ahead) = mirror(WatchType::Data, Detail::Values, &[]);
        ahead.follow(&scope, [put("/a", 60, "x", true)]);
        let (_, overtaken) = mirror(WatchType::Data, Detail::Values, &[("/a", 8, "")]);
        assert!(ahead.agrees(&overtaken, 50), "the read is older than the delivered events");
    }

    /// The content of the store: keys with their revision and value.
    type Store = BTreeMap<String, (i64, u8)>;

    fn read(scope: &Scope, store: &Store, revision: i64) -> Mirror {
        let mut filling = Filling::new(scope, Detail::Values);
        for (key, (revision, value)) in store {
            filling.add(scope, put(key, *revision, &value.to_string(), false));
        }
        filling.end(scope, revision)
    }

    proptest! {
        /// With and without a slash at the beginning, in any order.
        #[test]
        fn following_events_yields_the_state_that_a_read_returns(
            steps in prop::collection::vec(("/?[!ab](/[!ab])?", prop::option::weighted(0.6, any::<u8>())), 0..60),
            watch_type in prop_oneof![Just(WatchType::Tree), Just(WatchType::Children)],
        ) {
            let scope = super::super::keys::KeySpace::new("").scope(&Key::new("/").unwrap(), watch_type);
            let mut store = Store::new();
            let mut followed = read(&scope, &store, 1);
            for ((key, value), revision) in steps.into_iter().zip(2..) {
                let deaf = followed.clone();
                let event = match value {
                    Some(value) => {
                        let created = store.insert(key.clone(), (revision, value)).is_none();
                        put(&key, revision, &value.to_string(), created)
                    }
                    None if store.remove(&key).is_some() => delete(&key, revision),
                    None => continue,
                };
                let told = followed.follow(&scope, [event]);
                let read = read(&scope, &store, revision);
                let (ours, theirs) = (followed.reading(), read.reading());
                prop_assert_eq!(&ours.content, &theirs.content);
                prop_assert!(followed.agrees(&read, revision));
                // A deleted key is in no read.
                prop_assert!(theirs.content.is_absent() || !ours.version.is_before(theirs.version));
                match told {
                    Some(told) => prop_assert_eq!(told, ours),
                    None if watch_type == WatchType::Tree => prop_assert_eq!(deaf.reading(), ours),
                    None => prop_assert_eq!(deaf.reading().content, ours.content),
                }
                prop_assert!(watch_type == WatchType::Children || !deaf.agrees(&read, revision), "{key}");
            }
        }
    }
}
