//! The meaning of a `[[watch]]` table.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::fleet;
use super::shared::Shared;
use super::splay;
use super::store_name::unknown_store;
use super::validate;
use crate::config::Settings;
use crate::config::accounts::{AccountField, AccountProblem};
use crate::config::problem::{Problem, Source, nearest, word};
use crate::config::raw::{AccountName, At, RawFleet, RawTable, RawWatchFile};
use crate::store::StoreUrl;
use crate::watch::hosts::Elsewhere;
use crate::watch::{
    Account, Action, FleetSpec, Format, Guard, LogOutput, Machine, MutexName, PolicySpec, Retries, RunMode,
    RunModeName, RunOnLoad, StoreName, Surroundings, Target, VERIFY_INTERVAL, WatchName, WatchSpec,
    WatchType,
};

type ResolveAccount<'a> =
    dyn FnMut(Option<&AccountName>, Option<&AccountName>) -> Result<Account, AccountProblem> + 'a;

/// The context in which a watch file is lowered.
pub(in crate::config) struct Context<'a> {
    /// Settings and stores; `None` while `twitcher.conf` cannot be read, so that no store is known.
    pub(in crate::config) settings: Option<&'a Settings>,
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

/// The meaning of a file.
pub(in crate::config) struct Lowered {
    /// Its watches for this host.
    pub(in crate::config) watches: Vec<Placed>,
    /// Its watches for other hosts.
    pub(in crate::config) elsewhere: Vec<Elsewhere>,
    /// What is wrong with it.
    pub(in crate::config) problems: Vec<Problem>,
    /// What its fleets come to, for `check`: a line a watch.
    pub(in crate::config) notes: Vec<String>,
}

/// Lowers the watches of a file. They are loaded together or not at all: one error breaks the file.
pub(in crate::config) fn lower(raw: &RawWatchFile, stem: &str, context: &mut Context<'_>) -> Lowered {
    let mut watches: Vec<Placed> = Vec::new();
    let mut elsewhere = Vec::new();
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
            if let Some(settings) = context.settings {
                lowering.lone_group(&spec, &watches, settings);
            }
            watches.push(Placed { spec, span, table: index });
        }
    }
    problems.sort_by_key(|problem| problem.place);
    Lowered { watches, elsewhere, problems, notes }
}

struct Lowering<'a> {
    source: &'a Source,
    table: &'a RawTable,
    problems: &'a mut Vec<Problem>,
    notes: &'a mut Vec<String>,
    incomplete: bool,
}

