//! The meaning of `[fleet]` and `[watch.fleet]`: what goes together, what must be there, and which watches can take part.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::gaps::Missing;
use super::store_name::unknown_store;
use crate::config::problem::{Problem, SourceText, word};
use crate::config::raw::{At, RawFleet, RawTable};
use crate::store::{StoreSpec, StoreUrl};
use crate::watch::fleet::terms::{Share, StopOnFailures};
use crate::watch::fleet::{
    FleetAcl, FleetPage, FleetSettings, FleetSpec, GroupName, HostName, MaxParallel, Terms,
};
use crate::watch::{Key, PolicySpec, RunModeName, StoreName, Target, WatchName, WatchType};

/// `soak` where there are canaries or waves.
const SOAK: Duration = Duration::from_mins(5);
/// The least `deadline` that is chosen where none is written.
const DEADLINE: Duration = Duration::from_mins(10);
/// Terms are part of every host's record, which has at most 4096 bytes.
const MOST_WAVES: usize = 16;
const LONGEST_CANARY: usize = 1024;
/// What is put behind the prefix has to fit into a key.
const LONGEST_PREFIX: usize = 1024;

/// Something wrong, and where.
#[derive(Debug)]
pub(super) struct FleetFault {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: &'static str,
}

fn fault(span: Range<usize>, message: impl Into<String>, help: &'static str) -> FleetFault {
    FleetFault { span, message: message.into(), help }
}

/// The fleet settings; what is wrong with them goes to `problems`.
pub(super) fn settings(
    source: &SourceText,
    table: Option<&RawTable>,
    defaults: &RawFleet,
    stores: &BTreeMap<StoreName, StoreSpec>,
    missing: &Missing,
    problems: &mut Vec<Problem>,
) -> Option<FleetSettings> {
    let is_written = table.is_some() || matches!(defaults, RawFleet::Written(_));
    let nothing = RawTable::default();
    let table = table.unwrap_or(&nothing);
    let mut wrong = |fault: FleetFault| {
        problems.push(source.problem(fault.span, fault.message).with_help(fault.help));
    };
    let prefix = match table.key("prefix") {
        Some(at) => {
            prefix_fault(&at).into_iter().for_each(&mut wrong);
            at.value
        }
        None => Key::new(FleetSettings::PREFIX).ok()?,
    };
    let ttl = match table.duration("ttl") {
        Some(at) => {
            if !(Duration::from_secs(10)..=Duration::from_mins(10)).contains(&at.value) {
                let help = "30s is the default; longer means less load, and silent hosts are noticed later";
                wrong(fault(at.span, "`ttl` must be from 10 s to 10 m", help));
            }
            at.value
        }
        None => FleetSettings::TTL,
    };
    let store = table.text("store").and_then(|at| {
        let known = stores.get_key_value(at.value.as_str());
        if known.is_none() && missing.may_be(&at.value) {
            return StoreName::new(&at.value).ok();
        }
        if known.is_none() {
            let names = stores.keys().map(StoreName::as_str);
            problems.push(unknown_store(source.problem(at.span.clone(), ""), &at.value, names));
        }
        let (name, spec) = known?;
        if let Some(fault) = spec.url.key_fault(&prefix) {
            let problem = source.problem(table.span("prefix"), format!("`prefix`: {fault}"));
            problems.push(problem.with_help("write a key such as `/twitcher/fleet`"));
        }
        Some(name.clone())
    });
    Some(FleetSettings {
        store,
        prefix,
        ttl,
        conduct: table.flag("conduct").unwrap_or(true),
        page: match (table.flag("page"), table.word("page")) {
            (Some(true), _) => FleetPage::Everywhere,
            (Some(false), _) => FleetPage::Nowhere,
            (None, _) => FleetPage::Loopback,
        },
        acl: match table.word("acl") {
            Some("creator") => FleetAcl::Creator,
            Some(_) | None => FleetAcl::Open,
        },
        is_written,
    })
}

fn prefix_fault(at: &At<Key>) -> Option<FleetFault> {
    let text = at.value.as_str();
    let good = text.starts_with('/') && !text.ends_with('/') && !text.contains("//");
    let help = "write a key such as `/twitcher/fleet`";
    if text.len() > LONGEST_PREFIX {
        return Some(fault(at.span.clone(), format!("`prefix` has at most {LONGEST_PREFIX} bytes"), help));
    }
    (!good).then(|| {
        let message = format!("`prefix` is `\"{}\"`, expected a key below the top of the store", word(text));
        fault(at.span.clone(), message, help)
    })
}

