//! Parses `twitcher.conf` and `local.conf`, and finds out which parts of `twitcher.conf` have errors.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "DeValue is the TOML crate's: any other type is an error"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::document::read;
use super::kind::kind_of;
use super::machine::{self, Local};
use super::part::{FLEET_TABLE, Part, VARS};
use super::table::{RawFleet, RawTable, Reader};
use crate::config::fields::{DAEMON, FLEET_SETTINGS, LOCAL, NOT_DEFAULTS, STORE, TLS, WATCH};
use crate::config::problem::{Problem, SourceText, word};
use crate::watch::{Machine, StoreName};

/// A parsed `twitcher.conf`.
#[derive(Debug)]
pub(in crate::config) struct RawSettings {
    pub(in crate::config) source: SourceText,
    pub(in crate::config) problems: Vec<Problem>,
    pub(in crate::config) daemon: RawTable,
    pub(in crate::config) stores: BTreeMap<StoreName, RawStore>,
    pub(in crate::config) machine: Arc<Machine>,
    /// `[fleet]`, where it is written.
    pub(in crate::config) fleet: Option<RawTable>,
    /// `[defaults]` and where it stands.
    pub(in crate::config) defaults: RawTable,
    /// The parts with errors.
    pub(in crate::config) blamed: BTreeSet<Part>,
    /// An error may concern any store, so that it is not known which stores there are.
    pub(in crate::config) hides_stores: bool,
}

/// A parsed `local.conf`.
pub(in crate::config) struct RawLocal {
    pub(in crate::config) host: Option<String>,
    pub(in crate::config) vars: BTreeMap<String, String>,
    pub(in crate::config) problems: Vec<Problem>,
}

/// A `[store.NAME]` table.
#[derive(Debug)]
pub(in crate::config) struct RawStore {
    pub(in crate::config) table: RawTable,
    pub(in crate::config) tls: Option<RawTable>,
}

/// Parses `twitcher.conf` for a machine.
pub(in crate::config) fn settings(path: Arc<Path>, text: &str, local: &Local) -> RawSettings {
    parse(path, text, local, true)
}

/// Like [`settings`], but `[vars]` has errors: `${name}` is accepted and left unexpanded.
pub(in crate::config) fn unexpanded(path: Arc<Path>, text: &str, local: &Local) -> RawSettings {
    parse(path, text, local, false)
}

fn parse(path: Arc<Path>, text: &str, local: &Local, expands: bool) -> RawSettings {
    let source = SourceText::of_settings(path, text);
    let (tables, problems, _) = read(&source, |reader, root| {
        let mut stores = BTreeMap::new();
        if let Some((_, value)) = root.iter().find(|(name, _)| name.get_ref() == "store") {
            read_stores(reader, value.get_ref(), value.span(), &mut stores);
        }
        let vars = reader.part(Part::Vars, |reader| machine::vars_of(reader, root));
        let others = root.iter().filter(|(name, _)| {
            !matches!(name.get_ref().as_ref(), "store" | "defaults" | VARS | FLEET_TABLE)
        });
        let daemon = reader.entries(others, 0..0, DAEMON, "setting");
        reader.blame(daemon.faulty().map(Part::Setting));
        let machine = Arc::new(local.machine(&daemon, vars));
        reader.set_machine(expands.then(|| Arc::clone(&machine)));
        let defaults = reader.part(Part::Defaults, |reader| read_defaults(reader, root));
        let fleet = reader.part(Part::Fleet, |reader| read_fleet(reader, root));
        let has = |table: &str| root.keys().any(|name| name.get_ref() == table);
        reader.blame_hidden(|part| match part {
            Part::Setting(name) => daemon.has(name),
            Part::Vars => has(VARS),
            Part::Defaults => has("defaults"),
            Part::Fleet => has(FLEET_TABLE),
            Part::Store(_) => false,
        });
        let (blamed, hides_stores) = reader.blamed();
        (daemon, stores, machine, fleet, defaults, blamed, hides_stores)
    });
    // Without a walk through the text, it may have any store.
    let is_unread = tables.is_none();
    let (daemon, stores, machine, fleet, defaults, blamed, hides_stores) = tables.unwrap_or_default();
    let hides_stores = hides_stores || is_unread;
    RawSettings { source, problems, daemon, stores, machine, fleet, defaults, blamed, hides_stores }
}

/// Parses `local.conf`.
pub(in crate::config) fn local(path: Arc<Path>, text: &str) -> RawLocal {
    let source = SourceText::new(path, text);
    let (tables, problems, _) = read(&source, |reader, root| {
        let vars = machine::vars_of(reader, root);
        let others = root.iter().filter(|(name, _)| name.get_ref() != VARS);
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
        reader.hide_stores();
        return;
    };
    for (name, value) in tables {
        let named = StoreName::new(name.get_ref());
        let DeValue::Table(fields) = value.get_ref() else {
            reader.wrong(name.span(), format!("the store `{}` is not a table", word(name.get_ref())), help);
            reader.blame(named.ok().map(Part::Store));
            continue;
        };
        let store = match named {
            Ok(store) => store,
            Err(invalid) => {
                reader.wrong(name.span(), invalid.to_string(), help);
                continue;
            }
        };
        let read = reader
            .part(Part::Store(store.clone()), |reader| read_store(reader, &store, fields, value.span()));
        stores.insert(store, read);
    }
}

fn read_store(
    reader: &mut Reader<'_>,
    store: &StoreName,
    fields: &DeTable<'_>,
    span: Range<usize>,
) -> RawStore {
    let url = fields.iter().find(|(name, _)| name.get_ref() == "url");
    reader.set_store(store.as_str(), url.and_then(|(_, url)| url.get_ref().as_str()));
    let others = fields.iter().filter(|(name, _)| name.get_ref() != "tls");
    let table = reader.entries(others, span, STORE, "store");
    let tls = fields.iter().find(|(name, _)| name.get_ref() == "tls").map(|(key, tls)| match tls.get_ref() {
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
    RawStore { table, tls }
}
