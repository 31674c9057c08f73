//! Every possible past of a first state: its baseline, and the machine's decision.

use super::fixture::{Story, absent, policy, present};
use crate::ledger::{Applied, LedgerEntry, Paused, described};
use crate::policy::{Baseline, Effect, Past, Predecessor};
use crate::watch::{
    Fingerprint, Key, OnDelete, PolicySpec, RunMode, RunOnLoad, Seq, State, StoreName, Target, WatchType,
    is_same,
};

fn target(key: &str) -> Target {
    Target {
        store: StoreName::new("main").unwrap(),
        key: Key::new(key).unwrap(),
        watch_type: WatchType::Data,
    }
}

/// One past: for each source, every case that can make a difference.
#[derive(Debug, Clone, Copy)]
struct Case {
    first_absent: bool,
    interrupted: Option<Whose>,
    applied: Option<Whose>,
    stopped: bool,
    paused: Option<Settled>,
    predecessor: Option<Left>,
    fault: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The first state of this target.
    First,
    /// Another state of this target.
    Older,
    /// Of another target.
    Elsewhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    Nothing,
    First,
    Older,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    elsewhere: bool,
    newest: Option<Whose>,
    unserved: bool,
}

impl Case {
    fn all() -> Vec<Self> {
        let whose = [None, Some(Whose::First), Some(Whose::Older), Some(Whose::Elsewhere)];
        let settled = [None, Some(Settled::Nothing), Some(Settled::First), Some(Settled::Older)];
        let mut left = vec![None];
        for newest in [None, Some(Whose::First), Some(Whose::Older)] {
            for (elsewhere, unserved) in [(false, false), (false, true), (true, false), (true, true)] {
                left.push(Some(Left { elsewhere, newest, unserved }));
            }
        }
        let mut cases = Vec::new();
        for first_absent in [false, true] {
            for interrupted in [None, Some(Whose::First), Some(Whose::Elsewhere)] {
                for applied in whose {
                    for (stopped, fault) in [(false, false), (false, true), (true, false), (true, true)] {
                        for paused in settled {
                            cases.extend(left.iter().map(|predecessor| Self {
                                first_absent,
                                interrupted,
                                applied,
                                stopped,
                                paused,
                                predecessor: *predecessor,
                                fault,
                            }));
                        }
                    }
                }
            }
        }
        cases
    }

    fn first(self) -> State {
        if self.first_absent { absent(1) } else { present(1) }
    }

    /// The state before the first one; never the same.
    fn older(self) -> State {
        let older = if self.first_absent { present(0) } else { absent(0) };
        assert!(!is_same(older.as_seen(), self.first().as_seen()));
        older
    }

    fn baseline(self) -> Baseline {
        let (own, other) = (target("/a"), target("/b"));
        let applied = |whose| match whose {
            Whose::First => Applied::new(&own, &self.first()),
            Whose::Older => Applied::new(&own, &self.older()),
            Whose::Elsewhere => Applied::new(&other, &self.first()),
        };
        let ledger = LedgerEntry {
            interrupted: self.interrupted.map(|whose| match whose {
                Whose::First | Whose::Older => described(&own),
                Whose::Elsewhere => described(&other),
            }),
            applied: self.applied.map(applied),
            stopped: self.stopped.then(Fingerprint::default),
            paused: self.paused.map(|settled| Paused {
                until: None,
                seconds: None,
                settled: match settled {
                    Settled::Nothing => None,
                    Settled::First => Some(applied(Whose::First)),
                    Settled::Older => Some(applied(Whose::Older)),
                },
            }),
            ..LedgerEntry::default()
        };
        let newest = self.predecessor.and_then(|left| left.newest).map(|whose| match whose {
            Whose::First | Whose::Elsewhere => self.first(),
            Whose::Older => self.older(),
        });
        let predecessor = self.predecessor.map(|left| Predecessor {
            target: if left.elsewhere { &other } else { &own },
            newest: newest.as_ref(),
            unserved: left.unserved,
        });
        Past { ledger: &ledger, definition: None, predecessor, fault: self.fault }
            .baseline(&own, &self.first())
    }

    /// The predecessor watched the same target and did not apply the first state.
    fn is_left(self) -> bool {
        self.predecessor
            .is_some_and(|left| !left.elsewhere && (left.unserved || left.newest == Some(Whose::Older)))
    }

    fn is_interrupted(self) -> bool {
        self.interrupted == Some(Whose::First)
    }

    fn is_applied(self) -> bool {
        self.applied == Some(Whose::First)
    }

    fn is_owed_after_suspension(self) -> bool {
        self.stopped || self.paused.is_some_and(|settled| settled != Settled::First)
    }

    /// The specified rules, independently.
    fn expected(self) -> Baseline {
        let applied_before = self.applied.is_some_and(|whose| whose != Whose::Elsewhere);
        if self.is_left() {
            Baseline::Pending
        } else if self.is_interrupted() {
            Baseline::Interrupted
        } else if self.is_applied() {
            Baseline::Applied
        } else if self.is_owed_after_suspension() || self.fault && (applied_before || !self.first_absent) {
            Baseline::Pending
        } else if applied_before {
            Baseline::Changed
        } else {
            Baseline::Unknown
        }
    }
}

#[test]
fn every_past_has_the_baseline_of_the_contract() {
    for case in Case::all() {
        assert_eq!(case.baseline(), case.expected(), "{case:?}");
    }
}

/// Whether a machine starts a run for a first state.
fn runs(case: Case, run_on_load: RunOnLoad, on_delete: OnDelete) -> bool {
    let mut story = Story::of(PolicySpec { run_on_load, on_delete, ..policy(RunMode::Queue) });
    match &story.first(case.first(), case.baseline())[..] {
        [Effect::Acquire] => true,
        [Effect::Skip { seq: Seq(1), .. }] => false,
        other => panic!("{case:?}: {other:?}"),
    }
}

/// What promises P2 and P3 require of a first state, whatever else is known.
#[test]
fn a_state_that_is_owed_runs_under_every_policy_and_an_applied_one_never_twice() {
    for case in Case::all() {
        for run_on_load in [RunOnLoad::Always, RunOnLoad::Never, RunOnLoad::Changed] {
            for on_delete in [OnDelete::Run, OnDelete::Ignore] {
                let runs = runs(case, run_on_load, on_delete);
                let about = (case, run_on_load, on_delete);
                if case.first_absent && on_delete == OnDelete::Ignore {
                    assert!(!runs, "{about:?}");
                } else if case.is_left() || case.is_interrupted() {
                    assert!(runs, "{about:?}");
                } else if case.is_applied() {
                    let again = run_on_load == RunOnLoad::Always && !case.first_absent;
                    assert_eq!(runs, again, "{about:?}");
                } else if case.is_owed_after_suspension() || (case.fault && !case.first_absent) {
                    assert!(runs, "{about:?}");
                }
            }
        }
    }
}
