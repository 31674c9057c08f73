//! The parts of `twitcher.conf`: each has its own last valid value.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use crate::config::fields::DAEMON;
use crate::watch::StoreName;

/// The table of names for this machine.
pub(super) const VARS: &str = "vars";
const DEFAULTS: &str = "defaults";
/// The table of the fleet: in a watch, in `[defaults]`, and of the machine.
pub(super) const FLEET_TABLE: &str = "fleet";
const STORE: &str = "store";

/// A part of `twitcher.conf` that is valid or not by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::config) enum Part {
    /// A setting of the daemon, by name.
    Setting(&'static str),
    /// `[vars]`.
    Vars,
    /// `[defaults]`.
    Defaults,
    /// `[fleet]`.
    Fleet,
    /// `[store.NAME]`.
    Store(StoreName),
}

impl Part {
    /// The setting of the daemon with this name.
    pub(super) fn setting(name: &str) -> Option<Self> {
        DAEMON.iter().find(|field| field.is_called(name)).map(|field| Self::Setting(field.name))
    }

    /// The part with this name at the top of the file. Stores have their names one level below `store`.
    pub(super) fn top(name: &str) -> Option<Self> {
        match name {
            VARS => Some(Self::Vars),
            DEFAULTS => Some(Self::Defaults),
            FLEET_TABLE => Some(Self::Fleet),
            name => Self::setting(name),
        }
    }

    /// All parts but the stores, in the order in which they are written.
    pub(in crate::config) fn fixed() -> impl Iterator<Item = Self> {
        let settings = DAEMON.iter().map(|field| Self::Setting(field.name));
        settings.chain([Self::Vars, Self::Defaults, Self::Fleet])
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(name) => write!(f, "`{name}`"),
            Self::Vars => f.write_str("[vars]"),
            Self::Defaults => f.write_str("[defaults]"),
            Self::Fleet => f.write_str("[fleet]"),
            Self::Store(name) => write!(f, "[store.{name}]"),
        }
    }
}

/// The written parts, as TOML values. A part that the file leaves out is not among them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::config) struct Parts(BTreeMap<Part, Value>);

impl Parts {
    /// The parts of a text without errors of the syntax; names that are not known are left out.
    pub(in crate::config) fn of(text: &str) -> Option<Self> {
        let mut parts = BTreeMap::new();
        for (name, value) in toml::from_str::<Table>(text).ok()? {
            match (name.as_str(), value) {
                (STORE, Value::Table(stores)) => {
                    let store = |(name, value): (String, Value)| {
                        Some((Part::Store(StoreName::new(&name).ok()?), value))
                    };
                    parts.extend(stores.into_iter().filter_map(store));
                }
                (name, value) => parts.extend(Part::top(name).map(|part| (part, value))),
            }
        }
        Some(Self(parts))
    }

    pub(in crate::config) fn get(&self, part: &Part) -> Option<&Value> {
        self.0.get(part)
    }

    /// Sets a part, or takes it out.
    pub(in crate::config) fn set(&mut self, part: Part, value: Option<Value>) {
        match value {
            Some(value) => drop(self.0.insert(part, value)),
            None => drop(self.0.remove(&part)),
        }
    }

    /// The stores that are written.
    pub(in crate::config) fn stores(&self) -> impl Iterator<Item = &StoreName> {
        self.0.keys().filter_map(|part| match part {
            Part::Store(name) => Some(name),
            Part::Setting(_) | Part::Vars | Part::Defaults | Part::Fleet => None,
        })
    }

    /// The text of a `twitcher.conf` with these parts: [`Parts::of`] reads it back.
    pub(in crate::config) fn text(&self) -> String {
        let (mut root, mut stores) = (Table::new(), Table::new());
        for part in Part::fixed().chain(self.stores().cloned().map(Part::Store)) {
            let Some(value) = self.0.get(&part).cloned() else { continue };
            let (table, name) = match &part {
                Part::Setting(name) => (&mut root, *name),
                Part::Vars => (&mut root, VARS),
                Part::Defaults => (&mut root, DEFAULTS),
                Part::Fleet => (&mut root, FLEET_TABLE),
                Part::Store(name) => (&mut stores, name.as_str()),
            };
            table.insert(name.to_owned(), value);
        }
        if !stores.is_empty() {
            root.insert(STORE.to_owned(), Value::Table(stores));
        }
        root.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_back_as_the_same_parts() {
        let text = "
            default_store = 'main'
            state_dir = '/srv/it''s'
            shutdown_grace = 1.5
            nonsense = 1
            fleet.ttl = '20s'
            [vars]
            role = \"a\\n'b'\\\"c\\u0001\"
            [store.'a@b:c/d']
            url = 'dir:///a'
            [store.main]
            tls = { ca = '/ca.pem' }
            url = 'etcd://a'
            [defaults]
            env = { 'A B' = 'c', D = '${role}' }
            success_codes = [0, 3]
            [defaults.fleet]
            waves = [1, '10%']
        "
        .replace("it''s", "its");
        let parts = Parts::of(&text).unwrap();
        let written = parts.text();
        assert_eq!(Parts::of(&written).unwrap(), parts, "{written}");
        assert_eq!(Parts::of(&written).unwrap().text(), written);
        insta::assert_snapshot!(written, @r##"
        default_store = "main"
        state_dir = "/srv/its"
        shutdown_grace = 1.5

        [vars]
        role = """
        a
        'b'"c\u0001"""

        [defaults]
        success_codes = [0, 3]

        [defaults.env]
        "A B" = "c"
        D = "${role}"

        [defaults.fleet]
        waves = [1, "10%"]

        [fleet]
        ttl = "20s"

        [store."a@b:c/d"]
        url = "dir:///a"

        [store.main]
        url = "etcd://a"

        [store.main.tls]
        ca = "/ca.pem"
        "##);
        assert_eq!(Parts::default().text(), "");
    }
}