impl Lowering<'_> {
    fn wrong(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(self.source.problem(span, message).with_help(help));
    }

    fn warn(&mut self, field: &str, message: &str, help: &str) {
        let problem = self.source.problem(self.table.span(field), message).with_help(help).into_warning();
        self.problems.push(problem);
    }

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
        let target = self.target(context.settings);
        let action = self.action();
        let account = self.account(context);
        let watch_type = self.watch_type();
        let splay = self.duration("splay", Duration::ZERO);
        let machine = context.settings.map(|settings| Arc::clone(&settings.machine)).unwrap_or_default();
        let host = &machine.host;
        let drawn = splay::draw(host, name.as_str(), splay);
        let mut policy = self.policy(drawn);
        let fleet = match (context.settings, &target) {
            (Some(settings), Some(target)) => self.fleet(&name, target, &policy, settings),
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
    ) -> Option<FleetSpec> {
        let (table, inherited) = match &self.table.fleet {
            RawFleet::Written(table) => (table, false),
            RawFleet::Inherited(table) => (table, true),
            RawFleet::Unsaid | RawFleet::No => return None,
        };
        let candidate = fleet::Candidate {
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

    fn duration(&self, field: &str, default: Duration) -> Duration {
        self.table.duration(field).map_or(default, |at| at.value)
    }

    fn watch_type(&self) -> WatchType {
        self.table.chosen("watch_type").unwrap_or(WatchType::Data)
    }

    fn target(&mut self, settings: Option<&Settings>) -> Option<Target> {
        let key = self.table.key("key");
        let store = self.store(settings)?;
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

    fn store(&mut self, settings: Option<&Settings>) -> Option<StoreName> {
        let given = self.table.text("store");
        let Some(settings) = settings else {
            // The caller reports once that nothing is loaded, and drops the watch.
            return StoreName::new("unknown").ok();
        };
        let Some(at) = given else {
            return (!self.table.has("store")).then(|| settings.default_store.clone());
        };
        if let Some((name, _)) = settings.stores.get_key_value(at.value.as_str()) {
            return Some(name.clone());
        }
        let names = settings.stores.keys().map(StoreName::as_str);
        let problem = unknown_store(self.source.problem(at.span, ""), &at.value, names);
        self.problems.push(problem);
        None
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

    fn policy(&mut self, splay: Duration) -> PolicySpec {
        let table = self.table;
        let run_mode = match table.chosen("run_mode").unwrap_or(RunModeName::Queue) {
            RunModeName::Queue => RunMode::Queue,
            RunModeName::Discard => RunMode::Discard,
            RunModeName::Restart => RunMode::Restart,
            RunModeName::Parallel => {
                let max = table.number("max_parallel").and_then(|at| u32::try_from(at.value).ok());
                RunMode::Parallel { max: max.unwrap_or(RunMode::MAX_PARALLEL) }
            }
        };
        if table.writes("max_parallel") && !matches!(run_mode, RunMode::Parallel { .. }) {
            self.warn(
                "max_parallel",
                "`max_parallel` has no effect here",
                "it needs `run_mode = \"parallel\"`",
            );
        }
        if table.writes("notify_signal") && run_mode != RunMode::Queue {
            self.warn(
                "notify_signal",
                "`notify_signal` has no effect here",
                "it needs `run_mode = \"queue\"`",
            );
        }
        let (settle, settle_max) = self.settle();
        let (retry_delay, retry_delay_max) = self.retry_delay();
        let default = PolicySpec::default();
        let guard = self.guard();
        PolicySpec {
            run_on_load: match (table.flag("run_on_load"), table.word("run_on_load")) {
                (_, Some(_)) => RunOnLoad::Changed,
                (Some(false), None) => RunOnLoad::Never,
                (Some(true), None) => RunOnLoad::Always,
                (None, None) => default.run_on_load,
            },
            run_mode,
            on_delete: table.chosen("on_delete").unwrap_or(default.on_delete),
            // A default that does not fit the run mode is skipped.
            notify_signal: table
                .signal("notify_signal")
                .filter(|_| run_mode == RunMode::Queue || table.writes("notify_signal"))
                .map(|at| at.value),
            timeout: table.duration("timeout").map(|at| at.value),
            kill_after: self.duration("kill_after", default.kill_after),
            settle,
            settle_max,
            splay,
            min_interval: self.duration("min_interval", default.min_interval),
            retries: if table.word("retries").is_some() {
                Retries::Unlimited
            } else if table.has("retries") {
                let most = table.number("retries").and_then(|at| u32::try_from(at.value).ok());
                Retries::AtMost(most.unwrap_or(0))
            } else {
                default.retries
            },
            retry_delay,
            retry_delay_max,
            on_failure: table.chosen("on_failure").unwrap_or(default.on_failure),
            success_codes: table.codes("success_codes").map_or(default.success_codes, |at| at.value),
            guard,
        }
    }

    fn on_give_up(&mut self, policy: &PolicySpec) -> Option<Box<Action>> {
        let at = self.table.action("on_give_up")?;
        if policy.retries == Retries::Unlimited && !policy.guard.is_on() && self.table.writes("on_give_up") {
            self.warn(
                "on_give_up",
                "`on_give_up` never runs here, because `retries = \"unlimited\"` and no guard holds a state back",
                "limit `retries`, or leave it out",
            );
        }
        Some(Box::new(at.value))
    }

    fn guard(&mut self) -> Guard {
        let table = self.table;
        let fits = match self.watch_type() {
            WatchType::Data => false,
            WatchType::Children | WatchType::Tree => true,
        };
        for field in ["min_entries", "max_shrink"] {
            if !fits && table.writes(field) {
                self.wrong(
                    table.span(field),
                    format!("`{field}` counts entries, and a single value has none"),
                    "it goes with `watch_type = \"tree\"` or `\"children\"`; leave it out here",
                );
            }
        }
        let number = |field| table.number(field).filter(|_| fits).map(|at| at.value);
        Guard {
            min_entries: number("min_entries").and_then(|least| u64::try_from(least).ok()).unwrap_or(0),
            max_shrink: number("max_shrink").and_then(|percent| u8::try_from(percent).ok()),
            validate: validate::judges(table, self.watch_type()),
        }
    }

    fn settle(&mut self) -> (Duration, Duration) {
        let settle = self.duration("settle", Duration::ZERO);
        let written = self.table.writes("settle_max");
        let fits = |most: &At<Duration>| written || most.value >= settle;
        let Some(most) = self.table.duration("settle_max").filter(fits) else {
            return (settle, PolicySpec::settle_max_of(settle));
        };
        if settle.is_zero() {
            if written && !self.table.has("settle") {
                self.warn("settle_max", "`settle_max` has no effect without `settle`", "set `settle` too");
            }
            // There is nothing to wait for: equal to a watch without it.
            return (settle, Duration::ZERO);
        }
        if most.value < settle {
            self.wrong(
                most.span,
                "`settle_max` is shorter than `settle`",
                "write at least `settle`, for example 10 times as much",
            );
        }
        (settle, most.value)
    }

    fn retry_delay(&mut self) -> (Duration, Duration) {
        let first = self.duration("retry_delay", PolicySpec::default().retry_delay);
        let Some(most) = self.table.duration("retry_delay_max") else {
            return (first, PolicySpec::retry_delay_max_of(first));
        };
        if most.value >= first {
            return (first, most.value);
        }
        if self.table.writes("retry_delay") && self.table.writes("retry_delay_max") {
            self.wrong(
                most.span,
                "`retry_delay_max` is shorter than `retry_delay`",
                "write at least `retry_delay`",
            );
        }
        // One of the two is a default: the watch's own value is in effect.
        let delay = if self.table.writes("retry_delay") { first } else { most.value };
        (delay, delay)
    }
}
