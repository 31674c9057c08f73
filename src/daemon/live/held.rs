//! What the guard of a watch holds back: told to the log, to `status` and to `explain`.

use super::bulk;
use super::task::Task;
use crate::daemon::runs::Report;
use crate::policy::{Hold, Yardstick};
use crate::watch::Version;

impl Task {
    /// The guard holds a state back.
    pub(super) fn held(&self, version: Version, hold: Hold) {
        let name = &self.spec.name;
        tracing::warn!(
            watch = %name,
            "version {version} is held: {}; if it is right, say `twitcher release {name}`",
            held_words(hold)
        );
        self.report(Report::held());
    }

    /// The last retry failed: its `on_give_up` is run.
    pub(super) fn report_failure(&self) {
        let ledger = self.runs.shared().ledger();
        let last = ledger.read(self.spec.name.as_str(), |entry| entry.history.back().cloned());
        if let Some(last) = last {
            self.report(Report::failed(last));
        }
    }

    fn report(&self, report: Report) {
        if let Some(newest) = self.machine.newest().filter(|_| self.spec.on_give_up.is_some()) {
            bulk::with(&newest.content, || self.runs.shared().report(&self.spec, newest, report));
        }
    }

    /// What the guard holds back, or why it cannot judge yet.
    pub(super) fn guard_words(&self) -> Option<String> {
        match (self.machine.held(), self.machine.yardstick()) {
            (Some(hold), _) => Some(held_words(hold)),
            (None, Some(Yardstick::Missing)) => Some(
                "max_shrink judges from the second state on: the ledger has no count of entries".to_owned(),
            ),
            (None, Some(Yardstick::First(entries))) => Some(format!(
                "max_shrink did not judge the first state, because the ledger had no count of entries; it compares with the {entries} entries of that state now"
            )),
            (None, Some(Yardstick::Applied(_)) | None) => None,
        }
    }
}

/// Why a state is held.
fn held_words(hold: Hold) -> String {
    match hold {
        Hold::TooFew { entries, least } => {
            format!("it has {}, and min_entries is {least}", counted(entries))
        }
        Hold::Shrunk { entries, applied, percent } => {
            format!("it has {}, {applied} were applied last, and max_shrink is {percent}%", counted(entries))
        }
    }
}

fn counted(entries: u64) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}
