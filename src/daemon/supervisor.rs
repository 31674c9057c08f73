//! The live watches by name: applies the difference between two configurations.
//!
//! A changed definition retires the old watch. The new one starts when the old one has drained, so that the two never
//! overlap. Files, signals and clients are handled elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::fleet::{Handle, Seats};
use super::http::GroupPlace;
use super::live::{self, Circumstances, Event, Handover, Live};
use super::runs::{KILL_AFTER, Runs};
use crate::metrics::fleet::Membership;
use crate::store::{Store, StoreSpec};
use crate::watch::fleet::FleetSettings;
use crate::watch::{StoreName, WatchName, WatchSpec};

/// A definition and its file.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) spec: Arc<WatchSpec>,
    pub(super) file: Arc<Path>,
}

pub(super) struct Supervisor {
    runs: Arc<Runs>,
    watches: BTreeMap<WatchName, NamedWatch>,
    /// Watches with `enabled = false`: they are known, but have no task.
    disabled: BTreeMap<WatchName, Definition>,
    stores: BTreeMap<StoreName, Store>,
    specs: BTreeMap<StoreName, StoreSpec>,
    tasks: JoinSet<Box<Handover>>,
    /// Panics, by the watch whose task had them.
    faults: BTreeMap<WatchName, Faults>,
    /// How long a run without a timeout may delay a changed definition.
    grace: Duration,
    stopping: bool,
    /// What its watches are in their fleets' groups.
    seats: Option<Seats>,
}

/// The watch with a name.
struct NamedWatch {
    live: Live,
    /// Identifies the watch when its task panicked.
    task: tokio::task::Id,
    /// It starts no more runs. When it has drained, `next` starts in its place, if there is one.
    retiring: bool,
    next: Option<Box<Definition>>,
    /// Its membership of its fleet's group.
    fleet: Option<Box<Handle>>,
}

impl Supervisor {
    pub(super) fn new(runs: Arc<Runs>) -> Self {
        Self {
            runs,
            watches: BTreeMap::new(),
            disabled: BTreeMap::new(),
            stores: BTreeMap::new(),
            specs: BTreeMap::new(),
            tasks: JoinSet::new(),
            faults: BTreeMap::new(),
            grace: Duration::ZERO,
            stopping: false,
            seats: None,
        }
    }

    /// Lets watches take part in groups of fleets.
    pub(super) fn take_part(&mut self, seats: Seats) {
        self.seats = Some(seats);
    }

    /// Applies `[fleet]`. A watch whose group's keys are elsewhere now leaves its group and joins the other one, as it
    /// does with a changed definition.
    pub(super) fn configure_fleet(&mut self, settings: &FleetSettings) {
        let Some(seats) = &mut self.seats else { return };
        if !seats.configure(settings) {
            return;
        }
        let deadline = Some(Instant::now() + self.grace);
        for place in self.watches.values_mut() {
            let Live { spec, file, .. } = &place.live;
            let Some(membership) = place.fleet.as_deref().filter(|_| !place.retiring) else { continue };
            if !seats.reconfigure(spec, membership) {
                place.next = Some(Box::new(Definition { spec: Arc::clone(spec), file: Arc::clone(file) }));
                place.retiring = true;
                place.live.tell(Event::Retire { deadline });
            }
        }
    }

    /// Applies the settings that take effect at once. Watches on a changed store keep everything else.
    pub(super) fn configure(&mut self, specs: BTreeMap<StoreName, StoreSpec>, grace: Duration) {
        self.grace = grace;
        for (name, spec) in &specs {
            if self.stores.get(name).is_some_and(|store| store.spec() != spec) {
                let store = Store::open(spec.clone());
                for place in self.watches.values() {
                    if place.live.spec.target.store == *name {
                        place.live.tell(Event::Store(store.clone()));
                    }
                    if let Some(fleet) = &place.fleet {
                        fleet.renew(&store);
                    }
                }
                self.stores.insert(name.clone(), store);
            }
        }
        self.specs = specs;
    }

    /// Starts the first watches, all at once: a map that is filled one by one has half-empty nodes.
    pub(super) fn begin_all(&mut self, definitions: impl Iterator<Item = Definition>) {
        let (enabled, disabled): (Vec<_>, Vec<_>) =
            definitions.partition(|definition| definition.spec.enabled);
        let named = |definition: Definition| (definition.spec.name.clone(), definition);
        self.disabled = disabled.into_iter().map(named).collect();
        let places = enabled.into_iter().filter_map(|definition| {
            Some((definition.spec.name.clone(), self.place(definition, None, None)?))
        });
        let places = places.collect();
        self.watches = places;
    }

