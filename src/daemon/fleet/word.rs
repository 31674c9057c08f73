//! The messages between a live watch and its membership of a group.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::fleet::record::Permit;
use crate::fleet::{BootTime, PermitId, StateId, member};
use crate::metrics::fleet::Membership;
use crate::store::{NodeAcl, Store};

/// A message to the live watch.
#[derive(Debug)]
pub(in crate::daemon) enum ToWatch {
    /// A permit was granted.
    Permit {
        /// The permit.
        permit: Arc<Permit>,
        /// The store's revision at which it was first seen; rises from permit to permit.
        fence: Option<i64>,
    },
    /// The claim was confirmed: the action may start before `fresh_until`.
    Claimed {
        /// The permit.
        permit: PermitId,
        /// The claim is stale from then on.
        fresh_until: BootTime,
    },
    /// The claim was refused.
    Refused(PermitId),
    /// The permit is gone.
    Lost(PermitId),
    /// The store does not answer.
    Offline,
}

/// Receives the messages to the live watch.
pub(in crate::daemon) type Listener = Arc<dyn Fn(ToWatch) + Send + Sync>;

/// An adopted run and its permit.
#[derive(Debug, Clone, Copy)]
pub(in crate::daemon) struct AdoptedRun {
    pub(in crate::daemon) permit: PermitId,
    pub(in crate::daemon) state: StateId,
    pub(in crate::daemon) attempt: u32,
}

/// What the ledger records of the watch when its daemon starts.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::daemon) struct Recorded {
    pub(in crate::daemon) applied: Option<StateId>,
    /// The state whose last retry failed under the same definition.
    pub(in crate::daemon) gave_up: Option<StateId>,
    pub(in crate::daemon) adopted: Option<AdoptedRun>,
}

/// The part of `[fleet]` that is the same for all memberships of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::daemon) struct MembershipSettings {
    /// How long the store keeps `alive/HOST` without hearing of this host.
    pub(in crate::daemon) ttl: Duration,
    /// It may be the conductor.
    pub(in crate::daemon) conduct: bool,
    pub(in crate::daemon) acl: NodeAcl,
}

/// A message to the membership.
pub(super) enum ToMember {
    /// The first message.
    Begin(Recorded),
    /// An input for the member.
    Input(member::Input),
    /// A successor of the live watch replaces its listener.
    Listen(Listener),
    /// The store has a new configuration.
    Store(Store),
    /// `[fleet]` has changed.
    Settings(MembershipSettings),
    /// The daemon stops, or the watch was removed (`leaves`). `done` resolves when the store was told or did not answer.
    Finish { leaves: bool, done: oneshot::Sender<()> },
}

/// How a host stands in its group, for `status`.
#[derive(Debug, Clone, Default)]
pub(in crate::daemon) struct ShownMembership {
    /// The state of its record.
    pub(in crate::daemon) state: &'static str,
    /// What keeps it from acting, where that is not the group's turn.
    pub(in crate::daemon) why: Option<String>,
    /// For metrics.
    pub(in crate::daemon) figures: Membership,
}
