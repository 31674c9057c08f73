//! What a bystander knows of the seat: whether it is vacant, and whether its holder still works.

use std::time::Duration;

use super::input::Moment;
use crate::fleet::{BootTime, KeyState, Revision, TransactionOutcome};

/// Longest random delay before a campaign for a vacant seat, so that not all hosts try at once.
pub(super) const CAMPAIGN: Duration = Duration::from_secs(5);

/// The same for a seat that is vacant when it is first seen: no change has woken all hosts at once, and the first host
/// of a group need not wait.
pub(super) const FIRST_CAMPAIGN: Duration = Duration::from_millis(100);

/// Time between two reads of `summary`, in `ttl`.
const LOOK: u32 = 2;

/// A conductor whose beat stands still for this many `ttl` while a host waits is taken to hang.
const STILL: u32 = 3;

/// Without a sign that a host waits, all records are still read once in this many `ttl`.
const IDLE_LOOK: u32 = 60;

/// What a bystander knows of the seat.
#[derive(Debug, Default)]
pub struct Seat {
    /// As last seen; `None`: not yet.
    pub(super) entry: Option<KeyState>,
    pub(super) campaign_at: Option<BootTime>,
    /// The seat was vacant when it was first seen, and has not been taken since.
    pub(super) found_vacant: bool,
    /// The same, and only we have had it since.
    pub(super) unheld: bool,
    /// The beat, and since when it is that.
    pub(super) beat: Option<(u64, BootTime)>,
    pub(super) look_at: Option<BootTime>,
    pub(super) listed_at: Option<BootTime>,
    /// Our own host waits for a permit.
    pub(super) waiting: bool,
}

impl Seat {
    /// When [`Input::Wakeup`](super::Input::Wakeup) is due.
    pub(super) fn deadline(&self) -> Option<BootTime> {
        if self.is_vacant() { self.campaign_at } else { self.look_at }
    }

    /// The answer to our resignation came.
    pub(super) fn left(&mut self, outcome: TransactionOutcome) {
        self.entry = match outcome {
            TransactionOutcome::Applied(at) => Some(KeyState { at, value: None }),
            TransactionOutcome::Refused => None,
            TransactionOutcome::Unanswered => self.entry.take(),
        };
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.value.is_none())
    }

    pub(super) fn revision(&self) -> Revision {
        self.entry.as_ref().map_or(Revision::ABSENT, KeyState::revision)
    }

    /// The beat was read. Returns whether to look at all records.
    pub(super) fn heard(&mut self, beat: u64, expected: bool, now: Moment, ttl: Duration) -> bool {
        let since = match self.beat {
            Some((known, since)) if known == beat => since,
            Some(_) | None => now.boot,
        };
        self.beat = Some((beat, since));
        let still = now.boot.since(since);
        if still < ttl * STILL {
            self.look_at = Some(now.boot.plus(look(now, ttl).min((ttl * STILL).saturating_sub(still))));
            return false;
        }
        self.look_at = Some(now.boot.plus(look(now, ttl)));
        let idle = self.listed_at.is_some_and(|at| now.boot.since(at) < ttl * IDLE_LOOK);
        if idle && !expected && !self.waiting {
            return false;
        }
        self.listed_at = Some(now.boot);
        true
    }
}

/// A wait between three quarters and all of the time between two looks.
pub(super) fn look(now: Moment, ttl: Duration) -> Duration {
    let most = ttl * LOOK;
    most.saturating_sub(fraction(most / 4, now.chance))
}

/// A part of a duration, all equally likely.
pub(super) fn fraction(most: Duration, chance: u64) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(chance % nanos.max(1))
}
