//! A group and its hosts as `twitcher fleet` shows them: the shapes of `--json`, and why a host is how it is.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::conduct::group::Member;
use super::picture::Picture;
use super::record::{BehindWhy, Counts, FailureKind, HostRecord, HostState, PastResult};
use super::terms::{Field, Terms, permits};
use super::view::{ShownState, Standing};
use super::{HostName, terms::MaxParallel};

/// Hosts that are named in one list.
const NAMED: usize = 50;

/// A group.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct GroupStatus {
    pub group: String,
    pub store: String,
    pub key: Option<String>,
    pub version: Option<String>,
    pub state: &'static str,
    pub since: Option<Timestamp>,
    pub started: Option<Timestamp>,
    pub conductor: Option<ConductorStatus>,
    pub wave: Option<WaveStatus>,
    pub permits: PermitsStatus,
    pub hosts: Counts,
    pub converged: bool,
    pub terms: Option<Terms>,
    pub disagree: Vec<Disagreement>,
    pub failures: Vec<FailureStatus>,
    pub silent: Vec<SilentStatus>,
    pub name_conflicts: Vec<TwinStatus>,
    pub rollouts: Vec<PastStatus>,
    pub why: Option<String>,
}

/// Who conducts.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct ConductorStatus {
    pub host: String,
    pub since: Timestamp,
}

/// The open wave, and how many hosts may have the version while it is open.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct WaveStatus {
    pub number: u32,
    pub of: u32,
    pub target: u32,
}

/// Permits; `limit` is `None` where there are none.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct PermitsStatus {
    pub held: usize,
    pub limit: Option<u32>,
}

/// A host that does not say what most say.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct Disagreement {
    pub host: String,
    pub field: Field,
}

/// A host that failed.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct FailureStatus {
    pub host: String,
    pub outcome: FailureKind,
    pub exit_code: Option<i32>,
    pub attempt: u32,
    pub at: Timestamp,
}

/// A host whose tenure has expired.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct SilentStatus {
    pub host: String,
    pub since: Option<Timestamp>,
}

/// A daemon whose host's name is another's.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct TwinStatus {
    pub host: String,
    pub machine: String,
    pub since: Timestamp,
}

/// A former rollout.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct PastStatus {
    pub version: String,
    pub result: PastResult,
    pub converged: u32,
    pub seconds: u64,
}

/// A host.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub struct HostStatus {
    pub host: String,
    pub state: &'static str,
    pub flags: Vec<&'static str>,
    pub version: Option<String>,
    pub applied: Option<String>,
    pub attempt: u32,
    pub exit_code: Option<i32>,
    pub since: Option<Timestamp>,
    pub why: Option<String>,
}

impl GroupStatus {
    /// That hosts disagree about the terms: the first one, and how many more. `shown` escapes a host's name.
    pub fn disagreement(&self, shown: impl Fn(&str) -> String) -> Option<String> {
        let (first, others) = self.disagree.split_first()?;
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        Some(format!("{} has another {}{more}", shown(&first.host), word(&first.field)))
    }
}

/// The word that a value has in records and in JSON.
pub fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// What the word for the state of a group or a host means to people: the colour of the page and of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// An operator has to look at it.
    Bad,
    /// It is under way.
    Busy,
    /// It has the version.
    Good,
    /// It waits.
    Plain,
}

impl Tone {
    /// That of a state.
    pub fn of(state: &str) -> Self {
        match state {
            "stopped" | "aborted" | "unconducted" | "failed" | "conflict" => Self::Bad,
            "rolling" | "soaking" | "paused" | "running" | "retrying" | "granted" => Self::Busy,
            "done" | "converged" | "hold" => Self::Good,
            _ => Self::Plain,
        }
    }
}

