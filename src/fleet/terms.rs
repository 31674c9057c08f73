//! Which terms are in force where hosts disagree: the most careful ones.

use serde::{Deserialize, Serialize};

use super::HostName;
use super::record::Rest;
pub use crate::watch::fleet::terms::{MaxParallel, Share, StopOnFailures, Terms};

/// A field of the terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// [`Terms::max_parallel`].
    MaxParallel,
    /// [`Terms::canary`].
    Canary,
    /// [`Terms::waves`].
    Waves,
    /// [`Terms::soak`].
    Soak,
    /// [`Terms::hold`].
    Hold,
    /// [`Terms::deadline`].
    Deadline,
    /// [`Terms::stop_on_failures`].
    StopOnFailures,
}

impl Field {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::MaxParallel,
        Self::Canary,
        Self::Waves,
        Self::Soak,
        Self::Hold,
        Self::Deadline,
        Self::StopOnFailures,
    ];

    /// Whether two terms say the same here.
    pub fn agrees(self, one: &Terms, other: &Terms) -> bool {
        match self {
            Self::MaxParallel => one.max_parallel == other.max_parallel,
            Self::Canary => one.canary == other.canary,
            Self::Waves => one.waves == other.waves,
            Self::Soak => one.soak == other.soak,
            Self::Hold => one.hold == other.hold,
            Self::Deadline => one.deadline == other.deadline,
            Self::StopOnFailures => one.stop_on_failures == other.stop_on_failures,
        }
    }
}

/// Terms, how many live members have them, and one of these members.
#[derive(Debug, Clone, Copy)]
pub struct Vote<'a> {
    /// The terms.
    pub terms: &'a Terms,
    /// How many live members have them, at least 1.
    pub hosts: usize,
    /// The first of these members by name.
    pub host: &'a HostName,
}

/// The terms in force, and who asks for a value that not everybody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InForce {
    /// The meet of what live members say.
    pub terms: Terms,
    /// Where members disagree: one that has the value in force.
    #[serde(default)]
    pub whose: Vec<(Field, HostName)>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The most careful of all: smallest `max_parallel`, `stop_on_failures` and waves, longest `soak`, `hold` and
