//! JSON: written by our own code with `serde_json`'s strings, read through its parser.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::Fault;
use super::lower::{Kind, Member, Value};
use super::shape::Shape;
use super::{DEEPEST_READ, Problem, unquoted};

/// The layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    OneLine,
    Indented,
}

pub(super) fn write(shape: &Shape, layout: Layout) -> String {
    let mut out = String::new();
    value(&mut out, shape, layout, 0);
    out.push('\n');
    out
}

fn value(out: &mut String, shape: &Shape, layout: Layout, depth: usize) {
    match shape {
        Shape::Text(text) => string(out, text),
        Shape::Object(entries) if entries.is_empty() => out.push_str("{}"),
        Shape::Object(entries) => {
            out.push('{');
            for (index, (name, shape)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, layout, depth + 1);
                string(out, name);
                out.push_str(match layout {
                    Layout::OneLine => ":",
                    Layout::Indented => ": ",
                });
                value(out, shape, layout, depth + 1);
            }
            line(out, layout, depth);
            out.push('}');
        }
    }
}

fn line(out: &mut String, layout: Layout, depth: usize) {
    match layout {
        Layout::OneLine => {}
        Layout::Indented => {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    }
}

/// Appends a JSON string.
pub(super) fn string(out: &mut String, text: &str) {
    // Displaying a JSON string cannot fail, although the signature of its serialization says so.
    out.push_str(&serde_json::Value::from(text).to_string());
}

pub(super) fn read(text: &str) -> Result<Value, Fault> {
    let source = Source { text };
    match too_deep(text) {
        Some(at) => Err(Fault::at(Some(at), Problem::TooDeep)),
        None => source.value(source.parse(text)?),
    }
}

/// Where the nesting exceeds the limit.
fn too_deep(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, byte) in unquoted(text) {
        match byte {
            b'{' | b'[' if open > DEEPEST_READ => return Some(at),
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// A document whose parts are parsed as slices of the text: `serde_json` reports no positions, but a slice has an
/// offset.
struct Source<'a> {
    text: &'a str,
}

/// All names and values of an object, in order.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'a> Source<'a> {
    /// The limit that [`too_deep`] enforces bounds the recursion.
    fn value(&self, piece: &'a RawValue) -> Result<Value, Fault> {
        let written = piece.get();
        let kind = match written.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = self.parse(written)?;
                let member = |(name, value): (&'a RawValue, _)| {
                    let (name, at) = (self.parse(name.get())?, self.place(name.get()));
                    Ok(Member { name, at: Some(at), value: self.value(value)? })
                };
                Kind::Object(members.into_iter().map(member).collect::<Result<_, _>>()?)
            }
            Some(b'[') => {
                let members: Vec<&RawValue> = self.parse(written)?;
                Kind::Array(members.into_iter().map(|member| self.value(member)).collect::<Result<_, _>>()?)
            }
            Some(b'"') => Kind::Text(self.parse(written)?),
            Some(b'n') => Kind::Null,
            // A number or a boolean.
            Some(_) | None => Kind::Text(written.to_owned()),
        };
        Ok(Value { at: Some(self.place(written)), kind })
    }

    fn parse<T: Deserialize<'a>>(&self, piece: &'a str) -> Result<T, Fault> {
        serde_json::from_str(piece).map_err(|error| {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            let line_start = piece.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len);
            let at = self.place(piece) + line_start.sum::<usize>() + error.column().saturating_sub(1);
            Fault::at(Some(at), Problem::Syntax(message.to_owned()))
        })
    }

    /// The offset of a slice of the text.
    fn place(&self, piece: &str) -> usize {
        piece.as_ptr().addr() - self.text.as_ptr().addr()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

struct MembersVisitor<'a>(PhantomData<Members<'a>>);

impl<'de: 'a, 'a> Visitor<'de> for MembersVisitor<'a> {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members<'a>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
