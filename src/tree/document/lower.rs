//! From what a syntax's parser saw to paths and values; what the names mean is decided here for all three.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{DEEPEST_READ, DocumentError, Problem, path_of};

/// What becomes of arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrays {
    /// They are an error.
    #[default]
    Refuse,
    /// Their members become the children 0, 1, 2….
    Index,
}

/// Line and column from 1.
pub(super) type Position = Option<(usize, usize)>;

/// What stands in a document.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) position: Position,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A scalar, as its text.
    Text(String),
    /// A scalar that stands for bytes: YAML's `!!binary`.
    Base64(String),
    /// A number of which the parser keeps less than is written.
    Number,
    Null,
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

pub(super) fn lower(value: Value, arrays: Arrays) -> Result<BTreeMap<String, Option<Bytes>>, DocumentError> {
    let mut lowering = Lowering { arrays, entries: BTreeMap::new() };
    lowering.value(value, &mut Vec::new(), 0)?;
    Ok(lowering.entries)
}

struct Lowering {
    arrays: Arrays,
    entries: BTreeMap<String, Option<Bytes>>,
}

impl Lowering {
    fn value(&mut self, value: Value, path: &mut Vec<Arc<str>>, depth: usize) -> Result<(), DocumentError> {
        let position = value.position;
        let wrong = |problem| Err(DocumentError { position, path: Some(path_of(path)), problem });
        if depth > DEEPEST_READ {
            return wrong(Problem::TooDeep);
        }
        match value.kind {
            Kind::Text(text) => self.enter(path, text.into(), position),
            Kind::Base64(text) => self.enter(path, bytes(&text, path, position)?, position),
            Kind::Number => wrong(Problem::Number),
            Kind::Null => wrong(Problem::Null),
            Kind::Array(members) => match self.arrays {
                Arrays::Refuse => wrong(Problem::Array),
                Arrays::Index => {
                    let members =
                        members.into_iter().enumerate().map(|(index, member)| (index.to_string(), member));
                    self.object(members.collect(), path, depth)
                }
            },
            Kind::Object(members) => match only_base64(&members) {
                Some(text) => self.enter(path, bytes(text, path, position)?, position),
                None => self.object(members, path, depth),
            },
        }
    }

    fn object(
        &mut self,
        members: Vec<(String, Value)>,
        path: &mut Vec<Arc<str>>,
        depth: usize,
    ) -> Result<(), DocumentError> {
        if members.is_empty() {
            self.entries.entry(path_of(path)).or_insert(None);
            return Ok(());
        }
        let mut names = BTreeSet::new();
        for (name, member) in members {
            let above = path.len();
            if name.is_empty() {
                let path = path_of(path);
                own_value(&member.kind).map_err(|problem| DocumentError {
                    position: member.position,
                    path: Some(path),
                    problem,
                })?;
            } else {
                path.extend(name.strip_prefix('/').unwrap_or(&name).split('/').map(Arc::from));
            }
            let (position, full) = (member.position, path_of(path));
            if !names.insert(name) {
                return Err(DocumentError { position, path: Some(full), problem: Problem::Duplicate });
            }
            self.value(member, path, depth + 1)?;
            path.truncate(above);
        }
        Ok(())
    }

    fn enter(&mut self, path: &[Arc<str>], value: Bytes, position: Position) -> Result<(), DocumentError> {
        match self.entries.entry(path_of(path)) {
            btree_map::Entry::Occupied(entry) if entry.get().is_some() => {
                let path = Some(entry.key().clone());
                return Err(DocumentError { position, path, problem: Problem::Duplicate });
            }
            btree_map::Entry::Occupied(mut entry) => {
                entry.insert(Some(value));
            }
            btree_map::Entry::Vacant(entry) => {
                entry.insert(Some(value));
            }
        }
        Ok(())
    }
}

/// The text of an object that stands for bytes.
fn only_base64(members: &[(String, Value)]) -> Option<&str> {
    match members {
        [(name, Value { kind: Kind::Text(text), .. })] if name == "base64" => Some(text),
        _ => None,
    }
}

/// Under the name `""` stands a value, or `{}` to say that there is none.
fn own_value(kind: &Kind) -> Result<(), Problem> {
    match kind {
        Kind::Text(_) | Kind::Base64(_) | Kind::Number | Kind::Null => Ok(()),
        Kind::Object(members) if members.is_empty() || only_base64(members).is_some() => Ok(()),
        Kind::Object(_) | Kind::Array(_) => Err(Problem::OwnValue),
    }
}

fn bytes(text: &str, path: &[Arc<str>], position: Position) -> Result<Bytes, DocumentError> {
    // Line breaks within are usual where people or YAML's `!!binary` write it.
    let dense: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(dense).map(Bytes::from).map_err(|_| DocumentError {
        position,
        path: Some(path_of(path)),
        problem: Problem::Base64(text.chars().take(40).collect()),
    })
}