    /// Applies a definition: a new watch, a changed one, or the same one in another file.
    pub(super) fn define(&mut self, definition: Definition) {
        let name = definition.spec.name.clone();
        if !definition.spec.enabled {
            self.remove(&name);
            self.disabled.insert(name, definition);
            return;
        }
        self.disabled.remove(&name);
        let Some(place) = self.watches.get_mut(&name) else {
            self.begin(definition, None, None);
            return;
        };
        let same = place.live.spec.means_the_same_as(&definition.spec);
        if same && !place.retiring {
            place.live.spec = Arc::clone(&definition.spec);
            place.live.file = Arc::clone(&definition.file);
            place.live.tell(Event::Described { spec: definition.spec, file: definition.file });
            return;
        }
        place.next = Some(Box::new(definition));
        if same {
            // Removed and restored unchanged: its runs may finish as if nothing had happened.
            return;
        }
        place.retiring = true;
        // Also if it was removed before, and so retired without a deadline.
        place.live.tell(Event::Retire { deadline: Some(Instant::now() + self.grace) });
    }

    /// Removes a watch. Its live runs may finish.
    pub(super) fn remove(&mut self, name: &WatchName) {
        self.disabled.remove(name);
        if let Some(place) = self.watches.get_mut(name) {
            place.next = None;
            if !place.retiring {
                place.retiring = true;
                place.live.tell(Event::Retire { deadline: None });
            }
        }
    }

    /// The watches that are disabled, by name.
    pub(super) fn disabled(&self) -> impl Iterator<Item = &Definition> {
        self.disabled.values()
    }

    /// A disabled watch.
    pub(super) fn disabled_watch(&self, name: &str) -> Option<&Definition> {
        self.disabled.get(name)
    }

    /// The watches that are defined and enabled, by name.
    pub(super) fn watches(&self) -> impl Iterator<Item = &Live> {
        self.watches.values().filter(|place| !place.retiring || place.next.is_some()).map(|place| &place.live)
    }

    /// A defined watch.
    pub(super) fn watch(&self, name: &str) -> Option<&Live> {
        self.watches
            .get(name)
            .filter(|place| !place.retiring || place.next.is_some())
            .map(|place| &place.live)
    }

    /// The names of the defined watches, disabled ones last.
    pub(super) fn names(&self) -> impl Iterator<Item = &WatchName> {
        self.watches().map(|live| &live.spec.name).chain(self.disabled.keys())
    }

    /// The groups that its watches are members of.
    pub(super) fn groups(&self) -> impl Iterator<Item = GroupPlace> {
        self.watches.values().filter_map(|watch| self.place_of(watch))
    }

    /// The group that a watch is a member of.
    pub(super) fn group_of(&self, name: &str) -> Option<GroupPlace> {
        self.place_of(self.watches.get(name)?)
    }

    fn place_of(&self, watch: &NamedWatch) -> Option<GroupPlace> {
        let fleet = watch.live.spec.fleet.as_ref()?;
        let (store, keys) = watch.fleet.as_ref()?.group();
        let store = self.stores.get(store)?.clone();
        Some(GroupPlace { name: fleet.group.clone(), store, keys: keys.clone() })
    }

    /// The figures of all memberships, for metrics.
    pub(super) fn figures(&self) -> Vec<Membership> {
        let memberships = self.watches.values().filter_map(|watch| watch.fleet.as_deref());
        memberships.map(Handle::figures).collect()
    }

    /// The stores that are in use.
    pub(super) fn stores(&self) -> impl Iterator<Item = (&StoreName, &Store)> {
        self.stores.iter()
    }

