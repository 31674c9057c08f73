//! Watches without a daemon, as in `twitcher watch`: the same live watches with an empty ledger in memory, until the first
//! run (`once`) or a signal.
//!
//! Not here: the meaning of the command line, which belongs to `cli`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::live::{self, Circumstances, Event, Handover, Live};
use super::runs::Runs;
use super::signals::{Received, Signals};
use crate::store::{LinkState, Store, StoreFiles, StoreSpec, StoreUrl, etcd};
use crate::watch::{Outcome, RunMode, SignalNumber, State, Target, Version, WatchSpec};

/// Delay before etcd is asked again for an old revision.
const AGAIN: Duration = Duration::from_secs(1);

/// Watches to run without a daemon.
#[derive(Debug)]
pub struct AdHoc {
    /// The watches, each with its own name; all on this store.
    pub watches: Vec<WatchSpec>,
    /// The store.
    pub store: StoreSpec,
    /// End when each watch has had its first run.
    pub once: bool,
    /// What was seen before: a first state that is no other is not run. Watches in parallel mode run every update
    /// since, where the store is an etcd.
    pub from: Option<Version>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every watch had its one run; the outcomes in the order of their ends.
    Ran(Vec<Outcome>),
    /// A signal ended it, after every run was ended.
    Signalled(SignalNumber),
}

/// Watches until it ends. Standard output and error belong to the actions; the log must already be set up.
pub async fn watch(ad_hoc: AdHoc) -> std::io::Result<End> {
    let mut signals = Signals::of_watch()?;
    let (outcomes_out, mut outcomes) = mpsc::unbounded_channel();
    let once = ad_hoc.once.then_some(outcomes_out);
    let runs = Arc::new(Runs::ad_hoc(jiff::Timestamp::now()));
    let replayed = replayed(&ad_hoc);
    let store = match replayed {
        Some(revision) => Store::open_since(ad_hoc.store, revision),
        None => Store::open(ad_hoc.store),
    };
    let _reports = Reports(tokio::spawn(report_recovery(store.clone())));

    let mut lives: Vec<Live> = Vec::new();
    let mut tasks = JoinSet::new();
    for spec in ad_hoc.watches {
        let spec = Arc::new(spec);
        let handover = match ad_hoc.from {
            None => None,
            Some(_) if replayed.is_some() => None,
            Some(version) => tokio::select! {
                handover = before(&store, &spec, version) => Some(Box::new(handover)),
                signal = signals.next() => return Ok(End::Signalled(signal.number)),
            },
        };
        let circumstances = Circumstances { handover, once: once.clone(), ..Circumstances::default() };
        let (live, task) = live::begin(spec, Path::new("").into(), &store, &runs, circumstances);
        lives.push(live);
        tasks.spawn(task);
    }

    let mut signalled = None;
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(Ok(_)) => {}
                Some(Err(error)) => tracing::error!("a watch failed through a bug in twitcher: {error}"),
                None => break,
            },
            Received { number, .. } = signals.next() => {
                let impatient = signalled.is_some() && is_typed(number);
                signalled.get_or_insert(number);
                for live in &lives {
                    // Each run gets TERM, and KILL after `kill_after`.
                    live.tell(Event::Stop { deadline: Instant::now() });
                    if impatient {
                        live.tell(Event::Kill);
                    }
                }
            }
        }
    }
    if let Some(number) = signalled {
        return Ok(End::Signalled(number));
    }
    outcomes.close();
    let mut ran = Vec::new();
    while let Some(outcome) = outcomes.recv().await {
        ran.push(outcome);
    }
    Ok(End::Ran(ran))
}

/// The revision since which every update is run, where that is wanted and the store can tell.
fn replayed(ad_hoc: &AdHoc) -> Option<i64> {
    let every = |watch: &WatchSpec| matches!(watch.policy.run_mode, RunMode::Parallel { .. });
    match (&ad_hoc.store.url, ad_hoc.from) {
        (StoreUrl::Etcd { .. }, Some(Version::Revision(revision))) => {
            ad_hoc.watches.iter().all(every).then_some(revision)
        }
        (StoreUrl::Etcd { .. } | StoreUrl::ZooKeeper { .. } | StoreUrl::Dir { .. }, _) => None,
    }
}

/// Whether a user at a terminal sends it: a second one kills at once.
fn is_typed(signal: SignalNumber) -> bool {
    [libc::SIGINT, libc::SIGQUIT].contains(&signal.0)
}

/// A task that ends with its owner.
struct Reports(tokio::task::JoinHandle<()>);

impl Drop for Reports {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Logs as a warning that a store is back, for users who saw the warning about its loss and no info messages.
async fn report_recovery(store: Store) {
    let mut health = store.health();
    let mut down = false;
    while health.changed().await.is_ok() {
        let state = health.borrow_and_update().state;
        match state {
            LinkState::Down => down = true,
            LinkState::Connected if down => {
                down = false;
                tracing::warn!(store = %store.spec().name, "the store is connected again");
            }
            LinkState::Connected | LinkState::Connecting => {}
        }
    }
}

/// What somebody who saw `version` has not seen yet. Waits for the store.
async fn before(store: &Store, spec: &Arc<WatchSpec>, version: Version) -> Handover {
    let mut subscription = live::subscribe(spec, store);
    let state = subscription.next().await.state;
    let unserved = match (&store.spec().url, version) {
        (StoreUrl::Etcd { .. }, Version::Revision(revision)) => {
            changed_since(store.spec(), &spec.target, revision, &state).await
        }
        (StoreUrl::Etcd { .. } | StoreUrl::ZooKeeper { .. } | StoreUrl::Dir { .. }, version) => {
            state.version != version
        }
    };
    Handover { spec: Arc::clone(spec), newest: Some(state), unserved }
}

/// Whether a state differs from that at a revision. Only the comparison shows deletions below a tree.
async fn changed_since(store: &StoreSpec, target: &Target, revision: i64, state: &State) -> bool {
    if matches!(state.version, Version::Revision(seen) if seen > revision) {
        return true;
    }
    let files = StoreFiles::default();
    let mut attempt = 0;
    loop {
        match etcd::state_at(store, attempt, target, revision, &files).await {
            Ok(Some(content)) => return content != state.content,
            Ok(None) => {
                tracing::warn!(
                    "etcd does not know revision {revision} (any more, or yet): {} is taken as unchanged if its version is not newer",
                    target.key
                );
                return false;
            }
            Err(error) => {
                if attempt == 0 {
                    tracing::warn!("cannot read revision {revision}, trying again: {error}");
                }
                attempt += 1;
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
