//! What the conductor is told and what it wants done.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::fleet::record::{Instance, Summary};
use crate::fleet::{
    BootTime, GroupKey, GroupName, HostName, KeyState, Revision, StateId, StateIdentity, TenureId,
    Transaction, TransactionOutcome,
};

/// One moment: the time of two clocks, and a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// `CLOCK_BOOTTIME`, which never jumps: for decisions.
    pub boot: BootTime,
    /// The wall clock: for people only.
    pub wall: Timestamp,
    /// Uniformly distributed.
    pub chance: u64,
}

/// Who conducts what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The group.
    pub group: GroupName,
    /// Our host.
    pub host: HostName,
    /// Our start.
    pub inst: Instance,
    /// What makes states of the watch equal.
    pub identity: StateIdentity,
    /// A host is silent when its tenure was not renewed for this long.
    pub ttl: Duration,
}

/// What the conductor is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Our tenure began, or `None`: was lost.
    Tenure(Option<TenureId>),
    /// The newest state of the watched key; an ignored deletion leaves the last one. `None`: nothing yet.
    Target(Option<StateId>),
    /// The watched key cannot be read any more, until the next [`Input::Target`].
    Blind,
    /// The mirror, or a watch, shows a key of the group. May come late, twice, or not at all.
    Changed(GroupKey, KeyState),
    /// Answers [`Effect::ReadAll`].
    All {
        /// Every key, linearizably.
        entries: Vec<(GroupKey, KeyState)>,
        /// At which revision.
        at: Revision,
        /// The watched key's state, read as well. A late watch may still show an older one.
        target: Option<StateId>,
    },
    /// [`Effect::ReadAll`] failed.
    NotRead,
    /// Answers [`Effect::ReadSummary`].
    Summary(Option<Arc<Summary>>),
    /// Answers the [`Effect::Commit`] with this number.
    Committed(u64, TransactionOutcome),
    /// Our own record was read, and the store is not behind what is remembered of it. `remembered: false`: nothing is, so
    /// that a restore would not be noticed. Nobody campaigns before this or [`Input::Restored`].
    Verified {
        /// Whether a former start, or this one, knows of our record.
        remembered: bool,
    },
    /// The store was connected anew: to another server of it, or to one that was restored.
    Reconnected,
    /// Our own host waits for a permit, or does not any more.
    Waiting(bool),
    /// The store was restored from a backup: a permit may be gone whose run is still live. The machine forgets all that
    /// it knows of the group, because revisions begin anew, and asks for the seat's key by [`Effect::ShowSeat`].
    Restored,
    /// `ttl` was changed in the file.
    Ttl(Duration),
    /// A deadline has come.
    Wakeup,
}

/// Work for the caller.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an effect that is not performed leaves the fleet without a conductor"]
pub enum Effect {
    /// Read every key of the group, linearizably; answered by [`Input::All`].
    ReadAll,
    /// Read `summary`; answered by [`Input::Summary`].
    ReadSummary,
    /// Send a transaction; answered by [`Input::Committed`] with the same number.
    Commit(u64, Transaction),
    /// Follow all keys of the group with [`Input::Changed`] from now on, or only `conductor` again.
    Mirror(bool),
    /// Show the key of the seat once more with [`Input::Changed`].
    ShowSeat,
}
