//! The judgement of `validate` on a state.

use crate::watch::{Outcome, Seq, Version};

/// A state that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::daemon) struct Judged {
    pub(in crate::daemon) seq: Seq,
    pub(in crate::daemon) version: Version,
    pub(in crate::daemon) outcome: Outcome,
    /// Its last lines.
    pub(in crate::daemon) output: String,
}

impl Judged {
    pub(in crate::daemon) fn is_valid(&self) -> bool {
        self.outcome == Outcome::Exited(0)
    }
}
