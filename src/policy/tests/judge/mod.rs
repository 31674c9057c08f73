//! The judge: observes a machine from outside and knows what the contract allows and requires.
//!
//! It follows only inputs and effects, with bookkeeping of its own that shares no code with the machine.

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
mod note;
mod outlook;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::fixture::Counter;
use crate::policy::{Baseline, Control, Effect, Input, Machine, Pause, Refusal, Sent, SkipReason};
use crate::watch::{OnDelete, PolicySpec, RunId, RunMode, Validate, Verdict};
pub(super) use fleet::{FleetSeen, Held};

type Checked = Result<(), String>;

/// A state that was observed and neither started nor skipped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Unfated {
    pub(super) absent: bool,
    /// Its own updates, and those of the states that it replaced.
    pub(super) own: u64,
    pub(super) surplus: u64,
    /// When it came, and when the first update that it covers came.
    pub(super) at: Instant,
    pub(super) first: Instant,
    /// When `validate` accepted it.
    pub(super) valid: Option<Instant>,
    /// When it accepted a state that this one replaced: the splay began then.
    pub(super) drawn: Option<Instant>,
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

/// What may still happen to the newest state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Claim {
    /// To be applied.
    Applying,
    /// Nothing until an operator resumes.
    Resumable,
    /// Nothing at all.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "what is known of a state, each by itself")]
pub(super) struct Newest {
    pub(super) seq: u64,
    pub(super) absent: bool,
    pub(super) claim: Claim,
    /// A run with it succeeded, or the ledger records it as applied.
    pub(super) applied: bool,
    /// Came after the machine was retired.
    pub(super) late_first: bool,
    /// Need not be judged by the guard: released, or applied by the ledger.
    pub(super) passed: bool,
    /// `validate` refused it.
    pub(super) invalid: bool,
    /// The guard holds it back.
    pub(super) held: bool,
    /// Gone, and that runs nothing.
    pub(super) void: bool,
    /// The live runs were told of it.
    pub(super) notified: bool,
}

impl Newest {
    pub(super) fn ignored(&self) -> bool {
        (self.absent || self.held) && self.claim == Claim::Nothing
    }

    fn absent_ignored(&self, policy: &PolicySpec) -> bool {
        self.held || self.absent && (policy.on_delete == OnDelete::Ignore || self.claim == Claim::Nothing)
    }
}

/// A run that ended without success: a repetition must match it.
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
    /// States that an operator requested to run.
    pub(super) triggered: BTreeSet<u64>,
    pub(super) resumed: bool,
    pub(super) loaded: bool,
    pub(super) lapse: Option<Lapse>,
    /// `None`: it takes no part in a fleet.
    pub(super) fleet: Option<FleetSeen>,
    pub(super) released: Option<Released>,
    /// The state that is with `validate`.
    pub(super) validating: Option<u64>,
    /// The run that the last input has started, and what was known before: should it be prevented, that holds again.
    pub(super) before: Option<(RunId, Box<Self>)>,
    pub(super) prevented: Option<Prevented>,
}

/// A start that the daemon could not make, until the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Prevented {
    pub(super) at: Instant,
    /// A newer state or an operator may have cut the delay short.
    pub(super) excused: bool,
}

/// A state that was held, released and not started since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Released {
    pub(super) seq: u64,
    /// What its run stands for.
    pub(super) updates: u64,
}

