//! Subtrees as documents: JSON, YAML and TOML, for standard input of actions, `dump` and `load`.
//!
//! The shape is the same in all three. A key's segments, split at `/`, are the names of nested objects; every value is
//! a string, even if it looks like a number. Ambiguous cases are resolved like this:
//!
//! - the value of a key that also has children is stored under the name `""`;
//! - a value that is not UTF-8 is an object with the single name `base64`;
//! - a node without value and children (`ZooKeeper`, a directory) is an empty object;
//! - a name that contains a slash is a path; a slash at its beginning adds nothing. So `/` is an empty segment (as in
//!   `/a//b`), and `/base64` is a key named base64 that stands alone;
//! - below [`DEEPEST_RENDERED`] levels the rest of a key is one name such as `/a/b/c`, because every parser has a depth
//!   limit.
//!
//! Every document written here is read back as the same subtree, except that a node without a value that has something
//! below it is not mentioned: its descendants imply it. An empty tree is read as a root without a value.
//!
//! Read but never written: numbers and booleans, taken as their text in the document. `null`, an array (unless its
//! members become the children 0, 1, 2…), a name given twice, an alias, and nesting deeper than [`DEEPEST_READ`] levels
//! are errors that name the place.

mod error;
#[cfg(all(feature = "daemon", any(test, fuzzing)))]
pub(crate) mod fuzz;
mod json;
mod lower;
mod shape;
mod stdin;
mod toml;
mod unquoted;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use error::Fault;

pub use error::{DocumentError, Problem};
pub use lower::Arrays;
pub use stdin::render;
pub(crate) use unquoted::unquoted;

/// Levels of objects that are written before the rest of a key becomes one name. Common parsers read 64 and more.
pub const DEEPEST_RENDERED: usize = 60;

/// Levels of objects that are read.
pub const DEEPEST_READ: usize = 80;

/// A language that a subtree can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Syntax {
    Json,
    Yaml,
    Toml,
}

/// Writes a subtree for people, indented, with a newline at the end. Paths are relative: `""` is the root.
pub fn write<'a>(entries: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>, syntax: Syntax) -> String {
    let shape = shape::Shape::of(entries);
    match syntax {
        Syntax::Json => json::write(&shape, json::Layout::Indented),
        Syntax::Yaml => yaml::write(&shape),
        Syntax::Toml => toml::write(&shape),
    }
}

/// Reads a document: paths relative to the root (`""` itself), `None` for a node without a value.
pub fn parse(
    text: &[u8],
    syntax: Syntax,
    arrays: Arrays,
) -> Result<BTreeMap<String, Option<Bytes>>, DocumentError> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = String::from_utf8_lossy(&text[..error.valid_up_to()]);
        Fault::at(Some(before.len()), Problem::NotUtf8).in_text(&before)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value = match syntax {
        _ if text.trim().is_empty() => Err(Fault::at(None, Problem::Empty)),
        Syntax::Json => json::read(text),
        Syntax::Yaml => yaml::read(text),
        Syntax::Toml => toml::read(text),
    };
    value.and_then(|value| lower::lower(value, arrays)).map_err(|fault| fault.in_text(text))
}

/// The segments of a relative path, of which the last of `most` holds the rest: none for the root; one empty segment for
/// `/`.
fn segments(path: &str, most: usize) -> impl Iterator<Item = &str> {
    let (path, most) = match path {
        "" => (path, 0),
        "/" => ("", 1),
        path => (path, most),
    };
    path.splitn(most, '/')
}

/// The path of these segments.
fn path_of(segments: &[Arc<str>]) -> String {
    match segments {
        [only] if only.is_empty() => "/".to_owned(),
        segments => segments.join("/"),
    }
}
