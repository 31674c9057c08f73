//! Live runs: what each was given, and its way from TERM to KILL.

use std::time::{Duration, Instant};

use super::effect::{Effect, Sent};
use super::waiting::later;
use crate::watch::{Reason, RunId, Seq, Version};

/// How far a run is on its way to be ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Course {
    /// It may run, until then if there is a then.
    Running { term_at: Option<Instant> },
    /// It was sent TERM.
    Terminated { kill_at: Instant },
    /// It was sent KILL.
    Killed,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Live {
    pub(super) run: RunId,
    /// The state's order; not known of an adopted run until a first state of its version shows up.
    pub(super) seq: Option<Seq>,
    pub(super) version: Option<Version>,
    pub(super) reason: Reason,
    pub(super) attempt: u32,
    pub(super) coalesced: u64,
    pub(super) started: Instant,
    pub(super) adopted: bool,
    pub(super) course: Course,
}

impl Live {
    /// Has it ended at `deadline` at the latest.
    pub(super) fn limit(&mut self, deadline: Instant) {
        if let Course::Running { term_at } = &mut self.course {
            *term_at = Some(term_at.map_or(deadline, |at| at.min(deadline)));
        }
    }

    /// Sends what is due; `at_once` makes TERM due.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        at_once: bool,
        kill_after: Duration,
        effects: &mut Vec<Effect>,
    ) {
        if let Course::Running { term_at } = self.course
            && (at_once || term_at.is_some_and(|at| at <= now))
        {
            effects.push(Effect::Signal { run: self.run.clone(), sent: Sent::Term });
            // Counted from the TERM that was sent, not from when it was due: a late daemon must not
            // shorten the time that the action has to clean up.
            self.course = Course::Terminated { kill_at: later(now, kill_after) };
        }
        if let Course::Terminated { kill_at } = self.course
            && kill_at <= now
        {
            effects.push(Effect::Signal { run: self.run.clone(), sent: Sent::Kill });
            self.course = Course::Killed;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.course {
            Course::Running { term_at } => term_at,
            Course::Terminated { kill_at } => Some(kill_at),
            Course::Killed => None,
        }
    }

    pub(super) fn may_run(&self) -> bool {
        matches!(self.course, Course::Running { .. })
    }
}
