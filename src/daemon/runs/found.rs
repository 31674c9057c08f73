//! Runs of a former daemon that are only known from `/proc`, because it was killed between their start and their record.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::ledger::LedgerEntry;
use crate::process::FoundRun;
use crate::watch::{RunId, WatchSpec};

/// Found at the start of the daemon, and not yet claimed by their watches.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Vec<FoundRun>>);

impl Found {
    pub(super) fn set(&self, found: Vec<FoundRun>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// The found run of a watch that the ledger does not know.
    ///
    /// It is a process with the mark of a leader, or an unmarked one that is newer than every recorded run. Any other process is
    /// a service that an ended action left running: waiting for it would never end, which is worse than starting beside an
    /// action that could not be marked. Only a process of the watch's own user counts, because anyone can set a variable.
    pub(super) fn claim(&self, spec: &WatchSpec, entry: &LedgerEntry) -> Option<FoundRun> {
        let known: BTreeSet<&RunId> = entry.live.iter().map(|live| &live.run).collect();
        let newest = entry.newest_run.as_ref();
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = found.iter().position(|run| {
            let newer = newest.is_some_and(|newest| started(&run.run) > started(newest));
            let its = run.watch == spec.name && run.uid == spec.surroundings.account.uid;
            its && (run.marked || newer) && !known.contains(&run.run)
        })?;
        Some(found.swap_remove(at))
    }
}

/// A run's position in start order: the daemon's start, and the run's number in it.
fn started(run: &RunId) -> Option<(i64, u64)> {
    let mut parts = run.0.rsplit('-');
    let number = parts.next()?.parse().ok()?;
    Some((i64::from_str_radix(parts.next()?, 16).ok()?, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::runs::fixture;
    use crate::watch::ProcessIdentity;

    /// The found run of a watch whose last recorded run is `l-5-5`.
    #[test]
    fn a_lost_run_is_told_from_a_service() {
        let spec = fixture::spec("a", "/a");
        let uid = spec.surroundings.account.uid;
        let found = |run: &str, marked: bool, uid: u32| FoundRun {
            run: RunId(run.into()),
            watch: spec.name.clone(),
            store: spec.target.store.to_string(),
            key: spec.target.key.to_string(),
            version: "1".to_owned(),
            identity: ProcessIdentity {
                pid: 1,
                start_ticks: 1,
                boot_id: "b".into(),
                output_pipe: None,
                errors_pipe: None,
            },
            marked,
            uid,
        };
        let claimed = |run: FoundRun, newest: Option<&str>| {
            let all = Found::default();
            all.set(vec![run]);
            let entry =
                LedgerEntry { newest_run: newest.map(|run| RunId(run.into())), ..LedgerEntry::default() };
            all.claim(&spec, &entry).is_some()
        };
        let newest = Some("l-5-5");
        assert!(claimed(found("l-5-6", true, uid), newest) && claimed(found("l-5-6", false, uid), newest));
        assert!(claimed(found("l-3-9", true, uid), newest), "the clock was set back since");
        assert!(!claimed(found("l-5-4", false, uid), newest), "a service of a run that ended");
        assert!(claimed(found("l-5-6", true, uid), None), "the ledger was lost");
        assert!(!claimed(found("l-5-6", false, uid), None), "a service, more likely than not");
        assert!(!claimed(found("l-5-6", true, uid + 1), newest), "another user can claim to be a run");
    }

    #[test]
    fn runs_are_ordered_by_start_and_number() {
        let run = |text: &str| RunId(text.into());
        let sorted = ["l-9-2", "l-9-10", "l-a-1", "l-1a1fc63734d-7"].map(|text| started(&run(text)));
        assert!(sorted.is_sorted() && sorted.iter().all(Option::is_some), "{sorted:?}");
        assert_eq!(started(&run("forged-x")), None);
    }
}
