//! The newest changes out of a history that is told from an older revision on.

use std::collections::VecDeque;
use std::time::Duration;

use super::history::{Begin, Happened, History, Told};
use crate::store::{StoreError, StoreSpec};
use crate::watch::{Key, WatchType};

/// Where no report says that all of the past was told, that long without one does. etcd catches up in steps of 100 ms.
pub const QUIET: Duration = Duration::from_secs(1);

/// Keeps the newest of the changes that are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Newest {
    count: usize,
    changes: VecDeque<Happened>,
    /// The revision that the store had reached when the stream was first opened.
    past: Option<i64>,
    /// The highest revision of any key that exists: it is told before all is.
    known: i64,
    /// Whether that was told.
    seen: bool,
    /// The first revision that is not compacted, where older ones were asked for.
    oldest: Option<i64>,
}

impl Newest {
    /// Keeps that many.
    pub fn new(count: u32) -> Self {
        Self { count: usize::try_from(count).unwrap_or(usize::MAX), ..Self::default() }
    }

    /// Takes what is told. Whether that is all of the past.
    pub fn take(&mut self, told: Told) -> bool {
        match told {
            Told::Opened { present, newest } => {
                self.past.get_or_insert(present);
                self.known = self.known.max(newest);
                // Nothing exists: only deletions can be told.
                self.seen |= self.known == 0;
                self.count == 0
            }
            Told::Changes(changes) => {
                let past = self.past.unwrap_or_default();
                let present = changes.iter().any(|change| change.revision >= past);
                for change in changes {
                    self.seen |= change.revision >= self.known;
                    self.changes.push_back(change);
                    if self.changes.len() > self.count {
                        self.changes.pop_front();
                    }
                }
                present
            }
            Told::Present => true,
            Told::Compacted { oldest } => {
                self.oldest = Some(oldest);
                // What exists may be older than all that is known.
                self.seen |= self.known < oldest;
                false
            }
            Told::Ahead { .. } | Told::Replaced { .. } => false,
        }
    }

    /// Whether only deletions can still follow, of which no key tells: [`QUIET`] ends the past then.
    pub fn may_be_all(&self) -> bool {
        self.seen
    }

    /// The changes, oldest first.
    pub fn changes(&self) -> impl Iterator<Item = &Happened> {
        self.changes.iter()
    }

    /// The first revision that is known, where compaction leaves fewer changes than were asked for.
    pub fn cut_at(&self) -> Option<i64> {
        self.oldest.filter(|_| self.changes.len() < self.count)
    }

    /// The revision that the store had reached when the history was asked.
    pub fn past(&self) -> i64 {
        self.past.unwrap_or_default()
    }
}

/// Reads the newest changes at a key, or at and below it if more than the key itself is watched. Retries nothing.
pub async fn newest_changes(
    spec: &StoreSpec,
    key: &Key,
    watch_type: WatchType,
    count: u32,
) -> Result<Newest, StoreError> {
    let mut history = History::of(spec, key, watch_type, Begin::Newest(count))?;
    let mut newest = Newest::new(count);
    loop {
        let told = if newest.may_be_all() {
            match tokio::time::timeout(QUIET, history.next()).await {
                Ok(told) => told?,
                Err(_) => return Ok(newest),
            }
        } else {
            history.next().await?
        };
        if newest.take(told) {
            return Ok(newest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Spelling;

    fn changes(revisions: impl IntoIterator<Item = i64>) -> Told {
        let change = |revision| Happened {
            revision,
            path: "k".into(),
            spelling: Spelling::Slashed,
            value: Some("v".into()),
        };
        Told::Changes(revisions.into_iter().map(change).collect())
    }

    fn kept(newest: &Newest) -> Vec<i64> {
        newest.changes().map(|change| change.revision).collect()
    }

    #[test]
    fn the_newest_are_kept_until_the_present_is_told() {
        let mut newest = Newest::new(3);
        assert!(!newest.take(Told::Opened { present: 9, newest: 7 }));
        assert!(!newest.take(changes(2..=6)) && !newest.may_be_all());
        assert!(!newest.take(changes([7])) && newest.may_be_all(), "deletions may follow");
        assert!(newest.take(changes([8, 9])));
        assert_eq!((kept(&newest), newest.cut_at(), newest.past()), (vec![7, 8, 9], None, 9));
    }

    #[test]
    fn compaction_is_told_where_it_leaves_fewer() {
        let mut newest = Newest::new(3);
        newest.take(Told::Opened { present: 9, newest: 7 });
        newest.take(Told::Compacted { oldest: 8 });
        assert!(newest.may_be_all(), "all that exists is older");
        assert!(newest.take(Told::Present));
        assert_eq!((kept(&newest), newest.cut_at()), (vec![], Some(8)));
    }
}