/// What is wrong with a table of terms whatever the watch.
pub(super) fn term_faults(table: &RawTable) -> Vec<FleetFault> {
    let mut faults = Vec::new();
    if table.word("max_parallel").is_some() {
        for field in ["canary", "waves", "soak", "hold", "stop_on_failures"] {
            if table.has(field) {
                let message = format!(
                    "`{field}` stands beside `max_parallel = \"unlimited\"`, where there are no permits"
                );
                faults.push(fault(table.span(field), message, "keep one of them"));
            }
        }
    }
    if let Some(At { value: waves, span }) = table.shares("waves") {
        // A number and a percentage are compared by nobody before the members are counted.
        let mut before: [Option<Share>; 2] = [None, None];
        for wave in &waves {
            let kind = match wave {
                Share::Count(_) => 0,
                Share::Percent(_) => 1,
            };
            if before[kind].is_some_and(|before| before >= *wave) {
                let help = "each wave has more hosts than the one before it, as in `[1, \"10%\", \"50%\"]`";
                faults.push(fault(span.clone(), "`waves` do not rise", help));
                break;
            }
            before[kind] = Some(*wave);
        }
        if waves.len() > MOST_WAVES {
            let help = "the last wave, all hosts, is implied";
            faults.push(fault(span, format!("there are at most {MOST_WAVES} waves"), help));
        }
    }
    if let Some(At { value: canary, span }) = table.globs("canary") {
        let bytes: usize = canary.0.iter().map(|pattern| pattern.len() + 3).sum();
        if bytes > LONGEST_CANARY {
            let message = format!(
                "`canary` takes {bytes} bytes of every host's record, and {LONGEST_CANARY} is the most"
            );
            faults.push(fault(span, message, "write fewer patterns, as in `[\"web-canary-*\"]`"));
        }
    }
    faults
}

/// What a watch is to its fleet.
pub(super) struct FleetDraft<'a> {
    pub(super) name: &'a WatchName,
    pub(super) target: &'a Target,
    pub(super) policy: &'a PolicySpec,
    /// This machine's name.
    pub(super) host: &'a str,
    pub(super) settings: &'a FleetSettings,
    pub(super) stores: &'a BTreeMap<StoreName, StoreSpec>,
    /// The table of the watch.
    pub(super) watch: &'a RawTable,
    /// Its `[watch.fleet]`, or `[defaults.fleet]`.
    pub(super) table: &'a RawTable,
    /// The table is from `[defaults.fleet]`.
    pub(super) inherited: bool,
}

