//! Parses a file into typed values by the table of fields: all its problems at once, each with its position.
//!
//! `lower` decides the meaning of values, their combinations and defaults.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "DeValue is the TOML crate's: any other type is an error"
)]

mod collection;
mod depth;
mod kind;
mod machine;
mod share;
mod signal;
mod table;
mod value;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

pub(super) use machine::{Local, check_name};
pub(super) use table::{At, Defaults, RawFleet, RawTable, Site};
pub(super) use value::AccountName;

use super::fields::{DAEMON, FLEET_SETTINGS, LOCAL, NOT_DEFAULTS, STORE, TLS, WATCH};
use super::problem::{Problem, Source, nearest, word};
use crate::watch::{Machine, StoreName};
use kind::kind_of;
use table::{FLEET_TABLE, Reader};

/// More problems of one file are not helpful.
const MOST_PROBLEMS: usize = 50;

/// A parsed watch file.
#[derive(Debug)]
pub(super) struct RawWatchFile {
    pub(super) source: Source,
    pub(super) problems: Vec<Problem>,
    pub(super) watches: Vec<RawTable>,
    /// The syntax is broken: a field that seems to be missing may only be unparsed.
    pub(super) incomplete: bool,
}

/// A parsed `twitcher.conf`.
#[derive(Debug)]
pub(super) struct RawSettings {
    pub(super) source: Source,
    pub(super) problems: Vec<Problem>,
    pub(super) daemon: RawTable,
    pub(super) stores: BTreeMap<StoreName, RawStore>,
    pub(super) machine: Arc<Machine>,
    /// `[fleet]`, where it is written.
    pub(super) fleet: Option<RawTable>,
    /// `[defaults]` and where it stands.
    pub(super) defaults: RawTable,
}

/// A parsed `local.conf`.
pub(super) struct RawLocal {
    pub(super) host: Option<String>,
    pub(super) vars: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
}

/// A `[store.NAME]` table.
#[derive(Debug)]
pub(super) struct RawStore {
    pub(super) table: RawTable,
    pub(super) tls: Option<RawTable>,
}

