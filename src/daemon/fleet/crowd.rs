//! Many memberships of one group in one process, for tests and benches: what a fleet of that size does to a store.
//!
//! Each has a name, a record and a tenure of its own; the connections for requests and watches are shared. In place of
//! actions there are timers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::handle::Handle;
use super::membership::boot_time;
use super::place::MembershipSpec;
use super::word::{MembershipSettings, Recorded, ToWatch};
use crate::fleet::member::{Input, Profile, Then};
use crate::fleet::record::{Instance, Last, LastOutcome, Permit};
use crate::fleet::terms::{MaxParallel, Terms};
use crate::fleet::{DRIFT, FRESH, GroupKeys, GroupName, HostName, StateId, StateIdentity, target};
use crate::ledger::{Holder, Ledger};
use crate::store::{NodeAcl, Store, Subscribe};
use crate::watch::fleet::FleetSettings;
use crate::watch::{Key, OnDelete, WatchName, WatchType};

const KEY: &str = "/git/head";
const GROUP: &str = "git";
const TTL: Duration = Duration::from_secs(30);
/// Members that may conduct.
const CONDUCTORS: usize = 3;
/// What no run reaches.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The members, until this is dropped.
#[derive(Debug)]
pub struct Crowd {
    handles: Vec<Handle>,
    _actors: JoinSet<()>,
    seen: Arc<Seen>,
    have: watch::Receiver<HashMap<StateId, usize>>,
}

/// How many runs there are.
#[derive(Debug)]
struct Seen {
    now: AtomicUsize,
    most: AtomicUsize,
    total: AtomicUsize,
    /// Members by the state that they applied last.
    have: watch::Sender<HashMap<StateId, usize>>,
}

/// A member's watch: asks, claims, waits as long as a run takes, returns.
struct Actor {
    handle: Handle,
    terms: Arc<Terms>,
    run: Duration,
    within: Duration,
    seen: Arc<Seen>,
    newest: Option<StateId>,
    applied: Option<StateId>,
    claiming: Option<Arc<Permit>>,
    attempt: u32,
    acts: bool,
}

impl Crowd {
    /// This many members of the group `git`, which watch `/git/head`. Their ledger is in `directory`, which exists.
    ///
    /// # Panics
    ///
    /// Where the directory cannot be used, and outside a runtime.
    pub fn start(store: &Store, directory: &Path, members: usize, terms: Terms, run: Duration) -> Self {
        let ledger = Ledger::open(directory, "crowd", |_| Holder::Unknown).expect("a ledger");
        let (sender, have) = watch::channel(HashMap::new());
        let seen = Seen {
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            total: AtomicUsize::new(0),
            have: sender,
        };
        let (seen, terms) = (Arc::new(seen), Arc::new(terms));
        let within = Duration::from_millis(1).saturating_mul(u32::try_from(members).unwrap_or(u32::MAX));
        let mut actors = JoinSet::new();
        let handles = (0..members).map(|number| {
            let place = place(store, &ledger, number, &terms);
            let (target, subscribe) = place.watched.clone();
            let handle = Handle::begin(place);
            let (words, inbox) = mpsc::unbounded_channel();
            handle.listen(Arc::new(move |word| drop(words.send(word))));
            handle.start(Recorded { applied: None, gave_up: None, adopted: None });
            let actor = Actor {
                handle: handle.clone(),
                terms: Arc::clone(&terms),
                run,
                within: within.min(Duration::from_secs(5)),
                seen: Arc::clone(&seen),
                newest: None,
                applied: None,
                claiming: None,
                attempt: 0,
                acts: false,
            };
            actors.spawn(actor.live(target.subscribe(subscribe), inbox));
            handle
        });
        let handles = handles.collect();
        Self { handles, _actors: actors, seen, have }
    }

    /// How many runs there were at once at most.
    pub fn most_at_once(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }

    /// How many runs there were.
    pub fn runs(&self) -> usize {
        self.seen.total.load(Ordering::SeqCst)
    }

