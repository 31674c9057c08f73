//! A subtree as nested objects, independent of syntax: all decisions about names are made here.

use std::borrow::Cow;
use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{DEEPEST_RENDERED, segments};

/// What is written for a node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape<'a> {
    Text(Cow<'a, str>),
    Object(Vec<(Cow<'a, str>, Shape<'a>)>),
}

#[derive(Debug, Default)]
struct Node<'a> {
    value: Option<&'a [u8]>,
    /// By segment, in order.
    children: Vec<(&'a str, Node<'a>)>,
}

impl<'a> Shape<'a> {
    pub(super) fn of(entries: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Self {
        let mut root = Node::default();
        for (path, value) in entries {
            let mut node = &mut root;
            for segment in segments(path, DEEPEST_RENDERED) {
                node = node.child(segment);
            }
            node.value = value;
        }
        root.shape()
    }

    /// Only a value.
    pub(super) fn of_value(value: &'a [u8]) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) => Self::Text(text.into()),
            Err(_) => Self::Object(vec![("base64".into(), Self::Text(STANDARD.encode(value).into()))]),
        }
    }
}

impl<'a> Node<'a> {
    /// The child at a segment. Paths come almost in order: the child is the last one, or comes after it.
    fn child(&mut self, segment: &'a str) -> &mut Self {
        let found = match self.children.last().map(|(last, _)| (*last).cmp(segment)) {
            Some(Ordering::Equal) => Ok(self.children.len() - 1),
            Some(Ordering::Less) | None => Err(self.children.len()),
            Some(Ordering::Greater) => self.children.binary_search_by(|(other, _)| (*other).cmp(segment)),
        };
        let at = found.unwrap_or_else(|at| {
            self.children.insert(at, (segment, Self::default()));
            at
        });
        &mut self.children[at].1
    }

    /// Recursion is no deeper than [`DEEPEST_RENDERED`].
    fn shape(self) -> Shape<'a> {
        let own = self.value.map(Shape::of_value);
        if self.children.is_empty() {
            return own.unwrap_or(Shape::Object(Vec::new()));
        }
        let own = own.map(|value| ("".into(), value));
        let children = self.children.into_iter().map(|(segment, node)| (name(segment), node.shape()));
        let mut entries: Vec<_> = own.into_iter().chain(children).collect();
        if let [(name, Shape::Text(_))] = entries.as_mut_slice()
            && name == "base64"
        {
            *name = "/base64".into();
        }
        Shape::Object(entries)
    }
}

fn name(segment: &str) -> Cow<'_, str> {
    match segment {
        "" => "/".into(),
        // A path that is deeper than can be rendered.
        rest if rest.contains('/') => format!("/{rest}").into(),
        segment => segment.into(),
    }
}
