//! The machine's state as facts; other rooms turn them into words.

use std::collections::BTreeMap;
use std::time::Instant;

use super::effect::SkipReason;
use super::machine::{Disposition, Entropy, Lifecycle, Machine};
use super::permit::PermitStage;
use super::runs::LiveRun;
use super::waiting::Wait;
use crate::watch::{Reason, RunId, Seq, Verdict, Version};

/// What a watch is doing: the words of `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing to do.
    Idle,
    /// Waiting for quiet.
    Settling,
    /// Waiting for this host's turn.
    Splaying,
    /// Waiting for `min_interval` or a slot.
    Waiting,
    /// At least one run is live.
    Running,
    /// Waiting for the delay before a run, or a start that the daemon could not make, is repeated.
    Retrying,
    /// The last retry failed.
    Failed,
    /// Paused by an operator. Runs may still be live.
    Paused,
    /// Stopped after the last retry. In parallel mode, runs may still be live.
    Stopped,
    /// The guard holds the newest state back.
    Held,
}

/// An obstacle to the next start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// The definition was changed or removed, or the daemon is stopping.
    Retiring,
    /// Stopped after the last retry.
    Stopped,
    /// Paused.
    Paused {
        /// When the pause ends by itself.
        until: Option<Instant>,
    },
    /// Settling: updates keep coming, or the last one is too recent.
    Settling {
        /// When it starts if no further update comes.
        until: Instant,
    },
    /// Splay: this host starts later.
    Splaying {
        /// When it starts.
        until: Instant,
    },
    /// The retry delay is not over.
    Retrying {
        /// Its end.
        until: Instant,
    },
    /// The daemon could not start it, for want of a resource of its own.
    Prevented {
        /// When it is tried again.
        until: Instant,
    },
    /// The run mode allows no start beside the live runs.
    Running {
        /// Number of live runs.
        live: usize,
    },
    /// `validate` has not judged it yet.
    Validation,
    /// The last start was too recent.
    Interval {
        /// When the interval is over.
        until: Instant,
    },
    /// The fleet does not let it start yet.
    Permit(PermitStage),
    /// The daemon runs `max_processes` actions already.
    Slot,
}

/// The newest state and its disposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NewestState {
    /// Its sequence number.
    pub seq: Seq,
    /// Its version.
    pub version: Version,
    /// Whether the key does not exist.
    pub absent: bool,
    /// Its disposition.
    pub disposition: Disposition,
}

/// The next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WaitingState {
    /// The state's sequence number.
    pub seq: Seq,
    /// The state's version.
    pub version: Version,
    /// Why it will run.
    pub reason: Reason,
    /// 1, 2, …
    pub attempt: u32,
    /// How many updates it stands for so far.
    pub coalesced: u64,
    /// How many more wait after it (parallel).
    pub behind: usize,
}

/// Everything that `twitcher explain` shows of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What it is doing.
    pub phase: Phase,
    /// The newest state; `None` until the store has shown one.
    pub newest: Option<NewestState>,
    /// The state of the last successful run, by this machine or by the ledger.
    pub applied: Option<(Seq, Version)>,
    /// [`Machine::converged`].
    pub converged: bool,
    /// What starts next.
    pub waiting: Option<WaitingState>,
    /// All obstacles to starting now, in the order in which they are waited for. Empty if nothing waits and the watch is not
    /// suspended.
    pub obstacles: Vec<Obstacle>,
    /// Live runs in the order of their starts.
    pub live: Vec<LiveRun>,
    /// The last start: which state, why, when.
    pub last_start: Option<(Seq, Reason, Instant)>,
    /// The last run that ended: which, how, when.
    pub last_end: Option<(RunId, Verdict, Instant)>,
    /// The last state that was skipped for each reason, and when.
    pub last_skips: BTreeMap<SkipReason, (Seq, Instant)>,
}

impl<S: Entropy> Machine<S> {
    /// What it is doing, as of the last input.
    pub fn phase(&self) -> Phase {
        if self.stopped {
            return Phase::Stopped;
        }
        if self.paused.is_some() {
            return Phase::Paused;
        }
        if !self.live.is_empty() {
            return Phase::Running;
        }
        match self.waiting.front().map(|entry| entry.wait) {
            None if self.held().is_some() => Phase::Held,
            None if self.gave_up => Phase::Failed,
            None if self.validating.is_some() => Phase::Waiting,
            None => Phase::Idle,
            Some(Wait::Settling { .. }) => Phase::Settling,
            Some(Wait::Splaying { .. }) => Phase::Splaying,
            Some(Wait::Retrying { .. } | Wait::Prevented { .. }) => Phase::Retrying,
            Some(Wait::Ready) => Phase::Waiting,
        }
    }

    /// The reasons for what it does or does not do.
    pub fn explain(&self, now: Instant) -> Explanation {
        let newest = self.newest.as_ref().map(|newest| NewestState {
            seq: newest.state.seq,
            version: newest.state.version,
            absent: newest.state.content.is_absent(),
            disposition: newest.disposition,
        });
        let waiting = self.waiting.front().map(|entry| WaitingState {
            seq: entry.state.seq,
            version: entry.state.version,
            reason: entry.reason,
            attempt: entry.attempt,
            coalesced: entry.coalesced(),
            behind: self.waiting.len() - 1,
        });
        Explanation {
            phase: self.phase(),
            newest,
            applied: self.history.applied,
            converged: self.converged(),
            waiting,
            obstacles: self.obstacles(now),
            live: self.live.clone(),
            last_start: self
                .history
                .start()
                .zip(self.last_start)
                .map(|((seq, reason, _), at)| (seq, reason, at)),
            last_end: self.history.end().cloned(),
            last_skips: self.history.skips.iter().map(|&(why, seq, at)| (why, (seq, at))).collect(),
        }
    }

    fn obstacles(&self, now: Instant) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        match self.lifecycle {
            Lifecycle::Serving => {}
            Lifecycle::Retiring | Lifecycle::Drained => obstacles.push(Obstacle::Retiring),
        }
        if self.stopped {
            obstacles.push(Obstacle::Stopped);
        }
        if let Some(pause) = self.paused {
            obstacles.push(Obstacle::Paused { until: pause.until });
        }
        if self.validating.is_some() && self.waiting.front().is_none_or(|first| !first.has_passed()) {
            obstacles.push(Obstacle::Validation);
        }
        let Some(entry) = self.waiting.front() else { return obstacles };
        // While suspended, an expired wait is not advanced.
        match entry.wait {
            _ if entry.wait.deadline().is_none_or(|until| until <= now) => {}
            Wait::Settling { until } => obstacles.push(Obstacle::Settling { until }),
            Wait::Splaying { until } => obstacles.push(Obstacle::Splaying { until }),
            Wait::Retrying { until } => obstacles.push(Obstacle::Retrying { until }),
            Wait::Prevented { until } => obstacles.push(Obstacle::Prevented { until }),
            Wait::Ready => {}
        }
        if let Some(until) = self.interval_end(entry).filter(|until| *until > now) {
            obstacles.push(Obstacle::Interval { until });
        }
        if !self.has_room() {
            obstacles.push(Obstacle::Running { live: self.live.len() });
        }
        if let Some(stage) = self.permit_stage().filter(|_| !self.has_permit()) {
            obstacles.push(Obstacle::Permit(stage));
        }
        if self.asked {
            obstacles.push(Obstacle::Slot);
        }
        obstacles
    }
}
