//! `rollout`: how far the newest version is, and what came before it. Its revision is the conductor's fence.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::order::version_text;
use super::{Record, Rest};
use crate::fleet::terms::InForce;
use crate::fleet::{HostName, PermitId, StateId};
use crate::watch::Version;

/// Failures that are named in a record; more are only counted.
pub const NAMED: usize = 20;

/// Rollouts that are remembered.
pub const REMEMBERED: usize = 5;

/// The rollout of a version, written by the conductor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Rises with each takeover of the conductor's role.
    pub epoch: u64,
    /// What is rolled out; `None`: nothing yet.
    pub id: Option<StateId>,
    /// How it is.
    pub state: RolloutState,
    /// The open wave: 1, 2, …; 0 where nothing is rolled out.
    pub wave: u32,
    /// How many waves there are, the last one included.
    pub of: u32,
    /// The most live members since it began: percentages are of this number.
    pub base: u32,
    /// The terms in force; `None` until a live member says some.
    pub terms: Option<InForce>,
    /// What most members watch. Members that watch something else under this name are in conflict.
    pub target: Option<Arc<str>>,
    /// When it began, by its conductor's clock.
    pub started: Option<Timestamp>,
    /// When its state changed, by its conductor's clock.
    pub since: Option<Timestamp>,
    /// Hosts that went away with a permit and did not come back in time, the first [`NAMED`].
    #[serde(default)]
    pub failures: Vec<HostFailure>,
    /// How many more there are.
    #[serde(default)]
    pub more_lost: u32,
    /// The last resume that was carried out.
    #[serde(default)]
    pub resumed: CarriedOut,
    /// The last retry that was carried out.
    #[serde(default)]
    pub retried: CarriedOut,
    /// What came before, newest first, at most [`REMEMBERED`].
    #[serde(default)]
    pub past: Vec<PastRollout>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            epoch: 0,
            id: None,
            state: RolloutState::Idle,
            wave: 0,
            of: 0,
            base: 0,
            terms: None,
            target: None,
            started: None,
            since: None,
            failures: Vec::new(),
            more_lost: 0,
            resumed: CarriedOut::default(),
            retried: CarriedOut::default(),
            past: Vec::new(),
            rest: Rest::default(),
        }
    }
}

impl Record for Rollout {
    fn shorten(&mut self) -> bool {
        if self.failures.pop().is_some() {
            self.more_lost = self.more_lost.saturating_add(1);
            true
        } else {
            self.past.pop().is_some()
        }
    }
}

/// How a rollout is, apart from a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RolloutState {
    /// There is none yet.
    Idle,
    /// Hosts act.
    Rolling,
    /// A wave is complete, and nothing starts for a while.
    Soaking,
    /// Too many hosts failed.
    Stopped,
    /// An operator ended it.
    Aborted,
    /// No live member is left to act.
    Done,
}

/// An order of a kind that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct CarriedOut {
    /// Its number.
    pub number: u64,
    /// It is about failures under this permit and those before it.
    pub before: Option<PermitId>,
}

impl CarriedOut {
    /// Whether it is about a failure whose permit was this one.
    pub fn covers(self, permit: Option<PermitId>) -> bool {
        self.number > 0 && permit <= self.before
    }
}

/// A host that failed or was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFailure {
    /// Which.
    pub host: HostName,
    /// How.
    pub outcome: FailureKind,
    /// The action's exit code.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// In which attempt.
    #[serde(default)]
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
}

/// How a host failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// Its run did not succeed.
    Failed,
    /// It went away with its permit.
    Lost,
    /// Its guard holds the version.
    Held,
}

/// A rollout that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRollout {
    /// Its version.
    #[serde(with = "version_text")]
    pub version: Version,
    /// How it ended.
    pub result: PastResult,
    /// How many members had it then.
    pub converged: u32,
    /// How long it took, in seconds.
    pub seconds: u64,
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PastResult {
    /// Nobody was left to act.
    Done,
    /// Too many hosts failed.
    Stopped,
    /// An operator ended it.
    Aborted,
    /// A newer version came.
    Superseded,
}
