//! The vocabulary: what a watch is, what it sees, what a run is and how it ends.
//!
//! Plain values without input or output. Every other room may use this one; it uses none.

mod action;
mod identity;
mod name;
mod outcome;
mod run;
mod spec;
mod state;
mod subtree;
mod target;
mod words;

pub use action::{Account, Action, Limit, Surroundings};
pub use identity::Fingerprint;
pub use name::{InvalidName, StoreName, WatchName};
pub use outcome::{Outcome, SignalNumber, Verdict};
pub use run::{ProcessIdentity, Reason, RunId, RunRecord};
pub use spec::{
    Format, Guard, LogOutput, OnDelete, OnFailure, Output, PolicySpec, Retries, RunMode, RunModeName,
    RunOnLoad, VERIFY_INTERVAL, WatchSpec,
};
pub use state::{Content, ContentHash, InvalidVersion, Seq, State, Version, is_same};
pub use subtree::{Different, Node, Origin, Subtree, Written};
pub use target::{Detail, InvalidKey, Key, Spelling, Target, WatchType};
pub use words::{Choice, Word};
