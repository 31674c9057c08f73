//! The judge: watches a machine from outside and knows what the contract allows and demands.
//!
//! It follows inputs and effects only, with bookkeeping of its own that shares no code with the machine.

macro_rules! demand {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

mod demands;
mod effects;
mod fleet;
mod outlook;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::fixture::Counter;
use crate::policy::{Baseline, Control, Effect, Input, Machine, Pause, Refusal};
use crate::watch::{OnDelete, PolicySpec, RunId, RunMode, Verdict};
pub(super) use fleet::{FleetSeen, Held};

type Checked = Result<(), String>;

/// A state that was observed and neither started nor skipped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Unfated {
    /// Its own updates, and those of states that it took the place of.
    pub(super) own: u64,
    pub(super) surplus: u64,
    /// When it came, and when the first update came that it serves.
    pub(super) at: Instant,
    pub(super) first: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LiveSeen {
    pub(super) run: RunId,
    pub(super) seq: Option<u64>,
    pub(super) started: Instant,
    pub(super) attempt: u32,
    pub(super) term: Option<Instant>,
    pub(super) killed: bool,
    pub(super) adopted: bool,
}

/// What the newest state's fate entitles it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Claim {
    /// To be applied.
    Applying,
    /// Nothing until somebody resumes.
    Resumable,
    /// Nothing at all.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Newest {
    pub(super) seq: u64,
    pub(super) absent: bool,
    pub(super) claim: Claim,
    /// A run of it succeeded, or the ledger says so.
    pub(super) applied: bool,
    /// Came after the machine was told to retire.
    pub(super) late_first: bool,
}

impl Newest {
    pub(super) fn ignored(&self) -> bool {
        self.absent && self.claim == Claim::Nothing
    }

    fn absent_ignored(&self, policy: &PolicySpec) -> bool {
        self.absent && (policy.on_delete == OnDelete::Ignore || self.claim == Claim::Nothing)
    }
}

/// A run that ended without success: what a repetition must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Lapse {
    pub(super) seq: Option<u64>,
    pub(super) attempt: u32,
    pub(super) at: Instant,
    pub(super) verdict: Verdict,
    pub(super) adopted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "what is known of a machine, each by itself")]
pub(super) struct Judge {
    pub(super) policy: Arc<PolicySpec>,
    pub(super) now: Instant,
    pub(super) asked: bool,
    pub(super) live: Vec<LiveSeen>,
    pub(super) unfated: BTreeMap<u64, Unfated>,
    pub(super) carried: u64,
    pub(super) newest: Option<Newest>,
    pub(super) last_start: Option<(u64, Instant)>,
    pub(super) last_applied: Option<u64>,
    pub(super) paused: Option<Pause>,
    pub(super) stopped: bool,
    /// The last retry of the newest state failed.
    pub(super) gave_up: bool,
    pub(super) retiring: bool,
    pub(super) drained: bool,
    /// When TERM is due because of Retire or Stop.
    pub(super) close: Option<Instant>,
    /// States that somebody asked to run.
    pub(super) triggered: BTreeSet<u64>,
    pub(super) resumed: bool,
    pub(super) loaded: bool,
    pub(super) lapse: Option<Lapse>,
    /// `None`: it takes no part in a fleet.
    pub(super) fleet: Option<FleetSeen>,
}

/// One input while its effects are heard.
struct Turn<'a> {
    input: &'a Input,
    /// The run that it ended.
    ended: Option<LiveSeen>,
    /// It shows a newer state.
    update: bool,
    /// What it must be refused for.
    refusal: Option<Refusal>,
    /// It granted a slot, not yet used or given back.
    slot: bool,
    answers: u32,
    /// How often time alone may end a pause in it.
    resumptions: u32,
}

