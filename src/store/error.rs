//! What can go wrong with a store, in words that an operator can act on.

/// A failed conversation with a store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No connection, or it was lost, or the store did not answer in time. Worth trying again.
    #[error("{what}: {why}")]
    Unavailable {
        /// What was tried, on which server: `connect to etcd1:2379`.
        what: String,
        /// Why it failed.
        why: String,
    },
    /// The store answered that this is not allowed. Trying again helps only after somebody mends it.
    #[error("{what}: {why}; check the user's name, password file and permissions of this store")]
    Denied {
        /// What was tried.
        what: String,
        /// What the store said.
        why: String,
    },
    /// The request cannot work on this store: a key it cannot hold, a value over its limit.
    #[error("{what}: {why}")]
    Refused {
        /// What was tried.
        what: String,
        /// Why it cannot work, and what would.
        why: String,
    },
    /// A compare-and-set found another version than it asked for.
    #[error("{key} was changed by somebody else: expected {expected}, found {found}")]
    Conflict {
        /// The key.
        key: String,
        /// The version or absence that was asked for.
        expected: String,
        /// What is there.
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
