//! `summary`: the counts of a group in one key, so that any number of readers is cheap.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Record, Rest};
use crate::fleet::{HostName, StateId};

/// Silent hosts that are named.
pub const SILENT_NAMED: usize = 50;

/// The counts, written by the conductor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Of which version.
    pub id: Option<StateId>,
    /// How many hosts are how.
    pub hosts: Counts,
    /// Permits that are held.
    pub held: u32,
    /// Permits that there may be at once; `None`: any number.
    pub limit: Option<u32>,
    /// Silent hosts, since when by the conductor's clock; at most [`SILENT_NAMED`].
    #[serde(default)]
    pub silent: BTreeMap<HostName, Timestamp>,
    /// Hosts whose terms are not those of most, counted.
    #[serde(default)]
    pub disagree: u32,
    /// What holds the rollout up, for people.
    #[serde(default)]
    pub why: Option<String>,
    /// Rises while the conductor works: where it stands still and somebody waits, the conductor hangs.
    pub beat: u64,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Record for Summary {
    fn shorten(&mut self) -> bool {
        self.silent.pop_last().is_some()
    }
}

/// How many hosts are how. `converged + acting + asking + behind + failed + conflict = members`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// All records.
    pub members: u32,
    /// They have the version.
    pub converged: u32,
    /// Granted, running or retrying.
    pub acting: u32,
    /// They ask for a permit.
    pub asking: u32,
    /// None of the others.
    pub behind: u32,
    /// They failed and gave up, or were lost.
    pub failed: u32,
    /// They watch something else under the group's name, or act without limits where others have one.
    pub conflict: u32,
    /// Their tenure is gone, and they were not stopped; counted above as well.
    pub silent: u32,
    /// Their daemon was stopped; counted above as well.
    pub down: u32,
    /// Their action runs without a permit; counted above as well.
    pub over: u32,
}
