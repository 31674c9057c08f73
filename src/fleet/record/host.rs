//! `hosts/HOST`: what a host says of itself; `permits/HOST`: what the conductor lets it do.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::serde::unsigned_duration::friendly::compact::{optional, required as duration_text};
use serde::{Deserialize, Serialize};

use super::{Instance, Record, Rest};
use crate::fleet::terms::Terms;
use crate::fleet::{PermitId, Revision, StateId};

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Which start of which daemon wrote it.
    pub inst: Instance,
    /// The machine, for people: two hosts of one name are told apart by it.
    pub machine: String,
    /// What it does.
    pub state: HostState,
    /// Why it is behind, where it is and that is a state of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<BehindWhy>,
    /// The state that it deals with: that it asks for, runs with, failed with.
    pub seen: Option<StateId>,
    /// The state that was last given to a run that succeeded.
    pub applied: Option<StateId>,
    /// The permit that it holds, as far as it knows.
    pub permit: Option<PermitId>,
    /// The last permit that it gave back; that one and all before it are never used again.
    pub back: Option<PermitId>,
    /// It asks for a permit of `seen` in exchange for the one that it holds (`run_mode = "restart"`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swap: bool,
    /// When its state changed, by its own clock: for people, and for the order among hosts that ask.
    pub since: Timestamp,
    /// Time after the loss of its tenure until a run of it must have ended: `timeout` + `kill_after` + [`FRESH`](crate::fleet::FRESH) + [`DRIFT`](crate::fleet::DRIFT).
    #[serde(with = "duration_text")]
    pub limit: Duration,
    /// The attempt with `seen`: 1, 2, …; 0 before the first.
    pub attempt: u32,
    /// How many permits of `seen` ended in failure.
    #[serde(default)]
    pub failures: u32,
    /// How its last run ended.
    pub last: Option<Last>,
    /// What its `[watch.fleet]` says.
    pub terms: Arc<Terms>,
    /// What it watches: key, type and the store's prefix.
    pub target: Arc<str>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Record for HostRecord {}

impl HostRecord {
    /// Whether it asks for a permit of `seen`.
    pub fn asks(&self) -> bool {
        self.swap || self.state == HostState::Asking
    }

    /// The greatest epoch of the permits that it mentions; 0 where it mentions none.
    pub fn epoch(&self) -> u64 {
        self.permit.max(self.back).map_or(0, |permit| permit.epoch)
    }
}

/// What a host does, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// It has applied what it has seen.
    Converged,
    /// It asks for a permit.
    Asking,
    /// Its action runs under its permit, or may start any moment.
    Running,
    /// It failed, and tries again under the same permit.
    Retrying,
    /// It succeeded, and keeps its permit for a while.
    Hold,
    /// It has not dealt with the newest state and does not ask.
    Behind,
    /// It failed and has given up.
    Failed,
    /// Its name is another daemon's.
    Conflict,
    /// Its action runs without a permit.
    Over,
    /// Its daemon was stopped.
    Down,
}

/// Why a host is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BehindWhy {
    /// Updates follow each other.
    Settling,
    /// It waits its part of `splay`.
    Splaying,
    /// It waits for something else on its host (`min_interval`, a run of an older version).
    Waiting,
    /// Its watch is paused there.
    Paused,
    /// Its watch is stopped there.
    Stopped,
    /// Its guard holds the state.
    Held,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Last {
    /// Whether it succeeded.
    pub outcome: LastOutcome,
    /// The action's exit code; `None`: a signal, or it never started.
    pub exit_code: Option<i32>,
}

/// Whether a run succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LastOutcome {
    /// It did.
    Succeeded,
    /// It did not.
    Failed,
}

/// What the conductor lets a host do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// Which permit.
    pub id: PermitId,
    /// The state that may be applied.
    pub state: StateId,
    /// A claim requires `control` at this revision, 0 for an absent one. `None`: the permit is suspended and nothing may start under it.
    pub control: Option<Revision>,
    /// It is for a host that failed and does not ask.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
    /// The `hold` in force.
    #[serde(default, with = "optional", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
    /// The `deadline` in force.
    #[serde(default, with = "optional", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Record for Permit {
    const LONGEST: usize = 1024;
}
