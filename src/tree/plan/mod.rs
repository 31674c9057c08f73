//! Plans a load: the difference between a document and the store, as guarded writes.
//!
//! Pure. Every write requires the version that was read, so that a key changed since is a conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;

use bytes::Bytes;

use super::place::{glimpse, is_within, key_read, quoted};
use crate::log::escape;
use crate::store::access::{Change, Condition, Entry};
use crate::watch::{InvalidKey, Key};

/// A document's values by relative path; `None` is a node without a value.
type Document = BTreeMap<String, Option<Bytes>>;

/// What to do with keys that the document does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Keep them.
    Merge,
    /// Delete them.
    Replace,
}

/// What a key of a store can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyModel {
    /// A node, with a value that may be empty and children beside it (`ZooKeeper`).
    Nodes {
        /// Whether the top is the server's root, not a chroot below it.
        whole: bool,
    },
    /// A value, independent of the keys below it; a key without a value exists only through the keys below it (etcd).
    Values,
    /// A file with a value, or a directory of entries.
    Files,
}

impl KeyModel {
    /// Whether a key belongs to the server and users cannot write it: `/zookeeper` and everything below it.
    pub fn owns(self, key: &Key) -> bool {
        match self {
            Self::Nodes { whole } => whole && is_within(key.as_str().trim_matches('/'), "zookeeper"),
            Self::Values | Self::Files => false,
        }
    }

    /// Whether a key always exists.
    fn is_top(self, key: &Key) -> bool {
        match self {
            Self::Nodes { whole: true } | Self::Files => key.base().is_empty(),
            Self::Nodes { whole: false } | Self::Values => false,
        }
    }

    /// Whether a node can exist without a value.
    fn has_bare(self) -> bool {
        match self {
            Self::Nodes { .. } => true,
            Self::Values | Self::Files => false,
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The key.
    pub key: Key,
    /// Its value in the store: `None` for a key that does not exist or has no value.
    pub before: Option<Bytes>,
    /// Its value in the document: `None` for a key that is deleted.
    pub after: Option<Bytes>,
    condition: Condition,
}

/// The writes of a load, in an order in which they are possible.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The differences: deletions that make room for a file or a directory, then writes from the root down, then all other
    /// deletions from the leaves up.
    pub steps: Vec<Step>,
    /// Keys that already match the document.
    pub equal: usize,
    /// Nodes without a value, which this kind of store cannot hold.
    pub bare: usize,
}

/// A path that cannot be a key of any store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", quoted(path))]
pub struct NoKey {
    path: String,
    problem: InvalidKey,
}

/// Compares a document with what is in the store at a key.
pub fn plan(
    at: &Key,
    document: &Document,
    present: &BTreeMap<String, Entry>,
    mode: Mode,
    model: KeyModel,
) -> Result<Plan, NoKey> {
    let key = |path: &str, old: Option<&Entry>| {
        let spelling = old.map(|old| old.spelling).unwrap_or_default();
        key_read(at, path, spelling).map_err(|problem| NoKey { path: path.to_owned(), problem })
    };
    let in_the_way: BTreeSet<&str> = match (mode, model) {
        (Mode::Replace, KeyModel::Files) => {
            let found = present.iter().filter(|(path, old)| is_in_the_way(document, path, old));
            found.map(|(path, _)| path.as_str()).collect()
        }
        (Mode::Replace, KeyModel::Nodes { .. } | KeyModel::Values) | (Mode::Merge, _) => BTreeSet::new(),
    };
    let unwanted = |path: &str| match mode {
        Mode::Merge => false,
        Mode::Replace => in_the_way.contains(path) || !document.contains_key(path),
    };
    let mut plan = Plan::default();
    let (mut writes, mut deletions) = (Vec::new(), Vec::new());
    for (path, old) in present.iter().rev().filter(|(path, _)| unwanted(path)) {
        let (key, in_the_way) = (key(path, Some(old))?, in_the_way.contains(path.as_str()));
        let held = has_below(document, path) && !in_the_way;
        let after = match (&old.value, model) {
            _ if model.owns(&key) => continue,
            // The node stays, and can only lose its value.
            (Some(value), KeyModel::Nodes { .. }) if held || model.is_top(&key) => {
                if value.is_empty() {
                    continue;
                }
                Some(Bytes::new())
            }
            (None, KeyModel::Nodes { .. } | KeyModel::Values | KeyModel::Files)
                if held || model.is_top(&key) =>
            {
                continue;
            }
            (Some(_) | None, KeyModel::Nodes { .. } | KeyModel::Values | KeyModel::Files) => None,
        };
        let step = Step { key, before: old.value.clone(), after, condition: unchanged(Some(old)) };
        if in_the_way { plan.steps.push(step) } else { deletions.push(step) }
    }
    for (path, value) in document {
        // Whatever was in the way has been deleted by then.
        let old = present.get(path).filter(|_| !in_the_way.contains(path.as_str()));
        let after = match value {
            Some(value) => value.clone(),
            None if !model.has_bare() => {
                plan.bare += 1;
                continue;
            }
            None if old.is_none() => Bytes::new(),
            None => {
                plan.equal += 1;
                continue;
            }
        };
        let before = match old {
            // A node that has children and an empty value.
            Some(Entry { value: None, .. }) if model.has_bare() => Some(Bytes::new()),
            Some(Entry { value, .. }) => value.clone(),
            None => None,
        };
        if before.as_ref() == Some(&after) {
            plan.equal += 1;
            continue;
        }
        writes.push(Step { key: key(path, old)?, before, after: Some(after), condition: unchanged(old) });
    }
    plan.steps.extend(writes);
    plan.steps.extend(deletions);
    Ok(plan)
}

/// Whether an entry must be deleted first: a file where the document has something below, or anything at or below a path
/// where the document has a file.
fn is_in_the_way(document: &Document, path: &str, old: &Entry) -> bool {
    let is_file = |path: &str| document.get(path).is_some_and(Option::is_some);
    let above = path.match_indices('/').map(|(end, _)| &path[..end]);
    let below_a_file = above.chain((!path.is_empty()).then_some("")).any(is_file);
    below_a_file
        || if old.value.is_some() { below(document, path).any(Option::is_some) } else { is_file(path) }
}

fn has_below(document: &Document, path: &str) -> bool {
    below(document, path).next().is_some()
}

/// The entries of a document below a path.
fn below<'a>(document: &'a Document, path: &str) -> impl Iterator<Item = &'a Option<Bytes>> {
    let above = if path.is_empty() { String::new() } else { format!("{path}/") };
    let from = document.range((Bound::Excluded(above.clone()), Bound::Unbounded));
    from.take_while(move |(path, _)| path.starts_with(&above)).map(|(_, value)| value)
}

fn unchanged(old: Option<&Entry>) -> Condition {
    old.map_or(Condition::Absent, |old| Condition::Version(old.version))
}

impl Step {
    /// The write that carries it out.
    pub fn change(&self) -> Change {
        let (key, condition) = (self.key.clone(), self.condition);
        match &self.after {
            Some(value) => Change::put(key, value.clone(), condition),
            None => Change::Delete { key, condition },
        }
    }
}

impl fmt::Display for Step {
    /// `+ KEY = VALUE`, `~ KEY = OLD -> NEW` or `- KEY = OLD`; values quoted and cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = escape::line(self.key.as_str().as_bytes());
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

#[cfg(test)]
mod tests;
