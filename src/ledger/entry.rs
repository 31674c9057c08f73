//! The ledger's record of one watch.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::watch::{
    Content, Fingerprint, MutexName, PermitId, ProcessIdentity, Reason, RunId, RunRecord, State, Target,
    Version, WatchType,
};

/// How many ended runs are remembered for each watch in memory and in the journal. The history files have more.
pub const HISTORY: usize = 10;

/// The record of a watch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LedgerEntry {
    /// The last state that a successful run was given.
    pub applied: Option<Applied>,
    /// Runs that were started and whose end is not recorded.
    pub live: Vec<LiveRecord>,
    /// The newest run that was recorded. Every older live run was recorded too.
    pub newest_run: Option<RunId>,
    /// A run was interrupted and has not been repeated yet: its target, as in [`LiveRecord::target`].
    pub interrupted: Option<String>,
    /// Paused by an operator.
    pub paused: Option<Paused>,
    /// Stopped after its last retry: the fingerprint of the definition that failed.
    pub stopped: Option<Fingerprint>,
    /// The state for which `on_give_up` was run last: it is not run again for that.
    pub reported: Option<Applied>,
    /// The `on_give_up` that must be run and has no process yet.
    pub owed: Option<Owed>,
    /// The state whose last retry failed.
    pub gave_up: Option<GaveUp>,
    /// The last runs that ended, oldest first, at most [`HISTORY`].
    pub history: VecDeque<RunRecord>,
    /// The last tenure in the store of its fleet's group, as text.
    pub tenure: Option<String>,
    /// This host's record in the store of that group, as it was last known.
    pub fleet_record: Option<FleetRecord>,
    /// The last permit that was granted: a run that is found in `/proc` without a record was started under it.
    pub granted: Option<LivePermit>,
    /// Number of runs that ended.
    pub ended: u64,
    /// Number of them that failed.
    pub failed: u64,
    /// When the last run that succeeded ended; `None` also in what version 0.1.0 wrote.
    pub succeeded: Option<jiff::Timestamp>,
}

impl LedgerEntry {
    /// Whether a state has the content that was last applied, and nothing has run since then that may have undone it.
    pub fn is_back_at(&self, target: &Target, state: &State) -> bool {
        let undisturbed = self.live.is_empty()
            && self.interrupted.is_none()
            && self.history.back().is_none_or(|last| last.outcome == "succeeded");
        let applied = self.applied.as_ref().filter(|applied| applied.is_of(target));
        undisturbed && applied.is_some_and(|applied| applied.digest == digest(&state.content))
    }

    pub(super) fn end(&mut self, record: RunRecord, succeeded: bool) {
        self.live.retain(|live| live.run != record.run);
        self.ended += 1;
        if succeeded {
            self.interrupted = None;
            self.succeeded = record.ended();
        } else {
            self.failed += 1;
        }
        self.remember(record);
    }

    pub(super) fn remember(&mut self, record: RunRecord) {
        self.history.push_back(record);
        while self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }
}

/// An applied state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The target, [`described`]: after the target changes nothing counts as applied.
    pub target: String,
    /// The version, as shown.
    pub version: String,
    /// [`digest`] of the content: a restored store may use a version a second time for other content.
    pub digest: String,
    /// How many entries it had ([`Content::entries`]), where children or a tree are watched. Older ledgers have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
}

impl Applied {
    /// Describes a state of a target.
    pub fn new(target: &Target, state: &State) -> Self {
        let entries = match target.watch_type {
            WatchType::Data => None,
            WatchType::Children | WatchType::Tree => Some(state.content.entries()),
        };
        Self {
            target: described(target),
            version: state.version.to_string(),
            digest: digest(&state.content),
            entries,
        }
    }

    /// Whether a state of this target equals the applied one: [`is_same`](crate::watch::is_same), as far as a digest can
    /// tell.
    pub fn covers(&self, target: &Target, state: &State) -> bool {
        let (version, now) = (state.version.to_string(), digest(&state.content));
        let unread = digest(&Content::Unread);
        self.is_of(target)
            && match &state.content {
                Content::Absent | Content::Children(_) => self.digest == now,
                // The highest revision of a tree falls back when the last thing that happened was a deletion.
                Content::Tree(_) => self.digest == now && !self.is_before(state),
                Content::Unread => self.version == version,
                Content::Value(_) => self.version == version && (self.digest == now || self.digest == unread),
            }
    }

