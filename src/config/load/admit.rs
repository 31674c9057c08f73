//! Decides which definitions take effect: each name once, and a file as a whole or not at all. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{FileReport, LoadState, LoadedWatch};
use crate::config::problem::{Position, Problem};
use crate::watch::fleet::{FleetSettings, GroupName};
use crate::watch::{StoreName, WatchName};

/// A file that offers its watches.
#[derive(Debug, Clone)]
pub(super) struct CandidateFile {
    /// Its watches; `None` if it is broken or refused, and then its current watches stay in effect.
    pub(super) offer: Option<Vec<LoadedWatch>>,
    /// Its problems.
    pub(super) report: FileReport,
}

/// What only one watch may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim<'a> {
    /// Its name.
    Name(&'a WatchName),
    /// The group of a fleet, and the store of that.
    Group(&'a StoreName, &'a GroupName),
}

/// A name, or a group of a fleet, that two files define.
struct Conflict {
    loser: usize,
    winner: usize,
    watch: LoadedWatch,
    holder: LoadedWatch,
    group: Option<GroupName>,
}

/// Settles who defines which name and which group of a fleet: the file whose definition runs, else the first in order of paths. The other
/// one is broken as a whole. Candidates come in order of their paths.
pub(super) fn admit(
    running: &BTreeMap<WatchName, LoadedWatch>,
    mut candidates: Vec<CandidateFile>,
    fleet: Option<&FleetSettings>,
) -> (BTreeMap<WatchName, LoadedWatch>, Vec<FileReport>) {
    let mut kept: BTreeMap<_, Vec<&LoadedWatch>> = BTreeMap::new();
    for watch in running.values() {
        kept.entry(&watch.file).or_default().push(watch);
    }
    loop {
        let conflicts = conflicts(running, &kept, &candidates, fleet);
        if conflicts.is_empty() {
            break;
        }
        // A file that loses one name frees its other names, so begin with files that lose to one that stays.
        let losers: BTreeSet<usize> = conflicts.iter().map(|conflict| conflict.loser).collect();
        let cyclic = conflicts.iter().all(|conflict| losers.contains(&conflict.winner));
        for conflict in conflicts {
            if cyclic || !losers.contains(&conflict.winner) {
                let candidate = &mut candidates[conflict.loser];
                candidate.offer = None;
                candidate.report.state = LoadState::Broken;
                candidate.report.problems.push(conflict.problem());
            }
        }
    }
    let mut admitted = BTreeMap::new();
    let mut reports = Vec::new();
    for CandidateFile { offer, report } in candidates {
        let held = offer.unwrap_or_else(|| kept_of(&kept, &report).cloned().collect());
        admitted.extend(held.into_iter().map(|watch| (watch.spec.name.clone(), watch)));
        reports.push(report);
    }
    (admitted, reports)
}

fn kept_of<'a>(
    kept: &'a BTreeMap<&std::sync::Arc<std::path::Path>, Vec<&'a LoadedWatch>>,
    report: &FileReport,
) -> impl Iterator<Item = &'a LoadedWatch> {
    kept.get(&report.path).into_iter().flatten().copied()
}

fn conflicts(
    running: &BTreeMap<WatchName, LoadedWatch>,
    kept: &BTreeMap<&std::sync::Arc<std::path::Path>, Vec<&LoadedWatch>>,
    candidates: &[CandidateFile],
    fleet: Option<&FleetSettings>,
) -> Vec<Conflict> {
    let mut claims: BTreeMap<Claim<'_>, Vec<(usize, &LoadedWatch)>> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        let mut claim = |watch| {
            for claim in claims_of(watch, fleet) {
                claims.entry(claim).or_default().push((index, watch));
            }
        };
        match &candidate.offer {
            Some(offer) => offer.iter().for_each(&mut claim),
            None => kept_of(kept, &candidate.report).for_each(&mut claim),
        }
    }
    let owners: BTreeMap<Claim<'_>, &LoadedWatch> =
        running.values().flat_map(|watch| claims_of(watch, fleet).map(move |claim| (claim, watch))).collect();
    let mut conflicts = Vec::new();
    for (claim, claims) in claims.into_iter().filter(|(_, claims)| claims.len() > 1) {
        let owner = owners.get(&claim).map(|watch| &watch.file);
        let runs = |(index, _): &&(usize, &LoadedWatch)| Some(&candidates[*index].report.path) == owner;
        let Some((winner, holder)) = claims.iter().find(runs).or(claims.first()).copied() else { continue };
        let group = match claim {
            Claim::Name(_) => None,
            Claim::Group(_, group) => Some(group.clone()),
        };
        for (loser, watch) in claims {
            if loser != winner && candidates[loser].offer.is_some() {
                let (watch, holder, group) = (watch.clone(), holder.clone(), group.clone());
                conflicts.push(Conflict { loser, winner, watch, holder, group });
            }
        }
    }
    conflicts
}

fn claims_of<'a>(
    watch: &'a LoadedWatch,
    fleet: Option<&'a FleetSettings>,
) -> impl Iterator<Item = Claim<'a>> {
    let group = fleet.and_then(|fleet| fleet.group_of(&watch.spec));
    let group = group.map(|(store, group)| Claim::Group(store, group));
    [Some(Claim::Name(&watch.spec.name)), group].into_iter().flatten()
}

impl Conflict {
    fn problem(&self) -> Problem {
        let Position { line, column } = self.holder.place;
        let (name, other) = (&self.watch.spec.name, self.holder.file.display());
        let (message, field) = match &self.group {
            None => (format!("the watch `{name}` is defined in {other}:{line}:{column} already"), "name"),
            Some(group) => (
                format!(
                    "the watch `{}` in {other}:{line}:{column} is in the fleet's group `{}` already",
                    self.holder.spec.name,
                    group.as_key()
                ),
                "group",
            ),
        };
        let help = format!(
            "give one of them another `{field}`, or remove one; until then nothing new of this file is loaded"
        );
        let mut problem = Problem::of_file(&self.watch.file, message, help);
        problem.place = Some(self.watch.place);
        problem
    }
}

#[cfg(test)]
mod tests;
