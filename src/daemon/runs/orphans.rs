//! Live runs of a former daemon whose watches are not defined now: waited for, or passed to their watch if it is defined
//! again meanwhile.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::run::Run;
use crate::process::{Ended, Leftovers};
use crate::watch::WatchName;

/// Delay of KILL after TERM for such a run: the default of `kill_after`, because its definition is unknown.
pub(in crate::daemon) const KILL_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Orphans {
    runs: Mutex<Vec<Orphan>>,
    pub(super) leftovers: Leftovers,
}

#[derive(Debug)]
pub(super) struct Orphan {
    pub(super) watch: WatchName,
    pub(super) run: Run,
}

impl Orphans {
    pub(super) fn add(&self, orphan: Orphan) {
        self.runs().push(orphan);
    }

    /// Removes and returns all for which `its` holds.
    pub(super) fn claim(&self, its: impl Fn(&Orphan) -> bool) -> Vec<Orphan> {
        self.runs().extract_if(.., |orphan| its(orphan)).collect()
    }

    /// Removes and returns the next one that ends. Never resolves while there is none.
    pub(super) async fn ended(&self) -> (Orphan, Ended) {
        std::future::poll_fn(|context| {
            let mut runs = self.runs();
            let ended = runs.iter_mut().enumerate().find_map(|(at, orphan)| {
                match Pin::new(&mut orphan.run.ended).poll(context) {
                    Poll::Ready(ended) => Some((at, ended)),
                    Poll::Pending => None,
                }
            });
            ended.map_or(Poll::Pending, |(at, ended)| Poll::Ready((runs.swap_remove(at), ended)))
        })
        .await
    }

    /// Ends them at the deadline.
    pub(super) fn stop(&self, deadline: Instant) {
        for orphan in self.runs().iter() {
            orphan.run.end_by(deadline, KILL_AFTER);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs().is_empty()
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Orphan>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
