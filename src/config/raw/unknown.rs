//! The problem for an unknown name, and which part of `twitcher.conf` the name was most likely meant for.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::part::{FLEET_TABLE, Part, VARS};
use super::table::Reader;
use crate::config::fields::{
    DAEMON, FLEET, FLEET_SETTINGS, Field, Kind, NOT_DEFAULTS, STORE, TLS, WATCH, synonym,
};
use crate::config::problem::{nearest, word};
use crate::store::url::example_like;

/// Field names under which users put secrets into a store's table by mistake.
const SECRETS: [&str; 6] = ["password", "passwd", "pass", "digest", "secret", "token"];

impl Reader<'_> {
    /// Reports an unknown field, and finds the one that was meant.
    pub(super) fn unknown(
        &mut self,
        name: &Spanned<DeString<'_>>,
        value: &DeValue<'_>,
        fields: &'static [Field],
        what: &str,
    ) -> Option<&'static str> {
        let given = name.get_ref();
        self.blame_meant(given, what, value);
        if let Some((message, help)) = misplaced(given, what) {
            self.wrong(name.span(), message, help);
            return None;
        }
        let known = fields.iter().flat_map(|field| [Some(field.name), field.alias]).flatten();
        let near = synonym(given, fields).or_else(|| {
            nearest(given, known).and_then(|near| fields.iter().find(|field| field.is_called(near)))
        });
        let table =
            value.as_table().filter(|_| what == "setting").and_then(|table| table_meant(given, table));
        let help = match near {
            _ if what == "setting" && given == "watch" => {
                "watches belong in files `*.toml` beside this one".to_owned()
            }
            _ if table.is_some() => format!("did you mean `[{}]`?", table.unwrap_or_default()),
            _ if what == "store" && SECRETS.contains(&given.as_ref()) => self.secret_help().to_owned(),
            _ if what == "local setting" => {
                "local.conf holds `host` and `[vars]` and nothing else; all other settings belong in twitcher.conf".to_owned()
            }
            _ if what == "fleet" && FLEET_SETTINGS.iter().any(|field| field.is_called(given)) => {
                "it is a setting of the machine: write it below a line `[fleet]` in twitcher.conf".to_owned()
            }
            _ if what == "fleet setting" && FLEET.iter().any(|field| field.is_called(given)) => {
                "it is about a watch: write it below a line `[watch.fleet]` in a watch file, or `[defaults.fleet]` here"
                    .to_owned()
            }
            None if matches!(what, "watch" | "defaults") && nearest(given, [FLEET_TABLE]).is_some() => {
                format!("did you mean the table `[{what}.fleet]`?")
            }
            Some(field) if field.kind == Kind::Url => {
                format!("did you mean `{}`? for example `url = \"{}\"`", field.name, example_like(&self.store_like))
            }
            Some(field) => format!("did you mean `{}`? for example `{}`", field.name, field.sample()),
            None => {
                let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
                format!("known are {}", names.join(", "))
            }
        };
        let what = match what {
            "setting" | "local setting" => "setting".to_owned(),
            "watch" => "field".to_owned(),
            "defaults" => "field of [defaults]".to_owned(),
            "fleet setting" => "field of [fleet]".to_owned(),
            other => format!("field of a {other} table"),
        };
        self.wrong(name.span(), format!("unknown {what} `{}`", word(given)), help);
        near.map(|field| field.name)
    }

    /// Where the secret of the current store belongs.
    fn secret_help(&self) -> &'static str {
        let example = example_like(&self.store_like);
        if example.starts_with("zookeeper") {
            "secrets come from files only, of mode 0600: write `digest_file = \"/etc/twitcher/zk.digest\"`, and \
             `user:password` into that file"
        } else if example.starts_with("dir") {
            "a `dir` store has no users: take it out"
        } else {
            "secrets come from files only, of mode 0600: write `password_file = \"/etc/twitcher/etcd.password\"` beside \
             `username`"
        }
    }

    /// Blames the parts of `twitcher.conf` that an unknown name may have been meant for.
    fn blame_meant(&mut self, given: &str, what: &str, value: &DeValue<'_>) {
        let tables = tables_of(value);
        let is_in = |fields: &[Field]| fields.iter().any(|field| field.is_called(given));
        match what {
            "store" | "tls" | "defaults" | "fleet setting" => {
                // Where the head of a table is missing, its fields are in the table above.
                self.blame(Part::setting(given));
                let is_default = is_in(WATCH) && !NOT_DEFAULTS.contains(&given);
                self.hide((is_default || is_in(FLEET)).then_some(Part::Defaults));
                self.hide(is_in(FLEET_SETTINGS).then_some(Part::Fleet));
                if is_in(STORE) {
                    self.hide_stores();
                }
            }
            "setting" if !tables.is_empty() => {
                match nearest(given, ["store", VARS, "defaults", FLEET_TABLE]) {
                    Some("store") => self.hide_stores(),
                    Some(VARS) => self.blame([Part::Vars]),
                    Some("defaults") => self.blame([Part::Defaults]),
                    Some(_) => self.blame([Part::Fleet]),
                    // `[[watch]]`: a watch in the wrong file.
                    None if given == "watch" && !value.is_table() => {}
                    None => self.hide_any(&tables),
                }
            }
            "setting" if is_in(STORE) => self.hide_stores(),
            "setting" if is_in(WATCH) => self.blame([Part::Defaults]),
            _ => {}
        }
    }

    /// An unknown table may have been meant for any other table, and for the settings in it.
    fn hide_any(&mut self, tables: &[&DeTable<'_>]) {
        let names = tables.iter().flat_map(|table| table.keys());
        self.hide(names.filter_map(|name| Part::setting(name.get_ref())));
        self.hide([Part::Vars, Part::Defaults, Part::Fleet]);
        self.hide_stores();
    }
}

