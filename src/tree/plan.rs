//! What a load has to do: the difference between a document and what is in the store, as guarded writes.
//!
//! Pure. Every write demands the version that was read, so that what changed since is a conflict.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::place::{key_at, quoted};
use crate::store::access::{Change, Condition, Entry};
use crate::watch::{InvalidKey, Key};

/// What becomes of keys that the document does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They stay.
    Merge,
    /// They are deleted.
    Replace,
}

/// What becomes of a node without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// It is made with an empty value (`ZooKeeper`).
    Make,
    /// It is only there because of what is below it (etcd, directories).
    Imply,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The key.
    pub key: Key,
    /// Its value in the store: `None` for a key that does not exist, or has none.
    pub before: Option<Bytes>,
    /// Its value in the document: `None` for a key that is deleted.
    pub after: Option<Bytes>,
    condition: Condition,
}

/// Everything to be done, in the order in which it can be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The differences: first writes from the root down, then deletions from the leaves up.
    pub steps: Vec<Step>,
    /// Keys that are as the document says already.
    pub equal: usize,
    /// Nodes without a value, which this kind of store does not keep by themselves.
    pub bare: usize,
}

/// A path that is no key of any store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", quoted(path))]
pub struct NoKey {
    path: String,
    problem: InvalidKey,
}

/// Compares a document with what is in the store at a key.
pub fn plan(
    at: &Key,
    document: &BTreeMap<String, Option<Bytes>>,
    present: &BTreeMap<String, Entry>,
    mode: Mode,
    bare: Bare,
) -> Result<Plan, NoKey> {
    let key = |path: &str| key_at(at, path).map_err(|problem| NoKey { path: path.to_owned(), problem });
    let mut plan = Plan::default();
    for (path, value) in document {
        let old = present.get(path);
        let after = match (value, bare) {
            (Some(value), Bare::Make | Bare::Imply) => value.clone(),
            (None, Bare::Make) if old.is_none() => Bytes::new(),
            (None, Bare::Make) => {
                plan.equal += 1;
                continue;
            }
            (None, Bare::Imply) => {
                plan.bare += 1;
                continue;
            }
        };
        let before = old.and_then(|old| old.value.clone());
        if before.as_ref() == Some(&after) {
            plan.equal += 1;
            continue;
        }
        plan.steps.push(Step { key: key(path)?, before, after: Some(after), condition: unchanged(old) });
    }
    let unnamed = present.iter().rev().filter(|(path, _)| match mode {
        Mode::Merge => false,
        Mode::Replace => !document.contains_key(*path),
    });
    for (path, old) in unnamed {
        let after = match (&old.value, bare) {
            // It holds what is below it, which stays: it can lose its value, or has none.
            (Some(value), Bare::Make) if has_below(document, path) && value.is_empty() => continue,
            (Some(_), Bare::Make) if has_below(document, path) => Some(Bytes::new()),
            (None, Bare::Make | Bare::Imply) if has_below(document, path) => continue,
            (Some(_) | None, Bare::Make | Bare::Imply) => None,
        };
        let condition = unchanged(Some(old));
        plan.steps.push(Step { key: key(path)?, before: old.value.clone(), after, condition });
    }
    Ok(plan)
}

fn has_below(document: &BTreeMap<String, Option<Bytes>>, path: &str) -> bool {
    if path.is_empty() {
        return !document.is_empty();
    }
    let above = format!("{path}/");
    document.range(above.clone()..).next().is_some_and(|(path, _)| path.starts_with(&above))
}

fn unchanged(old: Option<&Entry>) -> Condition {
    match old {
        None => Condition::Absent,
        Some(Entry { value: None, .. }) => Condition::Any,
        Some(old) => Condition::Version(old.version),
    }
}

impl Step {
    /// The write that does it.
    pub fn change(&self) -> Change {
        let (key, condition) = (self.key.clone(), self.condition);
        match &self.after {
            Some(value) => Change::Put { key, value: value.clone(), condition },
            None => Change::Delete { key, condition },
        }
    }
}

impl fmt::Display for Step {
    /// `+ KEY = VALUE`, `~ KEY = OLD -> NEW` or `- KEY = OLD`; values quoted and cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "+ {key} = {}", glimpse(after, 60)),
            (Some(before), Some(after)) => {
                write!(f, "~ {key} = {} -> {}", glimpse(before, 30), glimpse(after, 30))
            }
            (Some(before), None) => write!(f, "- {key} = {}", glimpse(before, 60)),
            (None, None) => write!(f, "- {key}"),
        }
    }
}

