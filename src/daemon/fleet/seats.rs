//! Maps `[fleet]` and `[watch.fleet]` to memberships.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::handle::Handle;
use super::place::MembershipSpec;
use super::wire;
use super::word::MembershipSettings;
use crate::config::hostname;
use crate::daemon::live;
use crate::fleet::member::{Input, Profile};
use crate::fleet::record::Instance;
use crate::fleet::{DRIFT, FRESH, GroupKeys, HostName, StateIdentity, target};
use crate::ledger::Ledger;
use crate::process::boot_id;
use crate::store::{NodeAcl, Store, StoreUrl};
use crate::watch::fleet::{FleetAcl, FleetSettings};
use crate::watch::{StoreName, WatchSpec};

/// What all memberships of this daemon share.
#[derive(Debug)]
pub(in crate::daemon) struct Seats {
    ledger: Ledger,
    inst: Instance,
    machine: String,
    settings: Option<FleetSettings>,
}

impl Seats {
    /// For a daemon with this ledger.
    pub(in crate::daemon) fn new(ledger: Ledger, state_dir: &Path) -> Self {
        let inode = std::fs::metadata(state_dir).map(|found| format!("{}:{}", found.dev(), found.ino()));
        let inst = Instance {
            ledger: ledger.id().to_owned(),
            boot: boot_id().to_string(),
            inode: inode.unwrap_or_default(),
            nonce: format!("{:016x}", fastrand::u64(..)),
        };
        let machine = hostname().chars().take(64).collect();
        Self { ledger, inst, machine, settings: None }
    }

    /// Applies `[fleet]` to memberships that begin later. Returns whether it changed anything.
    pub(in crate::daemon) fn configure(&mut self, settings: &FleetSettings) -> bool {
        let changed = self.settings.as_ref() != Some(settings);
        self.settings = Some(settings.clone());
        changed
    }

    /// Applies `[fleet]` to the membership of a watch. Returns false if its group's keys are elsewhere now, so that it
    /// has to leave its group.
    pub(in crate::daemon) fn reconfigure(&self, spec: &WatchSpec, membership: &Handle) -> bool {
        let (Some(fleet), Some(settings)) = (&spec.fleet, &self.settings) else { return true };
        let keys = GroupKeys::new(&settings.prefix, &fleet.group);
        let stays = keys.is_some_and(|keys| membership.is_in(settings.store_of(&spec.target.store), &keys));
        if stays {
            membership.configure(shared(settings));
        }
        stays
    }

    /// The store of a watch's group; `None` for a watch without a group.
    pub(in crate::daemon) fn store_of<'a>(&'a self, spec: &'a WatchSpec) -> Option<&'a StoreName> {
        spec.fleet.as_ref()?;
        Some(self.settings.as_ref()?.store_of(&spec.target.store))
    }

    /// The membership of a watch, whose group's keys are in this store: the one that its predecessor had, where it is of
    /// the same group. `None`: a group in a directory has no other member, and nobody to ask.
    pub(in crate::daemon) fn take(
        &self,
        spec: &WatchSpec,
        store: &Store,
        watched: &Store,
        former: Option<Handle>,
    ) -> Option<Handle> {
        match (self.place(spec, store, watched), former) {
            (Some(place), Some(former)) if former.serves(&place) => {
                former.tell(Input::Limit(place.profile.limit));
                former.tell(Input::Terms(place.profile.terms));
                Some(former)
            }
            (Some(place), former) => {
                let after = former.map(|former| former.finish(true));
                Some(Handle::begin(MembershipSpec { after, ..place }))
            }
            (None, former) => {
                former.map(|former| former.finish(true));
                None
            }
        }
    }

    fn place(&self, spec: &WatchSpec, store: &Store, watched: &Store) -> Option<MembershipSpec> {
        let (fleet, settings) = (spec.fleet.as_ref()?, self.settings.as_ref()?);
        match &store.spec().url {
            StoreUrl::Etcd { .. } | StoreUrl::ZooKeeper { .. } => {}
            StoreUrl::Dir { .. } => return None,
        }
        let keys = GroupKeys::new(&settings.prefix, &fleet.group)?;
        let policy = &spec.policy;
        let entry = self.ledger.entry(spec.name.as_str()).unwrap_or_default();
        let former = entry.tenure.and_then(|tenure| tenure.parse().ok()).map(wire::from_store);
        let prefix = match &watched.spec().url {
            StoreUrl::Etcd { prefix, .. } => prefix,
            StoreUrl::ZooKeeper { chroot, .. } => chroot,
            StoreUrl::Dir { .. } => "",
        };
        let profile = Profile {
            host: HostName::new(&spec.machine.host).ok()?,
            inst: self.inst.clone(),
            machine: self.machine.clone(),
            former,
            terms: Arc::clone(&fleet.terms),
            target: target::text(spec.target.watch_type, prefix, &spec.target.key),
            identity: StateIdentity::of(spec.target.watch_type),
            limit: policy.timeout.unwrap_or_default() + policy.kill_after + FRESH + DRIFT,
            ttl: settings.ttl,
        };
        Some(MembershipSpec {
            store: store.clone(),
            keys,
            group: fleet.group.clone(),
            profile,
            watch: spec.name.clone(),
            watched: (watched.clone(), live::subscribed(spec)),
            on_delete: policy.on_delete,
            verify_interval: spec.verify_interval,
            settings: shared(settings),
            ledger: self.ledger.clone(),
            after: None,
        })
    }
}

/// The part of `[fleet]` that is the same for all memberships.
fn shared(settings: &FleetSettings) -> MembershipSettings {
    MembershipSettings {
        ttl: settings.ttl,
        conduct: settings.conduct,
        acl: match settings.acl {
            FleetAcl::Open => NodeAcl::Open,
            FleetAcl::Creator => NodeAcl::Creator,
        },
    }
}
