//! TOML: a table for every object. A root that is a value alone is written under the name `""`.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_writer::{ToTomlKey as _, ToTomlValue as _, TomlKeyBuilder, TomlStringBuilder};

use super::error::position_behind;
use super::lower::{Kind, Value};
use super::shape::Shape;
use super::{DocumentError, Problem};

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

/// First what is assigned in one line, then the tables below: TOML knows no way back.
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

/// A TOML string, in whichever of the four notations reads best.
pub(super) fn string(text: &str) -> String {
    // A multi-line string may hold a bare carriage return nowhere, and its readers may change CR LF.
    let builder = TomlStringBuilder::new(text);
    if text.contains('\r') { builder.as_basic() } else { builder.as_default() }.to_toml_value()
}

pub(super) fn read(text: &str) -> Result<Value, DocumentError> {
    let table = DeTable::parse(text).map_err(|error| {
        let position = error.span().and_then(|span| text.get(..span.start)).map(position_behind);
        let problem = match error.message() {
            "recursion limit" | "cannot recurse further; max recursion depth met" => Problem::TooDeep,
            "duplicate key" => Problem::Duplicate,
            message => Problem::Syntax(message.to_owned()),
        };
        DocumentError::at(position, problem)
    })?;
    let lines = Lines::of(text);
    Ok(Value { position: None, kind: object(table.into_inner(), text, &lines) })
}

/// Recursion is bounded by the parser: it reads 80 levels.
fn value(value: Spanned<DeValue>, text: &str, lines: &Lines) -> Value {
    let span = value.span();
    let position = lines.position(text, span.start);
    let as_written = || Kind::Text(text.get(span.clone()).unwrap_or_default().to_owned());
    let kind = match value.into_inner() {
        DeValue::String(string) => Kind::Text(string.into_owned()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => as_written(),
        DeValue::Array(members) => {
            Kind::Array(members.into_iter().map(|member| self::value(member, text, lines)).collect())
        }
        DeValue::Table(table) => object(table, text, lines),
    };
    Value { position, kind }
}

fn object(table: DeTable, text: &str, lines: &Lines) -> Kind {
    let entries = table.into_iter();
    Kind::Object(
        entries.map(|(name, member)| (name.into_inner().into_owned(), value(member, text, lines))).collect(),
    )
}

/// Where lines begin, so that the position of each of many values is found quickly.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let behind_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(behind_newlines).collect())
    }

    fn position(&self, text: &str, at: usize) -> Option<(usize, usize)> {
        let line = self.0.partition_point(|&start| start <= at);
        let start = *self.0.get(line.checked_sub(1)?)?;
        Some((line, text.get(start..at)?.chars().count() + 1))
    }
}
