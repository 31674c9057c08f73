//! TOML: a table for every object. A root that is only a value is written under the name `""`.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_writer::{ToTomlKey as _, ToTomlValue as _, TomlKeyBuilder, TomlStringBuilder};

use super::error::Fault;
use super::lower::{Kind, Member, Value};
use super::shape::Shape;
use super::{DEEPEST_READ, Problem, unquoted};

type Entry<'a> = (Cow<'a, str>, Shape<'a>);

pub(super) fn write(shape: &Shape) -> String {
    let mut out = String::new();
    match shape {
        Shape::Text(_) => assignment(&mut out, "", shape),
        Shape::Object(entries) if entries.is_empty() => assignment(&mut out, "", shape),
        Shape::Object(entries) => table(&mut out, entries, ""),
    }
    out
}

/// First the assignments of one line, then the tables below: in TOML a table cannot be resumed.
fn table(out: &mut String, entries: &[Entry], header: &str) {
    let mut tables = Vec::new();
    for (name, shape) in entries {
        match shape {
            Shape::Object(inner) if !inner.is_empty() && !is_base64(inner) => tables.push((name, inner)),
            Shape::Object(_) | Shape::Text(_) => assignment(out, name, shape),
        }
    }
    for (name, inner) in tables {
        let header = format!("{header}{}{}", if header.is_empty() { "" } else { "." }, key(name));
        let only_tables = inner.iter().all(
            |(_, shape)| matches!(shape, Shape::Object(inner) if !inner.is_empty() && !is_base64(inner)),
        );
        if !only_tables {
            if !out.is_empty() {
                out.push('\n');
            }
            out.extend(["[", &header, "]\n"]);
        }
        table(out, inner, &header);
    }
}

fn assignment(out: &mut String, name: &str, shape: &Shape) {
    out.extend([&key(name), " = "]);
    inline(out, shape);
    out.push('\n');
}

fn inline(out: &mut String, shape: &Shape) {
    match shape {
        Shape::Text(text) => out.push_str(&string(text)),
        Shape::Object(entries) if entries.is_empty() => out.push_str("{}"),
        Shape::Object(entries) => {
            out.push_str("{ ");
            for (index, (name, shape)) in entries.iter().enumerate() {
                out.extend([if index > 0 { ", " } else { "" }, &key(name), " = "]);
                inline(out, shape);
            }
            out.push_str(" }");
        }
    }
}

fn is_base64(entries: &[Entry]) -> bool {
    matches!(entries, [(name, Shape::Text(_))] if name == "base64")
}

fn key(name: &str) -> String {
    TomlKeyBuilder::new(name).as_default().to_toml_key()
}

/// A TOML string, in the most readable of the four notations.
pub(super) fn string(text: &str) -> String {
    // A multi-line string may not contain a bare carriage return, and readers may change CR LF.
    let builder = TomlStringBuilder::new(text);
    if text.contains('\r') { builder.as_basic() } else { builder.as_default() }.to_toml_value()
}

pub(super) fn read(text: &str) -> Result<Value, Fault> {
    if let Some(at) = too_deep(text) {
        return Err(Fault::at(Some(at), Problem::TooDeep));
    }
    let table = DeTable::parse(text).map_err(|error| {
        let problem = match error.message() {
            "recursion limit" | "cannot recurse further; max recursion depth met" => Problem::TooDeep,
            "duplicate key" => Problem::Duplicate,
            message => Problem::Syntax(message.to_owned()),
        };
        Fault::at(error.span().map(|span| span.start), problem)
    })?;
    Ok(Value { at: None, kind: object(table.into_inner(), text) })
}

/// Where the nesting exceeds the limit: levels of a table's header, or of a name and everything within its value. The
/// parser limits brackets and the parts of a name separately, but not the depth of the resulting tree.
fn too_deep(text: &str) -> Option<usize> {
    struct Open {
        /// The levels around the bracket, and within it.
        levels: (usize, usize),
        array: bool,
    }
    let mut open: Vec<Open> = Vec::new();
    let (mut levels, mut in_value) = (0, false);
    for (at, byte) in unquoted(text) {
        match byte {
            b'.' if !in_value => levels += 1,
            b'=' => in_value = true,
            b'[' | b'{' => {
                let array = byte == b'[' && in_value;
                open.push(Open { levels: (levels, levels + 1), array });
                (levels, in_value) = (levels + 1, array);
            }
            b']' | b'}' => (levels, in_value) = (open.pop().map_or(0, |open| open.levels.0), true),
            b',' => {
                let around = open.last();
                levels = around.map_or(0, |open| open.levels.1);
                in_value = around.is_some_and(|open| open.array);
            }
            b'\n' if open.is_empty() => (levels, in_value) = (0, false),
            _ => {}
        }
        if levels >= DEEPEST_READ {
            return Some(at);
        }
    }
    None
}

/// The limit that [`too_deep`] enforces bounds the recursion.
fn value(value: Spanned<DeValue>, text: &str) -> Value {
    let span = value.span();
    let at = Some(span.start);
    let as_written = || Kind::Text(text.get(span.clone()).unwrap_or_default().to_owned());
    let kind = match value.into_inner() {
        DeValue::String(string) => Kind::Text(string.into_owned()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => as_written(),
        DeValue::Array(members) => {
            Kind::Array(members.into_iter().map(|member| self::value(member, text)).collect())
        }
        DeValue::Table(table) => object(table, text),
    };
    Value { at, kind }
}

fn object(table: DeTable, text: &str) -> Kind {
    let member = |(name, member): (Spanned<Cow<str>>, _)| {
        let at = Some(name.span().start);
        Member { name: name.into_inner().into_owned(), at, value: value(member, text) }
    };
    Kind::Object(table.into_iter().map(member).collect())
}