impl FleetDraft<'_> {
    /// How the watch takes part, or everything that is in the way.
    pub(super) fn spec(&self) -> Result<FleetSpec, Vec<FleetFault>> {
        let mut faults = if self.inherited { Vec::new() } else { term_faults(self.table) };
        let group = self.group().map_err(|fault| faults.push(fault)).ok();
        if let Err(invalid) = HostName::new(self.host) {
            let help = "give this machine a shorter `host` in local.conf or twitcher.conf";
            faults.push(fault(
                self.table.head.clone(),
                format!("this machine cannot be a member: {invalid}"),
                help,
            ));
        }
        let terms = self.terms();
        // Of one that is there and wrong, nobody knows whether it means permits.
        let is_known = self.table.holds("max_parallel") || !self.table.has("max_parallel");
        if is_known && matches!(terms.max_parallel, MaxParallel::Share(_)) {
            faults.extend(self.permit_faults(terms.deadline));
        }
        faults.extend(self.store_faults());
        match group {
            Some(group) if faults.is_empty() => Ok(FleetSpec { group, terms: Arc::new(terms) }),
            Some(_) | None => Err(faults),
        }
    }

    fn group(&self) -> Result<GroupName, FleetFault> {
        let (name, span) = match self.table.text("group") {
            Some(at) => (at.value, at.span),
            None => (self.name.as_str().to_owned(), self.table.head.clone()),
        };
        GroupName::new(&name).map_err(|invalid| {
            fault(span, format!("the fleet's group: {invalid}"), "write a shorter `group` in `[watch.fleet]`")
        })
    }

    /// The terms, with what holds where nothing is written.
    fn terms(&self) -> Terms {
        let Self { table, .. } = self;
        let default = Terms::default();
        if table.word("max_parallel").is_some() {
            return Terms { max_parallel: MaxParallel::Unlimited, ..default };
        }
        let canary = table.globs("canary").map(|at| at.value).unwrap_or_default();
        let waves = table.shares("waves").map(|at| at.value).unwrap_or_default();
        let in_waves = !canary.is_empty() || !waves.is_empty();
        let duration =
            |field: &str, default| table.duration(field).map_or(default, |at: At<Duration>| at.value);
        Terms {
            max_parallel: table
                .share("max_parallel")
                .map_or(default.max_parallel, |at| MaxParallel::Share(at.value)),
            soak: duration("soak", if in_waves { SOAK } else { Duration::ZERO }),
            hold: duration("hold", default.hold),
            deadline: self.deadline(),
            stop_on_failures: match table.word("stop_on_failures") {
                Some(_) => StopOnFailures::Never,
                None => table
                    .share("stop_on_failures")
                    .map_or(default.stop_on_failures, |at| StopOnFailures::Share(at.value)),
            },
            canary,
            waves,
        }
    }

    /// The longest that a run takes, where that is bounded.
    fn longest_run(&self) -> Option<Duration> {
        Some(self.policy.timeout?.saturating_add(self.policy.kill_after))
    }

    fn deadline(&self) -> Duration {
        let longest = self.longest_run().unwrap_or_default();
        let chosen = longest.saturating_mul(2).max(DEADLINE);
        match self.table.duration("deadline") {
            // A default that does not fit the watch is skipped.
            Some(at) if !self.inherited || at.value > longest => at.value,
            Some(_) | None => chosen,
        }
    }

    /// What is wrong where each start needs a permit.
    fn permit_faults(&self, deadline: Duration) -> Vec<FleetFault> {
        let Self { watch, table, policy, .. } = self;
        let mut faults = Vec::new();
        match policy.run_mode.name() {
            RunModeName::Queue | RunModeName::Restart => {}
            mode @ (RunModeName::Discard | RunModeName::Parallel) => {
                let message = format!(
                    "a watch with `run_mode = \"{}\"` cannot act under permits of a fleet",
                    mode.word()
                );
                let help = "write `run_mode = \"queue\"` or `\"restart\"`, or `max_parallel = \"unlimited\"` in `[watch.fleet]`";
                faults.push(fault(watch.span("run_mode"), message, help));
            }
        }
        // One that is there and wrong was said when it was read.
        if policy.timeout.is_none() && !watch.has("timeout") {
            let message =
                "a watch with permits of a fleet needs `timeout`: nothing else bounds a run that nobody sees";
            faults.push(fault(
                table.head.clone(),
                message,
                "write for example `timeout = \"2m\"` in the watch",
            ));
        }
        if let Some(longest) = self.longest_run().filter(|longest| deadline <= *longest) {
            let message = format!(
                "`deadline` is not longer than `timeout` and `kill_after` together, {longest:#}",
                longest = jiff::SignedDuration::try_from(longest).unwrap_or_default()
            );
            faults.push(fault(table.span("deadline"), message, "leave it out for twice that, at least 10m"));
        }
        faults
    }

    /// What is wrong with where the watch and the fleet's keys are.
    fn store_faults(&self) -> Vec<FleetFault> {
        let Self { settings, target, table, .. } = self;
        let mut faults = Vec::new();
        let store = settings.store_of(&target.store);
        if let Some(spec) = self.stores.get(store) {
            match &spec.url {
                // One host cannot see another's directory: such a watch is a fleet of one, and only if it asks for it.
                StoreUrl::Dir { .. } if self.inherited => {
                    let help = "name a `store` of etcd or ZooKeeper in `[fleet]` of twitcher.conf";
                    faults.push(fault(
                        table.head.clone(),
                        format!("store {store} is a directory of this machine"),
                        help,
                    ));
                }
                StoreUrl::Dir { .. } => {}
                StoreUrl::Etcd { .. } | StoreUrl::ZooKeeper { .. } => {
                    if let Some(key_fault) = spec.url.key_fault(&settings.prefix) {
                        let message = format!("the fleet's keys cannot be in store {store}: {key_fault}");
                        let help = "write another `prefix` in `[fleet]` of twitcher.conf";
                        faults.push(fault(table.head.clone(), message, help));
                    }
                }
            }
        }
        if *store == target.store && meets_fleet_keys(target, &settings.prefix) {
            let message = format!(
                "`{}` would run again and again, because the fleet's own keys are in what it watches ({})",
                self.name, settings.prefix
            );
            let help = "watch another key, or write another `prefix` in `[fleet]` of twitcher.conf";
            faults.push(fault(self.watch.span("key"), message, help));
        }
        faults
    }
}

/// Whether what is watched holds the fleet's keys, or is one of them.
pub(super) fn meets_fleet_keys(target: &Target, prefix: &Key) -> bool {
    let (key, prefix) = (target.key.base(), prefix.base());
    let is_below = |key: &str, above: &str| {
        key.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match target.watch_type {
        WatchType::Data => is_below(key, prefix),
        WatchType::Children | WatchType::Tree => is_below(key, prefix) || is_below(prefix, key),
    }
}

/// What the terms come to, in words.
pub(super) fn in_words(spec: &FleetSpec) -> String {
    let FleetSpec { group, terms } = spec;
    let share = |share: Share| match share {
        Share::Count(1) => "1 host".to_owned(),
        Share::Count(count) => format!("{count} hosts"),
        Share::Percent(percent) => format!("{percent}% of the hosts"),
    };
    let at_once = match terms.max_parallel {
        MaxParallel::Unlimited => return format!("group {group}: acts at once, and only reports"),
        MaxParallel::Share(limit) => share(limit),
    };
    let first = if terms.canary.is_empty() { "" } else { ", canaries first" };
    let waves = match terms.waves.len() {
        0 => String::new(),
        waves => format!(", {} waves", waves + 1 + usize::from(!terms.canary.is_empty())),
    };
    let stop = match terms.stop_on_failures {
        StopOnFailures::Never => "never stops".to_owned(),
        StopOnFailures::Share(Share::Count(1)) => "stops at the first failure".to_owned(),
        StopOnFailures::Share(failures) => format!("stops when {} failed", share(failures)),
    };
    format!("group {group}: {at_once} at a time{first}{waves}, {stop}")
}