impl Judge {
    pub(super) fn of(policy: Arc<PolicySpec>, now: Instant) -> Self {
        Self {
            policy,
            now,
            asked: false,
            live: Vec::new(),
            unfated: BTreeMap::new(),
            carried: 0,
            newest: None,
            last_start: None,
            last_applied: None,
            paused: None,
            stopped: false,
            gave_up: false,
            retiring: false,
            drained: false,
            close: None,
            triggered: BTreeSet::new(),
            resumed: false,
            loaded: false,
            lapse: None,
            fleet: None,
        }
    }

    pub(super) fn held(&self) -> bool {
        self.paused.is_some() || self.stopped
    }

    fn parallel(&self) -> bool {
        matches!(self.policy.run_mode, RunMode::Parallel { .. })
    }

    fn room(&self) -> bool {
        match self.policy.run_mode {
            RunMode::Queue | RunMode::Discard | RunMode::Restart => self.live.is_empty(),
            RunMode::Parallel { max } => self.live.len() < max as usize,
        }
    }

    /// Feeds one input to the machine, and judges what it answers.
    pub(super) fn feed(
        &mut self,
        machine: &mut Machine<Counter>,
        input: &Input,
    ) -> Result<Vec<Effect>, String> {
        let position = if let Input::Ended(ended) = input {
            self.live.iter().position(|live| live.run == ended.run)
        } else {
            None
        };
        let ended = position.map(|at| self.live.remove(at));
        let newest = self.newest.map(|newest| newest.seq);
        // Before the input counts, time alone may end a pause.
        let until = self.paused.and_then(|pause| pause.until);
        let due = !self.retiring && until.is_some_and(|until| until <= self.now);
        if due {
            self.paused = None;
            self.resumed = true;
            self.claim_again();
        }
        let mut turn = Turn {
            update: matches!(input, Input::State { state, .. } if newest < Some(state.seq.0)),
            refusal: self.expected_refusal(input),
            slot: matches!(input, Input::Slot),
            answers: 0,
            resumptions: u32::from(due),
            input,
            ended,
        };
        self.note(input, turn.ended.as_ref());
        self.note_permits(input);
        let effects = machine.handle(self.now, input.clone());
        if turn.slot && !self.asked {
            demand!(effects.first() == Some(&Effect::Release), "an unasked slot was kept");
            self.asked = true;
        }
        for effect in &effects {
            self.hear(effect, &mut turn)?;
        }
        demand!(!turn.slot, "a granted slot was neither used nor given back");
        let asked = matches!(input, Input::Control(_));
        demand!(turn.answers == u32::from(asked), "{} answers", turn.answers);
        if asked && effects.iter().any(|effect| matches!(effect, Effect::Resumed | Effect::Revived)) {
            self.claim_again();
        }
        if let (Input::Ended(e), Some(live)) = (input, &turn.ended) {
            self.concluded(e.verdict, live, &effects)?;
        }
        if turn.update {
            self.updated(&effects)?;
        }
        self.aftermath(machine)?;
        Ok(effects)
    }

    /// Somebody resumed, or a pause ended: what was passed over is to be applied.
    fn claim_again(&mut self) {
        if !self.held()
            && let Some(newest) = &mut self.newest
            && newest.claim == Claim::Resumable
        {
            newest.claim = Claim::Applying;
        }
    }

    fn expected_refusal(&self, input: &Input) -> Option<Refusal> {
        let Input::Control(control) = input else { return None };
        if self.retiring {
            return Some(Refusal::Retiring);
        }
        match (control, &self.newest) {
            (Control::Trigger, _) if self.stopped => Some(Refusal::Stopped),
            (Control::Trigger, _) if self.paused.is_some() => Some(Refusal::Paused),
            (Control::Trigger, None) => Some(Refusal::NoState),
            (Control::Trigger, Some(newest))
                if newest.absent && self.policy.on_delete == OnDelete::Ignore =>
            {
                Some(Refusal::Absent)
            }
            (Control::Trigger, Some(_)) => {
                let busy = self.policy.run_mode == RunMode::Discard && !self.live.is_empty();
                busy.then_some(Refusal::Running)
            }
            (Control::Resume, _) => (!self.held()).then_some(Refusal::NothingToResume),
            (Control::Pause { .. }, _) => None,
        }
    }

