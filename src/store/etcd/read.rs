//! Linearizable reads of targets: many keys in few transactions, large trees page by page at one revision.
//!
//! A key that is denied, or too large to be read together with others, is read by itself, so that one target's error does
//! not affect the others.

use std::time::{Duration, Instant};

use etcd_client::proto::{PbKeyValue, PbRangeResponse, PbTxnOpResponse};
use etcd_client::{Error, GetOptions, KvClient, Txn, TxnOp};

use super::LARGEST_MESSAGE;
use super::explain::{Kind, explain, is_permission, kind};
use super::keys::{Range, Scope};
use super::mirror::{Filling, Mirror, Seen};
use crate::store::StoreError;
use crate::watch::Detail;

/// The server's default `--max-txn-ops`; it may be set lower.
const MOST_IN_TRANSACTION: usize = 128;
/// Keys in a first transaction.
const FIRST_IN_TRANSACTION: usize = 64;
/// Keys in the first page and in the largest one. Pages grow while they arrive fast, because the server walks over all
/// remaining keys for each page, and shrink when they arrive slowly, so that large values on a slow link are not mistaken
/// for silence.
const FIRST_PAGE: usize = 512;
const LARGEST_PAGE: usize = 1 << 15;
/// What a page should hold at most, in bytes.
const PAGE_BYTES: usize = 8 << 20;
/// Limit for a page of several keys. A larger response is rejected from its first bytes on and requested in parts.
const LARGEST_PAGE_BYTES: usize = 2 * PAGE_BYTES;
const FAST: Duration = Duration::from_millis(500);
const SLOW: Duration = Duration::from_secs(5);
/// How often a range read is restarted because its revision was compacted meanwhile.
const RESTARTS: u32 = 3;

/// Cluster and revision of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) cluster: u64,
    pub(super) revision: i64,
}

/// The outcome of reading one target.
pub(super) enum ReadOutcome {
    /// The current state.
    Read {
        mirror: Mirror,
        mark: Mark,
    },
    /// The state as of the last delivered update; later updates come from the watch.
    Resumed {
        mirror: Mirror,
        mark: Mark,
    },
    /// The state right after the requested revision, which is compacted: every later update is known.
    Oldest {
        mirror: Mirror,
        mark: Mark,
        asked: i64,
    },
    /// The current state, because the requested revision is compacted or not reached yet.
    Forgotten {
        mirror: Mirror,
        mark: Mark,
        asked: i64,
    },
    Refused(StoreError),
}

/// What is to be read of a target.
#[derive(Debug, Clone)]
pub(super) struct WantedKeys {
    pub(super) scope: Scope,
    pub(super) detail: Detail,
    /// Only keys and their revisions.
    pub(super) keys_only: bool,
}

/// Reads single-key targets. Outcomes are in the order of the targets. Calls `part` after each response but the last.
pub(super) async fn read_keys(
    kv: KvClient,
    wanted: &[WantedKeys],
    part: &(dyn Fn() + Sync),
) -> Result<Vec<ReadOutcome>, StoreError> {
    let mut outcomes: Vec<ReadOutcome> = Vec::with_capacity(wanted.len());
    let (mut page, mut most) = (FIRST_IN_TRANSACTION, MOST_IN_TRANSACTION);
    while outcomes.len() < wanted.len() {
        let left = &wanted[outcomes.len()..];
        let asked = &left[..left.len().min(page)];
        let gets: Vec<TxnOp> = asked
            .iter()
            .flat_map(|wanted| {
                wanted.scope.reads().into_iter().map(|range| get(&range, wanted.without_values(), None))
            })
            .collect();
        let began = Instant::now();
        match transaction(&kv, gets).await {
            Ok((mark, ranges)) => {
                let bytes: usize = ranges.iter().flat_map(|range| &range.kvs).map(size_of_kv).sum();
                for (wanted, range) in asked.iter().zip(ranges) {
                    let mut filling = Filling::new(&wanted.scope, wanted.detail);
                    for kv in range.kvs {
                        filling.add(&wanted.scope, seen(kv));
                    }
                    let mirror = filling.end(&wanted.scope, mark.revision);
                    outcomes.push(ReadOutcome::Read { mirror, mark });
                }
                page = next_page(page, began.elapsed(), bytes / asked.len()).min(most);
            }
            Err(error) => match (kind(&error), asked) {
                (Kind::Denied | Kind::TooLarge | Kind::TooMany, [alone]) => {
                    outcomes.push(ReadOutcome::Refused(explain(alone.what(), &error)));
                }
                (Kind::Denied | Kind::TooLarge, _) => page = asked.len() / 2,
                (Kind::TooMany, _) => {
                    most = asked.len() / 2;
                    page = most;
                }
                (Kind::NoHistory | Kind::NoLease | Kind::Doubt, _) => {
                    return Err(explain(format!("read {} keys", asked.len()), &error));
                }
            },
        }
        if outcomes.len() < wanted.len() {
            part();
        }
    }
    Ok(outcomes)
}

