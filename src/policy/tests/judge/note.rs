//! The meaning of an input, recorded before its effects are judged.

use super::{Claim, Judge, Lapse, LiveSeen, Newest, Released, Unfated};
use crate::policy::{Baseline, Control, Input, Pause};
use crate::watch::{OnDelete, State, Verdict};

impl Judge {
    /// The meaning of an input, independent of the machine.
    pub(super) fn note(&mut self, input: &Input, ended: Option<&LiveSeen>) {
        if let (Input::State { .. } | Input::Control(_), Some(prevented)) = (input, &mut self.prevented) {
            prevented.excused = true;
        }
        match input {
            Input::State { state, updates, baseline } => self.note_state(input, state, *updates, *baseline),
            Input::Control(control) => {
                if self.expected_refusal(input).is_some() {
                    return;
                }
                let being_validated = self.newest.is_some_and(|newest| {
                    let waits = self.unfated.contains_key(&newest.seq) && !newest.passed;
                    waits && self.validates(newest.absent) && !self.fails(newest.absent)
                });
                match control {
                    Control::Trigger(_) => {
                        if let Some(newest) = &mut self.newest {
                            self.triggered.insert(newest.seq);
                            newest.void &= !being_validated;
                            if !newest.absent || newest.claim != Claim::Nothing {
                                newest.claim = Claim::Applying;
                            }
                        }
                    }
                    Control::Pause { until } => self.paused = Some(Pause { until: *until }),
                    Control::Resume => {}
                    Control::Release => {
                        if let Some(newest) = &mut self.newest {
                            (newest.held, newest.passed) = (false, true);
                            if !newest.void {
                                newest.claim = Claim::Applying;
                                self.resumed = true;
                                let updates = std::mem::take(&mut self.carried);
                                self.released = Some(Released { seq: newest.seq, updates });
                            }
                        }
                    }
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
            Input::Validated { seq, valid } => self.note_validated(seq.0, *valid),
            Input::Ended(ending) => {
                if let Some(live) = ended {
                    let Verdict::Succeeded = ending.verdict else {
                        let newest = self.newest.map(|newest| newest.seq);
                        let outdated = live.seq.is_some() && newest.is_some() && live.seq != newest;
                        // A run whose state is unknown does not undo the retry of the newest.
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
            | Input::Prevented(_)
            | Input::Permit(_)
            | Input::Claimed { .. }
            | Input::Refused(_)
            | Input::PermitLost(_)
            | Input::Offline => {}
        }
    }

    fn note_state(&mut self, input: &Input, state: &State, updates: u64, baseline: Baseline) {
        let seq = state.seq.0;
        if self.newest.is_some_and(|newest| seq <= newest.seq) {
            return;
        }
        let absent = state.content.is_absent();
        let first = self.newest.is_none();
        let back = self.is_back(input);
        let nothing_before = match self.newest {
            None => matches!(baseline, Baseline::Unknown | Baseline::Applied) && self.lapse.is_none(),
            Some(before) => before.absent && before.claim == Claim::Nothing && !before.held,
        };
        let void = absent && (self.policy.on_delete == OnDelete::Ignore || nothing_before);
        // Asked to run again: now with this one. What never ran keeps its own run.
        let moved = self.triggered.iter().any(|asked| !self.unfated.contains_key(asked));
        if moved {
            self.triggered.retain(|asked| self.unfated.contains_key(asked));
            self.triggered.insert(seq);
        }
        // A lapse before any state is that of an adopted run.
        let owed = matches!(baseline, Baseline::Interrupted | Baseline::Pending) || self.lapse.is_some();
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
            applied: (first && baseline == Baseline::Applied) || back,
            late_first: first && self.retiring && !owed && !known,
            passed: known || back || (first && matches!(baseline, Baseline::Applied | Baseline::GaveUp)),
            invalid: false,
            held: false,
            void,
            notified: false,
        });
        if back {
            self.carried = 0;
        } else if !known {
            let released = self.released.take().map_or(0, |released| released.updates);
            let surplus = std::mem::take(&mut self.carried) + released;
            let (at, first) = (self.now, self.now);
            // A deletion that runs nothing is no update that a later run stands for.
            let own = if void { 0 } else { updates };
            let passed = matches!(baseline, Baseline::Applied | Baseline::GaveUp)
                && self.newest.is_some_and(|newest| newest.passed);
            let valid = passed.then_some(at);
            self.unfated.insert(seq, Unfated { absent, own, surplus, at, first, valid, drawn: None });
        }
    }

    fn note_validated(&mut self, seq: u64, valid: bool) {
        if self.validating.take_if(|open| *open == seq).is_none() {
            return;
        }
        if valid && let Some(fresh) = self.unfated.get_mut(&seq) {
            fresh.valid = Some(self.now);
        }
        if let Some(newest) = self.newest.as_mut().filter(|newest| newest.seq == seq) {
            (newest.passed, newest.invalid) = (valid, !valid);
        }
    }
}
