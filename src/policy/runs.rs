//! Live runs: the state of each, and when it gets TERM and KILL.

use std::time::{Duration, Instant};

use super::effect::{Effect, Sent};
use super::waiting::{PendingState, later};
use crate::watch::{Reason, RunId, Seq, Version};

/// How far a run is in its timeout sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Course {
    /// No signal was sent.
    Running {
        /// When it gets TERM, if ever.
        term_at: Option<Instant>,
    },
    /// TERM was sent.
    Terminated {
        /// When it gets KILL.
        kill_at: Instant,
    },
    /// KILL was sent.
    Killed,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LiveRun {
    /// Its id.
    pub run: RunId,
    /// The sequence number of its state. Unknown for an adopted run until a first state of its version arrives.
    pub seq: Option<Seq>,
    /// The version of its state. For an adopted run: if the ledger knows it.
    pub version: Option<Version>,
    /// Why it was started.
    pub reason: Reason,
    /// 1, 2, …
    pub attempt: u32,
    /// How many updates it covers.
    pub coalesced: u64,
    /// When it started.
    pub started: Instant,
    /// A former daemon started it.
    pub adopted: bool,
    /// The entries of its state, where `max_shrink` will compare with them.
    pub entries: Option<u64>,
    /// Whether it is being ended.
    pub course: Course,
    /// What was started, and when the start before was; `None` of an adopted run.
    pub(super) entry: Option<Box<(PendingState, Option<Instant>)>>,
}

impl LiveRun {
    /// Makes TERM due no later than `deadline`.
    pub(super) fn limit(&mut self, deadline: Instant) {
        if let Course::Running { term_at } = &mut self.course {
            *term_at = Some(term_at.map_or(deadline, |at| at.min(deadline)));
        }
    }

    /// Sends the signals that are due. `at_once` makes TERM due now.
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
            // `kill_after` counts from when TERM was sent, not from when it was due: a late daemon must not shorten the action's time to
            // clean up.
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
