//! What is asked of a store: several keys at once or none, on conditions that the store checks in the same step.

use std::sync::Arc;

use super::record::{Alive, ConductorRecord, ControlRecord, HostRecord, Permit, Rollout, Summary, Twin};
use super::{GroupKey, Revision, TenureId};

/// The value of a key, read.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "a variant a key of `GroupKey`")]
pub enum Value {
    Host(Arc<HostRecord>),
    Alive(Arc<Alive>),
    Permit(Arc<Permit>),
    Twin(Arc<Twin>),
    Rollout(Arc<Rollout>),
    Summary(Arc<Summary>),
    Conductor(Arc<ConductorRecord>),
    Control(Arc<ControlRecord>),
    /// A value that a later version of twitcher wrote.
    Later,
    /// A value that is no record: garbage, or too long.
    Unreadable,
}

/// A key as the store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyState {
    /// The revision of its last write; the revision at which it was read as absent where there is no value.
    pub at: Revision,
    /// `None`: the key does not exist.
    pub value: Option<Value>,
}

impl KeyState {
    /// The revision that a transaction can require.
    pub fn revision(&self) -> Revision {
        if self.value.is_some() { self.at } else { Revision::ABSENT }
    }
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Sets a value.
    Put {
        /// The key.
        key: GroupKey,
        /// What it holds from then on.
        value: Value,
        /// The key vanishes with this tenure; `None`: it stays.
        tenure: Option<TenureId>,
    },
    /// Deletes a key.
    Delete {
        /// The key.
        key: GroupKey,
    },
}

impl Write {
    /// A value that stays.
    pub fn put(key: GroupKey, value: Value) -> Self {
        Self::Put { key, value, tenure: None }
    }

    /// What is written.
    pub fn key(&self) -> &GroupKey {
        let (Self::Put { key, .. } | Self::Delete { key }) = self;
        key
    }
}

/// All of these writes, or none: each required key must have exactly that revision ([`Revision::ABSENT`]: not exist).
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use = "a transaction that is not sent changes nothing"]
pub struct Transaction {
    /// What must hold.
    pub require: Vec<(GroupKey, Revision)>,
    /// What is written then.
    pub write: Vec<Write>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// It was applied, at this revision.
    Applied(Revision),
    /// A requirement did not hold; nothing was written.
    Refused,
    /// No answer came: it was applied, or was not, or will be.
    Unanswered,
}
