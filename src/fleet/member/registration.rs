//! Whether the host's name is ours.

use crate::fleet::{BootTime, Revision, TenureId};

/// Whether the name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registration {
    /// A tenure is being opened.
    Opening,
    /// The name is requested, at once or after a delay.
    Trying {
        tenure: TenureId,
        /// How often it was another daemon's.
        tries: u32,
        after: Option<BootTime>,
    },
    /// A former tenure of ours is being ended.
    Revoking { tenure: TenureId },
    /// It is ours since this revision.
    Registered { tenure: TenureId, alive: Revision },
    /// The member has left.
    Gone,
}

impl Registration {
    pub(super) fn deadline(self) -> Option<BootTime> {
        match self {
            Self::Trying { after, .. } => Some(after.unwrap_or_default()),
            Self::Opening | Self::Revoking { .. } | Self::Registered { .. } | Self::Gone => None,
        }
    }

    /// Tries once more, after a while.
    pub(super) fn retry(&mut self, wait_until: Option<BootTime>) {
        match *self {
            Self::Revoking { tenure } => *self = Self::Trying { tenure, tries: 0, after: wait_until },
            Self::Trying { tenure, tries, .. } => {
                *self = Self::Trying { tenure, tries: tries + 1, after: wait_until };
            }
            Self::Opening | Self::Registered { .. } | Self::Gone => {}
        }
    }
}
