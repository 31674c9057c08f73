//! The fleet: at most a given number of hosts of a group act at once, canaries first, and everybody can see how far it is.
//!
//! Everything here is pure. A member and the conductor are machines: inputs carry what a store, a clock and
//! chance said, effects are data that others perform. The same machines run in the simulation and in the daemon.
//!
//! ```text
//!  policy ─ Ask, Claim, Return ─► member ─ transactions ─► store ─ changes ─► conduct ─ transactions ─► store
//!         ◄─ Permit, Claimed ────        ◄─ permits/HOST ─       (one member of the group at a time)
//! ```

pub mod bars;
pub mod conduct;
pub mod explain;
pub mod id;
pub mod keys;
pub mod member;
pub mod picture;
pub mod record;
pub mod report;
#[cfg(test)]
mod simulate;
pub mod stored;
pub mod target;
pub mod terms;
pub mod transaction;
pub mod view;

pub use id::{BootTime, Revision, StateId, StateIdentity, TenureId};
pub use keys::{GroupKey, GroupKeys};
pub use transaction::{KeyState, Transaction, TransactionOutcome, Value, Write};

pub(crate) use crate::watch::PermitId;
pub use crate::watch::fleet::{GroupName, HostName, glob, name};

use std::time::Duration;

/// A start must happen this soon after its claim was sent; later the claim proves nothing.
pub const FRESH: Duration = Duration::from_secs(10);

/// How far the clocks of a host and of the conductor may drift apart while one run lasts.
pub const DRIFT: Duration = Duration::from_secs(5);

/// A group with more members is refused: the conductor holds all records in memory.
pub const MEMBERS_MAX: usize = 20_000;
