//! The settings of a `twitcher.conf` with errors: each part is the file's, or else its last valid value. Pure.
//!
//! A part with neither is not known, and no watch that depends on it is loaded. Only `log`, `log_level` and `http_listen` get
//! their defaults then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::config::Settings;
use crate::config::lower::{self, Gaps, Missing};
use crate::config::raw::{self, Local, Part, Parts, RawLocal, Readable};
use crate::watch::{Machine, StoreName};

/// The settings that are read from a line anywhere in a file that is not TOML.
const RESCUED: [&str; 2] = ["state_dir", "control_socket"];
/// The settings that get their default where no valid value is known.
const WITH_DEFAULT: [&str; 3] = ["log", "log_level", "http_listen"];
/// The settings that a watch can be loaded without.
const NOT_OF_EVERY_WATCH: [&str; 3] = ["state_dir", "control_socket", "default_store"];

/// The table of the remembered settings with the values of `local.conf`; the rest is that of `twitcher.conf`.
const LOCAL_TABLE: &str = "local";

/// The readable parts of a `twitcher.conf`.
#[derive(Debug, Default)]
pub(super) struct File {
    written: Parts,
    blamed: BTreeSet<Part>,
    /// Any part that is missing may be in the unreadable text.
    is_torn: bool,
    /// Any store that is missing may be in it.
    hides_stores: bool,
}

impl File {
    /// A file that cannot be read.
    pub(super) fn unread() -> Self {
        Self { is_torn: true, ..Self::default() }
    }

    /// The same file, if only the text up to an invalid byte was read.
    pub(super) fn torn(mut self) -> Self {
        self.is_torn = true;
        self
    }

    /// The same file, with this part blamed as well.
    pub(super) fn without(mut self, part: Part) -> Self {
        self.blamed.insert(part);
        self
    }

    pub(super) fn of(path: &Arc<Path>, text: &str, local: &Local) -> Self {
        let Readable { text: good, mut blamed, is_torn } = raw::readable(text);
        let mut raw = raw::settings(Arc::clone(path), &good, local);
        if is_torn || blamed.contains(&Part::Vars) || raw.blamed.contains(&Part::Vars) {
            // Whether [defaults] names an unknown variable is found out when all parts are put together.
            raw = raw::unexpanded(Arc::clone(path), &good, local);
        }
        let missing = Missing { named: stores_of(&blamed), more: is_torn || raw.hides_stores };
        blamed.extend(lower::parts(&raw, &missing).blamed);
        let written = Parts::of(&good);
        let is_torn = is_torn || written.is_none();
        let (written, hides_stores) = (written.unwrap_or_default(), raw.hides_stores);
        let mut file = Self { written, blamed, is_torn, hides_stores };
        if text != good {
            file.rescue(path, text, local);
        }
        file
    }

    /// Reads the settings [`RESCUED`] from any line of the text, if all such lines agree.
    fn rescue(&mut self, path: &Arc<Path>, text: &str, local: &Local) {
        for name in RESCUED {
            let part = Part::Setting(name);
            if self.written.get(&part).is_some() || self.blamed.contains(&part) {
                continue;
            }
            let of_line = |line: &str| {
                let line = line.trim();
                let is_it = line.strip_prefix(name)?.trim_start().starts_with('=');
                let raw = is_it.then(|| raw::settings(Arc::clone(path), line, local))?;
                let value = Parts::of(line)?.get(&part)?.clone();
                lower::parts(&raw, &Missing::default()).blamed.is_empty().then_some(value)
            };
            let mut values: Vec<_> = text.lines().filter_map(of_line).collect();
            values.dedup();
            if let [value] = values.as_slice() {
                self.written.set(part, Some(value.clone()));
            }
        }
    }

    /// Whether the file has no reliable value for a part.
    fn lacks(&self, part: &Part) -> bool {
        let is_uncertain = match part {
            Part::Store(_) => self.is_torn || self.hides_stores,
            Part::Setting(_) | Part::Vars | Part::Defaults | Part::Fleet => self.is_torn,
        };
        self.blamed.contains(part) || (is_uncertain && self.written.get(part).is_none())
    }

