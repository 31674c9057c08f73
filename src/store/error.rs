//! Errors of stores, worded for an operator.

use std::time::Duration;

/// A failed request to a store, or a failed connection.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No connection, or it was lost, or the store did not answer in time. Worth trying again.
    #[error("{what}: {why}")]
    Unavailable {
        /// What was tried, on which server: `connect to etcd1:2379`.
        what: String,
        /// Why it failed.
        why: String,
    },
    /// A write was sent and not answered: it may have been applied. Read before you repeat it.
    #[error("{what}: {why}")]
    Unanswered {
        /// What was tried.
        what: String,
        /// Why there is no answer.
        why: String,
    },
    /// The store denied it. Retrying helps only after permissions or credentials change.
    #[error("{what}: {why}; check the user's name, password file and permissions of this store")]
    Denied {
        /// What was tried.
        what: String,
        /// The store's message.
        why: String,
    },
    /// The request cannot work on this store: a key that it cannot hold, a value over its limit.
    #[error("{what}: {why}")]
    Refused {
        /// What was tried.
        what: String,
        /// Why it cannot work, and what would.
        why: String,
    },
    /// A compare-and-set found a different version from the expected one.
    #[error("{key} was changed meanwhile: expected {expected}, found {found}")]
    Conflict {
        /// The key.
        key: String,
        /// The version or absence that was expected.
        expected: String,
        /// The version or absence that was found.
        found: String,
    },
    /// A file that the connection needs (certificate, password) cannot be used.
    #[error("cannot read {path}: {why}")]
    File {
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
}

impl StoreError {
    /// The error of a write after it was sent: without an answer, it may have been applied.
    #[must_use]
    pub(super) fn after_sending(self) -> Self {
        match self {
            Self::Unavailable { what, why } => Self::Unanswered { what, why },
            Self::Unanswered { .. }
            | Self::Denied { .. }
            | Self::Refused { .. }
            | Self::Conflict { .. }
            | Self::File { .. } => self,
        }
    }
}

/// A duration for messages: `250 ms`, `1.5 s`, `30 s`.
pub(crate) fn time(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return format!("{} ms", duration.as_millis());
    }
    let tenths = duration.as_secs_f64() * 10.0;
    let seconds = tenths.round() / 10.0;
    format!("{seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded() {
        for (milliseconds, said) in
            [(0, "0 ms"), (250, "250 ms"), (1500, "1.5 s"), (1999, "2 s"), (5000, "5 s"), (61_040, "61 s")]
        {
            assert_eq!(time(Duration::from_millis(milliseconds)), said);
        }
        assert_eq!(time(Duration::from_nanos(1_999_999_300)), "2 s");
    }
}
