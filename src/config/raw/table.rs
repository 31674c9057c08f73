//! Parses a table by its list of fields, and returns the values by name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::kind::kind_of;
use super::part::{FLEET_TABLE, Part};
use super::value::Value;
use crate::config::fields::{FLEET, Field, Kind, WATCH};
use crate::config::problem::{Problem, SourceText};
use crate::store::url::example_like;
use crate::watch::Machine;
use crate::watch::fleet::HostGlobs;
use crate::watch::fleet::terms::Share;

/// A value with its position.
#[derive(Debug, Clone)]
pub(in crate::config) struct At<T> {
    pub(in crate::config) value: T,
    pub(in crate::config) span: Range<usize>,
}

/// A table with the values that could be parsed.
#[derive(Debug, Default)]
pub(in crate::config) struct RawTable {
    /// Its position.
    pub(in crate::config) head: Range<usize>,
    values: BTreeMap<&'static str, At<Value>>,
    /// Fields that are present but invalid: nothing more is reported about them.
    broken: BTreeSet<&'static str>,
    /// Fields that an unknown name most likely meant.
    meant: BTreeSet<&'static str>,
    /// Fields that come only from `[defaults]`.
    inherited: BTreeSet<&'static str>,
    /// A watch for other hosts.
    pub(in crate::config) elsewhere: bool,
    /// `fleet` of a watch or of `[defaults]`.
    pub(in crate::config) fleet: RawFleet,
}

/// What a watch, or `[defaults]`, says of the fleet.
#[derive(Debug, Default)]
pub(in crate::config) enum RawFleet {
    /// Nothing.
    #[default]
    Unsaid,
    /// `fleet = false`, or something wrong.
    No,
    /// The table `[watch.fleet]`, or `[defaults.fleet]`.
    Written(Box<RawTable>),
    /// The table `[defaults.fleet]` of twitcher.conf, for a watch.
    Inherited(Box<RawTable>),
}

/// The values of `[defaults]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::config) struct Defaults {
    values: BTreeMap<&'static str, Value>,
    /// `[defaults.fleet]`.
    fleet: Option<BTreeMap<&'static str, Value>>,
}

impl Eq for Defaults {}

/// The context in which a machine's watch files are parsed.
#[derive(Debug, Clone)]
pub(in crate::config) struct Site {
    pub(in crate::config) machine: Arc<Machine>,
    pub(in crate::config) defaults: Arc<Defaults>,
}

macro_rules! getters {
    ($($name:ident: $variant:ident -> $type:ty;)*) => {
        $(pub(in crate::config) fn $name(&self, field: &str) -> Option<At<$type>> {
            let At { value, span } = self.values.get(field)?;
            if let Value::$variant(value) = value {
                Some(At { value: value.clone(), span: span.clone() })
            } else {
                debug_assert!(false, "`{field}` holds something else");
                None
            }
        })*
    };
}

impl RawTable {
    pub(super) fn empty(head: Range<usize>) -> Self {
        Self { head, ..Self::default() }
    }

    /// The values, as defaults of other tables.
    pub(in crate::config) fn defaults(&self) -> Defaults {
        let values = |table: &Self| {
            table.values.iter().map(|(field, at)| (*field, at.value.clone())).collect::<BTreeMap<_, _>>()
        };
        let fleet = match &self.fleet {
            RawFleet::Unsaid | RawFleet::No => None,
            RawFleet::Written(table) | RawFleet::Inherited(table) => Some(values(table)),
        };
        Defaults { values: values(self), fleet }
    }

    /// Takes over what is not written here; of variables and limits, each by itself. The table of the fleet is taken
    /// over as a whole: an empty one of the watch means one host at a time, whatever the default is.
    fn inherit(&mut self, defaults: &Defaults) {
        if let (RawFleet::Unsaid, Some(values)) = (&self.fleet, &defaults.fleet) {
            let mut table = Self::empty(self.head.clone());
            table.values = values
                .iter()
                .map(|(field, value)| (*field, At { value: value.clone(), span: self.head.clone() }))
                .collect();
            self.fleet = RawFleet::Inherited(Box::new(table));
        }
        for (field, default) in &defaults.values {
            if let Some(At { value, .. }) = self.values.get_mut(field) {
                value.fill_up(default);
            } else if !self.has(field) {
                self.values.insert(field, At { value: default.clone(), span: self.head.clone() });
                self.inherited.insert(field);
            }
        }
    }

    /// Whether the table itself contains a valid value.
    pub(in crate::config) fn writes(&self, field: &str) -> bool {
        self.holds(field) && !self.inherited.contains(field)
    }

    /// Whether the table contains the field, valid or not, or under a wrong name.
    pub(in crate::config) fn has(&self, field: &str) -> bool {
        self.is_written(field) || self.meant.contains(field)
    }

    /// Whether there is a value that is valid by itself.
    pub(in crate::config) fn holds(&self, field: &str) -> bool {
        self.values.contains_key(field)
    }

