//! What is remembered of one watch.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::watch::{
    Content, Fingerprint, MutexName, ProcessIdentity, Reason, RunId, RunRecord, State, Target, Version,
    WatchType,
};

/// How many ended runs are remembered for each watch.
pub const HISTORY: usize = 10;

/// Everything remembered of a watch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// The last state that was given to a run that succeeded.
    pub applied: Option<Applied>,
    /// Runs that were started and whose end was not seen.
    pub live: Vec<LiveRun>,
    /// The last run that was recorded. Every live run that is older was recorded too.
    pub newest_run: Option<RunId>,
    /// A run was cut short and has not been repeated yet: its target, as in [`LiveRun::target`].
    pub interrupted: Option<String>,
    /// Paused by an operator.
    pub paused: Option<Paused>,
    /// Stopped after its last retry: the fingerprint of the definition that failed.
    pub stopped: Option<Fingerprint>,
    /// The last runs that ended, oldest first, at most [`HISTORY`].
    pub history: VecDeque<RunRecord>,
    /// How many runs ended in all.
    pub ended: u64,
    /// How many of them did not succeed.
    pub failed: u64,
    /// When the last run that succeeded ended; `None` also in what version 0.1.0 wrote.
    pub succeeded: Option<jiff::Timestamp>,
}

impl Entry {
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

/// A state that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// What was watched, [`described`]: after a change of target nothing counts as applied.
    pub target: String,
    /// The version, as shown.
    pub version: String,
    /// [`digest`] of the content: a restored store may use a version a second time for something else.
    pub digest: String,
}

impl Applied {
    /// Describes a state of a target.
    pub fn new(target: &Target, state: &State) -> Self {
        Self { target: described(target), version: state.version.to_string(), digest: digest(&state.content) }
    }

    /// Whether a state of this target is the one that was applied: [`is_same`](crate::watch::is_same), as far
    /// as a digest can tell.
    pub fn covers(&self, target: &Target, state: &State) -> bool {
        let now = Self::new(target, state);
        let unread = digest(&Content::Unread);
        self.target == now.target
            && match &state.content {
                Content::Absent | Content::Children(_) => self.digest == now.digest,
                // The highest revision of a tree falls back when the last thing that happened was a deletion.
                Content::Tree(_) => self.digest == now.digest && !self.is_before(state),
                Content::Unread => self.version == now.version,
                Content::Value(_) => {
                    self.version == now.version && (self.digest == now.digest || self.digest == unread)
                }
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

/// What is watched, as `STORE TYPE KEY`: the words of the ledger, which are not those of a watch file.
pub fn described(target: &Target) -> String {
    let Target { store, key, watch_type } = target;
    let watch_type = match watch_type {
        WatchType::Data => "Data",
        WatchType::Children => "Children",
        WatchType::Tree => "Tree",
    };
    format!("{store} {watch_type} {key}")
}

/// A run that has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveRun {
    /// Its id.
    pub run: RunId,
    /// What was watched, [`described`]: a watch that now has another target must not take the run for its own.
    pub target: String,
    /// The definition that it was started under; empty for a run that was only found in `/proc`.
    pub definition: Fingerprint,
    /// The mutex of that definition, which the run holds until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutex: Option<String>,
    /// Its process.
    pub process: ProcessIdentity,
    /// When it began.
    pub started: jiff::Timestamp,
    /// Why.
    pub reason: Reason,
    /// The version that it was given.
    pub version: String,
    /// 1 for the first try.
    pub attempt: u32,
    /// How many updates it stands for.
    pub coalesced: u64,
}

impl LiveRun {
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
    /// The newest state when the pause began, if nothing was left to do about it. Any other state is applied on
    /// resume, also where nothing is known to have been applied.
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
