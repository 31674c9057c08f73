//! etcd's history, as far as it is not compacted: every change of a subtree in order, and the state at a revision.
//!
//! Nothing is retried here: after an error the next call opens a new stream exactly where the last one ended. The caller
//! decides when.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::proto::{PbEvent, PbWatchResponse};
use etcd_client::{GetOptions, SortOrder, SortTarget, WatchOptions, WatchStream};

use super::connect::{Connection, Entrance, late};
use super::explain::{explain, says_denied};
use super::keys::{Range, Scope};
use super::read::{Mark, WantedKeys, left_by, read_history};
use crate::store::{StoreError, StoreFiles, StoreSpec};
use crate::watch::{Content, Detail, Key, Spelling, Target, WatchType};

/// Time limit for opening a stream, and for one request.
const OPEN: Duration = Duration::from_secs(10);

/// etcd sends past events in batches of this many revisions. A batch that is not full is complete up to the revision in
/// its header.
const BATCH: usize = 1000;

/// The revision of an empty store. A read at revision 0 would return the current state.
pub(super) const FIRST_REVISION: i64 = 1;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// The revision that made it; one transaction makes several changes at one revision.
    pub revision: i64,
    /// The key relative to the top of the subtree.
    pub path: Arc<str>,
    /// How the key is written.
    pub spelling: Spelling,
    /// The new value; `None`: it was deleted.
    pub value: Option<Bytes>,
}

/// Where the history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With the next change.
    Now,
    /// With what this revision changed.
    At(i64),
    /// At a revision with at least this many changes since, or at the oldest one that is not compacted.
    Newest(u32),
}

/// An event of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A stream is open.
    Opened {
        /// The store's current revision.
        present: i64,
        /// The highest revision of a key that exists, where [`Begin::Newest`] asked; 0 if there is none.
        newest: i64,
    },
    /// Changes in order.
    Changes(Vec<Happened>),
    /// All changes up to the opening of the stream were delivered. Omitted if that is unknown: there were none, or the last
    /// batch was full.
    Present,
    /// The requested revisions before this one are compacted; the history continues from here.
    Compacted {
        /// The first revision that is still known.
        oldest: i64,
    },
    /// The requested revision is not reached yet; the history begins with the next one.
    Ahead {
        /// The revision that was asked for.
        asked: i64,
        /// The store's current revision.
        present: i64,
    },
    /// The store was restored or replaced; the new history is delivered from here on.
    Replaced {
        /// The revision of the new history.
        present: i64,
    },
}

/// The history of a key or a subtree.
pub struct History {
    entrance: Entrance,
    scope: Scope,
    begin: Begin,
    /// Use two watches that cover exactly the subtree, for a user who may not read the keys between them.
    split: bool,
    /// The next revision to deliver, per watch; empty before the first stream.
    next: Vec<i64>,
    cluster: u64,
    /// The highest revision that the store has shown.
    highest: i64,
    /// The store's revision when the stream was opened, until the history has been delivered up to it.
    present: Option<i64>,
    /// The revision up to which each watch has delivered everything.
    complete: Vec<i64>,
    attempt: u64,
    stream: Option<WatchStream>,
    /// Fragments of a response whose rest has not arrived yet.
    held: Vec<PbEvent>,
}

impl History {
    /// The history of a key and of everything below it. Nothing is asked yet.
    pub fn new(spec: &StoreSpec, key: &Key, begin: Begin) -> Result<Self, StoreError> {
        Self::of(spec, key, WatchType::Tree, begin)
    }

    /// The history of all keys that decide what a watch of this type shows.
    pub fn of(spec: &StoreSpec, key: &Key, watch_type: WatchType, begin: Begin) -> Result<Self, StoreError> {
        let entrance = Entrance::new(spec, &StoreFiles::default())?;
        let scope = entrance.space.scope(key, watch_type);
        let attempt = fastrand::u64(..u64::from(u32::MAX));
        Ok(Self {
            entrance,
            scope,
            begin,
            split: false,
            next: Vec::new(),
            cluster: 0,
            highest: 0,
            present: None,
            complete: Vec::new(),
            attempt,
            stream: None,
            held: Vec::new(),
        })
    }

