//! JSON: written by hand around `serde_json`'s strings, read through its parser.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::lower::{Kind, Value};
use super::shape::Shape;
use super::{DocumentError, Problem};

/// How it looks.
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
    // The display of a JSON string cannot fail, other than its serialization by type.
    out.push_str(&serde_json::Value::from(text).to_string());
}

pub(super) fn read(text: &str) -> Result<Value, DocumentError> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let problem = if message == "recursion limit exceeded" {
            Problem::TooDeep
        } else {
            Problem::Syntax(message.to_owned())
        };
        DocumentError::at(Some((error.line(), error.column())), problem)
    })
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // `serde_json` does not tell a visitor where it is; what is wrong inside is told by its path.
        let kind = deserializer.deserialize_any(KindVisitor)?;
        Ok(Self { position: None, kind })
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Kind, E> {
        Ok(Kind::Text(truth.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Kind, E> {
        Ok(Kind::Text(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Kind, E> {
        Ok(Kind::Text(number.to_string()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Kind, E> {
        Ok(Kind::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Kind, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = members.next_element()? {
            values.push(value);
        }
        Ok(Kind::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = members.next_entry()? {
            entries.push(entry);
        }
        Ok(Kind::Object(entries))
    }
}
