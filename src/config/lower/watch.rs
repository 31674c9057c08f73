//! The meaning of a `[[watch]]` table.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::fleet;
use super::gaps::Gaps;
use super::lowering::Lowering;
use super::shared::Shared;
use super::splay;
use super::validate;
use crate::config::Settings;
use crate::config::accounts::{AccountField, AccountProblem};
use crate::config::problem::{Position, Problem, word};
use crate::config::raw::{AccountName, RawFleet, RawWatchFile};
use crate::store::StoreUrl;
use crate::watch::hosts::Elsewhere;
use crate::watch::{
    Account, Action, FleetSpec, Format, LogOutput, MutexName, PolicySpec, RunOnLoad, Surroundings, Target,
    VERIFY_INTERVAL, WatchName, WatchSpec,
};

type ResolveAccount<'a> =
    dyn FnMut(Option<&AccountName>, Option<&AccountName>) -> Result<Account, AccountProblem> + 'a;

/// The context in which a watch file is lowered.
pub(in crate::config) struct Context<'a> {
    /// Settings and stores; `None` while too little of `twitcher.conf` is known.
    pub(in crate::config) settings: Option<&'a Settings>,
    /// What of the settings is not known.
    pub(in crate::config) gaps: &'a Gaps,
    /// Resolves the account of an action.
    pub(in crate::config) resolve: &'a mut ResolveAccount<'a>,
    /// Shares equal parts.
    pub(in crate::config) shared: &'a mut Shared,
}

/// A watch and where it was written.
#[derive(Debug)]
pub(in crate::config) struct Placed {
    pub(in crate::config) spec: WatchSpec,
    pub(in crate::config) span: Range<usize>,
    /// Its table, by the number in the file.
    pub(in crate::config) table: usize,
}

/// A watch without an error of its own that is not loaded, because a setting that it depends on is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// Its name.
    pub name: WatchName,
    /// What it depends on, in words.
    pub why: String,
    /// Where it is defined.
    pub place: Position,
}

/// The meaning of a file.
pub(in crate::config) struct Lowered {
    /// Its watches for this host.
    pub(in crate::config) watches: Vec<Placed>,
    /// Its watches for other hosts.
    pub(in crate::config) elsewhere: Vec<Elsewhere>,
    /// Its watches that cannot be loaded while `twitcher.conf` has errors.
    pub(in crate::config) withheld: Vec<Withheld>,
    /// What is wrong with it.
    pub(in crate::config) problems: Vec<Problem>,
    /// The terms of its fleets in words, for `check`: one line for each watch.
    pub(in crate::config) notes: Vec<String>,
}

/// Lowers the watches of a file by itself: everything that the settings lack has its default, and no part is shared with other
/// files.
pub(in crate::config) fn lower_alone<'a>(
    raw: &RawWatchFile,
    stem: &str,
    settings: Option<&'a Settings>,
    resolve: &'a mut ResolveAccount<'a>,
) -> Lowered {
    let (gaps, mut shared) = (Gaps::default(), Shared::default());
    lower(raw, stem, &mut Context { settings, gaps: &gaps, resolve, shared: &mut shared })
}

/// Lowers the watches of a file. They are loaded together or not at all: one error breaks the file.
pub(in crate::config) fn lower(raw: &RawWatchFile, stem: &str, context: &mut Context<'_>) -> Lowered {
    let mut watches: Vec<Placed> = Vec::new();
    let mut elsewhere = Vec::new();
    let mut withheld = Vec::new();
    let mut problems = raw.problems.clone();
    let mut names: BTreeMap<WatchName, Range<usize>> = BTreeMap::new();
    let mut notes = Vec::new();
    for (index, table) in raw.watches.iter().enumerate() {
        let mut lowering = Lowering {
            source: &raw.source,
            table,
            problems: &mut problems,
            notes: &mut notes,
            incomplete: raw.incomplete,
            withheld: context.gaps.total.clone(),
        };
        let name = lowering.name(stem, index);
        if table.elsewhere {
            // The same name may stand for another watch on each host.
            let hosts = table.hosts("hosts").map(|at| at.value.to_string()).unwrap_or_default();
            elsewhere.extend(name.map(|(name, _)| Elsewhere { name, hosts }));
            continue;
        }
        if let Some((name, span)) = &name {
            if let Some(first) = names.get(name) {
                let place = raw.source.place(first.start);
                lowering.wrong(
                    span.clone(),
                    format!("this file has a watch `{name}` already, in line {}", place.line),
                    "give each watch a `name` of its own",
                );
            } else {
                names.insert(name.clone(), span.clone());
            }
        }
        if let Some((name, span)) = name
            && let Some(spec) = lowering.watch(name, context)
        {
            if let Some(why) = lowering.withheld.take() {
                withheld.push(Withheld { name: spec.name, why, place: raw.source.place(span.start) });
                continue;
            }
            if let Some(settings) = context.settings {
                lowering.lone_group(&spec, &watches, settings);
            }
            watches.push(Placed { spec, span, table: index });
        }
    }
    problems.sort_by_key(|problem| problem.place);
    Lowered { watches, elsewhere, withheld, problems, notes }
}

