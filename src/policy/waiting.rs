//! One entry waiting for a start: settle, splay, retry delay.
//!
//! The machine handles room beside live runs, the interval between starts and the slot.

use std::time::{Duration, Instant};

use crate::watch::{PolicySpec, Reason, State};

/// A time that is never reached; for durations that the clock cannot represent.
const FAR: Duration = Duration::from_hours(30 * 365 * 24);

/// `from + wait`, without the panic of `+` if the clock cannot represent the result.
pub(super) fn later(from: Instant, wait: Duration) -> Instant {
    from.checked_add(wait).or_else(|| from.checked_add(FAR)).unwrap_or(from)
}

/// What an entry waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Wait {
    /// For quiet.
    Settling {
        /// When it has been quiet long enough, or `settle_max` is over.
        until: Instant,
    },
    /// For this host's splay.
    Splaying {
        /// Its end.
        until: Instant,
    },
    /// For the delay before a retry.
    Retrying {
        /// Its end.
        until: Instant,
    },
    /// For the delay after the daemon could not start it.
    Prevented {
        /// Its end.
        until: Instant,
    },
    /// For nothing.
    Ready,
}

impl Wait {
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Settling { until }
            | Self::Splaying { until }
            | Self::Retrying { until }
            | Self::Prevented { until } => Some(until),
            Self::Ready => None,
        }
    }
}

/// Whether the guard lets a state through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Passage {
    /// It was not judged yet.
    Unjudged,
    /// It has enough entries; `validate` has not accepted it yet.
    Counted,
    /// It passed, or there is no guard.
    Passed,
}

impl Passage {
    /// Of a state that there was no time to judge.
    pub(super) fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Unjudged }
    }
}

/// A state on its way to a start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "the flags are independent")]
pub(super) struct PendingState {
    pub(super) state: State,
    pub(super) reason: Reason,
    pub(super) attempt: u32,
    /// Updates that no run has covered yet.
    pub(super) fresh: u64,
    /// Updates of the run that it repeats.
    pub(super) repeated: u64,
    /// The state was started or skipped before: this is a retry, a recovery, a trigger or a resume.
    pub(super) fated: bool,
    /// What the guard says.
    pub(super) passage: Passage,
    /// Nothing is to be run for it, because the key does not exist: it only waits for the guard.
    pub(super) void: bool,
    /// Somebody asked for it: no interval.
    pub(super) urgent: bool,
    /// An operator triggered it without a permit of the fleet.
    pub(super) permitless: bool,
    pub(super) wait: Wait,
    /// When settling ends in any case: `settle_max` after its first update.
    pub(super) limit: Instant,
    /// The end of the splay, once drawn: it is waited for only once.
    pub(super) splayed: Option<Instant>,
}

impl PendingState {
    /// An update that begins a cycle of settle and splay.
    pub(super) fn update(
        now: Instant,
        state: State,
        fresh: u64,
        reason: Reason,
        policy: &PolicySpec,
    ) -> Self {
        let limit = later(now, policy.settle_max);
        let until = later(now, policy.settle).min(limit);
        Self {
            state,
            reason,
            attempt: 1,
            fresh,
            repeated: 0,
            fated: false,
            passage: Passage::of(!policy.guard.is_on()),
            void: false,
            urgent: false,
            permitless: false,
            wait: Wait::Settling { until },
            limit,
            splayed: None,
        }
    }

    /// A run again of the newest state, which had its fate, `repeated` updates strong.
    pub(super) fn again(
        now: Instant,
        state: State,
        reason: Reason,
        attempt: u32,
        repeated: u64,
        wait: Wait,
    ) -> Self {
        Self {
            state,
            reason,
            attempt,
            fresh: 0,
            repeated,
            fated: true,
            passage: Passage::Passed,
            void: false,
            urgent: false,
            permitless: false,
            wait,
            limit: now,
            splayed: Some(now),
        }
    }

