//! Linearizable reads of targets: many keys in few transactions, large trees page by page at one revision.
//!
//! What one key's owner may not read, and what is too large to be read with others, is read by itself; so
//! one target's trouble is no other's.

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
/// Keys in a first page, and in the largest. Pages grow while they come fast, because for each the server walks over
/// all keys that are left, and shrink when they come slowly, so that large values on a slow link are not taken for
/// silence.
const FIRST_PAGE: usize = 512;
const LARGEST_PAGE: usize = 1 << 15;
/// What a page should hold at most, in bytes.
const PAGE_BYTES: usize = 8 << 20;
/// What a page of several keys may hold. The first bytes of a larger one tell, and it is asked for again in parts.
const LARGEST_PAGE_BYTES: usize = 2 * PAGE_BYTES;
const FAST: Duration = Duration::from_millis(500);
const SLOW: Duration = Duration::from_secs(5);
/// A range is begun anew this often when its revision is compacted while it is read.
const RESTARTS: u32 = 3;

/// Which history an answer comes from, and how far it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) cluster: u64,
    pub(super) revision: i64,
}

/// What came of the read of one target.
pub(super) enum Outcome {
    /// The state as it is.
    Read {
        mirror: Mirror,
        mark: Mark,
    },
    /// The state as it was when its last update was delivered; what came since is still to be told.
    Resumed {
        mirror: Mirror,
        mark: Mark,
    },
    /// The state as it is, because what it was at the revision that was asked for is not known any more, or not
    /// yet.
    Forgotten {
        mirror: Mirror,
        mark: Mark,
        asked: i64,
    },
    Refused(StoreError),
}

/// What is to be read of a target.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) scope: Scope,
    pub(super) detail: Detail,
    /// Only keys and their revisions.
    pub(super) keys_only: bool,
}

/// Reads targets of one key each. The answers are in the order of the questions. `part` is told of each answer
/// but the last.
pub(super) async fn read_keys(
    kv: KvClient,
    wanted: &[Wanted],
    part: &(dyn Fn() + Sync),
) -> Result<Vec<Outcome>, StoreError> {
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(wanted.len());
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
                    outcomes.push(Outcome::Read { mirror, mark });
                }
                page = next_page(page, began.elapsed(), bytes / asked.len()).min(most);
            }
            Err(error) => match (kind(&error), asked) {
                (Kind::Denied | Kind::TooLarge | Kind::TooMany, [alone]) => {
                    outcomes.push(Outcome::Refused(explain(alone.what(), &error)));
                }
                (Kind::Denied | Kind::TooLarge, _) => page = asked.len() / 2,
                (Kind::TooMany, _) => {
                    most = asked.len() / 2;
                    page = most;
                }
                (Kind::NoHistory | Kind::Doubt, _) => {
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

/// Reads one target of many keys, and of a scope that the user may not see, what [is left of it](Scope::narrower).
pub(super) async fn read_range(
    kv: KvClient,
    wanted: &mut Wanted,
    part: &(dyn Fn() + Sync),
) -> Result<Outcome, StoreError> {
    for _ in 0..RESTARTS {
        match read_pages(&kv, wanted, None, part).await {
            Ok((mirror, mark)) => return Ok(Outcome::Read { mirror, mark }),
            Err(error) => match kind(&error) {
                Kind::Denied | Kind::TooLarge | Kind::TooMany => {
                    return Ok(Outcome::Refused(explain(wanted.what(), &error)));
                }
                Kind::NoHistory => {}
                Kind::Doubt => return Err(explain(wanted.what(), &error)),
            },
        }
    }
    // The connection is sound, and other targets are read as ever.
    let why = "it was compacted faster than it can be read".to_owned();
    Ok(Outcome::Refused(StoreError::Unavailable { what: wanted.what(), why }))
}

/// The same as it was at a revision; `None` where the store does not know (any more, or yet).
pub(super) async fn read_history(
    kv: KvClient,
    wanted: &mut Wanted,
    revision: i64,
    part: &(dyn Fn() + Sync),
) -> Result<Option<(Mirror, Mark)>, StoreError> {
    match read_pages(&kv, wanted, Some(revision), part).await {
        Ok((mirror, mark)) => Ok(Some((mirror, mark))),
        Err(error) => match kind(&error) {
            // A refusal is found, and told, by the read of the present.
            Kind::Denied | Kind::TooLarge | Kind::TooMany | Kind::NoHistory => Ok(None),
            Kind::Doubt => Err(explain(wanted.what(), &error)),
        },
    }
}

async fn read_pages(
    kv: &KvClient,
    wanted: &mut Wanted,
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
    /// What is read: what was asked for, or from the first page on what is left of it for this user.
    pub(super) scope: Scope,
    without_values: bool,
    left: Vec<Range>,
    at: Option<i64>,
    mark: Option<Mark>,
    size: usize,
    /// No page becomes larger: one that was larger had too many bytes.
    most: usize,
}

impl Pages {
    /// The moment is that of the first page unless a revision is given.
    pub(super) fn new(kv: KvClient, scope: Scope, without_values: bool, at: Option<i64>) -> Self {
        let left = scope.reads();
        Self { kv, scope, without_values, left, at, mark: None, size: FIRST_PAGE, most: LARGEST_PAGE }
    }

    /// Whether there is no further page.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// The next page, with the mark of the first one.
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
        // The following pages show the revision of the first.
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

/// What of a scope is asked for instead, when the server has answered that the user may not see all of it. A token that
/// has aged says nothing of that.
pub(super) fn left_by(error: &Error, scope: &Scope) -> Option<Scope> {
    if is_permission(error) { scope.narrower() } else { None }
}

/// How many keys to ask for next, when so many of so many bytes each took so long.
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

/// A transaction of reads only: one linearizable moment.
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
        // Keys come in their order unasked; one that asks for an order makes the server read everything first.
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

impl Wanted {
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
    fn pages_are_as_large_as_they_come_fast() {
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