impl Lowering<'_> {
    fn name(&mut self, stem: &str, index: usize) -> Option<(WatchName, Range<usize>)> {
        if let Some(at) = self.table.text("name") {
            return WatchName::new(&at.value).ok().map(|name| (name, at.span));
        }
        if self.table.has("name") {
            return None;
        }
        let name = if index == 0 { stem.to_owned() } else { format!("{stem}-{}", index + 1) };
        let head = self.table.head.clone();
        match WatchName::new(&name) {
            Ok(name) => Some((name, head)),
            Err(invalid) => {
                let shown = word(&name);
                self.wrong(
                    head,
                    format!("the file's name makes no name for a watch, `{shown}`: {invalid}"),
                    "give the watch a `name`",
                );
                None
            }
        }
    }

    /// The watch, if it has no error. Errors in single values were reported when the file was parsed.
    fn watch(&mut self, name: WatchName, context: &mut Context<'_>) -> Option<WatchSpec> {
        let target = self.target(context.settings, context.gaps);
        let action = self.action();
        let account = self.account(context);
        let watch_type = self.watch_type();
        let splay = self.duration("splay", Duration::ZERO);
        let machine = context.settings.map(|settings| Arc::clone(&settings.machine)).unwrap_or_default();
        let host = &machine.host;
        let drawn = splay::draw(host, name.as_str(), splay);
        let mut policy = self.policy(drawn);
        let fleet = match (context.settings, &target) {
            (Some(settings), Some(target)) => self.fleet(&name, target, &policy, settings, context.gaps),
            _ => None,
        };
        if let (Some(settings), Some(target), None) = (context.settings, &target, &fleet) {
            self.warn_of_fleet_keys(target, settings);
        }
        let table = self.table;
        if fleet.as_ref().is_some_and(FleetSpec::needs_permits) && !table.has("run_on_load") {
            // A thousand daemons that a package update restarts at once run nothing.
            policy.run_on_load = RunOnLoad::Changed;
        }
        Some(WatchSpec {
            name,
            description: table.text("description").map(|at| at.value).unwrap_or_default(),
            enabled: table.flag("enabled").unwrap_or(true),
            target: target?,
            action: action?,
            surroundings: context.shared.surroundings(Surroundings {
                account: account?,
                cwd: table.path("cwd").map_or_else(|| PathBuf::from(Surroundings::CWD), |at| at.value),
                umask: table.mask("umask").map_or(Surroundings::UMASK, |at| at.value),
                inherit_env: false,
                env: table.variables("env").map(|at| at.value).unwrap_or_default(),
                nice: table.number("nice").and_then(|at| i32::try_from(at.value).ok()),
                limits: table.limits("limits").map(|at| at.value).unwrap_or_default(),
            }),
            pipe_stdin: table.flag("pipe_stdin").unwrap_or(true),
            format: table.chosen("format").unwrap_or(Format::default_for(watch_type)),
            output: table.chosen("output").unwrap_or(LogOutput::Log).into(),
            verify_interval: self.duration("verify_interval", VERIFY_INTERVAL),
            splay,
            mutex: table.text("mutex").and_then(|at| MutexName::new(&at.value).ok()),
            fleet: fleet.map(Box::new),
            validate: validate::program(table),
            on_give_up: self.on_give_up(&policy),
            machine,
            policy: context.shared.policy(policy),
        })
    }

    /// How the watch takes part in a fleet. What `[defaults.fleet]` cannot be for this watch is only noted.
    fn fleet(
        &mut self,
        name: &WatchName,
        target: &Target,
        policy: &PolicySpec,
        settings: &Settings,
        gaps: &Gaps,
    ) -> Option<FleetSpec> {
        let (table, inherited) = match &self.table.fleet {
            RawFleet::Written(table) => (table, false),
            RawFleet::Inherited(table) => (table, true),
            RawFleet::Unsaid | RawFleet::No => return None,
        };
        let store = settings.fleet.store_of(&target.store);
        if gaps.fleet {
            self.withhold("[fleet]");
        } else if gaps.stores.may_be(store.as_str()) && !settings.stores.contains_key(store) {
            self.withhold(format!("[store.{store}], the store of [fleet]"));
        }
        if self.withheld.is_some() {
            // What can be said of it depends on what is not known.
            return None;
        }
        let candidate = fleet::FleetDraft {
            name,
            target,
            policy,
            host: &settings.machine.host,
            settings: &settings.fleet,
            stores: &settings.stores,
            watch: self.table,
            table,
            inherited,
        };
        match candidate.spec() {
            Ok(spec) => {
                self.notes.push(format!("{name} takes part in a fleet as {}", fleet::in_words(&spec)));
                Some(spec)
            }
            Err(faults) if inherited => {
                let why = faults.first().map_or("", |fault| &fault.message);
                self.notes.push(format!("{name} takes no part in the fleet of [defaults.fleet]: {why}"));
                None
            }
            Err(faults) => {
                for fault in faults {
                    self.wrong(fault.span, fault.message, fault.help);
                }
                None
            }
        }
    }

    /// A watch of everything also runs whenever a host of some fleet does something.
    fn warn_of_fleet_keys(&mut self, target: &Target, settings: &Settings) {
        let fleet = &settings.fleet;
        let is_there = fleet.is_written && *fleet.store_of(&target.store) == target.store;
        let has_keys = settings.stores.get(&target.store).is_some_and(|spec| match spec.url {
            StoreUrl::Etcd { .. } | StoreUrl::ZooKeeper { .. } => true,
            StoreUrl::Dir { .. } => false,
        });
        if is_there && has_keys && fleet::meets_fleet_keys(target, &fleet.prefix) {
            let message = format!("the keys of fleets, below {}, are in what is watched", fleet.prefix);
            self.warn("key", &message, "it runs whenever a host of a fleet does; watch another key");
        }
    }

    /// Refuses a second watch of one group: there is one record a host.
    fn lone_group(&mut self, spec: &WatchSpec, others: &[Placed], settings: &Settings) {
        let group = settings.fleet.group_of(spec);
        let in_group = |other: &&Placed| group.is_some() && settings.fleet.group_of(&other.spec) == group;
        let Some(Placed { spec: other, span, .. }) = others.iter().find(in_group) else { return };
        let (place, group) = (self.source.place(span.start), group.map_or("", |(_, group)| group.as_key()));
        let at = match &self.table.fleet {
            RawFleet::Written(table) => table.span("group"),
            RawFleet::Unsaid | RawFleet::No | RawFleet::Inherited(_) => self.table.head.clone(),
        };
        self.wrong(
            at,
            format!(
                "the watch `{}` in line {} is in the fleet's group `{group}` already",
                other.name, place.line
            ),
            "a group has one watch a host: give each a `group` of its own",
        );
    }

    fn action(&mut self) -> Option<Action> {
        let table = self.table;
        match (table.has("action"), table.has("script")) {
            (true, false) => table.action("action").map(|at| at.value),
            (false, true) => table.action("script").map(|at| at.value),
            (true, true) => {
                self.wrong(
                    table.span("script"),
                    "`script` and `action` cannot be combined",
                    "keep one of them",
                );
                None
            }
            (false, false) => {
                // After a syntax error it may only seem to be missing.
                if !self.incomplete {
                    self.wrong(
                        table.head.clone(),
                        "this watch has neither `action` nor `script`",
                        "write for example `action = [\"systemctl\", \"reload\", \"nginx\"]`",
                    );
                }
                None
            }
        }
    }

    fn account(&mut self, context: &mut Context<'_>) -> Option<Account> {
        let table = self.table;
        let (uid, gid) = (table.account("uid"), table.account("gid"));
        if (table.has("uid") && uid.is_none()) || (table.has("gid") && gid.is_none()) {
            return None;
        }
        match (context.resolve)(uid.as_ref().map(|at| &at.value), gid.as_ref().map(|at| &at.value)) {
            Ok(account) => Some(account),
            Err(AccountProblem { field, message, help, is_passing: _ }) => {
                let field = match field {
                    AccountField::Uid => "uid",
                    AccountField::Gid => "gid",
                };
                let from = if table.holds(field) && !table.writes(field) {
                    format!(" (`{field}` is from [defaults] of twitcher.conf)")
                } else {
                    String::new()
                };
                self.wrong(table.span(field), message + &from, help);
                None
            }
        }
    }
}