    fn is_before(&self, state: &State) -> bool {
        self.version.parse::<Version>().is_ok_and(|version| version.is_before(state.version))
    }

    /// Whether it is a state of this target.
    pub fn is_of(&self, target: &Target) -> bool {
        self.target == described(target)
    }
}

/// A state whose last retry failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GaveUp {
    /// The definition under which it failed; with another one it has not been tried.
    pub definition: Fingerprint,
    /// The state.
    pub state: Applied,
}

/// An `on_give_up` that waits for a free slot among `max_processes`. If the daemon ends first, the next one runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// The state that it is about.
    pub state: Applied,
    /// Its `TWITCHER_OUTCOME`.
    pub outcome: String,
    /// Its `TWITCHER_EXIT_CODE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why the run was started.
    pub reason: Reason,
    /// 1, 2, …
    pub attempt: u32,
    /// How many updates the run stood for.
    pub coalesced: u64,
    /// Its standard input.
    pub output: String,
}

/// The target as `STORE TYPE KEY`: the ledger's own words, which differ from those of a watch file.
pub fn described(target: &Target) -> String {
    let Target { store, key, watch_type } = target;
    let watch_type = match watch_type {
        WatchType::Data => "Data",
        WatchType::Children => "Children",
        WatchType::Tree => "Tree",
    };
    format!("{store} {watch_type} {key}")
}

/// A run that was started and has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveRecord {
    /// Its id.
    pub run: RunId,
    /// The target, [`described`]: a watch that now has another target must not adopt the run.
    pub target: String,
    /// The definition that it was started under; empty for a run that was found only in `/proc`.
    pub definition: Fingerprint,
    /// The mutex of that definition; the run holds it until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutex: Option<String>,
    /// Its process.
    pub process: ProcessIdentity,
    /// When it started.
    pub started: jiff::Timestamp,
    /// Why.
    pub reason: Reason,
    /// The version of its state.
    pub version: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// How many updates it stands for.
    pub coalesced: u64,
    /// The permit of its fleet's group that it was started under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<LivePermit>,
}

/// A host's record in the store of its fleet's group: a store that is behind it was restored from a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetRecord {
    /// The store and the group's keys in it.
    pub group: String,
    /// The revision of its last write.
    pub at: i64,
}

/// A permit that a run was started under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivePermit {
    /// Which.
    pub id: PermitId,
    /// The state that it is for, as the fleet writes it: `VERSION/DIGEST16`.
    pub state: String,
}

impl LiveRecord {
    /// The mutex that it holds.
    pub fn mutex(&self) -> Option<MutexName> {
        self.mutex.as_deref().and_then(|mutex| MutexName::new(mutex).ok())
    }
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paused {
    /// When it ends by itself.
    pub until: Option<jiff::Timestamp>,
    /// The length of the pause in seconds. After a start it lasts at most that long, in case the clock is wrong at boot.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// The newest state when the pause began, if it needed no run. Any other state is applied on resume, even if nothing
    /// is recorded as applied.
    #[serde(default)]
    pub settled: Option<Applied>,
}

/// A digest of a content: the first 32 hexadecimal digits of SHA-256 over its tagged, length-prefixed parts.
pub fn digest(content: &Content) -> String {
    let mut hash = Sha256::new();
    let mut part = |tag: u8, bytes: &[u8]| {
        hash.update([tag]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match content {
        Content::Absent => part(0, b""),
        Content::Unread => part(1, b""),
        Content::Value(value) => part(2, value),
        Content::Children(names) => names.iter().for_each(|name| part(3, name.as_bytes())),
        Content::Tree(tree) => {
            for (path, value) in tree.iter() {
                part(4, path.as_bytes());
                match value {
                    Some(value) => part(5, value),
                    None => part(6, b""),
                }
            }
        }
    }
    let mark = hash.finalize().iter().take(16).fold(0, |mark, byte| mark << 8 | u128::from(*byte));
    format!("{mark:032x}")
}
