//! Changes of etcd from its history, none lost or repeated across connections.

use std::collections::VecDeque;
use std::time::Duration;

use super::line::{Event, Line, Printer};
use super::note;
use crate::cli::Failure;
use crate::cli::stores::failure;
use crate::store::driver::Backoff;
use crate::store::etcd::{Begin, Happened, History, Told};
use crate::store::{StoreError, StoreSpec};
use crate::tree::place::key_text;
use crate::watch::{Key, Version};

/// Back-off between attempts, as in the driver.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where nothing tells that all of the past was told, that long without a word does. etcd catches up in steps of
/// 100 ms.
const QUIET: Duration = Duration::from_secs(1);

pub(super) async fn follow(
    spec: &StoreSpec,
    key: &Key,
    from: Option<i64>,
    printer: Printer,
) -> Result<(), Failure> {
    let begin = match from {
        None => Begin::Now,
        Some(revision) if revision < 0 => {
            Begin::Newest(u32::try_from(revision.unsigned_abs()).unwrap_or(u32::MAX))
        }
        Some(revision) => Begin::At(revision),
    };
    let history = History::new(spec, key, begin).map_err(failure)?;
    let wanted = match begin {
        Begin::Newest(count) => Some(usize::try_from(count).unwrap_or(usize::MAX)),
        Begin::Now | Begin::At(_) => None,
    };
    Following { spec, key, history, printer, past: 0, newest: wanted.map(Newest::new), began: false }
        .run()
        .await
}

struct Following<'a> {
    spec: &'a StoreSpec,
    key: &'a Key,
    history: History,
    printer: Printer,
    /// The store's revision when monitoring started.
    past: i64,
    /// The newest changes, while they are still being collected.
    newest: Option<Newest>,
    began: bool,
}

/// The newest changes of those that were told so far.
struct Newest {
    count: usize,
    changes: VecDeque<Happened>,
    /// The highest revision of any key that exists: it is told before all is.
    known: i64,
    /// Whether that was told.
    seen: bool,
    oldest: Option<i64>,
}

impl Newest {
    fn new(count: usize) -> Self {
        Self { count, changes: VecDeque::new(), known: 0, seen: false, oldest: None }
    }

    fn take(&mut self, changes: Vec<Happened>) {
        for change in changes {
            self.seen |= change.revision >= self.known;
            self.changes.push_back(change);
            if self.changes.len() > self.count {
                self.changes.pop_front();
            }
        }
    }
}

impl Following<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        let mut rng = fastrand::Rng::new();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut down = false;
        loop {
            // Deletions after the newest key's change have no key that would tell of them.
            let patient = self.newest.as_ref().is_some_and(|newest| newest.seen);
            let told = tokio::select! {
                told = self.history.next() => told,
                () = tokio::time::sleep(QUIET), if patient => {
                    self.tell_newest()?;
                    continue;
                }
                () = super::unread() => return Ok(()),
            };
            match told {
                Ok(told) => {
                    backoff.reset();
                    if std::mem::take(&mut down) {
                        note("connected again");
                    }
                    self.told(told)?;
                }
                Err(error @ StoreError::Unavailable { .. }) => {
                    if !std::mem::replace(&mut down, true) {
                        note(&format!("{error}; trying again"));
                    }
                    tokio::time::sleep(backoff.next(&mut rng)).await;
                }
                Err(error) => return Err(failure(error)),
            }
        }
    }

    fn told(&mut self, told: Told) -> Result<(), Failure> {
        match told {
            Told::Opened { present, newest: known } => {
                if !std::mem::replace(&mut self.began, true) {
                    self.past = present;
                    super::note_watching(self.key, self.spec);
                }
                if let Some(newest) = &mut self.newest {
                    newest.known = newest.known.max(known);
                    // Nothing exists: only deletions can be told.
                    newest.seen |= newest.known == 0;
                }
                Ok(())
            }
            Told::Changes(changes) => {
                let Some(newest) = &mut self.newest else { return self.print(&changes) };
                let present = changes.iter().any(|change| change.revision >= self.past);
                newest.take(changes);
                if present { self.tell_newest() } else { Ok(()) }
            }
            Told::Present => self.tell_newest(),
            Told::Compacted { oldest } => {
                if let Some(newest) = &mut self.newest {
                    newest.oldest = Some(oldest);
                    // What exists may be older than all that is known.
                    newest.seen |= newest.known < oldest;
                } else {
                    note(&format!(
                        "etcd was compacted: what changed before revision {oldest} is forgotten, and the rest follows"
                    ));
                }
                Ok(())
            }
            Told::Ahead { asked, present } => {
                note(&format!(
                    "revision {asked} is to come: the store is at {present}, and what changes from now on is told"
                ));
                Ok(())
            }
            Told::Replaced { present } => {
                note(&format!(
                    "the store was restored or replaced: its history goes on from revision {present}, and what was before is not shown"
                ));
                Ok(())
            }
        }
    }

    fn tell_newest(&mut self) -> Result<(), Failure> {
        let Some(newest) = self.newest.take() else { return Ok(()) };
        if let Some(oldest) = newest.oldest
            && newest.changes.len() < newest.count
        {
            note(&format!(
                "etcd was compacted: only {} changes are known, those since revision {oldest}",
                newest.changes.len()
            ));
        }
        self.print(newest.changes.as_slices().0)?;
        self.print(newest.changes.as_slices().1)
    }

    fn print(&self, changes: &[Happened]) -> Result<(), Failure> {
        let now = jiff::Timestamp::now();
        let lines: Vec<Line<'_>> = changes
            .iter()
            .map(|change| Line {
                time: (change.revision > self.past).then_some(now),
                version: Version::Revision(change.revision),
                key: key_text(self.key, &change.path, change.spelling),
                event: change.value.as_deref().map_or(Event::Delete, |value| Event::Put(Some(value))),
            })
            .collect();
        self.printer.print(&lines)
    }
}
