//! The parts of `twitcher.conf`: each has its own last valid value.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use crate::config::fields::DAEMON;
use crate::watch::StoreName;

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

/// The parts that are written, as TOML values. What a file leaves out is not in here.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::config) struct Parts(BTreeMap<Part, Value>);

impl Parts {
    /// The parts of a text without errors of the syntax; names that are not known are left out.
    pub(in crate::config) fn of(text: &str) -> Option<Self> {
        let mut parts = BTreeMap::new();
        for (name, value) in toml::from_str::<Table>(text).ok()? {
            let part = match (name.as_str(), value) {
                ("store", Value::Table(stores)) => {
                    let store = |(name, value): (String, Value)| {
                        Some((Part::Store(StoreName::new(&name).ok()?), value))
                    };
                    parts.extend(stores.into_iter().filter_map(store));
                    continue;
                }
                ("vars", value) => (Part::Vars, value),
                ("defaults", value) => (Part::Defaults, value),
                ("fleet", value) => (Part::Fleet, value),
                (name, value) => match DAEMON.iter().find(|field| field.is_called(name)) {
                    Some(field) => (Part::Setting(field.name), value),
                    None => continue,
                },
            };
            parts.extend([part]);
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
            match part {
                Part::Setting(name) => drop(root.insert(name.to_owned(), value)),
                Part::Vars => drop(root.insert("vars".to_owned(), value)),
                Part::Defaults => drop(root.insert("defaults".to_owned(), value)),
                Part::Fleet => drop(root.insert("fleet".to_owned(), value)),
                Part::Store(name) => drop(stores.insert(name.to_string(), value)),
            }
        }
        if !stores.is_empty() {
            root.insert("store".to_owned(), Value::Table(stores));
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
