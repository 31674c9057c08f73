//! What this machine is in its fleets, whatever the group.

use std::time::Duration;

use super::GroupName;
use crate::watch::{Key, StoreName, WatchSpec};

/// `[fleet]` of `twitcher.conf`, with every default applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSettings {
    /// Where the fleet's keys are; `None`: in the store of each watch.
    pub store: Option<StoreName>,
    /// The fleet's keys are below this one. Begins with a slash and does not end with one.
    pub prefix: Key,
    /// A host that the store has not heard from for this long is silent; 10 s to 10 m.
    pub ttl: Duration,
    /// Whether this machine may conduct.
    pub conduct: bool,
    /// Where `/fleet` is served.
    pub page: FleetPage,
    /// Who may write the nodes that this machine makes in `ZooKeeper`.
    pub acl: FleetAcl,
    /// `[fleet]` or `[defaults.fleet]` is written: this machine is meant to take part in fleets.
    pub is_written: bool,
}

/// Where `/fleet` is served on `http_listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetPage {
    /// Where that is a loopback address.
    Loopback,
    /// Wherever that is.
    Everywhere,
    /// Nowhere.
    Nowhere,
}

/// Who may write the nodes that a machine makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetAcl {
    /// Everybody.
    Open,
    /// The identity of this machine only; everybody reads.
    Creator,
}

impl FleetSettings {
    /// `prefix` where `twitcher.conf` does not say otherwise.
    pub const PREFIX: &str = "/twitcher/fleet";
    /// `ttl` where `twitcher.conf` does not say otherwise.
    pub const TTL: Duration = Duration::from_secs(30);

    /// The store and name of the group that a watch is a member of, if it is enabled: there may be one watch of it
    /// on a host.
    pub fn group_of<'a>(&'a self, watch: &'a WatchSpec) -> Option<(&'a StoreName, &'a GroupName)> {
        let fleet = watch.fleet.as_deref().filter(|_| watch.enabled)?;
        Some((self.store_of(&watch.target.store), &fleet.group))
    }

    /// The store of a group whose watch is on this store.
    pub fn store_of<'a>(&'a self, watched: &'a StoreName) -> &'a StoreName {
        self.store.as_ref().unwrap_or(watched)
    }
}
