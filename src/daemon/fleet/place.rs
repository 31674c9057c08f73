//! The parameters of a membership: where its group is, who takes part in it, and what the ledger remembers.

use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::follow::One;
use super::word::MembershipSettings;
use crate::fleet::conduct::{Conductor, Part};
use crate::fleet::member::Profile;
use crate::fleet::{GroupKey, GroupKeys, GroupName, Revision};
use crate::ledger::{FleetRecord, Ledger};
use crate::store::{Health, Store, Subscribe};
use crate::watch::{OnDelete, WatchName};

/// The parameters of a membership.
pub(in crate::daemon) struct MembershipSpec {
    /// Where the group's keys are.
    pub(in crate::daemon) store: Store,
    pub(in crate::daemon) keys: GroupKeys,
    pub(in crate::daemon) group: GroupName,
    pub(in crate::daemon) profile: Profile,
    /// The watch that is a member, and its key.
    pub(in crate::daemon) watch: WatchName,
    pub(in crate::daemon) watched: (Store, Subscribe),
    pub(in crate::daemon) on_delete: OnDelete,
    pub(in crate::daemon) verify_interval: Duration,
    pub(in crate::daemon) settings: MembershipSettings,
    pub(in crate::daemon) ledger: Ledger,
    /// Resolves when a former membership of this host has left the group.
    pub(in crate::daemon) after: Option<oneshot::Receiver<()>>,
}

impl MembershipSpec {
    pub(super) fn follow_permit(&self) -> One {
        One::new(&self.store, &self.keys, GroupKey::Permit(self.profile.host.clone()))
    }

    pub(super) fn follow_seat(&self) -> One {
        One::new(&self.store, &self.keys, GroupKey::Conductor)
    }

    /// The connection of the store, and how often it was made so far.
    pub(super) fn health(&self) -> (watch::Receiver<Health>, u64) {
        let health = self.store.health();
        let connections = health.borrow().reconnects;
        (health, connections)
    }

    /// The name of the record in the ledger. A host that is renamed has another record.
    fn named(&self) -> String {
        format!("{} {} {}", self.store.spec().name, self.keys.top(), self.profile.host)
    }

    /// The revision of the own record that the ledger remembers.
    pub(super) fn remembered(&self) -> Option<Revision> {
        let record = self.ledger.read(self.watch.as_str(), |entry| entry.fleet_record.clone())?;
        (record.group == self.named()).then_some(Revision(record.at))
    }

    /// Lets the ledger remember it; `None`: the host left the group.
    pub(super) fn remember(&self, at: Option<Revision>) {
        let record = at.map(|at| FleetRecord { group: self.named(), at: at.0 });
        self.ledger.fleet_record(&self.watch, record);
    }

    pub(super) fn conductor(&self) -> Conductor {
        Conductor::new(Part {
            group: self.group.clone(),
            host: self.profile.host.clone(),
            inst: self.profile.inst.clone(),
            identity: self.profile.identity,
            ttl: self.profile.ttl,
        })
    }
}