/// One input while its effects are heard.
#[expect(clippy::struct_excessive_bools, reason = "what is known of an input, each by itself")]
struct Turn<'a> {
    input: &'a Input,
    /// The run that it ended.
    ended: Option<LiveSeen>,
    /// It shows a newer state.
    update: bool,
    /// The first one.
    first: bool,
    /// What it must be refused for.
    refusal: Option<Refusal>,
    /// It granted a slot, not yet used or given back.
    slot: bool,
    answers: u32,
    /// It shows what was last applied, after a held state.
    back: bool,
    /// How often time alone may end a pause in it.
    resumptions: u32,
    /// The state that `validate` refuses by this input.
    invalid: Option<u64>,
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
            released: None,
            validating: None,
            before: None,
            prevented: None,
        }
    }

    /// Whether the guard holds such a state back: where it counts, it wants one entry, which every value is.
    pub(super) fn fails(&self, absent: bool) -> bool {
        let guard = self.policy.guard;
        absent && (guard.min_entries > 0 || guard.max_shrink.is_some())
    }

    pub(super) fn newest_fails(&self) -> bool {
        self.newest.is_some_and(|newest| (self.fails(newest.absent) || newest.invalid) && !newest.passed)
    }

    /// Whether `validate` has to accept such a state.
    pub(super) fn validates(&self, absent: bool) -> bool {
        match self.policy.guard.validate {
            Validate::Nothing => false,
            Validate::Values => !absent,
            Validate::Everything => true,
        }
    }

    /// Whether the guard judges such a state.
    pub(super) fn guards(&self, absent: bool) -> bool {
        self.validates(absent) || self.fails(true)
    }

    /// Whether nothing but its waits keeps a state, the newest or another one that waits, from being run.
    pub(super) fn is_valid(&self, seq: u64, fresh: &Unfated) -> bool {
        let known = self.newest.is_some_and(|newest| newest.seq == seq && newest.passed);
        known || fresh.valid.is_some() || !self.validates(fresh.absent)
    }

    fn is_back(&self, input: &Input) -> bool {
        let back = matches!(input, Input::State { baseline: Baseline::Applied, .. });
        let held = self.newest.is_some_and(|newest| newest.held);
        back && held && !self.retiring && self.live.is_empty() && self.unfated.is_empty()
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

    /// Feeds one input to the machine, and judges its effects.
    pub(super) fn feed(
        &mut self,
        machine: &mut Machine<Counter>,
        input: &Input,
    ) -> Result<Vec<Effect>, String> {
        let newest = self.newest.map(|newest| newest.seq);
        // Before the input takes effect, time alone may end a pause.
        let until = self.paused.and_then(|pause| pause.until);
        let due = !self.retiring && until.is_some_and(|until| until <= self.now);
        if due {
            self.paused = None;
            self.resumed = true;
            self.claim_again();
        }
        let mut turn = Turn {
            update: matches!(input, Input::State { state, .. } if newest < Some(state.seq.0)),
            first: newest.is_none(),
            refusal: None,
            slot: matches!(input, Input::Slot),
            answers: 0,
            back: false,
            resumptions: u32::from(due),
            invalid: self.validating.filter(
                |seq| matches!(input, Input::Validated { seq: judged, valid: false } if judged.0 == *seq),
            ),
            input,
            ended: None,
        };
        let all = machine.handle(self.now, input.clone());
        let of_time = all.iter().take_while(|effect| self.is_of_time(effect, due)).count();
        let (of_time, effects) = all.split_at(of_time);
        self.hear_all(of_time, &mut turn)?;
        if let Input::Ended(ended) = input {
            let position = self.live.iter().position(|live| live.run == ended.run);
            turn.ended = position.map(|at| self.live.remove(at));
        }
        let before = self.before.take();
        if let Input::Prevented(run) = input {
            let live = self.live.iter().find(|live| live.run == *run);
            turn.ended = live.cloned();
            let Some((_, before)) = before.filter(|(started, _)| started == run) else {
                return Err("prevented late".into());
            };
            let (mut fleet, asked) = (self.fleet.take(), self.asked);
            if let Some(fleet) = &mut fleet {
                fleet.waived = before.fleet.as_ref().and_then(|fleet| fleet.waived);
            }
            *self =
                Self { fleet, asked, prevented: Some(Prevented { at: self.now, excused: false }), ..*before };
        }
        (turn.refusal, turn.back) = (self.expected_refusal(input), self.is_back(input));
        self.note(input, turn.ended.as_ref());
        self.note_permits(input);
        if turn.slot && !self.asked {
            demand!(effects.first() == Some(&Effect::Release), "an unasked slot was kept");
            self.asked = true;
        }
        self.hear_all(effects, &mut turn)?;
        demand!(!turn.slot, "a granted slot was neither used nor given back");
        let asked = matches!(input, Input::Control(_));
        demand!(turn.answers == u32::from(asked), "{} answers", turn.answers);
        if asked && effects.iter().any(|effect| matches!(effect, Effect::Resumed | Effect::Revived)) {
            self.claim_again();
        }
        if let (Input::Ended(e), Some(live)) = (input, &turn.ended) {
            self.concluded(e.verdict, live, effects)?;
        }
        if turn.update {
            self.updated(effects)?;
        }
        self.aftermath(machine)?;
        Ok(all)
    }

    fn hear_all(&mut self, effects: &[Effect], turn: &mut Turn<'_>) -> Checked {
        for effect in effects {
            self.hear(effect, turn)?;
        }
        let notified = |effect: &Effect| matches!(effect, Effect::Signal { sent: Sent::Notify, .. });
        if let Some(newest) = &mut self.newest {
            newest.notified |= effects.iter().any(notified);
        }
        Ok(())
    }

    /// Whether an effect follows from the time alone, before the input counts: the end of a pause, and the guard's
    /// judgement of the state that was the newest until now.
    fn is_of_time(&self, effect: &Effect, due: bool) -> bool {
        let Some(newest) = self.newest else { return due && *effect == Effect::Resumed };
        match effect {
            Effect::Resumed => due,
            Effect::Skip { seq, why: SkipReason::Held } => seq.0 == newest.seq && self.fails(newest.absent),
            Effect::Held { version, .. } => {
                *version == super::fixture::version(newest.seq) && self.fails(newest.absent)
            }
            Effect::Signal { sent: Sent::Notify, .. } => {
                let fresh = self.unfated.get(&newest.seq).filter(|_| !self.newest_fails());
                let fresh = fresh.filter(|_| !self.validates(newest.absent));
                self.guards(newest.absent) && fresh.is_some_and(|fresh| self.quiet(fresh) <= self.now)
            }
            Effect::Acquire
            | Effect::Release
            | Effect::Start { .. }
            | Effect::Signal { .. }
            | Effect::Skip { .. }
            | Effect::Applied { .. }
            | Effect::Recognised(_)
            | Effect::Validate { .. }
            | Effect::EndValidation
            | Effect::GaveUp { .. }
            | Effect::Stopped { .. }
            | Effect::Revived
            | Effect::Answer(_)
            | Effect::Drained
            | Effect::Permit(_) => false,
        }
    }

    /// An operator resumed, or a pause ended: skipped states must be applied.
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
            (Control::Trigger(_) | Control::Release, _) if self.stopped => Some(Refusal::Stopped),
            (Control::Trigger(_) | Control::Release, _) if self.paused.is_some() => Some(Refusal::Paused),
            (Control::Trigger(_), None) => Some(Refusal::NoState),
            (Control::Trigger(_), Some(_)) if self.newest_fails() => Some(Refusal::Held),
            (Control::Trigger(_), Some(newest))
                if newest.absent && self.policy.on_delete == OnDelete::Ignore =>
            {
                Some(Refusal::Absent)
            }
            (Control::Trigger(_), Some(_)) => {
                let busy = self.policy.run_mode == RunMode::Discard && !self.live.is_empty();
                busy.then_some(Refusal::Running)
            }
            (Control::Release, newest) => {
                (!newest.is_some_and(|newest| newest.held)).then_some(Refusal::NotHeld)
            }
            (Control::Resume, _) => (!self.held()).then_some(Refusal::NothingToResume),
            (Control::Pause { .. }, _) => None,
        }
    }
}
