//! Watches without a daemon, as in `twitcher watch`: the same live watches with an empty ledger in memory, until
//! the first run (`once`) or a signal.
//!
//! Not here: what the command line means; that is `cli`'s.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::live::{self, Circumstances, Event, Handover, Live};
use super::runs::Runs;
use super::signals::{Received, Signals};
use crate::store::etcd::Begin;
use crate::store::{LinkState, Store, StoreError, StoreFiles, StoreSpec, etcd};
use crate::watch::{Outcome, RunMode, SignalNumber, State, Target, Version, WatchSpec};

/// How long is waited before etcd is asked again for an old revision.
const AGAIN: Duration = Duration::from_secs(1);

/// What is watched without a daemon.
#[derive(Debug)]
pub struct AdHoc {
    /// The watches, each with a name of its own; all of this store.
    pub watches: Vec<WatchSpec>,
    /// Where their keys are.
    pub store: StoreSpec,
    /// End when each watch has had its first run.
    pub once: bool,
    /// Where in etcd's history they begin. [`Begin::Now`]: with the state that is there. Otherwise a first state that
    /// is older is not run, and watches in parallel mode run every update since.
    pub begin: Begin,
    /// Called with the first state of each watch, before anything runs for it.
    pub announce: fn(&WatchSpec, &State),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every watch had its one run, and the retries of that; the last outcome of each, in the order of the watches.
    Ran(Vec<Outcome>),
    /// A signal ended it, after every run was ended.
    Signalled(SignalNumber),
}

/// Watches until it ends. Standard output and error are the actions'; the log must be set up already.
pub async fn watch(ad_hoc: AdHoc) -> std::io::Result<End> {
    let mut signals = Signals::of_watch()?;
    let runs = Arc::new(Runs::ad_hoc(jiff::Timestamp::now()));
    let seen = tokio::select! {
        seen = seen_before(&ad_hoc) => seen,
        signal = signals.next() => return Ok(End::Signalled(signal.number)),
    };
    let replayed = seen.filter(|_| ad_hoc.watches.iter().all(runs_every_update));
    let store = match replayed {
        Some(revision) => Store::open_since(ad_hoc.store, revision),
        None => Store::open(ad_hoc.store),
    };
    let _reports = Reports(tokio::spawn(report_recovery(store.clone())));

    let mut lives: Vec<Live> = Vec::new();
    let mut outcomes = Vec::new();
    let mut tasks = JoinSet::new();
    for spec in ad_hoc.watches {
        let spec = Arc::new(spec);
        let handover = match seen {
            None => None,
            Some(_) if replayed.is_some() => None,
            Some(revision) => tokio::select! {
                handover = before(&store, &spec, revision) => Some(Box::new(handover)),
                signal = signals.next() => return Ok(End::Signalled(signal.number)),
            },
        };
        let once = ad_hoc.once.then(|| {
            let (ends, ended) = mpsc::unbounded_channel();
            outcomes.push(ended);
            ends
        });
        let announce = Some(ad_hoc.announce);
        let circumstances = Circumstances { handover, once, announce, ..Circumstances::default() };
        let (live, task) = live::begin(spec, Path::new("").into(), &store, &runs, circumstances);
        lives.push(live);
        tasks.spawn(task);
    }

    let mut signalled = None;
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(Ok(_)) => {}
                Some(Err(error)) => tracing::error!("a watch met a fault in twitcher itself: {error}"),
                None => break,
            },
            Received { number, .. } = signals.next() => {
                let impatient = signalled.is_some() && is_typed(number);
                signalled.get_or_insert(number);
                for live in &lives {
                    // Each run is sent TERM, and KILL after `kill_after`.
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
    // A failed run may have been retried: the last outcome counts.
    let last = |mut ended: mpsc::UnboundedReceiver<Outcome>| {
        std::iter::from_fn(move || ended.try_recv().ok()).last()
    };
    Ok(End::Ran(outcomes.into_iter().filter_map(last).collect()))
}

fn runs_every_update(watch: &WatchSpec) -> bool {
    match watch.policy.run_mode {
        RunMode::Parallel { .. } => true,
        RunMode::Queue | RunMode::Discard | RunMode::Restart => false,
    }
}

/// The revision whose state, and every one before it, runs nothing. Waits for the store where it has to be asked.
async fn seen_before(ad_hoc: &AdHoc) -> Option<i64> {
    let count = match ad_hoc.begin {
        Begin::Now => return None,
        Begin::At(revision) => return Some(revision.saturating_sub(1)),
        Begin::Newest(count) => count,
    };
    let mut told = false;
    loop {
        match before_newest(ad_hoc, count).await {
            Ok(revision) => return Some(revision),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!("cannot ask for the newest changes, and try again: {error}");
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// The revision before the newest changes of all watches together.
async fn before_newest(ad_hoc: &AdHoc, count: u32) -> Result<i64, StoreError> {
    let (mut revisions, mut present, mut cut_at) = (Vec::new(), 0, None);
    for watch in &ad_hoc.watches {
        let Target { key, watch_type, .. } = &watch.target;
        let newest = etcd::newest_changes(&ad_hoc.store, key, *watch_type, count).await?;
        revisions.extend(newest.changes().map(|change| change.revision));
        present = present.max(newest.past());
        cut_at = cut_at.max(newest.cut_at());
    }
    revisions.sort_unstable_by(|a, b| b.cmp(a));
    revisions.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    if let Some(oldest) = cut_at {
        let known = revisions.len();
        tracing::warn!("etcd was compacted: only {known} changes are known, those since revision {oldest}");
    }
    Ok(revisions.last().map_or(present, |first| first - 1))
}

/// Whether somebody at a terminal sends it: twice, where waiting took too long.
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

/// Says that a store is back, for those who were told that it is gone and see warnings only.
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

/// What somebody who saw everything up to `revision` has not seen yet. Waits for the store.
async fn before(store: &Store, spec: &Arc<WatchSpec>, revision: i64) -> Handover {
    let mut subscription = live::subscribe(spec, store);
    let state = subscription.next().await.state;
    let unserved = changed_since(store.spec(), &spec.target, revision, &state).await;
    Handover { spec: Arc::clone(spec), newest: Some(state), unserved }
}

/// Whether a state is another than at a revision. Deletions below a tree show in nothing but the comparison.
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
                    "etcd does not know the changes of {} since revision {} (any more, or yet): it counts as unchanged \
                     if its version is older",
                    target.key,
                    revision.saturating_add(1)
                );
                return false;
            }
            Err(error) => {
                if attempt == 0 {
                    tracing::warn!("cannot ask for revision {revision}, and try again: {error}");
                }
                attempt += 1;
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
