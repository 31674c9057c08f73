//! Converts a parsed document to paths and values; the meaning of names is decided here for all three syntaxes.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::error::Fault;
use super::{DEEPEST_READ, Problem, path_of};

/// How to treat arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrays {
    /// An error.
    #[default]
    Refuse,
    /// Their members become the children 0, 1, 2….
    Index,
}

/// A byte offset in the text.
pub(super) type At = Option<usize>;

/// A value in a document.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) at: At,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A scalar, as its text.
    Text(String),
    /// A scalar that stands for bytes: YAML's `!!binary`.
    Base64(String),
    Null,
    Array(Vec<Value>),
    Object(Vec<Member>),
}

/// A name, its offset, and its value.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) at: At,
    pub(super) value: Value,
}

pub(super) fn lower(value: Value, arrays: Arrays) -> Result<BTreeMap<String, Option<Bytes>>, Fault> {
    let mut lowering = Lowering { arrays, entries: BTreeMap::new() };
    lowering.value(value, None, &mut Vec::new(), 0)?;
    Ok(lowering.entries)
}

struct Lowering {
    arrays: Arrays,
    entries: BTreeMap<String, Option<Bytes>>,
}

impl Lowering {
    /// `named`: the offset of the value's name, if it has one.
    fn value(
        &mut self,
        value: Value,
        named: At,
        path: &mut Vec<Arc<str>>,
        depth: usize,
    ) -> Result<(), Fault> {
        let at = value.at;
        let wrong = |problem| Err(Fault { at, path: Some(path_of(path)), problem });
        if depth > DEEPEST_READ {
            return wrong(Problem::TooDeep);
        }
        match value.kind {
            Kind::Text(text) => self.enter(path, text.into(), named),
            Kind::Base64(text) => self.enter(path, bytes(&text, path, at)?, named),
            Kind::Null => wrong(Problem::Null),
            Kind::Array(members) => match self.arrays {
                Arrays::Refuse => wrong(Problem::Array),
                Arrays::Index => {
                    let named = |(index, value): (usize, Value)| Member {
                        name: index.to_string(),
                        at: value.at,
                        value,
                    };
                    self.object(members.into_iter().enumerate().map(named).collect(), path, depth)
                }
            },
            Kind::Object(members) => match only_base64(&members) {
                Some(text) => self.enter(path, bytes(text, path, at)?, named),
                None => self.object(members, path, depth),
            },
        }
    }

    fn object(&mut self, members: Vec<Member>, path: &mut Vec<Arc<str>>, depth: usize) -> Result<(), Fault> {
        if members.is_empty() {
            self.entries.entry(path_of(path)).or_insert(None);
            return Ok(());
        }
        let mut names = BTreeSet::new();
        for Member { name, at, value } in members {
            let above = path.len();
            if name.is_empty() {
                own_value(&value.kind).map_err(|problem| Fault {
                    at: value.at,
                    path: Some(path_of(path)),
                    problem,
                })?;
            } else {
                path.extend(name.strip_prefix('/').unwrap_or(&name).split('/').map(Arc::from));
            }
            if !names.insert(name) {
                return Err(Fault { at, path: Some(path_of(path)), problem: Problem::Duplicate });
            }
            self.value(value, at, path, depth + 1)?;
            path.truncate(above);
        }
        Ok(())
    }

    fn enter(&mut self, path: &[Arc<str>], value: Bytes, named: At) -> Result<(), Fault> {
        match self.entries.entry(path_of(path)) {
            btree_map::Entry::Occupied(entry) if entry.get().is_some() => {
                Err(Fault { at: named, path: Some(entry.key().clone()), problem: Problem::Duplicate })
            }
            btree_map::Entry::Occupied(mut entry) => {
                entry.insert(Some(value));
                Ok(())
            }
            btree_map::Entry::Vacant(entry) => {
                entry.insert(Some(value));
                Ok(())
            }
        }
    }
}

/// The text of an object that stands for bytes.
fn only_base64(members: &[Member]) -> Option<&str> {
    match members {
        [Member { name, value: Value { kind: Kind::Text(text), .. }, .. }] if name == "base64" => Some(text),
        _ => None,
    }
}

/// The name `""` holds the value, or `{}` if there is none.
fn own_value(kind: &Kind) -> Result<(), Problem> {
    match kind {
        Kind::Text(_) | Kind::Base64(_) | Kind::Null => Ok(()),
        Kind::Object(members) if members.is_empty() || only_base64(members).is_some() => Ok(()),
        Kind::Object(_) | Kind::Array(_) => Err(Problem::OwnValue),
    }
}

fn bytes(text: &str, path: &[Arc<str>], at: At) -> Result<Bytes, Fault> {
    // Line breaks within base64 are usual when people write it, and in YAML's `!!binary`.
    let dense: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(dense).map(Bytes::from).map_err(|_| Fault {
        at,
        path: Some(path_of(path)),
        problem: Problem::Base64(text.chars().take(40).collect()),
    })
}
