//! Formats a state for the standard input of an action or any other program.

use std::fmt::Write;

use bytes::Bytes;

use super::shape::Shape;
use super::{json, toml, yaml};
use crate::watch::{Content, Format, Subtree};

/// Writes a state in a format. Absent or unread content is written as nothing.
///
/// | | value | children | tree |
/// |---|---|---|---|
/// | raw | byte for byte | as lines | as lines |
/// | lines | with a newline at its end if it has none | a name per line | `PATH=VALUE` per line, see below |
/// | json | a string | an array of names, in one line | nested objects, in one line |
/// | yaml | a scalar | a sequence | nested mappings |
/// | toml | `value = "…"` | `children = ["…"]` | nested tables |
///
/// In the lines of a tree a path is relative to the watched key, which is itself a line that begins with
/// `=`; a node without a value is a path without `=`. A line stays a line: a backslash, a newline, a
/// carriage return, an equals sign in a path, and bytes that are not UTF-8 are written as `\xHH`. In the names of
/// children a backslash is `\\`, and a control character `\n`, `\r` or `\xHH`.
///
/// A value that is not UTF-8 is `{"base64": "…"}` in json, yaml and toml.
pub fn render(content: &Content, format: Format) -> Bytes {
    match content {
        Content::Absent | Content::Unread => Bytes::new(),
        Content::Value(value) => render_value(value, format),
        Content::Children(names) => render_children(names, format),
        Content::Tree(tree) => render_tree(tree, format),
    }
}

fn render_value(value: &Bytes, format: Format) -> Bytes {
    match format {
        Format::Raw => value.clone(),
        Format::Lines if value.ends_with(b"\n") => value.clone(),
        Format::Lines => [value, b"\n".as_slice()].concat().into(),
        Format::Json => json::write(&Shape::of_value(value), json::Layout::OneLine).into(),
        Format::Yaml => yaml::write(&Shape::of_value(value)).into(),
        Format::Toml => toml::write(&Shape::Object(vec![("value".into(), Shape::of_value(value))])).into(),
    }
}

fn render_children(names: &[std::sync::Arc<str>], format: Format) -> Bytes {
    let quoted = |string: fn(&mut String, &str)| {
        let mut out = String::new();
        for (index, name) in names.iter().enumerate() {
            out.push_str(if index > 0 { ", " } else { "" });
            string(&mut out, name);
        }
        out
    };
    let text = match format {
        Format::Raw | Format::Lines => names.iter().fold(String::new(), |mut out, name| {
            escape_name(&mut out, name);
            out.push('\n');
            out
        }),
        Format::Json => format!("[{}]\n", quoted(json::string)),
        Format::Yaml if names.is_empty() => "[]\n".to_owned(),
        Format::Yaml => names.iter().fold(String::new(), |mut out, name| {
            out.push_str("- ");
            yaml::line(&mut out, name);
            out.push('\n');
            out
        }),
        Format::Toml => format!("children = [{}]\n", quoted(|out, name| out.push_str(&toml::string(name)))),
    };
    text.into()
}

/// Writes a name as one line, whatever characters it has.
fn escape_name(out: &mut String, name: &str) {
    for c in name.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

fn render_tree(tree: &Subtree, format: Format) -> Bytes {
    let shape = || Shape::of(tree.iter());
    match format {
        Format::Raw | Format::Lines => lines(tree),
        Format::Json => json::write(&shape(), json::Layout::OneLine).into(),
        Format::Yaml => yaml::write(&shape()).into(),
        Format::Toml => toml::write(&shape()).into(),
    }
}

fn lines(tree: &Subtree) -> Bytes {
    let mut out = String::new();
    for (path, value) in tree.iter() {
        escape(&mut out, path.as_bytes(), &['\\', '\n', '\r', '=']);
        if let Some(value) = value {
            out.push('=');
            escape(&mut out, value, &['\\', '\n', '\r']);
        }
        out.push('\n');
    }
    out.into()
}

fn escape(out: &mut String, bytes: &[u8], special: &[char]) {
    let hex = |out: &mut String, byte: u8| {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\x{byte:02x}");
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match u8::try_from(c) {
                Ok(byte) if special.contains(&c) => hex(out, byte),
                Ok(_) | Err(_) => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|&byte| hex(out, byte));
    }
}