    /// Waits until all members have registered.
    pub async fn until_registered(&self) {
        for handle in &self.handles {
            while !handle.shown().figures.registered {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Waits until all members have applied one state, and `runs` of them ran.
    pub async fn until_all_have_run(&mut self, runs: usize) {
        let members = self.handles.len();
        let runs_enough = || self.seen.total.load(Ordering::SeqCst) >= runs;
        let all = |have: &HashMap<StateId, usize>| runs_enough() && have.values().any(|n| *n == members);
        // The sender lives as long as this.
        drop(self.have.wait_for(all).await);
    }
}

fn place(store: &Store, ledger: &Ledger, number: usize, terms: &Arc<Terms>) -> MembershipSpec {
    let key = Key::new(KEY).expect("a key");
    let group = GroupName::new(GROUP).expect("a group");
    let prefix = Key::new(FleetSettings::PREFIX).expect("a key");
    let inst = Instance {
        ledger: format!("crowd-{number}"),
        boot: "crowd".to_owned(),
        inode: String::new(),
        nonce: format!("{:016x}", fastrand::u64(..)),
    };
    MembershipSpec {
        store: store.clone(),
        keys: GroupKeys::new(&prefix, &group).expect("keys"),
        group,
        profile: Profile {
            host: HostName::new(&format!("h{number:05}")).expect("a name"),
            inst,
            machine: "crowd".to_owned(),
            former: None,
            terms: Arc::clone(terms),
            target: target::text(WatchType::Data, "", &key),
            identity: StateIdentity::of(WatchType::Data),
            limit: TIMEOUT + FRESH + DRIFT,
            ttl: TTL,
        },
        watch: WatchName::new(&format!("git-{number}")).expect("a name"),
        watched: (store.clone(), Subscribe::new(key, WatchType::Data)),
        on_delete: OnDelete::Run,
        verify_interval: Duration::from_mins(5),
        settings: MembershipSettings { ttl: TTL, conduct: number < CONDUCTORS, acl: NodeAcl::Open },
        ledger: ledger.clone(),
        after: None,
    }
}

impl Actor {
    async fn live(
        mut self,
        mut target: crate::store::Subscription,
        mut inbox: mpsc::UnboundedReceiver<ToWatch>,
    ) {
        // Runs and holds that have ended.
        let (ends, mut ended) = mpsc::unbounded_channel::<(Arc<Permit>, Then)>();
        loop {
            tokio::select! {
                update = target.next() => {
                    let id = StateId::new(update.state.version, &update.state.content);
                    self.newest = Some(id);
                    self.ask();
                }
                Some(word) = inbox.recv() => {
                    if let Some(permit) = self.take(word) {
                        self.begin();
                        let (ends, run) = (ends.clone(), self.run);
                        tokio::spawn(async move {
                            tokio::time::sleep(run).await;
                            let _ = ends.send((permit, Then::Return));
                        });
                    }
                }
                Some((permit, then)) = ended.recv() => match then {
                    Then::Return => {
                        let hold = permit.hold.filter(|_| self.newest == Some(permit.state));
                        self.end(&permit, if hold.is_some() { Then::Hold } else { Then::Return });
                        if let Some(hold) = hold {
                            let ends = ends.clone();
                            tokio::spawn(async move {
                                tokio::time::sleep(hold).await;
                                let _ = ends.send((permit, Then::Hold));
                            });
                        }
                    }
                    Then::Hold | Then::Retry => {
                        self.handle.tell(Input::Return { permit: permit.id, failed: false });
                    }
                },
                else => return,
            }
        }
    }

    fn ask(&mut self) {
        let Some(state) = self.newest.filter(|_| !self.acts) else { return };
        if self.applied == Some(state) {
            return;
        }
        self.claiming = None;
        match self.terms.max_parallel {
            MaxParallel::Unlimited => {
                self.begin();
                self.finish(state);
                self.handle.tell(Input::Applied(state));
            }
            MaxParallel::Share(_) => {
                self.handle.tell(Input::Ask { state, swap: false, within: self.within });
            }
        }
    }

    /// A word of the membership. `Some`: a run begins under this permit.
    fn take(&mut self, word: ToWatch) -> Option<Arc<Permit>> {
        match word {
            ToWatch::Permit { permit, fence: _ } => {
                if self.acts || self.newest != Some(permit.state) || self.applied == self.newest {
                    self.handle.tell(Input::Return { permit: permit.id, failed: false });
                } else {
                    self.claim(permit);
                }
                None
            }
            ToWatch::Claimed { permit, fresh_until } => {
                let claimed = self.claiming.take_if(|claiming| claiming.id == permit)?;
                if boot_time() < fresh_until && self.newest == Some(claimed.state) {
                    return Some(claimed);
                }
                self.claim(claimed);
                None
            }
            ToWatch::Refused(_) | ToWatch::Lost(_) => {
                self.ask();
                None
            }
            ToWatch::Offline => None,
        }
    }

    fn claim(&mut self, permit: Arc<Permit>) {
        self.attempt += 1;
        self.handle.tell(Input::Claim { permit: permit.id, attempt: self.attempt });
        self.claiming = Some(permit);
    }

    fn begin(&mut self) {
        self.acts = true;
        let now = self.seen.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.seen.most.fetch_max(now, Ordering::SeqCst);
    }

    fn end(&mut self, permit: &Permit, then: Then) {
        self.finish(permit.state);
        let last = Last { outcome: LastOutcome::Succeeded, exit_code: Some(0) };
        self.handle.tell(Input::Ended { permit: permit.id, state: permit.state, last, then });
        self.ask();
    }

    fn finish(&mut self, state: StateId) {
        self.acts = false;
        self.seen.now.fetch_sub(1, Ordering::SeqCst);
        self.seen.total.fetch_add(1, Ordering::SeqCst);
        let former = self.applied.replace(state);
        self.seen.have.send_modify(|have| {
            if let Some(count) = former.and_then(|former| have.get_mut(&former)) {
                *count -= 1;
            }
            *have.entry(state).or_default() += 1;
        });
    }
}
