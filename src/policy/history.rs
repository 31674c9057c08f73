//! The machine's past: the state that was last applied, and the facts for `explain`.

use std::time::Instant;

use super::effect::SkipReason;
use super::runs::LiveRun;
use super::waiting::PendingState;
use crate::watch::{Reason, RunId, Seq, Verdict, Version};

/// The last start, end and skips, which only `explain` shows, and the state that was last applied.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct History {
    pub(super) applied: Option<(Seq, Version)>,
    /// `None` before the first run. Boxed: most of many thousand machines have none.
    pub(super) last_run: Option<Box<LastRun>>,
    /// At most one for each reason, sorted by reason.
    pub(super) skips: Vec<(SkipReason, Seq, Instant)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct LastRun {
    /// Its time is the machine's `last_start`.
    start: Option<(Seq, Reason, u64)>,
    end: Option<(RunId, Verdict, Instant)>,
}

impl History {
    pub(super) fn started(&mut self, entry: &PendingState, coalesced: u64) {
        self.last_run.get_or_insert_default().start = Some((entry.state.seq, entry.reason, coalesced));
    }

    pub(super) fn ended(&mut self, live: &LiveRun, verdict: Verdict, now: Instant) {
        self.last_run.get_or_insert_default().end = Some((live.run.clone(), verdict, now));
    }

    pub(super) fn skipped(&mut self, seq: Seq, why: SkipReason, now: Instant) {
        match self.skips.binary_search_by_key(&why, |(reason, _, _)| *reason) {
            Ok(place) => self.skips[place] = (why, seq, now),
            Err(place) => {
                self.skips.reserve_exact(1);
                self.skips.insert(place, (why, seq, now));
            }
        }
    }

    pub(super) fn start(&self) -> Option<(Seq, Reason, u64)> {
        self.last_run.as_ref()?.start
    }

    /// The last run that ended.
    pub(super) fn end(&self) -> Option<&(RunId, Verdict, Instant)> {
        self.last_run.as_ref()?.end.as_ref()
    }

    /// How many updates the last run covered, at least 1.
    pub(super) fn last_coalesced(&self) -> u64 {
        self.start().map_or(1, |(_, _, coalesced)| coalesced.max(1))
    }
}