/// Parses a watch file. Without a site, while `twitcher.conf` is broken, `${name}` is accepted and left unexpanded.
pub(super) fn watch_file(path: Arc<Path>, text: &str, site: Option<&Site>) -> RawWatchFile {
    let source = Source::new(path, text);
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

/// Parses `twitcher.conf` for a machine.
pub(super) fn settings(path: Arc<Path>, text: &str, local: &Local) -> RawSettings {
    let source = Source::of_settings(path, text);
    let (tables, problems, _) = read(&source, |reader, root| {
        let mut stores = BTreeMap::new();
        if let Some((_, value)) = root.iter().find(|(name, _)| name.get_ref() == "store") {
            read_stores(reader, value.get_ref(), value.span(), &mut stores);
        }
        let vars = machine::vars_of(reader, root);
        let others = root.iter().filter(|(name, _)| {
            !matches!(name.get_ref().as_ref(), "store" | "defaults" | machine::VARS | FLEET_TABLE)
        });
        let daemon = reader.entries(others, 0..0, DAEMON, "setting");
        let machine = Arc::new(local.machine(&daemon, vars));
        reader.set_machine(Some(Arc::clone(&machine)));
        let defaults = read_defaults(reader, root);
        (daemon, stores, machine, read_fleet(reader, root), defaults)
    });
    let (daemon, stores, machine, fleet, defaults) = tables.unwrap_or_default();
    RawSettings { source, problems, daemon, stores, machine, fleet, defaults }
}

/// Parses `local.conf`.
pub(super) fn local(path: Arc<Path>, text: &str) -> RawLocal {
    let source = Source::new(path, text);
    let (tables, problems, _) = read(&source, |reader, root| {
        let vars = machine::vars_of(reader, root);
        let others = root.iter().filter(|(name, _)| name.get_ref() != machine::VARS);
        (reader.entries(others, 0..0, LOCAL, "local setting"), vars)
    });
    let (table, vars) = tables.unwrap_or_default();
    RawLocal { host: table.text("host").map(|at| at.value), vars, problems }
}

/// The table `[defaults]`, if there is one.
fn read_defaults(reader: &mut Reader<'_>, root: &DeTable<'_>) -> RawTable {
    let help = "write a line `[defaults]` and below it for example `timeout = \"5m\"`";
    let Some((_, value)) = root.iter().find(|(name, _)| name.get_ref() == "defaults") else {
        return RawTable::default();
    };
    let DeValue::Table(fields) = value.get_ref() else {
        reader.wrong(value.span(), format!("`defaults` is a table, not {}", kind_of(value.get_ref())), help);
        return RawTable::default();
    };
    let own = |name: &str| {
        WATCH.iter().find(|field| field.is_called(name)).filter(|field| NOT_DEFAULTS.contains(&field.name))
    };
    for (name, _) in fields.iter().filter(|(name, _)| own(name.get_ref()).is_some()) {
        let message =
            format!("`{}` describes a single watch and cannot have a default", word(name.get_ref()));
        reader.wrong(name.span(), message, "write it in the watch's own table");
    }
    let others =
        fields.iter().filter(|(name, _)| own(name.get_ref()).is_none() && name.get_ref() != FLEET_TABLE);
    let mut read = reader.optional(others, value.span(), WATCH, "defaults");
    read.fleet = reader.fleet(fields, "defaults");
    if let RawFleet::Written(table) = &read.fleet
        && table.has("group")
    {
        let message = "`group` is about one watch and has no default for all";
        reader.wrong(table.span("group"), message, "write it in `[watch.fleet]` of the watch");
    }
    read
}

/// The table `[fleet]`, if there is one.
fn read_fleet(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<RawTable> {
    let (_, value) = root.iter().find(|(name, _)| name.get_ref() == FLEET_TABLE)?;
    let DeValue::Table(fields) = value.get_ref() else {
        let message = format!("`fleet` is a table, not {}", kind_of(value.get_ref()));
        reader.wrong(
            value.span(),
            message,
            "write a line `[fleet]` and below it for example `ttl = \"30s\"`",
        );
        return None;
    };
    Some(reader.table(fields, value.span(), FLEET_SETTINGS, "fleet setting"))
}

fn read_stores(
    reader: &mut Reader<'_>,
    value: &DeValue<'_>,
    span: Range<usize>,
    stores: &mut BTreeMap<StoreName, RawStore>,
) {
    let help = "write each store below a line such as `[store.main]`";
    let DeValue::Table(tables) = value else {
        reader.wrong(span, "`store` is the head of tables", help);
        return;
    };
    for (name, value) in tables {
        let DeValue::Table(fields) = value.get_ref() else {
            reader.wrong(name.span(), format!("the store `{}` is not a table", word(name.get_ref())), help);
            continue;
        };
        let store = match StoreName::new(name.get_ref()) {
            Ok(store) => store,
            Err(invalid) => {
                reader.wrong(name.span(), invalid.to_string(), help);
                continue;
            }
        };
        let url = fields.iter().find(|(name, _)| name.get_ref() == "url");
        reader.set_store(store.as_str(), url.and_then(|(_, url)| url.get_ref().as_str()));
        let others = fields.iter().filter(|(name, _)| name.get_ref() != "tls");
        let table = reader.entries(others, value.span(), STORE, "store");
        let tls =
            fields.iter().find(|(name, _)| name.get_ref() == "tls").map(|(key, tls)| match tls.get_ref() {
                DeValue::Table(fields) => reader.table(fields, tls.span(), TLS, "tls"),
                other => {
                    reader.wrong(
                        tls.span(),
                        format!("`tls` is a table, not {}", kind_of(other)),
                        format!("write `[store.{store}.tls]` and its fields below, or a URL with `+tls://`"),
                    );
                    RawTable::empty(key.span())
                }
            });
        stores.insert(store, RawStore { table, tls });
    }
}

/// Parses the text and walks the tree. If the syntax is broken, problems of the walk on the same lines and missing fields
/// are only consequences, and are dropped.
fn read<T>(
    source: &Source,
    walk: impl FnOnce(&mut Reader<'_>, &DeTable<'_>) -> T,
) -> (Option<T>, Vec<Problem>, bool) {
    if let Some(span) = depth::too_deep(source.text()) {
        let problem = source
            .problem(span, "a name with too many parts")
            .with_help(format!("a dotted name has at most {} parts", depth::MOST_PARTS));
        return (None, vec![problem], true);
    }
    let (root, errors) = DeTable::parse_recoverable(source.text());
    let mut problems: Vec<Problem> = Vec::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        problems.push(syntax(source, span, error.message()));
    }
    let mut reader = Reader::new(source);
    let read = walk(&mut reader, root.get_ref());
    let lines: Vec<usize> = problems.iter().filter_map(|p| p.place).map(|place| place.line).collect();
    let (found, missing) = reader.into_problems();
    problems.extend(found.into_iter().filter(|p| p.place.is_none_or(|place| !lines.contains(&place.line))));
    if lines.is_empty() {
        problems.extend(missing);
    }
    problems.sort_by_key(|problem| problem.place);
    problems.dedup_by_key(|problem| (problem.place, problem.message.clone()));
    if let Some(rest) = problems.len().checked_sub(MOST_PROBLEMS).filter(|rest| *rest > 0) {
        problems.truncate(MOST_PROBLEMS);
        problems.push(Problem::of_file(
            &source.path,
            format!("and {rest} more problems"),
            "correct these first",
        ));
    }
    (Some(read), problems, !lines.is_empty())
}

fn syntax(source: &Source, span: Range<usize>, message: &str) -> Problem {
    let mut message = message.to_owned();
    let help = if message.starts_with("duplicate key") {
        let name = source.text().get(span.clone()).unwrap_or_default();
        message = format!("`{}` is written twice", word(name));
        "keep one of them; several watches each begin with `[[watch]]`"
    } else if message.contains("string values must be quoted") {
        "write text between quotes, as in `key = \"/git/head\"`"
    } else if message.contains("leading zero") {
        let place = source.text()[..source.floor(span.start)].rfind('\n').map_or(0, |newline| newline + 1);
        if source.text()[place..].trim_start().starts_with("umask") {
            "a umask is written in quotes, as in `umask = \"022\"`"
        } else {
            "write the number without the zero in front; an octal one begins with `0o`"
        }
    } else if message.contains("missing escaped value") {
        "between double quotes a backslash begins an escape: write the text between single quotes, as in `'\\d+'`, or \
         two backslashes"
    } else if message.contains("recurs") {
        "arrays and tables may be nested at most 80 deep"
    } else {
        "the file is TOML: `name = value` lines, text between quotes, tables below `[[watch]]`"
    };
    source.problem(span, message).with_help(help)
}

#[cfg(test)]
mod tests;