    /// Waits until a watch has drained, and starts its successor. Never resolves while no watch lives.
    pub(super) async fn turn(&mut self) {
        tokio::select! {
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(handover) => self.drained(&handover.spec.name.clone(), Some(handover), None),
                Err(error) => self.broke(&error),
            },
            () = self.runs.turn() => {}
        }
    }

    /// Stops every watch: runs may finish until the deadline and then get TERM. Returns when the last of them gets KILL.
    pub(super) fn stop(&mut self, deadline: Instant) -> Instant {
        self.stopping = true;
        for place in self.watches.values_mut() {
            place.next = None;
            place.live.tell(Event::Stop { deadline });
        }
        self.runs.stop(deadline);
        let grace = self.watches.values().map(|place| place.live.spec.policy.kill_after).max();
        let grace = grace.unwrap_or_default().max(KILL_AFTER);
        deadline.checked_add(grace).unwrap_or(deadline)
    }

    /// Whether no watch lives any more.
    pub(super) fn is_empty(&self) -> bool {
        self.watches.is_empty() && self.runs.is_empty()
    }

    fn begin(&mut self, definition: Definition, handover: Option<Box<Handover>>, rest: Option<Instant>) {
        let name = definition.spec.name.clone();
        if let Some(place) = self.place(definition, handover, rest) {
            self.watches.insert(name, place);
        }
    }

    fn place(
        &mut self,
        definition: Definition,
        handover: Option<Box<Handover>>,
        rest: Option<Instant>,
    ) -> Option<NamedWatch> {
        let store = self.store(&definition.spec.target.store)?;
        let Definition { spec, file } = definition;
        let mut handover = handover;
        let former = handover.as_mut().and_then(|handover| handover.fleet.take());
        let fleet = self.membership(&spec, &store, former);
        let circumstances = Circumstances {
            handover,
            rest,
            grace: self.grace,
            fleet: fleet.clone(),
            ..Circumstances::default()
        };
        let (live, task) = live::begin(spec, file, &store, &self.runs, circumstances);
        let task = self.tasks.spawn(task).id();
        Some(NamedWatch { live, task, retiring: false, next: None, fleet: fleet.map(Box::new) })
    }

    fn membership(&mut self, spec: &WatchSpec, watched: &Store, former: Option<Handle>) -> Option<Handle> {
        let name = self.seats.as_ref()?.store_of(spec).cloned();
        let Some(store) = name.and_then(|name| self.store(&name)) else {
            former.map(|former| former.finish(true));
            return None;
        };
        self.seats.as_ref()?.take(spec, &store, watched, former)
    }

    fn store(&mut self, name: &StoreName) -> Option<Store> {
        if let Some(store) = self.stores.get(name) {
            return Some(store.clone());
        }
        // A definition names only stores that the same reload knows.
        let store = Store::open(self.specs.get(name)?.clone());
        self.stores.insert(name.clone(), store.clone());
        Some(store)
    }

    fn drained(&mut self, name: &WatchName, handover: Option<Box<Handover>>, rest: Option<Instant>) {
        let left = handover.as_ref().and_then(|handover| handover.fleet.clone());
        if let Some(next) = self.watches.remove(name).and_then(|place| place.next) {
            self.begin(*next, handover, rest);
        } else {
            self.faults.remove(name);
            let left = left.filter(|_| !self.stopping);
            left.map(|fleet| fleet.finish(true));
        }
        let used = |store: &StoreName| {
            self.watches.values().map(|place| &place.live.spec).any(|spec| {
                let of_group = self.seats.as_ref().and_then(|seats| seats.store_of(spec));
                spec.target.store == *store || of_group == Some(store)
            })
        };
        let unused: Vec<StoreName> = self.stores.keys().filter(|store| !used(store)).cloned().collect();
        for store in unused {
            self.stores.remove(&store);
        }
    }

    /// A watch's task panicked: it starts again after a back-off. Other watches are not affected.
    fn broke(&mut self, error: &tokio::task::JoinError) {
        let broken = self.watches.iter().find(|(_, place)| place.task == error.id());
        let Some(name) = broken.map(|(name, _)| name.clone()) else { return };
        let now = Instant::now();
        let faults = Faults::one_more(self.faults.get(&name).copied(), now);
        let rest = faults.rest();
        self.faults.insert(name.clone(), faults);
        tracing::error!(
            watch = %name,
            "the watch failed through a bug in twitcher and restarts in {} s: {error}",
            rest.as_secs()
        );
        let place = self.watches.get_mut(&name).filter(|place| !place.retiring && !self.stopping);
        if let Some(place) = place {
            let Live { spec, file, .. } = &place.live;
            place.next = Some(Box::new(Definition { spec: Arc::clone(spec), file: Arc::clone(file) }));
        }
        self.drained(&name, None, Some(now + rest));
    }
}

/// Panics of a watch in quick succession.
#[derive(Debug, Clone, Copy)]
struct Faults {
    number: u32,
    last: Instant,
}

impl Faults {
    const FIRST_REST: Duration = Duration::from_secs(1);
    const LONGEST_REST: Duration = Duration::from_mins(5);
    /// After this long without a panic, the next one counts as the first.
    const FORGOTTEN: Duration = Duration::from_mins(15);

    fn one_more(before: Option<Self>, now: Instant) -> Self {
        let before = before.filter(|before| now.saturating_duration_since(before.last) < Self::FORGOTTEN);
        Self { number: before.map_or(1, |before| before.number.saturating_add(1)), last: now }
    }

    /// Doubles each time.
    fn rest(self) -> Duration {
        let doubled = 2_u32.checked_pow(self.number.saturating_sub(1)).unwrap_or(u32::MAX);
        Self::FIRST_REST.saturating_mul(doubled).min(Self::LONGEST_REST)
    }
}

#[cfg(test)]
pub(super) mod tests;