/// Reads one range; if the user may not read all of it, what [remains](Scope::narrower).
pub(super) async fn read_range(
    kv: KvClient,
    wanted: &mut WantedKeys,
    part: &(dyn Fn() + Sync),
) -> Result<ReadOutcome, StoreError> {
    for _ in 0..RESTARTS {
        match read_pages(&kv, wanted, None, part).await {
            Ok((mirror, mark)) => return Ok(ReadOutcome::Read { mirror, mark }),
            Err(error) => match kind(&error) {
                Kind::Denied | Kind::TooLarge | Kind::TooMany => {
                    return Ok(ReadOutcome::Refused(explain(wanted.what(), &error)));
                }
                Kind::NoHistory => {}
                Kind::NoLease | Kind::Doubt => return Err(explain(wanted.what(), &error)),
            },
        }
    }
    // The connection is fine: only this target is refused.
    let why = "it was compacted faster than it can be read".to_owned();
    Ok(ReadOutcome::Refused(StoreError::Unavailable { what: wanted.what(), why }))
}

/// The same at a revision; `None` if that is compacted or not reached yet.
pub(super) async fn read_history(
    kv: KvClient,
    wanted: &mut WantedKeys,
    revision: i64,
    part: &(dyn Fn() + Sync),
) -> Result<Option<(Mirror, Mark)>, StoreError> {
    match read_pages(&kv, wanted, Some(revision), part).await {
        Ok((mirror, mark)) => Ok(Some((mirror, mark))),
        Err(error) => match kind(&error) {
            // The read of the current state that follows reports a refusal.
            Kind::Denied | Kind::TooLarge | Kind::TooMany | Kind::NoHistory => Ok(None),
            Kind::NoLease | Kind::Doubt => Err(explain(wanted.what(), &error)),
        },
    }
}

async fn read_pages(
    kv: &KvClient,
    wanted: &mut WantedKeys,
    at: Option<i64>,
    part: &(dyn Fn() + Sync),
) -> Result<(Mirror, Mark), Error> {
    let mut filling = Filling::new(&wanted.scope, wanted.detail);
    let mut pages = Pages::new(kv.clone(), wanted.scope.clone(), wanted.without_values(), at);
    loop {
        let next = pages.next().await;
        wanted.scope.clone_from(&pages.scope);
        let (mark, page) = next?;
        for kv in page {
            filling.add(&wanted.scope, seen(kv));
        }
        if pages.is_done() {
            return Ok((filling.end(&wanted.scope, at.unwrap_or(mark.revision)), mark));
        }
        part();
    }
}

/// All keys of a scope as they were at one moment, page by page.
pub(super) struct Pages {
    kv: KvClient,
    /// The scope being read; after the first page, what this user may read of the requested one.
    pub(super) scope: Scope,
    without_values: bool,
    left: Vec<Range>,
    at: Option<i64>,
    mark: Option<Mark>,
    size: usize,
    /// Upper bound for page sizes, lowered after a page had too many bytes.
    most: usize,
}

impl Pages {
    /// At the revision of the first page unless one is given.
    pub(super) fn new(kv: KvClient, scope: Scope, without_values: bool, at: Option<i64>) -> Self {
        let left = scope.reads();
        Self { kv, scope, without_values, left, at, mark: None, size: FIRST_PAGE, most: LARGEST_PAGE }
    }

    /// Whether there is no further page.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// The next page, with the cluster and revision of the first one.
    pub(super) async fn next(&mut self) -> Result<(Mark, Vec<PbKeyValue>), Error> {
        let began = Instant::now();
        let (mark, ranges) = loop {
            let page = Some((self.size, self.at));
            let gets = self.left.iter().map(|range| get(range, self.without_values, page)).collect();
            let limit = if self.size > 1 { LARGEST_PAGE_BYTES } else { LARGEST_MESSAGE };
            match transaction(&self.kv.clone().max_decoding_message_size(limit), gets).await {
                Err(error) if kind(&error) == Kind::TooLarge && self.size > 1 => {
                    self.most = (self.size / 8).max(1);
                    self.size = self.most;
                }
                Err(error) if self.mark.is_none() => {
                    self.scope = left_by(&error, &self.scope).ok_or(error)?;
                    self.left = self.scope.reads();
                }
                answer => break answer?,
            }
        };
        // The following pages are read at the revision of the first.
        self.at = self.at.or(Some(mark.revision));
        let mark = *self.mark.get_or_insert(mark);
        let mut page = Vec::new();
        let asked = std::mem::take(&mut self.left);
        for (mut range, asked) in ranges.into_iter().zip(asked) {
            if let (true, Some(last)) = (range.more, range.kvs.last()) {
                let start = [last.key.as_slice(), b"\0"].concat();
                self.left.push(Range { start, end: asked.end });
            }
            if page.is_empty() {
                page = range.kvs;
            } else {
                page.append(&mut range.kvs);
            }
        }
        let bytes: usize = page.iter().map(size_of_kv).sum();
        self.size = next_page(self.size, began.elapsed(), bytes / page.len().max(1)).min(self.most);
        Ok((mark, page))
    }
}