impl Picture {
    /// The group, whose keys are in this store.
    pub fn status(&self, store: &str) -> GroupStatus {
        let counts = self.group.sums.counts;
        let rollout = &self.rollout;
        let in_force = rollout.terms.as_ref().map(|in_force| in_force.terms.clone());
        let max_parallel = in_force.as_ref().map(|terms| terms.max_parallel);
        let limit = max_parallel
            .filter(|limit| *limit != MaxParallel::Unlimited)
            .map(|limit| permits(limit, rollout.base));
        GroupStatus {
            group: self.name.to_string(),
            store: store.to_owned(),
            key: self.target().map(|(_, key)| key.to_string()),
            version: self.group.measure.id.map(|id| id.version.to_string()),
            state: self.state().word(),
            since: rollout.since,
            started: rollout.started,
            conductor: self.conductor.as_ref().map(|conductor| ConductorStatus {
                host: conductor.host.to_string(),
                since: conductor.since,
            }),
            wave: self.wave(),
            permits: PermitsStatus { held: self.group.holders.len(), limit },
            hosts: counts,
            converged: counts.members > 0 && counts.converged == counts.members,
            terms: in_force,
            disagree: self.disagreements(),
            failures: self.failures(),
            silent: self.silent(),
            name_conflicts: self
                .twins
                .iter()
                .map(|(host, twin)| TwinStatus {
                    host: host.to_string(),
                    machine: twin.machine.clone(),
                    since: twin.since,
                })
                .collect(),
            rollouts: rollout
                .past
                .iter()
                .map(|past| PastStatus {
                    version: past.version.to_string(),
                    result: past.result,
                    converged: past.converged,
                    seconds: past.seconds,
                })
                .collect(),
            why: self.why(),
        }
    }

    /// Every member, by name, or in the order in which they would act.
    pub fn hosts(&self, in_order: bool) -> Vec<HostStatus> {
        let mut hosts: Vec<(&HostName, &Member, Standing)> = self
            .group
            .members
            .iter()
            .filter_map(|(host, member)| Some((host, member, *member.standing()?)))
            .filter(|(_, member, standing)| standing.member || member.keys.permit.is_some())
            .collect();
        if in_order {
            let places: HashMap<&HostName, usize> =
                self.group.queue.iter().zip(0..).map(|(place, at)| (&place.host, at)).collect();
            let place = |host: &HostName| places.get(host).copied().unwrap_or(usize::MAX);
            let canary = |host: &HostName| !self.group.is_canary(host);
            hosts.sort_by_key(|(host, _, standing)| {
                (standing.done, !standing.occupied, place(host), canary(host), (*host).clone())
            });
        }
        hosts.into_iter().map(|(host, member, standing)| self.host(host, member, &standing)).collect()
    }

    fn host(&self, host: &HostName, member: &Member, standing: &Standing) -> HostStatus {
        let record = member.keys.record.as_deref();
        let flags = [(standing.silent, "silent"), (standing.down, "down"), (standing.over, "over")];
        HostStatus {
            host: host.to_string(),
            state: standing.shown.word(),
            flags: flags.into_iter().filter(|(is, _)| *is).map(|(_, flag)| flag).collect(),
            version: record.and_then(|record| record.seen).map(|id| id.version.to_string()),
            applied: record.and_then(|record| record.applied).map(|id| id.version.to_string()),
            attempt: record.map_or(0, |record| record.attempt),
            exit_code: record.and_then(|record| record.last).and_then(|last| last.exit_code),
            since: record.map(|record| record.since),
            why: self.why_of(member, standing),
        }
    }

    /// Why a host is how it is, where its state does not say it.
    fn why_of(&self, member: &Member, standing: &Standing) -> Option<String> {
        let Some(record) = member.keys.record.as_deref() else {
            let what = if member.keys.unreadable {
                "its record cannot be read"
            } else {
                "it has a permit and no record"
            };
            return Some(format!("{what}; `twitcher fleet forget` drops it"));
        };
        match standing.shown {
            ShownState::Conflict => Some(self.conflict(record)),
            ShownState::Failed if member.lost => Some("it went away with its permit".to_owned()),
            ShownState::Failed | ShownState::Retrying => {
                Some(match record.last.and_then(|last| last.exit_code) {
                    Some(code) => format!("exit code {code}"),
                    None => "no exit code".to_owned(),
                })
            }
            ShownState::Behind => record.why.map(|why| behind(why).to_owned()),
            ShownState::Converged
            | ShownState::Asking
            | ShownState::Granted
            | ShownState::Running
            | ShownState::Hold => None,
        }
    }

    fn conflict(&self, record: &HostRecord) -> String {
        if record.state == HostState::Conflict {
            "its name is another daemon's".to_owned()
        } else if self.group.measure.target.as_ref().is_some_and(|target| *target != record.target) {
            format!("it watches {}", record.target)
        } else {
            "it acts without a limit, and others have one".to_owned()
        }
    }