    /// The fields that have errors, or that an unknown name most likely meant.
    pub(super) fn faulty(&self) -> impl Iterator<Item = &'static str> {
        self.broken.union(&self.meant).copied()
    }

    fn is_written(&self, field: &str) -> bool {
        self.values.contains_key(field) || self.broken.contains(field)
    }

    /// The position of a field's value, or of the table's head if it is missing.
    pub(in crate::config) fn span(&self, field: &str) -> Range<usize> {
        self.values.get(field).map_or_else(|| self.head.clone(), |at| at.span.clone())
    }

    getters! {
        text: Text -> String;
        key: Key -> crate::watch::Key;
        number: Number -> i64;
        duration: Duration -> Duration;
        signal: Signal -> crate::watch::SignalNumber;
        action: Action -> crate::watch::Action;
        account: Account -> super::AccountName;
        path: Path -> PathBuf;
        mask: Mask -> u32;
        variables: Variables -> BTreeMap<String, String>;
        limits: Limits -> BTreeMap<crate::watch::Limit, Option<u64>>;
        codes: Codes -> Vec<i32>;
        globs: Globs -> HostGlobs;
        shares: Shares -> Vec<Share>;
        address: Address -> std::net::SocketAddr;
        url: Url -> crate::store::StoreUrl;
        hosts: Hosts -> crate::watch::hosts::Hosts;
    }

    /// A flag, if the value is one and not a word.
    pub(in crate::config) fn flag(&self, field: &str) -> Option<bool> {
        if let Value::Flag(flag) = &self.values.get(field)?.value { Some(*flag) } else { None }
    }

    /// One of the words of this enum.
    pub(in crate::config) fn chosen<T: crate::watch::Choice>(&self, field: &str) -> Option<T> {
        T::from_word(self.word(field)?)
    }

    /// A word, if the value is one and not a flag, number or log server.
    pub(in crate::config) fn word(&self, field: &str) -> Option<&'static str> {
        if let Value::Word(word) = &self.values.get(field)?.value { Some(word) } else { None }
    }

    /// A share of the hosts, where one is written and not a word.
    pub(in crate::config) fn share(&self, field: &str) -> Option<At<Share>> {
        let At { value, span } = self.values.get(field)?;
        if let Value::Share(share) = value { Some(At { value: *share, span: span.clone() }) } else { None }
    }

    /// A log server, where one is written and not a word.
    pub(in crate::config) fn log_server(&self, field: &str) -> Option<&crate::log::LogServer> {
        if let Value::LogServer(server) = &self.values.get(field)?.value { Some(server) } else { None }
    }
}

/// Parses tables and collects their problems.
pub(super) struct Reader<'s> {
    source: &'s SourceText,
    found: Vec<Problem>,
    /// Missing or misplaced fields: they may only be unparsed.
    missing: Vec<Problem>,
    /// The URL of the store that is being read, right or wrong; else its name. Examples are of the same kind.
    pub(super) store_like: String,
    /// What `${name}` stands for; `None` where that is not known and does not matter.
    machine: Option<Arc<Machine>>,
    blamed: BTreeSet<Part>,
    /// Parts that an error may concern if they are not written.
    hidden: BTreeSet<Part>,
    hides_stores: bool,
}

impl<'s> Reader<'s> {
    pub(super) fn new(source: &'s SourceText) -> Self {
        Self {
            source,
            found: Vec::new(),
            missing: Vec::new(),
            store_like: String::new(),
            machine: None,
            blamed: BTreeSet::new(),
            hidden: BTreeSet::new(),
            hides_stores: false,
        }
    }

    /// Reads a part of `twitcher.conf`. It is blamed if it has a problem.
    pub(super) fn part<T>(&mut self, part: Part, read: impl FnOnce(&mut Self) -> T) -> T {
        let count = |reader: &Self| reader.found.len() + reader.missing.len();
        let before = count(self);
        let value = read(self);
        if count(self) > before {
            self.blamed.insert(part);
        }
        value
    }

    /// Records that these parts have errors.
    pub(super) fn blame(&mut self, parts: impl IntoIterator<Item = Part>) {
        self.blamed.extend(parts);
    }

    /// Records that an error may concern these parts, unless they are written.
    pub(super) fn hide(&mut self, parts: impl IntoIterator<Item = Part>) {
        self.hidden.extend(parts);
    }

    /// Blames the hidden parts that are not written.
    pub(super) fn blame_hidden(&mut self, is_written: impl Fn(&Part) -> bool) {
        self.blamed.extend(std::mem::take(&mut self.hidden).into_iter().filter(|part| !is_written(part)));
    }

    /// Records that an error may concern any store.
    pub(super) fn hide_stores(&mut self) {
        self.hides_stores = true;
    }

    /// The parts with errors, and whether an error may concern any store.
    pub(super) fn blamed(&mut self) -> (BTreeSet<Part>, bool) {
        (std::mem::take(&mut self.blamed), self.hides_stores)
    }

    /// A problem that may be a consequence of broken syntax elsewhere.
    pub(super) fn doubtful(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.missing.push(self.source.problem(span, message).with_help(help));
    }

    pub(super) fn wrong(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.found.push(self.source.problem(span, message).with_help(help));
    }

