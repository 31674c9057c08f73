//! Parses a file into typed values by the table of fields: all its problems at once, each with its position.
//!
//! `lower` decides the meaning of values, their combinations and defaults.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "DeValue is the TOML crate's: any other type is an error"
)]

mod collection;
mod depth;
mod document;
mod kind;
mod machine;
mod part;
mod readable;
mod settings;
mod share;
mod signal;
mod table;
mod unknown;
mod value;

use std::path::Path;
use std::sync::Arc;

use toml::de::DeValue;

pub(super) use machine::{Local, check_name};
pub(super) use part::{Part, Parts};
pub(super) use readable::{Readable, readable};
pub(super) use settings::{RawLocal, RawSettings, RawStore, local, settings, unexpanded};
pub(super) use table::{At, Defaults, RawFleet, RawTable, Site};
pub(super) use value::AccountName;

use super::fields::WATCH;
use super::problem::{Problem, SourceText, nearest, word};
use document::read;
use kind::kind_of;
use part::FLEET_TABLE;

/// A parsed watch file.
#[derive(Debug)]
pub(super) struct RawWatchFile {
    pub(super) source: SourceText,
    pub(super) problems: Vec<Problem>,
    pub(super) watches: Vec<RawTable>,
    /// The syntax is broken: a field that seems to be missing may only be unparsed.
    pub(super) incomplete: bool,
}

/// Parses a watch file. Without a site, while `twitcher.conf` is broken, `${name}` is accepted and left unexpanded.
pub(super) fn watch_file(path: Arc<Path>, text: &str, site: Option<&Site>) -> RawWatchFile {
    let source = SourceText::new(path, text);
    let (watches, problems, incomplete) = read(&source, |reader, root| {
        let mut watches = Vec::new();
        for (name, value) in root {
            let span = name.span();
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("watch", DeValue::Array(tables)) => {
                    for table in tables {
                        match table.get_ref() {
                            DeValue::Table(fields) => {
                                watches.push(reader.watch(fields, table.span(), site));
                            }
                            other => reader.wrong(
                                table.span(),
                                format!("a watch is a table, not {}", kind_of(other)),
                                "write each watch below a line `[[watch]]`",
                            ),
                        }
                    }
                }
                ("watch", DeValue::Table(_)) => reader.wrong(
                    value.span(),
                    "a watch begins with two brackets",
                    "write `[[watch]]`: a file may hold several watches",
                ),
                ("watch", other) => reader.wrong(
                    value.span(),
                    format!("`watch` is no field but the head of a table, and here is {}", kind_of(other)),
                    "write the fields of a watch below a line `[[watch]]`",
                ),
                (other, written) if !written.is_table() && WATCH.iter().any(|field| field.is_called(other)) => reader.doubtful(
                    span,
                    format!("`{}` is outside of a watch", word(other)),
                    "write a line `[[watch]]` above it",
                ),
                (FLEET_TABLE, _) => reader.wrong(
                    span,
                    "`fleet` stands outside of a watch",
                    "write `[watch.fleet]` below the fields of the watch; `[fleet]` with the machine's settings belongs in twitcher.conf",
                ),
                (other, _) if nearest(other, ["watch"]).is_some() => reader.wrong(
                    span,
                    format!("unknown table `{}`", word(other)),
                    "did you mean `[[watch]]`?",
                ),
                (other, _) => reader.wrong(
                    span,
                    format!("unknown name `{}`", word(other)),
                    "a watch file holds `[[watch]]` tables and nothing else; settings and stores belong in twitcher.conf",
                ),
            }
        }
        watches
    });
    RawWatchFile { watches: watches.unwrap_or_default(), problems, source, incomplete }
}

#[cfg(test)]
mod tests;
