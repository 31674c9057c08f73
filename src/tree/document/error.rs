//! Errors in documents, with their position.

use std::fmt;

use crate::tree::place::quoted;

/// A document that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DocumentError {
    /// Line and column from 1, if the syntax's parser reports them.
    pub position: Option<(usize, usize)>,
    /// The path of the object or value, if known: `""` is the root.
    pub path: Option<String>,
    /// The problem.
    pub problem: Problem,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Only white space: more likely an accident than an empty tree.
    #[error("the document is empty; an empty tree is written as {{}}")]
    Empty,
    /// The document as a whole is not text.
    #[error("the document is not UTF-8; write such values as {{\"base64\": \"…\"}}")]
    NotUtf8,
    /// The syntax is broken.
    #[error("{0}")]
    Syntax(String),
    /// More levels of nesting than are read.
    #[error(
        "more than {} levels of nesting; the rest of a key can be one name, as in \"a/b/c\"",
        super::DEEPEST_READ
    )]
    TooDeep,
    /// An array.
    #[error("a key cannot hold an array; --arrays index reads its members as the keys 0, 1, 2…")]
    Array,
    /// Null, or a YAML key without a value.
    #[error(
        "the value is missing; write \"\" for an empty one, {{}} for a node without one, \"null\" for the word"
    )]
    Null,
    /// A key given twice.
    #[error("this key is given twice")]
    Duplicate,
    /// `{"base64": "…"}` with something else in it.
    #[error("{0:?} is not base64; a key named base64 that stands alone is written as \"/base64\"")]
    Base64(String),
    /// The name `""` holds an object.
    #[error(
        "the name \"\" holds the value of the object around it, which cannot be an object; an empty segment is named \"/\""
    )]
    OwnValue,
    /// A YAML alias.
    #[error("aliases are not supported; write the value itself")]
    Alias,
    /// A YAML tag other than text, bytes or a mapping.
    #[error("the tag {0} is not supported; write the value as text")]
    Tag(String),
    /// A YAML mapping or sequence as a name.
    #[error("a name must be text")]
    Name,
    /// A second YAML document in the same stream.
    #[error("there is a second document in the file; one file holds one tree")]
    SecondDocument,
}

/// The same before its offset is converted to a line, which is slow in a long text.
#[derive(Debug)]
pub(super) struct Fault {
    /// A byte offset in the text.
    pub(super) at: Option<usize>,
    pub(super) path: Option<String>,
    pub(super) problem: Problem,
}

impl Fault {
    pub(super) fn at(at: Option<usize>, problem: Problem) -> Self {
        Self { at, path: None, problem }
    }

    pub(super) fn in_text(self, text: &str) -> DocumentError {
        let before = self.at.map(|at| &text[..text.floor_char_boundary(at)]);
        let position = before.map(|before| {
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
        });
        DocumentError { position, path: self.path, problem: self.problem }
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line}, column {column}: ")?;
        }
        match self.path.as_deref() {
            Some("") => write!(f, "at the root: ")?,
            Some(path) => write!(f, "at {}: ", quoted(path))?,
            None => {}
        }
        self.problem.fmt(f)
    }
}
