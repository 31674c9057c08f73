//! Changes of etcd: its history, change by change, none lost or doubled across connections.

use std::time::Duration;

use super::line::{Event, Line, Printer};
use super::note;
use crate::cli::Failure;
use crate::cli::stores::failure;
use crate::store::driver::Backoff;
use crate::store::etcd::{Begin, Happened, History, Newest, QUIET, Told};
use crate::store::{StoreError, StoreSpec};
use crate::tree::place::key_text;
use crate::watch::{Key, Version};

/// Between attempts, as the driver waits.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) async fn follow(
    spec: &StoreSpec,
    key: &Key,
    begin: Begin,
    printer: Printer,
) -> Result<(), Failure> {
    let history = History::new(spec, key, begin).map_err(failure)?;
    let newest = match begin {
        Begin::Newest(count) => Some(Newest::new(count)),
        Begin::Now | Begin::At(_) => None,
    };
    Following { spec, key, history, printer, past: 0, newest, began: false }.run().await
}

struct Following<'a> {
    spec: &'a StoreSpec,
    key: &'a Key,
    history: History,
    printer: Printer,
    /// The revision that the store had reached when we began to look.
    past: i64,
    /// The newest changes, while they are still collected.
    newest: Option<Newest>,
    began: bool,
}

impl Following<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        let mut rng = fastrand::Rng::new();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut down = false;
        loop {
            // Deletions after the newest key's change have no key that would tell of them.
            let patient = self.newest.as_ref().is_some_and(Newest::may_be_all);
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
        if let Told::Opened { present, .. } = told
            && !std::mem::replace(&mut self.began, true)
        {
            self.past = present;
            super::note_watching(self.key, self.spec);
        }
        match told {
            Told::Opened { .. } | Told::Changes(_) | Told::Present | Told::Compacted { .. }
                if self.newest.is_some() =>
            {
                if self.newest.as_mut().is_some_and(|newest| newest.take(told)) {
                    return self.tell_newest();
                }
                Ok(())
            }
            Told::Opened { .. } | Told::Present => Ok(()),
            Told::Changes(changes) => self.print(&changes),
            Told::Compacted { oldest } => {
                note(&format!(
                    "etcd was compacted: what changed before revision {oldest} is forgotten, and the rest follows"
                ));
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
        if let Some(oldest) = newest.cut_at() {
            note(&format!(
                "etcd was compacted: only {} changes are known, those since revision {oldest}",
                newest.changes().count()
            ));
        }
        let changes: Vec<Happened> = newest.changes().cloned().collect();
        self.print(&changes)
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
