//! The vocabulary: what a watch is, what it sees, what a run is and how it ends.
//!
//! Plain values without input or output. Every other room may use this one; it uses none.

#[cfg(feature = "daemon")]
pub(crate) mod action;
#[cfg(feature = "daemon")]
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(feature = "daemon")]
pub(crate) mod fleet;
#[cfg(feature = "daemon")]
pub(crate) mod hosts;
#[cfg(feature = "daemon")]
mod identity;
#[cfg(feature = "daemon")]
pub(crate) mod machine;
pub(crate) mod name;
#[cfg(feature = "daemon")]
pub(crate) mod outcome;
#[cfg(feature = "daemon")]
mod permit;
#[cfg(feature = "daemon")]
pub(crate) mod run;
#[cfg(feature = "daemon")]
pub(crate) mod spec;
mod state;
mod subtree;
pub(crate) mod target;
mod words;

#[cfg(feature = "daemon")]
pub(crate) use action::{Account, Action, Limit, Surroundings};
#[cfg(feature = "daemon")]
pub(crate) use fleet::FleetSpec;
#[cfg(feature = "daemon")]
pub(crate) use identity::Fingerprint;
#[cfg(feature = "daemon")]
pub(crate) use machine::{Machine, variable};
pub use name::{InvalidName, StoreName};
#[cfg(feature = "daemon")]
pub(crate) use name::{MutexName, WatchName};
#[cfg(feature = "daemon")]
pub(crate) use outcome::{Outcome, SignalNumber, Verdict};
#[cfg(feature = "daemon")]
pub(crate) use permit::PermitId;
#[cfg(feature = "daemon")]
pub(crate) use run::{ProcessIdentity, Reason, RunId, RunRecord};
#[cfg(feature = "daemon")]
pub(crate) use spec::{
    Format, Guard, LogOutput, OnDelete, OnFailure, Output, PolicySpec, Retries, RunMode, RunModeName,
    RunOnLoad, VERIFY_INTERVAL, Validate, WatchSpec,
};
pub(crate) use state::is_same;
pub use state::{Content, ContentHash, InvalidVersion, Seq, State, Version};
pub use subtree::{Different, Node, Origin, Subtree, Written};
pub(crate) use target::Target;
pub use target::{Detail, InvalidKey, Key, Spelling, WatchType};
pub(crate) use words::{Choice, Word};