/// A table, or the tables of an array.
fn tables_of<'t, 'i>(value: &'t DeValue<'i>) -> Vec<&'t DeTable<'i>> {
    match value.as_array() {
        Some(values) => values.iter().filter_map(|value| value.get_ref().as_table()).collect(),
        None => value.as_table().into_iter().collect(),
    }
}

/// The head of the table that another name most likely means.
fn table_meant(given: &str, table: &DeTable<'_>) -> Option<String> {
    let near = nearest(given, ["store", "vars", "defaults"])?;
    if near != "store" {
        return Some(near.to_owned());
    }
    let first = table.iter().next().map_or("main", |(name, _)| name.get_ref().as_ref());
    Some(format!("store.{}", word(first)))
}

/// Message and help for a field that belongs elsewhere: in TOML, everything below a line in brackets is in that table.
fn misplaced(given: &str, what: &str) -> Option<(String, &'static str)> {
    let is_in = |fields: &[Field]| fields.iter().any(|field| field.is_called(given));
    let shown = word(given);
    match what {
        "store" | "tls" | "defaults" if is_in(DAEMON) => Some((
            format!("`{shown}` is a setting of the daemon: move it above the first line in brackets"),
            "everything below a line in brackets belongs to that table",
        )),
        "store" if is_in(TLS) => Some((
            format!("`{shown}` is about certificates: move it below a line `[store.NAME.tls]`"),
            "everything below a line in brackets belongs to that table",
        )),
        "tls" if is_in(STORE) => Some((
            format!("`{shown}` is a field of the store: move it above the line `[store.NAME.tls]`"),
            "everything below a line in brackets belongs to that table",
        )),
        "setting" if is_in(STORE) => Some((
            format!("`{shown}` is a field of a store: move it below a line such as `[store.main]`"),
            "everything below a line in brackets belongs to that table",
        )),
        "setting" if is_in(WATCH) && !NOT_DEFAULTS.contains(&given) && given != "watch" => Some((
            format!(
                "`{shown}` is a field of a watch: write it in a watch file, or for all watches below `[defaults]`"
            ),
            "everything below a line in brackets belongs to that table",
        )),
        _ => None,
    }
}
