//! A subtree as nested objects, before any syntax: every decision about names is made here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{DEEPEST_RENDERED, segments};

/// What is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape<'a> {
    Text(Cow<'a, str>),
    Object(Vec<(Cow<'a, str>, Shape<'a>)>),
}

#[derive(Debug, Default)]
struct Node<'a> {
    value: Option<&'a [u8]>,
    children: BTreeMap<Cow<'a, str>, Node<'a>>,
}

impl<'a> Shape<'a> {
    pub(super) fn of(entries: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Self {
        let mut root = Node::default();
        for (path, value) in entries {
            let mut node = &mut root;
            for name in names(path) {
                node = node.children.entry(name).or_default();
            }
            node.value = value;
        }
        root.shape()
    }

    /// A value alone.
    pub(super) fn of_value(value: &'a [u8]) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) => Self::Text(text.into()),
            Err(_) => Self::Object(vec![("base64".into(), Self::Text(STANDARD.encode(value).into()))]),
        }
    }
}

impl<'a> Node<'a> {
    /// Recursion is no deeper than [`DEEPEST_RENDERED`].
    fn shape(self) -> Shape<'a> {
        let own = self.value.map(Shape::of_value);
        if self.children.is_empty() {
            return own.unwrap_or(Shape::Object(Vec::new()));
        }
        let own = own.map(|value| ("".into(), value));
        let children = self.children.into_iter().map(|(name, node)| (name, node.shape()));
        let mut entries: Vec<_> = own.into_iter().chain(children).collect();
        if let [(name, Shape::Text(_))] = entries.as_mut_slice()
            && name == "base64"
        {
            *name = "/base64".into();
        }
        Shape::Object(entries)
    }
}

/// The names of the objects on the way to a path.
fn names(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut segments = segments(path);
    let rest = segments.split_off(segments.len().min(DEEPEST_RENDERED - 1));
    let last: Option<Cow<str>> = match rest.as_slice() {
        [] => None,
        [only] => Some(name(only)),
        rest => Some(format!("/{}", rest.join("/")).into()),
    };
    segments.into_iter().map(name).chain(last)
}

fn name(segment: &str) -> Cow<'_, str> {
    if segment.is_empty() { "/".into() } else { segment.into() }
}
