//! YAML 1.2: written in block style; read from the parser's events, so that a plain scalar keeps its text, whatever type
//! a schema would give it.

use std::fmt::Write;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::error::Fault;
use super::lower::{At, Kind, Member, Value};
use super::shape::Shape;
use super::{DEEPEST_READ, Problem, json};

/// Names longer than this are written with `? `: YAML searches at most 1024 characters for a colon.
const LONGEST_SIMPLE_KEY: usize = 400;

pub(super) fn write(shape: &Shape) -> String {
    let mut out = String::new();
    match shape {
        Shape::Text(text) => scalar(&mut out, text, 1),
        Shape::Object(entries) if entries.is_empty() => out.push_str("{}\n"),
        Shape::Object(entries) => mapping(&mut out, entries, 0),
    }
    out
}

fn mapping(out: &mut String, entries: &[(std::borrow::Cow<str>, Shape)], depth: usize) {
    for (name, shape) in entries {
        out.extend(std::iter::repeat_n("  ", depth));
        if name.len() > LONGEST_SIMPLE_KEY {
            out.push_str("? ");
            line(out, name);
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        } else {
            line(out, name);
        }
        out.push(':');
        match shape {
            Shape::Text(text) => {
                out.push(' ');
                scalar(out, text, depth + 1);
            }
            Shape::Object(entries) if entries.is_empty() => out.push_str(" {}\n"),
            Shape::Object(entries) => {
                out.push('\n');
                mapping(out, entries, depth + 1);
            }
        }
    }
}

/// A value, as a literal block if that shows its lines as they are.
fn scalar(out: &mut String, text: &str, depth: usize) {
    if !reads_well_as_block(text) {
        line(out, text);
        out.push('\n');
        return;
    }
    out.push_str(if text.ends_with('\n') { "|\n" } else { "|-\n" });
    for line in text.lines() {
        if !line.is_empty() {
            out.extend(std::iter::repeat_n("  ", depth));
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn reads_well_as_block(text: &str) -> bool {
    let printable = |c: char| c == '\n' || c == '\t' || is_printable(c);
    let clear = |line: &str| line.is_empty() || !line.starts_with([' ', '\t']) || !line.trim().is_empty();
    text.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && !text.ends_with("\n\n")
        && text.chars().all(printable)
        && text.split('\n').all(clear)
}

/// One line: plain if no parser can read it as anything but text, else in double quotes.
pub(super) fn line(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    let mut quoted = String::new();
    json::string(&mut quoted, text);
    // JSON strings are valid YAML, except for characters that YAML requires to be escaped and JSON does not.
    for c in quoted.chars() {
        if is_printable(c) {
            out.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
    }
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn is_plain(text: &str) -> bool {
    // Words that some version of YAML reads as a boolean, a null or a number.
    const TAKEN: [&str; 10] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan"];
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:@+=, ()*&%".contains(&byte))
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(text))
}

/// A mapping or sequence that is still open.
struct Open {
    at: At,
    kind: Kind,
    /// In a mapping, the name that waits for its value, and its offset.
    name: Option<(String, At)>,
}

pub(super) fn read(text: &str) -> Result<Value, Fault> {
    let limit = DEEPEST_READ + 1;
    let mut options = granit_parser::options! {
        flow_nesting_limit: limit,
        block_nesting_limit: limit,
        simple_key_max_lookahead: 8192,
    };
    options.set_emit_comments(false);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let problem = if *error.kind() == granit_parser::ErrorKind::RecursionLimitExceeded {
                Problem::TooDeep
            } else {
                Problem::Syntax(error.info())
            };
            Fault::at(error.marker().byte_offset(), problem)
        })?;
        let at = span.start.byte_offset();
        let wrong = |problem| Fault::at(at, problem);
        if root.is_some() && !matches!(event, Event::DocumentEnd | Event::StreamEnd) {
            return Err(wrong(Problem::SecondDocument));
        }
        let done = match event {
            Event::Scalar(text, style, _, tag) => match scalar_kind(&text, style, tag.as_deref()) {
                Ok(kind) => Value { at, kind },
                Err(problem) => return Err(wrong(problem)),
            },
            Event::MappingStart(_, _, tag) => {
                not_tagged(tag.as_deref(), "map").map_err(wrong)?;
                begin(&mut open, at, Kind::Object(Vec::new()))?;
                continue;
            }
            Event::SequenceStart(_, _, tag) => {
                not_tagged(tag.as_deref(), "seq").map_err(wrong)?;
                begin(&mut open, at, Kind::Array(Vec::new()))?;
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => match open.pop() {
                Some(Open { at, kind, .. }) => Value { at, kind },
                None => continue,
            },
            Event::Alias(_) | Event::UnresolvedAlias(_) => return Err(wrong(Problem::Alias)),
            // Presentation, or the frame of the stream.
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::Comment(..)
            | _ => continue,
        };
        match open.last_mut() {
            Some(into) => put(into, done)?,
            None => root = Some(done),
        }
    }
    root.ok_or_else(|| Fault::at(None, Problem::Empty))
}

fn begin(open: &mut Vec<Open>, at: At, kind: Kind) -> Result<(), Fault> {
    if let Some(Open { kind: Kind::Object(_), name: None, .. }) = open.last() {
        return Err(Fault::at(at, Problem::Name));
    }
    open.push(Open { at, kind, name: None });
    Ok(())
}

/// A finished node becomes a name, a value or a member of the innermost open collection.
fn put(into: &mut Open, done: Value) -> Result<(), Fault> {
    match &mut into.kind {
        Kind::Array(members) => members.push(done),
        Kind::Object(members) => match (into.name.take(), done.kind) {
            (Some((name, at)), kind) => {
                members.push(Member { name, at, value: Value { at: done.at, kind } });
            }
            (None, Kind::Text(name)) => into.name = Some((name, done.at)),
            // `null` as a name and an empty name are probably mistakes.
            (None, Kind::Null | Kind::Base64(_) | Kind::Array(_) | Kind::Object(_)) => {
                return Err(Fault::at(done.at, Problem::Name));
            }
        },
        Kind::Text(_) | Kind::Base64(_) | Kind::Null => {}
    }
    Ok(())
}

fn scalar_kind(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Kind, Problem> {
    match tag {
        None if style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") => {
            Ok(Kind::Null)
        }
        None => Ok(Kind::Text(text.to_owned())),
        Some(tag) if tag.original() == "!" => Ok(Kind::Text(text.to_owned())),
        Some(tag) if tag.suffix_in_namespace(CORE).as_deref() == Some("binary") => {
            Ok(Kind::Base64(text.to_owned()))
        }
        Some(tag) if tag.is_yaml_core_schema_tag("null") => Ok(Kind::Null),
        Some(tag) => {
            let scalar =
                ["str", "int", "float", "bool"].iter().any(|suffix| tag.is_yaml_core_schema_tag(suffix));
            if scalar { Ok(Kind::Text(text.to_owned())) } else { Err(Problem::Tag(tag.original())) }
        }
    }
}

const CORE: &str = "tag:yaml.org,2002:";

fn not_tagged(tag: Option<&Tag>, allowed: &str) -> Result<(), Problem> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag(allowed) && tag.original() != "!" => {
            Err(Problem::Tag(tag.original()))
        }
        Some(_) | None => Ok(()),
    }
}
