//! What a live watch and its membership of a group tell each other.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::fleet::record::Permit;
use crate::fleet::{BootTime, PermitId, StateId, member};
use crate::store::Store;

/// To the live watch.
#[derive(Debug)]
pub(in crate::daemon) enum ToWatch {
    /// The host may act.
    Permit {
        /// Under this permit.
        permit: Arc<Permit>,
        /// The store's revision of it, which rises from permit to permit.
        fence: Option<i64>,
    },
    /// The claim stands: the action may start until then.
    Claimed {
        /// Under this permit.
        permit: PermitId,
        /// Not later.
        fresh_until: BootTime,
    },
    /// No start now.
    Refused(PermitId),
    /// The permit is gone.
    Lost(PermitId),
    /// The store does not answer.
    Offline,
}

/// Where a membership sends what it has to say to the live watch.
pub(in crate::daemon) type Listener = Arc<dyn Fn(ToWatch) + Send + Sync>;

/// A run of a former daemon that goes on under its permit.
#[derive(Debug, Clone, Copy)]
pub(in crate::daemon) struct AdoptedRun {
    pub(in crate::daemon) permit: PermitId,
    pub(in crate::daemon) state: StateId,
    pub(in crate::daemon) attempt: u32,
}

/// To the membership.
pub(super) enum ToMember {
    /// The first message: what the ledger knows.
    Begin { applied: Option<StateId>, adopted: Option<AdoptedRun> },
    /// To the member, as it is.
    Input(member::Input),
    /// Another live watch takes the place of the former one.
    Listen(Listener),
    /// The store has a new configuration.
    Store(Store),
    /// The daemon stops (or the watch was removed: `leaves`). Answered when the store knows, or does not answer.
    Finish { leaves: bool, done: oneshot::Sender<()> },
}

/// How a host stands in its group, for `status`.
#[derive(Debug, Clone, Default)]
pub(in crate::daemon) struct Shown {
    /// The state of its record.
    pub(in crate::daemon) state: &'static str,
    /// What keeps it from acting, where that is not the group's turn.
    pub(in crate::daemon) why: Option<String>,
    /// It conducts the group.
    pub(in crate::daemon) conducts: bool,
}
