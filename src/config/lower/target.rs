//! What a `[[watch]]` table watches.

use super::gaps::Gaps;
use super::lowering::Lowering;
use super::store_name::unknown_store;
use crate::config::Settings;
use crate::config::problem::{nearest, word};
use crate::watch::{Machine, StoreName, Target, WatchType};

impl Lowering<'_> {
    pub(super) fn watch_type(&self) -> WatchType {
        self.table.chosen("watch_type").unwrap_or(WatchType::Data)
    }

    pub(super) fn target(&mut self, settings: Option<&Settings>, gaps: &Gaps) -> Option<Target> {
        let key = self.table.key("key");
        let store = self.store(settings, gaps)?;
        let key = key?;
        if let Some(spec) = settings.and_then(|settings| settings.stores.get(&store))
            && let Some(fault) = spec.url.key_fault(&key.value)
        {
            let help = "a key is written like `/nginx/upstream`, and the top of the store is `/`";
            self.wrong(key.span, format!("{fault}, and this is `{}`", word(key.value.as_str())), help);
            return None;
        }
        self.warn_of_shell_variable(key.value.as_str(), settings.map(|settings| &*settings.machine));
        Some(Target { store, key: key.value, watch_type: self.watch_type() })
    }

    /// `$HOST` in a key is most likely meant to be `${host}`.
    fn warn_of_shell_variable(&mut self, key: &str, machine: Option<&Machine>) {
        let name = |after: &str| -> String {
            after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        };
        let mut names = key.split('$').skip(1).map(name);
        let Some(written) = names.find(|name| name.starts_with(|c: char| c.is_ascii_alphabetic())) else {
            return;
        };
        let known = machine.into_iter().flat_map(Machine::names);
        let meant = match nearest(&written, known) {
            Some(near) => near,
            None if written.to_lowercase().starts_with("host") => Machine::HOST,
            None => "name",
        };
        self.warn(
            "key",
            &format!("`${written}` in the key is taken as it is written"),
            &format!(
                "`${{{meant}}}` stands for {}",
                match meant {
                    Machine::HOST => "the host's name",
                    "name" => "a value of [vars]",
                    _ => "its value in [vars]",
                }
            ),
        );
    }

    fn store(&mut self, settings: Option<&Settings>, gaps: &Gaps) -> Option<StoreName> {
        let given = self.table.text("store");
        let Some(settings) = settings else {
            // The watch is only checked, and not loaded.
            return StoreName::new("unknown").ok();
        };
        let Some(at) = given else {
            if self.table.has("store") {
                return None;
            }
            if gaps.default_store {
                self.withhold("`default_store`");
            } else if !settings.stores.contains_key(&settings.default_store) {
                self.withhold(format!("[store.{}], the default store", settings.default_store));
            }
            return Some(settings.default_store.clone());
        };
        if let Some((name, _)) = settings.stores.get_key_value(at.value.as_str()) {
            return Some(name.clone());
        }
        if gaps.stores.may_be(&at.value) {
            self.withhold(format!("[store.{}]", at.value));
            return StoreName::new(&at.value).ok();
        }
        let names = settings.stores.keys().map(StoreName::as_str);
        let problem = unknown_store(self.source.problem(at.span, ""), &at.value, names);
        self.problems.push(problem);
        None
    }
}