    /// Waits for the next event. Cancel-safe, except that opening a stream starts over. After an error the next call opens
    /// a stream to another member where the last one ended.
    pub async fn next(&mut self) -> Result<Told, StoreError> {
        if self.present.is_some_and(|present| self.complete.iter().all(|complete| *complete >= present)) {
            self.present = None;
            return Ok(Told::Present);
        }
        let Some(stream) = &mut self.stream else {
            return self.open().await;
        };
        loop {
            let response = match stream.message().await {
                Ok(Some(response)) => response.0,
                Ok(None) => return Err(self.lost("the server ended the watch stream".to_owned())),
                Err(error) => {
                    let error = explain(format!("watch {}", self.scope), &error);
                    self.close();
                    return Err(error);
                }
            };
            if response.canceled {
                return self.cancelled(&response);
            }
            let fragment = response.fragment;
            let watch = usize::try_from(response.watch_id - 1).ok();
            let revision = response.header.map_or(0, |header| header.revision);
            self.held.extend(response.events);
            if fragment {
                continue;
            }
            let events = std::mem::take(&mut self.held);
            let last = events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).max();
            // A response without events is a progress notification: everything up to its revision was delivered. That does not hold
            // for the response to a new watch, because past events follow it.
            let told = last.or((!response.created).then_some(revision));
            if let (Some(told), Some(next)) = (told, watch.and_then(|watch| self.next.get_mut(watch))) {
                *next = (*next).max(told + 1);
                self.highest = self.highest.max(told);
            }
            if let Some(complete) = watch.and_then(|watch| self.complete.get_mut(watch)) {
                *complete = (*complete).max(complete_up_to(&events, revision));
            }
            let changes: Vec<Happened> =
                events.into_iter().filter_map(|event| happened(&self.scope, event)).collect();
            if !changes.is_empty() {
                return Ok(Told::Changes(changes));
            }
        }
    }

    async fn open(&mut self) -> Result<Told, StoreError> {
        let attempt = self.attempt;
        self.attempt = attempt.wrapping_add(1);
        let connection = self.entrance.connect(attempt).await?;
        self.scope = self.scope.widest();
        let mark = present(&connection, &mut self.scope).await?;
        let replaced = self.cluster != 0 && (self.cluster != mark.cluster || mark.revision < self.highest);
        self.cluster = mark.cluster;
        if replaced {
            self.highest = mark.revision;
            self.next = vec![mark.revision + 1; self.next.len()];
            return Ok(Told::Replaced { present: mark.revision });
        }
        self.highest = self.highest.max(mark.revision);
        if let (true, Begin::At(asked)) = (self.next.is_empty(), self.begin)
            && asked > mark.revision + 1
        {
            // Waiting for that revision would silently skip the ones before it.
            self.begin = Begin::At(mark.revision + 1);
            return Ok(Told::Ahead { asked, present: mark.revision });
        }
        let ranges = self.scope.watches(self.split);
        let mut newest = 0;
        if self.next.len() != ranges.len() {
            // After a split, both watches resume where the single one was.
            let from = match (self.next.first(), self.begin) {
                (Some(next), _) => *next,
                (None, Begin::Now | Begin::Newest(0)) => mark.revision + 1,
                (None, Begin::At(revision)) => revision.max(FIRST_REVISION),
                (None, Begin::Newest(count)) => {
                    let revisions = newest_revisions(&connection, &self.scope, count).await?;
                    newest = revisions.first().copied().unwrap_or(0);
                    let enough = revisions.len() >= usize::try_from(count).unwrap_or(usize::MAX);
                    // The last of that many keys: since then, each of them was changed at least once.
                    if enough { revisions.last().copied().unwrap_or(1) } else { 1 }
                }
            };
            self.next = vec![from; ranges.len()];
        }
        if connection.has_login {
            connection.renew_login().await?;
        }
        self.stream = Some(self.watch(&connection, &ranges).await?);
        self.held.clear();
        self.complete = vec![0; ranges.len()];
        self.present = Some(mark.revision);
        Ok(Told::Opened { present: mark.revision, newest })
    }

    async fn watch(&self, connection: &Connection, ranges: &[Range]) -> Result<WatchStream, StoreError> {
        let what = || format!("watch {} at {}", self.scope, connection.server);
        let opening = async {
            let mut stream: Option<WatchStream> = None;
            for (number, (range, from)) in (1..).zip(ranges.iter().zip(&self.next)) {
                let mut options = WatchOptions::new()
                    .with_watch_id(number)
                    .with_start_revision(*from)
                    .with_progress_notify()
                    .with_fragment();
                if let Some(end) = &range.end {
                    options = options.with_range(end.clone());
                }
                if let Some(stream) = &mut stream {
                    stream.watch(range.start.clone(), Some(options)).await?;
                } else {
                    stream = Some(connection.watch().watch(range.start.clone(), Some(options)).await?);
                }
            }
            Ok(stream)
        };
        match tokio::time::timeout(OPEN, opening).await {
            Ok(Ok(Some(stream))) => Ok(stream),
            Ok(Ok(None)) => Err(StoreError::Refused { what: what(), why: "it has no range".to_owned() }),
            Ok(Err(error)) => Err(explain(what(), &error)),
            Err(_) => Err(late(what(), OPEN)),
        }
    }

    fn cancelled(&mut self, response: &PbWatchResponse) -> Result<Told, StoreError> {
        self.close();
        let oldest = response.compact_revision;
        if oldest > 0 {
            for next in &mut self.next {
                *next = (*next).max(oldest);
            }
            return Ok(Told::Compacted { oldest });
        }
        let reason = response.cancel_reason.clone();
        if says_denied(&reason) {
            if !self.split && self.scope.watches(true).len() > 1 {
                self.split = true;
                return Err(self.lost(format!("{reason}; trying again with exactly the keys of the subtree")));
            }
            return Err(StoreError::Denied { what: format!("watch {}", self.scope), why: reason });
        }
        Err(self.lost(if reason.is_empty() { "the server cancelled the watch".to_owned() } else { reason }))
    }

    fn lost(&mut self, why: String) -> StoreError {
        self.close();
        StoreError::Unavailable { what: format!("watch {}", self.scope), why }
    }

    fn close(&mut self) {
        self.stream = None;
        self.present = None;
        self.held.clear();
    }
}