    /// Invalid and missing values.
    pub(super) fn into_problems(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.found, self.missing)
    }

    /// Begins to read a store.
    pub(super) fn set_store(&mut self, name: &str, url: Option<&str>) {
        url.unwrap_or(name).clone_into(&mut self.store_like);
    }

    pub(super) fn set_machine(&mut self, machine: Option<Arc<Machine>>) {
        self.machine = machine;
    }

    /// Parses a `[[watch]]` table. For a watch of other hosts, names of `[vars]` may be unknown here.
    pub(super) fn watch(&mut self, table: &DeTable<'_>, head: Range<usize>, site: Option<&Site>) -> RawTable {
        let included = |site: &&Site| is_for(table, &site.machine.host);
        let here = site.filter(included);
        self.set_machine(here.map(|site| Arc::clone(&site.machine)));
        let others = table.iter().filter(|(name, _)| name.get_ref() != FLEET_TABLE);
        let mut read = self.entries(others, head, WATCH, "watch");
        read.fleet = self.fleet(table, "watch");
        read.elsewhere = site.is_some() && here.is_none();
        if let Some(site) = here {
            read.inherit(&site.defaults);
        }
        read
    }

    /// Reads `fleet` of a watch or of `[defaults]`.
    pub(super) fn fleet(&mut self, table: &DeTable<'_>, above: &str) -> RawFleet {
        let Some((_, value)) = table.iter().find(|(name, _)| name.get_ref() == FLEET_TABLE) else {
            return RawFleet::Unsaid;
        };
        match value.get_ref() {
            DeValue::Table(fields) => {
                RawFleet::Written(Box::new(self.table(fields, value.span(), FLEET, "fleet")))
            }
            DeValue::Boolean(false) => RawFleet::No,
            other => {
                let what = match other {
                    DeValue::Boolean(true) => "`true`",
                    other => kind_of(other),
                };
                let help = format!(
                    "write a line `[{above}.fleet]`; an empty table means one host at a time, and `fleet = false` no fleet"
                );
                self.wrong(value.span(), format!("`fleet` is {what}, expected a table or `false`"), help);
                RawFleet::No
            }
        }
    }

    pub(super) fn table(
        &mut self,
        table: &DeTable<'_>,
        head: Range<usize>,
        fields: &'static [Field],
        what: &str,
    ) -> RawTable {
        self.entries(table.iter(), head, fields, what)
    }

    pub(super) fn entries<'t, 'i: 't>(
        &mut self,
        entries: impl Iterator<Item = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)>,
        head: Range<usize>,
        fields: &'static [Field],
        what: &str,
    ) -> RawTable {
        let read = self.optional(entries, head.clone(), fields, what);
        for field in fields.iter().filter(|field| field.default.is_none() && !read.has(field.name)) {
            let sample = if field.kind == Kind::Url {
                format!("{} = \"{}\"", field.name, example_like(&self.store_like))
            } else {
                field.sample()
            };
            let problem = self
                .source
                .problem(head.clone(), format!("this {what} has no `{}`", field.name))
                .with_help(format!("write for example `{sample}`"));
            self.missing.push(problem);
        }
        read
    }

    /// Like [`entries`](Self::entries), but no field is required.
    pub(super) fn optional<'t, 'i: 't>(
        &mut self,
        entries: impl Iterator<Item = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)>,
        head: Range<usize>,
        fields: &'static [Field],
        what: &str,
    ) -> RawTable {
        let mut read = RawTable::empty(head);
        for (name, value) in entries {
            let Some(field) = fields.iter().find(|field| field.is_called(name.get_ref())) else {
                read.meant.extend(self.unknown(name, value.get_ref(), fields, what));
                continue;
            };
            if read.is_written(field.name) {
                self.wrong(
                    name.span(),
                    format!(
                        "`{}` is written twice: `{}` is another name for it",
                        field.name,
                        field.alias.unwrap_or(field.name)
                    ),
                    "keep one of them",
                );
                continue;
            }
            match Value::read(field, value.get_ref(), value.span(), self.machine.as_deref()) {
                Ok(good) => {
                    read.values.insert(field.name, At { value: good, span: value.span() });
                }
                Err(faults) => {
                    read.broken.insert(field.name);
                    for fault in faults {
                        let help = fault.help.unwrap_or_else(|| format!("for example `{}`", field.sample()));
                        self.wrong(fault.span, fault.message, help);
                    }
                }
            }
        }
        read
    }
}

/// Whether a watch is for this host. With an invalid `hosts` it is, so that the error is reported.
fn is_for(table: &DeTable<'_>, host: &str) -> bool {
    let field = WATCH.iter().find(|field| field.kind == Kind::Hosts);
    let Some((field, (_, value))) = field.zip(table.iter().find(|(name, _)| name.get_ref() == "hosts"))
    else {
        return true;
    };
    match Value::read(field, value.get_ref(), value.span(), None) {
        Ok(Value::Hosts(hosts)) => hosts.include(host),
        Ok(_) | Err(_) => true,
    }
}