/// `deadline`, and every canary. `"unlimited"` takes no part unless all say it. `None` without a live member.
///
/// Shares are compared by what they yield for `base` hosts.
pub fn meet(votes: &[Vote<'_>], base: u32) -> Option<InForce> {
    let limited = |vote: &&Vote<'_>| matches!(vote.terms.max_parallel, MaxParallel::Share(_));
    let mut voting: Vec<&Vote<'_>> = votes.iter().filter(limited).collect();
    if voting.is_empty() {
        voting = votes.iter().collect();
    }
    // Of two values that are equally careful, the one that more hosts have is shown.
    voting.sort_by_key(|vote| (std::cmp::Reverse(vote.hosts), vote.host));
    let mut terms = voting.first()?.terms.clone();
    for vote in voting.iter().skip(1) {
        let other = vote.terms;
        if permits(other.max_parallel, base) < permits(terms.max_parallel, base) {
            terms.max_parallel = other.max_parallel;
        }
        if failures(other.stop_on_failures, base) < failures(terms.stop_on_failures, base) {
            terms.stop_on_failures = other.stop_on_failures;
        }
        terms.soak = terms.soak.max(other.soak);
        terms.hold = terms.hold.max(other.hold);
        terms.deadline = terms.deadline.max(other.deadline);
        meet_waves(&mut terms.waves, &other.waves, base);
        terms.canary.0.extend(other.canary.0.iter().cloned());
    }
    terms.canary.0.sort_unstable();
    terms.canary.0.dedup();
    let mut whose = Vec::new();
    for field in Field::ALL {
        let disagreed = voting.iter().any(|vote| !field.agrees(vote.terms, voting[0].terms));
        let owner = voting.iter().rev().find(|vote| field.agrees(vote.terms, &terms));
        if let Some(owner) = owner.filter(|_| disagreed) {
            whose.push((field, owner.host.clone()));
        }
    }
    Some(InForce { terms, whose, rest: Rest::default() })
}

/// A missing wave is everybody.
fn meet_waves(waves: &mut Vec<Share>, others: &[Share], base: u32) {
    for (at, other) in others.iter().enumerate() {
        match waves.get_mut(at) {
            Some(wave) if other.at_most(base) < wave.at_most(base) => *wave = *other,
            Some(_) => {}
            None => waves.push(*other),
        }
    }
}

/// How many permits there may be among `base` hosts; the greatest number where there are none to be had.
pub fn permits(max_parallel: MaxParallel, base: u32) -> u32 {
    match max_parallel {
        MaxParallel::Share(share) => share.at_most(base),
        MaxParallel::Unlimited => u32::MAX,
    }
}

/// How many failures stop a rollout among `base` hosts; the greatest number where none does.
pub fn failures(stop_on_failures: StopOnFailures, base: u32) -> u32 {
    match stop_on_failures {
        StopOnFailures::Share(share) => share.at_least(base),
        StopOnFailures::Never => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fleet::glob::HostGlobs;

    fn host(name: &str) -> HostName {
        HostName::new(name).unwrap()
    }

    fn limit(share: Share) -> Terms {
        Terms { max_parallel: MaxParallel::Share(share), ..Terms::default() }
    }

    fn meet_of(terms: &[(Terms, usize)], base: u32) -> InForce {
        let hosts: Vec<HostName> = (0..terms.len()).map(|at| host(&format!("h{at}"))).collect();
        let votes: Vec<Vote<'_>> = terms
            .iter()
            .zip(&hosts)
            .map(|((terms, count), host)| Vote { terms, hosts: *count, host })
            .collect();
        meet(&votes, base).unwrap()
    }

    #[test]
    fn the_most_careful_host_counts_and_is_named() {
        let all = limit(Share::Percent(10));
        let one = limit(Share::Count(5));
        let in_force = meet_of(&[(all.clone(), 999), (one.clone(), 1)], 1000);
        assert_eq!(in_force.terms.max_parallel, one.max_parallel);
        assert_eq!(in_force.whose, [(Field::MaxParallel, host("h1"))]);
        let small = meet_of(&[(all.clone(), 19), (one, 1)], 20);
        assert_eq!(small.terms.max_parallel, all.max_parallel, "10% of 20 is less than 5");
        assert_eq!(small.whose, [(Field::MaxParallel, host("h0"))]);
        assert!(meet_of(&[(all, 7)], 7).whose.is_empty());
    }

    #[test]
    fn every_field_takes_its_careful_side() {
        let secs = Duration::from_secs;
        let globs = |text: &str| HostGlobs(vec![text.to_owned()]);
        let one = Terms {
            canary: globs("a"),
            waves: vec![Share::Count(1), Share::Percent(50)],
            soak: secs(9),
            hold: secs(1),
            deadline: secs(60),
            stop_on_failures: StopOnFailures::Never,
            ..Terms::default()
        };
        let other = Terms {
            canary: globs("b"),
            waves: vec![Share::Count(2), Share::Count(10), Share::Percent(80)],
            soak: secs(1),
            hold: secs(9),
            deadline: secs(90),
            stop_on_failures: StopOnFailures::Share(Share::Percent(10)),
            ..Terms::default()
        };
        let wanted = Terms {
            canary: HostGlobs(vec!["a".to_owned(), "b".to_owned()]),
            waves: vec![Share::Count(1), Share::Count(10), Share::Percent(80)],
            soak: secs(9),
            hold: secs(9),
            deadline: secs(90),
            stop_on_failures: other.stop_on_failures,
            ..Terms::default()
        };
        for terms in [[(one.clone(), 3), (other.clone(), 3)], [(other, 3), (one, 3)]] {
            assert_eq!(meet_of(&terms, 100).terms, wanted);
        }
    }

    #[test]
    fn unlimited_hosts_take_no_part_unless_all_are() {
        let unlimited = Terms { max_parallel: MaxParallel::Unlimited, ..Terms::default() };
        let two = limit(Share::Count(2));
        assert_eq!(meet_of(&[(unlimited.clone(), 99), (two.clone(), 1)], 100).terms, two);
        assert_eq!(meet_of(&[(unlimited.clone(), 9)], 9).terms, unlimited);
        assert_eq!(meet(&[], 9), None);
    }

    #[test]
    fn a_wrong_file_never_hurries_the_fleet() {
        // A member that joins never raises a limit.
        let shares =
            [Share::Count(1), Share::Count(7), Share::Percent(1), Share::Percent(33), Share::Percent(100)];
        for base in [1, 10, 100, 1000] {
            for (one, other) in shares.iter().flat_map(|one| shares.iter().map(move |other| (*one, *other))) {
                let both = meet_of(&[(limit(one), 5), (limit(other), 1)], base).terms.max_parallel;
                assert!(
                    permits(both, base) <= one.at_most(base).min(other.at_most(base)),
                    "{one:?} {other:?}"
                );
            }
        }
    }
}