/// The narrower scope to request after the server denied the whole one. An expired token is another error and narrows
/// nothing.
pub(super) fn left_by(error: &Error, scope: &Scope) -> Option<Scope> {
    if is_permission(error) { scope.narrower() } else { None }
}

/// Size of the next page, from the size, duration and bytes per key of the last one.
fn next_page(size: usize, took: Duration, bytes_each: usize) -> usize {
    let fit = (PAGE_BYTES / bytes_each.max(1)).clamp(1, LARGEST_PAGE);
    if took < FAST {
        (size * 64).min(fit)
    } else if took > SLOW {
        (size / 4).max(1)
    } else {
        size.min(fit)
    }
}

/// A transaction of reads only, at one linearizable moment.
async fn transaction(kv: &KvClient, gets: Vec<TxnOp>) -> Result<(Mark, Vec<PbRangeResponse>), Error> {
    let response = kv.clone().txn(Txn::new().and_then(gets)).await?.0;
    let mark = response.header.map_or(Mark { cluster: 0, revision: 0 }, |header| Mark {
        cluster: header.cluster_id,
        revision: header.revision,
    });
    let ranges = response.responses.into_iter().map(|answer| match answer.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => range,
        Some(
            PbTxnOpResponse::ResponsePut(_)
            | PbTxnOpResponse::ResponseDeleteRange(_)
            | PbTxnOpResponse::ResponseTxn(_),
        )
        | None => PbRangeResponse::default(),
    });
    Ok((mark, ranges.collect()))
}

fn get(range: &Range, without_values: bool, page: Option<(usize, Option<i64>)>) -> TxnOp {
    let mut options = GetOptions::new();
    if let Some(end) = &range.end {
        options = options.with_range(end.clone());
    }
    if without_values {
        options = options.with_keys_only();
    }
    if let Some((limit, at)) = page {
        // Keys arrive in order by default; requesting an order makes the server read everything first.
        options = options.with_limit(i64::try_from(limit).unwrap_or(i64::MAX));
        if let Some(at) = at {
            options = options.with_revision(at);
        }
    }
    TxnOp::get(range.start.clone(), Some(options))
}

fn size_of_kv(kv: &PbKeyValue) -> usize {
    kv.key.len() + kv.value.len()
}

fn seen(kv: PbKeyValue) -> Seen {
    Seen { key: kv.key, value: Some(kv.value.into()), revision: kv.mod_revision, created: true }
}

impl WantedKeys {
    fn without_values(&self) -> bool {
        let names = matches!(self.scope, Scope::Children(_) | Scope::AllChildren(_));
        self.keys_only || names || self.detail == Detail::Versions
    }

    fn what(&self) -> String {
        format!("read {}", self.scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_while_they_arrive_fast() {
        let (fast, even, slow) = (Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(9));
        let sizes = |took: Duration, bytes_each: usize, from: usize| {
            let mut size = from;
            std::array::from_fn::<usize, 4, _>(|_| {
                size = next_page(size, took, bytes_each);
                size
            })
        };
        assert_eq!(sizes(fast, 100, FIRST_PAGE), [32768; 4]);
        assert_eq!(sizes(fast, 100, 1), [64, 4096, 32768, 32768]);
        assert_eq!(sizes(fast, 1 << 20, FIRST_PAGE), [8; 4]);
        assert_eq!(sizes(fast, 100 << 20, FIRST_PAGE), [1; 4]);
        assert_eq!(sizes(even, 100, 64), [64; 4]);
        assert_eq!(sizes(even, 1 << 20, 64), [8; 4]);
        assert_eq!(sizes(slow, 100, LARGEST_PAGE), [8192, 2048, 512, 128]);
        assert_eq!(sizes(slow, 100, 2), [1; 4]);
    }
}
