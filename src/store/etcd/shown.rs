//! Decides which of the keys `/a` and `a`, which have the same path, is shown: the one with the slash, if it exists. Pure.
//! Costs nothing unless there are keys without a leading slash.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::watch::{Origin, Spelling, Subtree};

/// The keys of a target by path.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    tree: Subtree,
    /// The first key without a leading slash, and all after it.
    behind: Option<Box<Behind>>,
}

/// Keys without a leading slash that the same key with one hides.
#[derive(Debug, Clone, Default)]
struct Behind {
    values: BTreeMap<Arc<str>, (Bytes, i64)>,
    /// The highest revision of any of them, including deleted ones.
    newest: i64,
}

/// The effect of a write on the shown keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// None: the key is hidden.
    Behind,
    /// The key is shown. `hides`: instead of the same key without a leading slash.
    Shown { hides: bool },
}

impl Shown {
    /// What is shown.
    pub(super) fn tree(&self) -> &Subtree {
        &self.tree
    }

    /// A key was written.
    pub(super) fn put(
        &mut self,
        path: &Arc<str>,
        spelling: Spelling,
        value: &Bytes,
        revision: i64,
    ) -> Effect {
        let origin = Origin { spelling, revision };
        match (spelling, &mut self.behind) {
            (Spelling::Plain, behind) => {
                let behind = behind.get_or_insert_default();
                if self.tree.spelling(path) == Some(Spelling::Slashed) {
                    behind.values.insert(Arc::clone(path), (value.clone(), revision));
                    behind.newest = behind.newest.max(revision);
                    return Effect::Behind;
                }
                self.tree.insert_from(path, Some(value), origin);
                Effect::Shown { hides: false }
            }
            (Spelling::Slashed, None) => {
                self.tree.insert_from(path, Some(value), origin);
                Effect::Shown { hides: false }
            }
            (Spelling::Slashed, Some(behind)) => {
                let hides = self.tree.spelling(path) == Some(Spelling::Plain);
                if hides {
                    let hidden = Bytes::copy_from_slice(self.tree.get(path).flatten().unwrap_or_default());
                    let written = self.tree.origin(path).unwrap_or_default().revision;
                    behind.values.insert(Arc::clone(path), (hidden, written));
                }
                self.tree.insert_from(path, Some(value), origin);
                Effect::Shown { hides }
            }
        }
    }

    /// A key was deleted. Returns whether the deletion is visible.
    pub(super) fn delete(&mut self, path: &str, spelling: Spelling) -> bool {
        let behind = self.behind.as_mut().and_then(|behind| behind.values.remove(path));
        match (spelling, behind) {
            // It was hidden, or the other one still exists.
            (Spelling::Plain, Some(_)) => false,
            (Spelling::Slashed, Some((value, revision))) => {
                let origin = Origin { spelling: Spelling::Plain, revision };
                self.tree.insert_from(path, Some(&value), origin);
                true
            }
            (Spelling::Slashed, None) if self.behind.is_none() => self.tree.remove(path),
            (Spelling::Plain | Spelling::Slashed, None) => {
                self.tree.spelling(path) == Some(spelling) && self.tree.remove(path)
            }
        }
    }

    /// Whether the same keys are shown and hidden.
    pub(super) fn has_keys_of(&self, other: &Self) -> bool {
        self.tree.len() == other.tree.len()
            && self.keys().eq(other.keys())
            && self.behind().eq(other.behind())
    }

    /// The highest revision of a hidden key.
    pub(super) fn newest_behind(&self) -> i64 {
        self.behind.as_ref().map_or(0, |behind| behind.newest)
    }

    fn keys(&self) -> impl Iterator<Item = (&str, Spelling)> {
        self.tree.origins().map(|(path, origin)| (path, origin.spelling))
    }

    fn behind(&self) -> impl Iterator<Item = &Arc<str>> {
        self.behind.iter().flat_map(|behind| behind.values.keys())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A key and its next value.
    type Step = (Spelling, Arc<str>, Option<u8>);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let spelling = prop_oneof![Just(Spelling::Slashed), Just(Spelling::Plain)];
        let path = "[!ab](/[!ab])?".prop_map(Arc::from);
        prop::collection::vec((spelling, path, prop::option::weighted(0.6, any::<u8>())), 0..60)
    }

    /// Every key of the store, and the expected shown keys.
    #[derive(Default)]
    struct Model(BTreeMap<(Spelling, Arc<str>), (Bytes, i64)>);

    impl Model {
        fn shown(&self) -> Subtree {
            let mut shown = Subtree::new();
            for spelling in [Spelling::Plain, Spelling::Slashed] {
                let these = self.0.iter().filter(|((other, _), _)| *other == spelling);
                for ((_, path), (value, revision)) in these {
                    shown.insert_from(path, Some(value), Origin { spelling, revision: *revision });
                }
            }
            shown
        }

        fn behind(&self) -> impl Iterator<Item = &Arc<str>> {
            let is_behind = |(spelling, path): &&(Spelling, Arc<str>)| {
                *spelling == Spelling::Plain && self.0.contains_key(&(Spelling::Slashed, Arc::clone(path)))
            };
            self.0.keys().filter(is_behind).map(|(_, path)| path)
        }
    }

    proptest! {
        #[test]
        fn the_key_with_a_slash_is_shown_while_it_exists(steps in steps()) {
            let (mut shown, mut model) = (Shown::default(), Model::default());
            for ((spelling, path, value), revision) in steps.into_iter().zip(1..) {
                let before = model.shown();
                let key = (spelling, Arc::clone(&path));
                if let Some(byte) = value {
                        let value = Bytes::from(vec![byte]);
                        let hidden = model.behind().count();
                        model.0.insert(key, (value.clone(), revision));
                        let effect = shown.put(&path, spelling, &value, revision);
                        let is_shown = model.shown().spelling(&path) == Some(spelling);
                        let hides = is_shown && model.behind().count() > hidden;
                        prop_assert_eq!(effect, if is_shown { Effect::Shown { hides } } else { Effect::Behind });
                } else {
                        model.0.remove(&key);
                        prop_assert_eq!(shown.delete(&path, spelling), before != model.shown());
                }
                let expected = model.shown();
                prop_assert_eq!(shown.tree().written(&expected).next(), None);
                prop_assert!(shown.behind().eq(model.behind()));
            }
        }

        #[test]
        fn without_unslashed_keys_there_is_no_extra_state(steps in steps()) {
            let mut shown = Shown::default();
            for (_, path, value) in steps {
                match value {
                    Some(byte) => drop(shown.put(&path, Spelling::Slashed, &Bytes::from(vec![byte]), 1)),
                    None => drop(shown.delete(&path, Spelling::Slashed)),
                }
            }
            prop_assert!(shown.behind.is_none());
        }
    }
}
