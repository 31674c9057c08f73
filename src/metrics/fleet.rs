//! What a daemon knows of its fleets' groups, as Prometheus text.

use std::time::Duration;

use super::Page;
use crate::status::Status;

/// Upper bounds of the histogram of waits, in seconds; the last one is infinity.
const BOUNDS: [f64; 8] = [0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0];

/// The words of a permit's stage, in `status` as well.
const STAGES: [&str; 7] = ["none", "asked", "granted", "claiming", "held", "hold", "lost"];

/// The words for a group that somebody conducts.
const STATES: [&str; 7] = ["idle", "rolling", "soaking", "paused", "stopped", "aborted", "done"];

/// The kinds of keys that are written.
pub const KINDS: [&str; 7] = ["hosts", "alive", "twins", "permits", "rollout", "summary", "conductor"];

/// How long something took, by upper bounds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// How many were at most as long as each bound and longer than the one before.
    counts: [u64; BOUNDS.len()],
    longer: u64,
    sum: f64,
}

impl Histogram {
    /// One more.
    pub fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.sum += seconds;
        match BOUNDS.iter().position(|bound| seconds <= *bound) {
            Some(at) => self.counts[at] += 1,
            None => self.longer += 1,
        }
    }
}

/// One watch's membership of its group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Membership {
    /// The watch.
    pub watch: String,
    /// The store of the group's keys.
    pub store: String,
    /// The group.
    pub group: String,
    /// The host has its name in the group.
    pub registered: bool,
    /// Another daemon has it.
    pub name_conflict: bool,
    /// From asking to the permit.
    pub waits: Histogram,
    /// Keys written since the daemon started, in the order of [`KINDS`].
    pub writes: [u64; KINDS.len()],
    /// Claims that the store refused.
    pub claims_refused: u64,
    /// What the group is like, where this daemon conducts it.
    pub conducted: Option<Conducted>,
}

/// A group as its conductor sees it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conducted {
    /// Members by state and by flag.
    pub hosts: Vec<(&'static str, u32)>,
    /// Permits that are held.
    pub permits: u32,
    /// How many there may be; `None`: no limit.
    pub limit: Option<u32>,
    /// One of [`STATES`].
    pub state: &'static str,
    /// How long ago the newest version was seen first, while a member does not have it.
    pub unconverged: Duration,
    /// Live members whose terms are not those of most.
    pub terms_conflicts: u32,
}

/// One number of a group: name, help, and value.
type Gauge = (&'static str, &'static str, fn(&Conducted) -> Option<f64>);

const GAUGES: [Gauge; 4] = [
    ("twitcher_fleet_permits", "Permits that are held. Only from the conductor.", |group| {
        Some(f64::from(group.permits))
    }),
    (
        "twitcher_fleet_permit_limit",
        "How many permits there may be; absent without a limit. Only from the conductor.",
        |group| group.limit.map(f64::from),
    ),
    (
        "twitcher_fleet_oldest_unconverged_seconds",
        "How long ago the newest version was seen first, while a host does not have it. Only from the conductor.",
        |group| Some(group.unconverged.as_secs_f64()),
    ),
    (
        "twitcher_fleet_terms_conflicts",
        "Live hosts whose terms are not those of most. Only from the conductor.",
        |group| Some(f64::from(group.terms_conflicts)),
    ),
];

impl Page {
    /// Nothing where no watch takes part in a fleet.
    pub(super) fn fleets(&mut self, status: &Status, memberships: &[Membership]) {
        if memberships.is_empty() {
            return;
        }
        self.family("twitcher_fleet_permit", "gauge", "1 for the stage of the watch's permit.");
        for watch in &status.watches {
            let Some(fleet) = &watch.fleet else { continue };
            for stage in STAGES {
                let labels = [("watch", watch.name.as_str()), ("state", stage)];
                self.sample("twitcher_fleet_permit", &labels, u8::from(fleet.permit == stage));
            }
        }
        self.waits(memberships);
        self.registration(memberships);
        self.family("twitcher_fleet_writes_total", "counter", "Keys of fleets that were written, by kind.");
        for (at, kind) in KINDS.iter().enumerate() {
            let count: u64 = memberships.iter().map(|membership| membership.writes[at]).sum();
            self.sample("twitcher_fleet_writes_total", &[("kind", kind)], count);
        }
        self.single(
            "twitcher_fleet_claims_refused_total",
            "counter",
            "Claims of permits that the store refused.",
            memberships.iter().map(|membership| membership.claims_refused).sum::<u64>(),
        );
        self.family("twitcher_fleet_conductor", "gauge", "1 while this daemon conducts the group.");
        for membership in memberships {
            let conducts = u8::from(membership.conducted.is_some());
            self.sample("twitcher_fleet_conductor", &[("group", &membership.group)], conducts);
        }
        let conducted: Vec<_> = memberships
            .iter()
            .filter_map(|one| Some((one.group.as_str(), one.conducted.as_ref()?)))
            .collect();
        self.groups(&conducted);
    }

    fn waits(&mut self, memberships: &[Membership]) {
        const NAME: &str = "twitcher_fleet_permit_wait_seconds";
        self.family(NAME, "histogram", "From asking for a permit to having it.");
        for Membership { watch, waits, .. } in memberships {
            let mut below = 0;
            let bucket = format!("{NAME}_bucket");
            for (bound, count) in BOUNDS.iter().zip(waits.counts) {
                below += count;
                self.sample(&bucket, &[("watch", watch), ("le", &bound.to_string())], below);
            }
            let all = below + waits.longer;
            self.sample(&bucket, &[("watch", watch), ("le", "+Inf")], all);
            self.sample(&format!("{NAME}_sum"), &[("watch", watch)], waits.sum);
            self.sample(&format!("{NAME}_count"), &[("watch", watch)], all);
        }
    }

    fn registration(&mut self, memberships: &[Membership]) {
        self.family(
            "twitcher_fleet_registered",
            "gauge",
            "1 while this host has its name in every group in the store.",
        );
        let mut stores: Vec<&str> = memberships.iter().map(|membership| membership.store.as_str()).collect();
        stores.sort_unstable();
        stores.dedup();
        for store in stores {
            let registered = memberships.iter().filter(|one| one.store == store).all(|one| one.registered);
            self.sample("twitcher_fleet_registered", &[("store", store)], u8::from(registered));
        }
        self.family("twitcher_fleet_name_conflict", "gauge", "1 while another daemon has this host's name.");
        for Membership { store, group, name_conflict, .. } in memberships {
            let labels = [("store", store.as_str()), ("group", group)];
            self.sample("twitcher_fleet_name_conflict", &labels, u8::from(*name_conflict));
        }
    }

    fn groups(&mut self, conducted: &[(&str, &Conducted)]) {
        self.family(
            "twitcher_fleet_hosts",
            "gauge",
            "Members of the group, by state and by flag. Only from the conductor.",
        );
        for (group, one) in conducted {
            for (state, count) in &one.hosts {
                self.sample("twitcher_fleet_hosts", &[("group", group), ("state", state)], count);
            }
        }
        self.family(
            "twitcher_fleet_state",
            "gauge",
            "1 for the state of the group. Only from the conductor.",
        );
        for (group, one) in conducted {
            for state in STATES {
                let is = u8::from(one.state == state);
                self.sample("twitcher_fleet_state", &[("group", group), ("state", state)], is);
            }
        }
        for (name, help, value) in GAUGES {
            self.family(name, "gauge", help);
            for (group, one) in conducted {
                if let Some(value) = value(one) {
                    self.sample(name, &[("group", group)], value);
                }
            }
        }
    }
}