    fn wave(&self) -> Option<WaveStatus> {
        let rollout = &self.rollout;
        rollout.id.filter(|_| self.is_limited())?;
        let terms = &rollout.terms.as_ref()?.terms;
        let canaries = u32::from(!terms.canary.is_empty());
        let size =
            rollout.wave.checked_sub(1 + canaries).and_then(|at| terms.waves.get(usize::try_from(at).ok()?));
        let target = match size {
            Some(share) => share.at_most(rollout.base),
            None if canaries == 1 && rollout.wave == 1 => self.group.sums.canaries,
            None => self.group.sums.counts.members,
        };
        Some(WaveStatus { number: rollout.wave, of: rollout.of, target })
    }

    /// Hosts whose terms are not those of most, field by field.
    fn disagreements(&self) -> Vec<Disagreement> {
        let mut said: HashMap<&Arc<Terms>, Vec<&HostName>> = HashMap::new();
        for (host, member) in &self.group.members {
            let standing = member.standing();
            if let (Some(record), true) =
                (&member.keys.record, standing.is_some_and(|standing| standing.live))
            {
                said.entry(&record.terms).or_default().push(host);
            }
        }
        let mut found = Vec::new();
        for field in Field::ALL {
            let hosts_with = |terms: &Terms| -> usize {
                said.iter()
                    .filter(|(other, _)| field.agrees(terms, other))
                    .map(|(_, hosts)| hosts.len())
                    .sum()
            };
            let Some(most) =
                said.keys().max_by_key(|terms| (hosts_with(terms), std::cmp::Reverse(said[*terms][0])))
            else {
                continue;
            };
            let others = said.iter().filter(|(terms, _)| !field.agrees(terms, most));
            let mut hosts: Vec<&HostName> = others.flat_map(|(_, hosts)| hosts.iter().copied()).collect();
            hosts.sort_unstable();
            found.extend(hosts.into_iter().map(|host| Disagreement { host: host.to_string(), field }));
        }
        found.truncate(NAMED);
        found
    }

    fn failures(&self) -> Vec<FailureStatus> {
        let failed = self.group.members.iter().filter_map(|(host, member)| {
            let standing = member.standing()?;
            let record = member.keys.record.as_deref()?;
            (standing.failing || standing.shown == ShownState::Failed).then(|| FailureStatus {
                host: host.to_string(),
                outcome: if member.lost {
                    FailureKind::Lost
                } else if record.why == Some(BehindWhy::Held) {
                    FailureKind::Held
                } else {
                    FailureKind::Failed
                },
                exit_code: record.last.and_then(|last| last.exit_code),
                attempt: record.attempt,
                at: record.since,
            })
        });
        failed.take(NAMED).collect()
    }

    fn silent(&self) -> Vec<SilentStatus> {
        let since =
            |host: &HostName| self.summary.as_ref().and_then(|summary| summary.silent.get(host).copied());
        let silent =
            self.group.members.iter().filter(|(_, member)| member.standing().is_some_and(|s| s.silent));
        let named = silent.map(|(host, _)| SilentStatus { host: host.to_string(), since: since(host) });
        named.take(NAMED).collect()
    }

    /// What holds the group up, where its state alone does not say it.
    fn why(&self) -> Option<String> {
        if self.orders.unreadable {
            return Some(
                "control cannot be read, which counts as a pause; the next order replaces it".to_owned(),
            );
        }
        if let Some(order) = &self.orders.control.paused {
            let reason = order.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            return Some(format!("paused by {}{reason}", order.by));
        }
        if self.has_later {
            return Some("a later version of twitcher wrote some of the keys".to_owned());
        }
        if self.is_canary_dead() {
            return Some("no canary is alive: nothing starts".to_owned());
        }
        let summary = self.summary.as_ref().filter(|summary| summary.id == self.rollout.id);
        summary.and_then(|summary| summary.why.clone())
    }
}

fn behind(why: BehindWhy) -> &'static str {
    match why {
        BehindWhy::Settling => "it is settling",
        BehindWhy::Splaying => "it is splaying",
        BehindWhy::Waiting => "it waits; `twitcher explain` on that host says for what",
        BehindWhy::Paused => "its watch is paused there",
        BehindWhy::Stopped => "its watch is stopped there",
        BehindWhy::Held => "its guard holds the version",
    }
}