/// The state of a target at a revision; `None` if that is compacted or not reached yet.
pub async fn state_at(
    spec: &StoreSpec,
    attempt: u64,
    target: &Target,
    revision: i64,
    files: &StoreFiles,
) -> Result<Option<Content>, StoreError> {
    let entrance = Entrance::new(spec, files)?;
    let connection = entrance.connect(attempt).await?;
    let scope = entrance.space.scope(&target.key, target.watch_type);
    let mut wanted = WantedKeys { scope, detail: Detail::Values, keys_only: false };
    let revision = revision.max(FIRST_REVISION);
    let read = read_history(connection.kv(), &mut wanted, revision, &|| ()).await?;
    Ok(read.map(|(mirror, _)| mirror.reading().content))
}

/// The store's current revision, by a linearizable read. Narrows the scope to what this user may read.
async fn present(connection: &Connection, scope: &mut Scope) -> Result<Mark, StoreError> {
    let mut mark = Mark { cluster: 0, revision: 0 };
    let mut ranges = scope.reads();
    while let Some(range) = ranges.pop() {
        let what = || format!("read {scope} from etcd at {}", connection.server);
        let mut options = GetOptions::new().with_count_only();
        if let Some(end) = range.end {
            options = options.with_range(end);
        }
        let mut kv = connection.kv();
        let asking = kv.get(range.start, Some(options));
        let answer = tokio::time::timeout(OPEN, asking).await.map_err(|_| late(what(), OPEN))?;
        match answer {
            Ok(answer) => {
                mark = answer.0.header.map_or(mark, |h| Mark {
                    cluster: h.cluster_id,
                    revision: h.revision.max(mark.revision),
                });
            }
            Err(error) => {
                *scope = left_by(&error, scope).ok_or_else(|| explain(what(), &error))?;
                ranges = scope.reads();
            }
        }
    }
    Ok(mark)
}

/// The highest revisions of keys in a scope, in descending order.
async fn newest_revisions(
    connection: &Connection,
    scope: &Scope,
    count: u32,
) -> Result<Vec<i64>, StoreError> {
    let what = || format!("look for the newest changes of {scope}");
    let mut revisions = Vec::new();
    for range in scope.reads() {
        let mut options = GetOptions::new()
            .with_keys_only()
            .with_limit(count.into())
            .with_sort(SortTarget::Mod, SortOrder::Descend);
        if let Some(end) = range.end {
            options = options.with_range(end);
        }
        let mut kv = connection.kv();
        let asking = kv.get(range.start, Some(options));
        let answer = tokio::time::timeout(OPEN, asking).await.map_err(|_| late(what(), OPEN))?;
        let answer = answer.map_err(|error| explain(what(), &error))?;
        revisions.extend(answer.0.kvs.iter().map(|kv| kv.mod_revision));
    }
    revisions.sort_unstable_by(|a, b| b.cmp(a));
    revisions.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    Ok(revisions)
}

/// The revision up to which a watch is complete after this response, given the store's revision.
fn complete_up_to(events: &[PbEvent], revision: i64) -> i64 {
    let mut revisions: Vec<i64> =
        events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    match revisions.last() {
        Some(last) if revisions.len() >= BATCH => *last,
        Some(_) => revision,
        // Progress notifications can overtake events, as the response to a new watch does.
        None => 0,
    }
}

fn happened(scope: &Scope, event: PbEvent) -> Option<Happened> {
    /// `mvccpb.Event.EventType.DELETE`.
    const DELETE: i32 = 1;
    let deleted = event.r#type == DELETE;
    let kv = event.kv?;
    let (path, spelling) = (scope.path(&kv.key)?, scope.spelling(&kv.key));
    let value = (!deleted).then(|| kv.value.into());
    Some(Happened { revision: kv.mod_revision, path, spelling, value })
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::PbKeyValue;

    use super::*;

    #[test]
    fn a_batch_that_is_not_full_is_the_last_one() {
        let events = |revisions: std::ops::Range<i64>| -> Vec<PbEvent> {
            let kv = |mod_revision| Some(PbKeyValue { mod_revision, ..PbKeyValue::default() });
            revisions.map(|revision| PbEvent { kv: kv(revision), ..PbEvent::default() }).collect()
        };
        assert_eq!(complete_up_to(&[], 5000), 0);
        assert_eq!(complete_up_to(&events(7..8), 5000), 5000);
        assert_eq!(complete_up_to(&events(0..999), 5000), 5000);
        assert_eq!(complete_up_to(&events(0..1000), 5000), 999);
        // Several changes of one transaction.
        assert_eq!(complete_up_to(&[events(0..600), events(0..600)].concat(), 5000), 5000);
    }
}