    /// The state directory in the file; `Ok(None)` is the default, `Err` means that it is not known.
    pub(super) fn state_dir(&self) -> Result<Option<&str>, ()> {
        let part = Part::Setting("state_dir");
        if self.lacks(&part) { Err(()) } else { Ok(self.written.get(&part).and_then(|value| value.as_str())) }
    }
}

/// The values of all parts: of a valid file, or of those that are in effect instead.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Known {
    /// What is written. A part that is neither here nor unknown has its default.
    pub(super) parts: Parts,
    /// The parts of which no valid value is known.
    unknown: BTreeSet<Part>,
    /// There may be stores of which not even the name is known.
    hides_stores: bool,
}

impl Known {
    /// The parts of a valid file.
    pub(super) fn valid(text: &str) -> Option<Self> {
        Some(Self { parts: Parts::of(text)?, ..Self::default() })
    }

    /// The valid parts of a text that was remembered, perhaps by another version, and the values of `local.conf` in it, if they
    /// are valid.
    pub(super) fn remembered(path: &Arc<Path>, text: &str, hostname: &str) -> Option<(Self, Option<Local>)> {
        let Readable { text, blamed, is_torn } = raw::readable(text);
        let mut root = toml::from_str::<toml::Table>(&text).ok()?;
        if is_torn || !blamed.is_empty() {
            return None;
        }
        let local = match root.remove(LOCAL_TABLE) {
            None => Some(Local::named(hostname)),
            Some(toml::Value::Table(said)) => {
                let RawLocal { host, vars, problems } = raw::local(Arc::clone(path), &said.to_string());
                problems.is_empty().then(|| Local { hostname: hostname.to_owned(), host, vars })
            }
            Some(_) => None,
        };
        // A table or setting that only another version knows is not a misspelled part: leave it out.
        let written = Parts::of(&root.to_string())?.text();
        let named = Local::named(hostname);
        let mut file = File::of(path, &written, local.as_ref().unwrap_or(&named));
        if local.is_none() {
            file = file.without(Part::Setting(Machine::HOST)).without(Part::Vars);
        }
        (!file.is_torn && !file.hides_stores).then(|| {
            let mut parts = file.written;
            for part in &file.blamed {
                parts.set(part.clone(), None);
            }
            (Self { parts, unknown: file.blamed, hides_stores: false }, local)
        })
    }

    /// The text of these parts and of `local.conf`, which [`Known::remembered`] reads back.
    pub(super) fn to_remember(&self, local: &Local) -> String {
        let Local { hostname: _, host, vars } = local;
        let mut said = toml::Table::new();
        if let Some(host) = host {
            said.insert(Machine::HOST.to_owned(), host.as_str().into());
        }
        if !vars.is_empty() {
            let vars = vars.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
            said.insert("vars".to_owned(), toml::Value::Table(vars.collect()));
        }
        let parts = self.parts.text();
        if said.is_empty() {
            return parts;
        }
        let said = toml::Table::from_iter([(LOCAL_TABLE.to_owned(), toml::Value::Table(said))]);
        format!("{parts}\n{said}")
    }

    pub(super) fn is_unknown(&self, setting: &'static str) -> bool {
        self.unknown.contains(&Part::Setting(setting))
    }

    /// The text of a setting.
    pub(super) fn text(&self, setting: &'static str) -> Option<&str> {
        self.parts.get(&Part::Setting(setting))?.as_str()
    }

    /// Whether a part that is not known has its default.
    pub(super) fn has_default(part: &Part) -> bool {
        matches!(part, Part::Setting(name) if WITH_DEFAULT.contains(name))
    }

    /// The parts without a valid value.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &Part> {
        self.unknown.iter()
    }

    /// The unknown parts that watches depend on.
    pub(super) fn gaps(&self) -> Gaps {
        let is_needed_by_all = |part: &&Part| match part {
            Part::Setting(name) => !(WITH_DEFAULT.contains(name) || NOT_OF_EVERY_WATCH.contains(name)),
            Part::Fleet | Part::Store(_) => false,
            Part::Vars | Part::Defaults => true,
        };
        let total: Vec<String> =
            self.unknown.iter().filter(is_needed_by_all).map(ToString::to_string).collect();
        Gaps {
            total: (!total.is_empty()).then(|| total.join(", ")),
            default_store: self.is_unknown("default_store"),
            fleet: self.unknown.contains(&Part::Fleet),
            stores: self.missing(),
        }
    }

    fn missing(&self) -> Missing {
        Missing { named: stores_of(&self.unknown), more: self.hides_stores }
    }
}

