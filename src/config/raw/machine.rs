//! `host` and `[vars]`: the identity of this machine, from `local.conf`, `twitcher.conf` and the command line.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::kind::kind_of;
use super::part::{Part, VARS};
use super::table::{RawTable, Reader};
use super::value::without_nul;
use crate::config::problem::{nearest, word};
use crate::watch::{Machine, variable};

/// What is known of this machine before `twitcher.conf` is read; it takes precedence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::config) struct Local {
    /// The system's host name; any configured name takes precedence.
    pub(in crate::config) hostname: String,
    /// `host`.
    pub(in crate::config) host: Option<String>,
    /// `[vars]`.
    pub(in crate::config) vars: BTreeMap<String, String>,
}

impl Local {
    /// A machine without a `local.conf`.
    pub(in crate::config) fn named(hostname: &str) -> Self {
        Self { hostname: hostname.to_owned(), ..Self::default() }
    }

    /// The machine, completed by `twitcher.conf`.
    pub(super) fn machine(&self, daemon: &RawTable, mut vars: BTreeMap<String, String>) -> Machine {
        let host = self.host.clone().or_else(|| daemon.text("host").map(|at| at.value));
        vars.extend(self.vars.clone());
        Machine { host: host.unwrap_or_else(|| self.hostname.clone()), vars }
    }
}

/// The table `[vars]`, if there is one.
pub(super) fn vars_of(reader: &mut Reader<'_>, root: &DeTable<'_>) -> BTreeMap<String, String> {
    let Some((_, value)) = root.iter().find(|(name, _)| name.get_ref() == VARS) else {
        return BTreeMap::new();
    };
    let DeValue::Table(table) = value.get_ref() else {
        reader.wrong(
            value.span(),
            format!("`vars` is a table, not {}", kind_of(value.get_ref())),
            "write a line `[vars]` and below it for example `role = \"web\"`",
        );
        return BTreeMap::new();
    };
    let mut vars: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in table {
        if name.get_ref() == Machine::HOST {
            reader.blame([Part::Setting(Machine::HOST)]);
        }
        match var(name.get_ref(), name.span(), value.get_ref(), value.span(), &vars) {
            Ok(text) => drop(vars.insert(name.get_ref().to_string(), text)),
            Err((span, message, help)) => reader.wrong(span, message, help),
        }
    }
    vars
}

type Wrong = (Range<usize>, String, String);

fn var(
    name: &str,
    place: Range<usize>,
    value: &DeValue<'_>,
    span: Range<usize>,
    others: &BTreeMap<String, String>,
) -> Result<String, Wrong> {
    if name == Machine::HOST {
        let help = "write `host = \"…\"` above the first line in brackets";
        return Err((place, "`host` is a setting of its own, not one of [vars]".to_owned(), help.to_owned()));
    }
    if let Err(message) = check_name(name) {
        return Err((place, message, "write for example `role = \"web\"`".to_owned()));
    }
    if let Some(other) = others.keys().find(|other| variable(other) == variable(name)) {
        let message = format!("`{name}` and `{other}` are the same variable, {}", variable(name));
        return Err((place, message, "keep one of them".to_owned()));
    }
    let DeValue::String(text) = value else {
        let message = format!("`{name}` is {}, expected a string", kind_of(value));
        return Err((span, message, "write it between quotes".to_owned()));
    };
    match without_nul(text, &span) {
        Ok(text) => Ok(text.to_owned()),
        Err(fault) => Err((fault.span, fault.message, fault.help.unwrap_or_default())),
    }
}

/// Whether `[vars]` may define this name.
pub(in crate::config) fn check_name(name: &str) -> Result<(), String> {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    let good = name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(rest);
    if good {
        return Ok(());
    }
    let near =
        nearest(name, [Machine::HOST]).map(|_| " (`host` is a setting of its own)").unwrap_or_default();
    Err(format!(
        "`{}` is not a name of [vars]: a name is a letter a-z and then a-z, 0-9, `_`, `-`{near}",
        word(name)
    ))
}
