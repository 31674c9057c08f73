//! The machine that watches run on: its name, and the variables that the configuration sets for it.

use std::collections::BTreeMap;

/// `host` and `[vars]`, for `${name}` in watch files and for the environment of actions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// The values of `[vars]` by name.
    pub vars: BTreeMap<String, String>,
}

impl Machine {
    /// The variable of the machine's name, as in `${host}`.
    pub const HOST: &'static str = "host";

    /// The value of `${name}`.
    pub fn value(&self, name: &str) -> Option<&str> {
        if name == Self::HOST { Some(&self.host) } else { self.vars.get(name).map(String::as_str) }
    }

    /// Every variable with a value.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        std::iter::once(Self::HOST).chain(self.vars.keys().map(String::as_str))
    }

    /// `TWITCHER_HOST` and `TWITCHER_VAR_…`.
    pub fn environment(&self) -> impl Iterator<Item = (String, &str)> {
        let vars = self.vars.iter().map(|(name, value)| (variable(name), value.as_str()));
        std::iter::once(("TWITCHER_HOST".to_owned(), self.host.as_str())).chain(vars)
    }
}

/// The environment variable of a name in `[vars]`: `db-host` is `TWITCHER_VAR_DB_HOST`.
pub fn variable(name: &str) -> String {
    format!("TWITCHER_VAR_{}", name.to_ascii_uppercase().replace('-', "_"))
}
