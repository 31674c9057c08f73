//! One entry on its way to a start, and how long it waits: settle, splay, retry delay.
//!
//! Room beside live runs, the interval between starts and the slot are the machine's.

use std::time::{Duration, Instant};

use crate::watch::{PolicySpec, Reason, State};

/// A moment so far off that nobody waits for it; for durations that no clock can hold.
const FAR: Duration = Duration::from_hours(30 * 365 * 24);

/// `from + wait`, without the panic of `+` for a wait that the clock cannot hold.
pub(super) fn later(from: Instant, wait: Duration) -> Instant {
    from.checked_add(wait).or_else(|| from.checked_add(FAR)).unwrap_or(from)
}

/// What an entry waits for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Wait {
    /// For quiet.
    Settling {
        /// When quiet has lasted long enough, or settling has.
        until: Instant,
    },
    /// For this host's turn.
    Splaying {
        /// Its turn.
        until: Instant,
    },
    /// For the delay before a run is repeated.
    Retrying {
        /// Its end.
        until: Instant,
    },
    /// For nothing of its own.
    Ready,
}

impl Wait {
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Settling { until } | Self::Splaying { until } | Self::Retrying { until } => Some(until),
            Self::Ready => None,
        }
    }
}

/// Whether the guard lets a state through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Passage {
    /// It was not judged yet.
    Unjudged,
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
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) reason: Reason,
    pub(super) attempt: u32,
    /// Updates that no run stood for yet.
    pub(super) fresh: u64,
    /// Updates of the run that it repeats.
    pub(super) repeated: u64,
    /// The state had its start or its skip before: this is a retry, a recovery, a trigger or a resume.
    pub(super) fated: bool,
    /// What the guard says.
    pub(super) passage: Passage,
    /// Nothing is to be run for it, because the key does not exist: it only waits for the guard.
    pub(super) void: bool,
    /// Somebody asked for it: no interval.
    pub(super) urgent: bool,
    pub(super) wait: Wait,
    /// When settling ends whatever comes: `settle_max` after the first update that it serves.
    pub(super) limit: Instant,
    /// The end of the splay, once it is known: it is waited for once.
    pub(super) splayed: Option<Instant>,
}

impl Entry {
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
            wait,
            limit: now,
            splayed: Some(now),
        }
    }

    /// A newer state takes the place of this one's.
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
            // Asked for now: it serves the update too, and waits for no quiet.
            *self = Self {
                reason: Reason::Trigger,
                urgent: true,
                wait: Wait::Ready,
                fresh: self.fresh + fresh,
                ..cycle
            };
        } else if self.fated {
            // What was to be repeated is superseded: a new cycle. What a released state stands for no run had yet.
            *self = Self { fresh: self.fresh + fresh, ..cycle };
        } else {
            let reason = match (reason, self.reason) {
                // The first run after loading says so, also if an update joined it on its way.
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

    /// It stands for an older entry too.
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

    /// Somebody asked for it now.
    pub(super) fn hurry(&mut self) {
        self.reason = Reason::Trigger;
        self.attempt = 1;
        self.urgent = true;
        self.wait = Wait::Ready;
    }

    /// Ends settling where it is due.
    pub(super) fn settle(&mut self, now: Instant, splay: Duration) {
        if let Wait::Settling { until } = self.wait
            && until <= now
        {
            let splayed = *self.splayed.get_or_insert(later(until, splay));
            self.wait = if splayed > until { Wait::Splaying { until: splayed } } else { Wait::Ready };
        }
    }

    /// Ends splay and retry delay where they are due.
    pub(super) fn ripen(&mut self, now: Instant) {
        if let Wait::Splaying { until } | Wait::Retrying { until } = self.wait
            && until <= now
        {
            self.wait = Wait::Ready;
        }
    }

    pub(super) fn has_passed(&self) -> bool {
        matches!(self.passage, Passage::Passed)
    }

    pub(super) fn is_settling(&self) -> bool {
        matches!(self.wait, Wait::Settling { .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.wait, Wait::Ready)
    }

    /// How many updates a run of it stands for.
    pub(super) fn coalesced(&self) -> u64 {
        if self.fresh > 0 { self.fresh } else { self.repeated }
    }
}
