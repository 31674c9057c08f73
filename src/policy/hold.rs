//! Why a guard holds a state back, and what it compares a state with.

/// Why a state is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// It has fewer entries than `min_entries`.
    TooFew {
        /// How many it has.
        entries: u64,
        /// `min_entries`.
        least: u64,
    },
    /// It has lost more than `max_shrink` of the entries of the last applied state.
    Shrunk {
        /// How many it has.
        entries: u64,
        /// How many the last applied state had.
        applied: u64,
        /// `max_shrink`.
        percent: u8,
    },
    /// `validate` did not exit 0.
    Invalid,
}

/// What `max_shrink` compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Yardstick {
    /// Nothing yet: the ledger has no count, and no state has been seen.
    #[default]
    Missing,
    /// The entries of the first state that was seen, because the ledger has no count.
    First(u64),
    /// The entries of the last applied state.
    Applied(u64),
}

impl Yardstick {
    pub(super) fn entries(self) -> Option<u64> {
        match self {
            Self::Missing => None,
            Self::First(entries) | Self::Applied(entries) => Some(entries),
        }
    }
}