fn stores_of(parts: &BTreeSet<Part>) -> BTreeSet<StoreName> {
    let store = |part: &Part| match part {
        Part::Store(name) => Some(name.clone()),
        Part::Setting(_) | Part::Vars | Part::Defaults | Part::Fleet => None,
    };
    parts.iter().filter_map(store).collect()
}

/// The settings in effect.
#[derive(Debug)]
pub(super) struct Merged {
    /// `None` only through a bug.
    pub(super) settings: Option<Settings>,
    pub(super) known: Known,
    /// The parts that have their last valid value.
    pub(super) kept: BTreeSet<Part>,
}

/// Where the value of a part comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    File,
    Last,
    Nowhere,
}

/// Completes a file by the last valid values.
pub(super) fn merge(path: &Arc<Path>, file: &File, last: Option<&Known>, local: &Local) -> Merged {
    let before = |part: &Part| match (last, part) {
        (None, _) => Origin::Nowhere,
        (Some(last), _) if last.unknown.contains(part) => Origin::Nowhere,
        // `local` is there without being written.
        (Some(last), Part::Store(name)) if last.parts.get(part).is_none() && name.as_str() != "local" => {
            Origin::Nowhere
        }
        (Some(_), _) => Origin::Last,
    };
    let origin = |part: Part| {
        let origin = if file.lacks(&part) { before(&part) } else { Origin::File };
        (part, origin)
    };
    let mut origins: BTreeMap<Part, Origin> = all_parts(file, last).into_iter().map(origin).collect();
    let hides_stores = file.is_torn || file.hides_stores;
    // Each turn takes back at least one part.
    for _ in 0..=2 * origins.len() {
        let mut known = Known { hides_stores, ..Known::default() };
        for (part, origin) in &origins {
            match origin {
                Origin::File => known.parts.set(part.clone(), file.written.get(part).cloned()),
                Origin::Last => {
                    known.parts.set(part.clone(), last.and_then(|last| last.parts.get(part)).cloned());
                }
                Origin::Nowhere => drop(known.unknown.insert(part.clone())),
            }
        }
        let raw = raw::settings(Arc::clone(path), &known.parts.text(), local);
        let lowered = lower::parts(&raw, &known.missing());
        if lowered.settings.is_some() {
            let kept = origins.into_iter().filter(|(_, origin)| *origin == Origin::Last);
            return Merged { settings: lowered.settings, known, kept: kept.map(|(part, _)| part).collect() };
        }
        // A part that is valid in its own file may be invalid beside values of the other, such as a name in [defaults].
        let mut is_better = false;
        for part in lowered.blamed {
            if let Some(origin) = origins.get_mut(&part).filter(|origin| **origin != Origin::Nowhere) {
                *origin = if *origin == Origin::File { before(&part) } else { Origin::Nowhere };
                is_better = true;
            }
        }
        if !is_better {
            break;
        }
    }
    let known = Known { unknown: origins.into_keys().collect(), hides_stores: true, ..Known::default() };
    Merged { settings: None, known, kept: BTreeSet::new() }
}

/// Every part that the file or the last values have, or may have.
fn all_parts(file: &File, last: Option<&Known>) -> BTreeSet<Part> {
    let mut parts: BTreeSet<Part> = Part::fixed().collect();
    parts.extend(StoreName::new("local").map(Part::Store));
    parts.extend(file.written.stores().cloned().map(Part::Store));
    parts.extend(file.blamed.iter().cloned());
    if let Some(last) = last {
        parts.extend(last.parts.stores().cloned().map(Part::Store));
        parts.extend(last.unknown.iter().cloned());
    }
    parts
}

#[cfg(test)]
mod tests;