/// The beginning of a value in one line: text in quotes with everything odd escaped, or a count of bytes.
pub fn glimpse(value: &[u8], characters: usize) -> String {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::watch::Version;

    type Document = BTreeMap<String, Option<Bytes>>;
    type Present = BTreeMap<String, Entry>;

    fn entry(value: Option<&str>, version: i64) -> Entry {
        let value = value.map(|value| value.to_owned().into());
        Entry { value, version: Version::Revision(version), metadata: Vec::new() }
    }

    fn document() -> impl Strategy<Value = Document> {
        let value = prop::option::of("[xy]?").prop_map(|value| value.map(Bytes::from));
        prop::collection::btree_map("[ab](/[ab]){0,2}", value, 0..6)
    }

    /// As a store that makes what is above a node, and keeps it (`ZooKeeper`), or that has only values (etcd).
    fn present(document: Document, bare: Bare) -> Present {
        let mut present = Present::new();
        for (path, value) in document {
            match (value, bare) {
                (Some(value), Bare::Make | Bare::Imply) => {
                    present.insert(path, entry(Some(std::str::from_utf8(&value).unwrap()), 7));
                }
                (None, Bare::Make) => {
                    present.insert(path, entry(Some(""), 7));
                }
                (None, Bare::Imply) => {}
            }
        }
        if bare == Bare::Make {
            let paths: Vec<String> = present.keys().cloned().collect();
            for path in paths {
                for (slash, _) in path.match_indices('/') {
                    present.entry(path[..slash].to_owned()).or_insert_with(|| entry(Some(""), 7));
                }
            }
        }
        present
    }

    fn apply(present: &mut Present, plan: &Plan, bare: Bare) {
        for step in &plan.steps {
            let path = step.key.as_str().strip_prefix("/at/").unwrap().to_owned();
            let old = present.get(&path);
            match step.condition {
                Condition::Any => assert!(old.is_none_or(|old| old.value.is_none())),
                Condition::Absent => assert_eq!(old, None, "{step}"),
                Condition::Version(version) => assert_eq!(old.unwrap().version, version, "{step}"),
            }
            match step.change() {
                Change::Put { value, .. } => {
                    for (slash, _) in path.match_indices('/') {
                        if bare == Bare::Make {
                            // The parents are made on the way, and are as new to the guard of a later step.
                            let above = &path[..slash];
                            assert!(present.contains_key(above) || !plan_puts(plan, above), "{step}");
                            present.entry(above.to_owned()).or_insert_with(|| entry(Some(""), 8));
                        }
                    }
                    present.insert(
                        path,
                        Entry { value: Some(value), version: Version::Revision(9), metadata: Vec::new() },
                    );
                }
                Change::Delete { .. } => {
                    if bare == Bare::Make {
                        let below = format!("{path}/");
                        assert!(
                            !present.keys().any(|other| other.starts_with(&below)),
                            "{step} has children"
                        );
                    }
                    present.remove(&path);
                }
            }
        }
    }

    fn plan_puts(plan: &Plan, path: &str) -> bool {
        plan.steps.iter().any(|step| step.key.as_str() == format!("/at/{path}") && step.after.is_some())
    }

    proptest! {
        #[test]
        fn a_plan_makes_the_store_what_the_document_says(
            document in document(), before in document(), make in any::<bool>(), replace in any::<bool>(),
        ) {
            let bare = if make { Bare::Make } else { Bare::Imply };
            let mode = if replace { Mode::Replace } else { Mode::Merge };
            let before = present(before, bare);
            let at = Key::new("/at").unwrap();
            let first = plan(&at, &document, &before, mode, bare).unwrap();
            let mut after = before.clone();
            apply(&mut after, &first, bare);
            let values = |present: &Present| -> BTreeMap<String, Option<Bytes>> {
                present.iter().map(|(path, entry)| (path.clone(), entry.value.clone())).collect()
            };
            let named = present(document.clone(), bare);
            let mut expected = match mode {
                Mode::Merge => values(&before),
                Mode::Replace => BTreeMap::new(),
            };
            for (path, value) in values(&named) {
                // A node without value in the document leaves one that is there as it is.
                let silent = document.get(&path).is_none_or(Option::is_none);
                match before.get(&path) {
                    Some(old) if silent && (mode == Mode::Merge || document.contains_key(&path)) => {
                        expected.insert(path, old.value.clone());
                    }
                    Some(_) | None => {
                        expected.insert(path, value);
                    }
                }
            }
            if bare == Bare::Imply && mode == Mode::Replace {
                // Named without a value: not deleted either.
                for (path, old) in &before {
                    if document.get(path).is_some_and(Option::is_none) {
                        expected.insert(path.clone(), old.value.clone());
                    }
                }
            }
            prop_assert_eq!(values(&after), expected);
            let second = plan(&at, &document, &after, mode, bare).unwrap();
            prop_assert!(second.steps.is_empty(), "{:?}", second.steps);
        }
    }

    #[test]
    fn differences_are_shown_in_a_line() {
        let at = Key::new("/at").unwrap();
        let document = [("new", "a\nb"), ("other", "2"), ("same", "x")];
        let document = document.map(|(path, value)| (path.to_owned(), Some(value.to_owned().into()))).into();
        let present = [("gone", None), ("other", Some("1")), ("same", Some("x"))];
        let present = present.map(|(path, value)| (path.to_owned(), entry(value, 3))).into();
        let plan = plan(&at, &document, &present, Mode::Replace, Bare::Imply).unwrap();
        let shown: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["+ /at/new = \"a\\nb\"", "~ /at/other = \"1\" -> \"2\"", "- /at/gone"]);
        assert_eq!(plan.equal, 1);
        assert_eq!(glimpse(&[b'x'; 5], 3), "\"xxx…\"");
        assert_eq!(glimpse(b"\xff\0", 3), "<2 bytes>");
    }
}