    /// A newer state replaces its own.
    pub(super) fn renew(
        &mut self,
        now: Instant,
        state: State,
        fresh: u64,
        reason: Reason,
        void: bool,
        policy: &PolicySpec,
    ) {
        let cycle = Self { void, ..Self::update(now, state, fresh, reason, policy) };
        if self.urgent {
            // It was requested for now: it covers the update too, and does not settle.
            *self = Self {
                reason: Reason::Trigger,
                urgent: true,
                permitless: self.permitless,
                wait: Wait::Ready,
                fresh: self.fresh + fresh,
                ..cycle
            };
        } else if self.fated {
            // What was to be repeated is superseded: a new cycle. What a released state stands for no run had yet.
            *self = Self { fresh: self.fresh + fresh, ..cycle };
        } else {
            let reason = match (reason, self.reason) {
                // The first run after loading keeps its reason, even if an update joined it.
                (Reason::Change, Reason::Load) => Reason::Load,
                (new, _) => new,
            };
            let until = later(now, policy.settle).min(self.limit);
            *self = Self {
                reason,
                fresh: self.fresh + fresh,
                wait: Wait::Settling { until },
                limit: self.limit,
                splayed: self.splayed,
                ..cycle
            };
        }
    }

    /// It covers an older entry too.
    pub(super) fn absorb(&mut self, older: &Self) {
        self.fresh += older.fresh;
        self.limit = self.limit.min(older.limit);
        if let Wait::Settling { until } = &mut self.wait {
            *until = self.limit.min(*until);
        }
        if let Some(splayed) = older.splayed {
            self.splayed = Some(splayed);
            if let Wait::Splaying { until } = &mut self.wait {
                *until = splayed.min(*until);
            }
        }
        if older.urgent {
            self.hurry();
        }
    }

    /// An operator requests it now.
    pub(super) fn hurry(&mut self) {
        self.reason = Reason::Trigger;
        self.attempt = 1;
        self.urgent = true;
        self.wait = Wait::Ready;
    }

    /// Ends settling if it is due. Splay begins only when `validate`, if there is one, has accepted the state.
    pub(super) fn settle(&mut self, now: Instant, policy: &PolicySpec) {
        if let Wait::Settling { until } = self.wait
            && until <= now
        {
            if self.has_passed() || !policy.guard.validates(self.state.content.is_absent()) {
                self.splay(until, policy.splay);
            } else {
                self.wait = Wait::Ready;
            }
        }
    }

    /// `validate` has accepted it.
    pub(super) fn accept(&mut self, now: Instant, splay: Duration) {
        if self.is_ready() && !self.urgent && !self.fated {
            self.splay(now, splay);
        }
    }

    fn splay(&mut self, from: Instant, splay: Duration) {
        let splayed = *self.splayed.get_or_insert(later(from, splay));
        self.wait = if splayed > from { Wait::Splaying { until: splayed } } else { Wait::Ready };
    }

    /// Ends splay and delays before another try if they are due.
    pub(super) fn ripen(&mut self, now: Instant) {
        if let Wait::Splaying { until } | Wait::Retrying { until } | Wait::Prevented { until } = self.wait
            && until <= now
        {
            self.wait = Wait::Ready;
        }
    }

    pub(super) fn has_passed(&self) -> bool {
        matches!(self.passage, Passage::Passed)
    }

    /// Whether it has enough entries, and `validate` has not judged it yet.
    pub(super) fn is_counted(&self) -> bool {
        matches!(self.passage, Passage::Counted)
    }

    pub(super) fn is_unjudged(&self) -> bool {
        matches!(self.passage, Passage::Unjudged)
    }

    pub(super) fn is_settling(&self) -> bool {
        matches!(self.wait, Wait::Settling { .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.wait, Wait::Ready)
    }

    /// How many updates a run of it covers.
    pub(super) fn coalesced(&self) -> u64 {
        if self.fresh > 0 { self.fresh } else { self.repeated }
    }
}