    /// What an input means, whatever the machine makes of it.
    fn note(&mut self, input: &Input, ended: Option<&LiveSeen>) {
        match input {
            Input::State { state, updates, baseline } => {
                let seq = state.seq.0;
                if self.newest.is_some_and(|newest| seq <= newest.seq) {
                    return;
                }
                let absent = state.content.is_absent();
                let first = self.newest.is_none();
                // Asked to run again: now with this one. What never ran keeps its own run.
                let moved = self.triggered.iter().any(|asked| !self.unfated.contains_key(asked));
                if moved {
                    self.triggered.retain(|asked| self.unfated.contains_key(asked));
                    self.triggered.insert(seq);
                }
                // A lapse before any state is that of an adopted run.
                let owed =
                    matches!(baseline, Baseline::Interrupted | Baseline::Pending) || self.lapse.is_some();
                let mut known = false;
                if first {
                    for live in self.live.iter_mut().filter(|live| live.adopted) {
                        // The fixtures adopt runs of state 1 or of one that never shows up.
                        if live.seq == Some(seq) && (!absent || self.policy.on_delete == OnDelete::Run) {
                            known = true;
                        } else {
                            live.seq = None;
                        }
                    }
                }
                self.gave_up = false;
                self.newest = Some(Newest {
                    seq,
                    absent,
                    claim: Claim::Applying,
                    applied: first && *baseline == Baseline::Applied,
                    late_first: first && self.retiring && !owed && !known,
                });
                if !known {
                    let surplus = std::mem::take(&mut self.carried);
                    let (at, first) = (self.now, self.now);
                    self.unfated.insert(seq, Unfated { own: *updates, surplus, at, first });
                }
            }
            Input::Control(control) => {
                if self.expected_refusal(input).is_some() {
                    return;
                }
                match control {
                    Control::Trigger => {
                        if let Some(newest) = &mut self.newest {
                            self.triggered.insert(newest.seq);
                            if !newest.absent || newest.claim != Claim::Nothing {
                                newest.claim = Claim::Applying;
                            }
                        }
                    }
                    Control::Pause { until } => self.paused = Some(Pause { until: *until }),
                    Control::Resume => {}
                }
            }
            Input::Retire { deadline } => {
                self.retiring = true;
                if self.policy.timeout.is_none() {
                    self.close = self.close.into_iter().chain(*deadline).min();
                }
            }
            Input::Stop { deadline } => {
                self.retiring = true;
                self.close = self.close.into_iter().chain([*deadline]).min();
            }
            Input::Ended(ending) => {
                if let Some(live) = ended {
                    let Verdict::Succeeded = ending.verdict else {
                        let newest = self.newest.map(|newest| newest.seq);
                        let outdated = live.seq.is_some() && newest.is_some() && live.seq != newest;
                        // One whose state is not known does not undo the retry of the newest.
                        let known = self.lapse.is_some_and(|lapse| lapse.seq == newest);
                        let vague = live.seq.is_none() && newest.is_some() && known;
                        if (outdated || vague) && self.parallel() {
                            return;
                        }
                        self.lapse = Some(Lapse {
                            seq: live.seq,
                            attempt: live.attempt,
                            at: self.now,
                            verdict: ending.verdict,
                            adopted: live.adopted,
                        });
                        return;
                    };
                    if let Some(newest) = &mut self.newest
                        && live.seq == Some(newest.seq)
                    {
                        newest.applied = true;
                    }
                }
            }
            Input::Slot
            | Input::Wakeup
            | Input::Permit(_)
            | Input::Claimed { .. }
            | Input::Refused(_)
            | Input::PermitLost(_)
            | Input::Offline => {}
        }
    }
}
