//! Linearizable reads of targets: many keys in few transactions, large trees page by page at one revision.
//!
//! What one key's owner may not read, and what is too large to be read with others, is read by itself; so
//! one target's trouble is no other's.

use etcd_client::proto::{PbKeyValue, PbRangeResponse, PbTxnOpResponse};
use etcd_client::{Error, GetOptions, KvClient, Txn, TxnOp};

use super::explain::{Kind, explain, kind};
use super::keys::{Range, Scope};
use super::mirror::{Mirror, Seen};
use crate::store::StoreError;
use crate::watch::Detail;

/// The server's default `--max-txn-ops`.
const MOST_IN_TRANSACTION: usize = 128;
/// Keys in a first page. The following ones are as large as their keys and values allow: for each page the server
/// walks over all keys that are left.
const FIRST_PAGE: usize = 256;
const LARGEST_PAGE: usize = 1 << 15;
/// What a page should hold, in bytes.
const PAGE_BYTES: usize = 8 << 20;
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

/// Reads targets of one key each. The answers are in the order of the questions.
pub(super) async fn read_keys(kv: KvClient, wanted: &[Wanted]) -> Result<Vec<Outcome>, StoreError> {
    let mut outcomes: Vec<Option<Outcome>> = wanted.iter().map(|_| None).collect();
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for start in (0..wanted.len()).step_by(MOST_IN_TRANSACTION) {
        parts.push((start, (start + MOST_IN_TRANSACTION).min(wanted.len())));
    }
    while let Some((start, end)) = parts.pop() {
        let part = &wanted[start..end];
        let gets: Vec<TxnOp> = part
            .iter()
            .flat_map(|wanted| {
                wanted.scope.reads().into_iter().map(|range| get(&range, wanted.without_values(), None))
            })
            .collect();
        match transaction(&kv, gets).await {
            Ok((mark, ranges)) => {
                for (offset, (wanted, range)) in part.iter().zip(ranges).enumerate() {
                    let mut mirror = Mirror::empty(&wanted.scope, wanted.detail);
                    for kv in range.kvs {
                        mirror.fill(&wanted.scope, seen(kv));
                    }
                    let mirror = mirror.filled(mark.revision);
                    outcomes[start + offset] = Some(Outcome::Read { mirror, mark });
                }
            }
            Err(error) => match (kind(&error), part) {
                (Kind::Denied | Kind::TooLarge, [alone]) => {
                    outcomes[start] = Some(Outcome::Refused(explain(alone.what(), &error)));
                }
                (Kind::Denied | Kind::TooLarge, _) => {
                    let middle = start + part.len() / 2;
                    parts.extend([(start, middle), (middle, end)]);
                }
                (Kind::NoHistory | Kind::Doubt, _) => {
                    return Err(explain(format!("read {} keys", part.len()), &error));
                }
            },
        }
    }
    Ok(outcomes.into_iter().flatten().collect())
}

/// Reads one target of many keys.
pub(super) async fn read_range(kv: KvClient, wanted: &Wanted) -> Result<Outcome, StoreError> {
    for _ in 0..RESTARTS {
        match read_pages(&kv, wanted, None).await {
            Ok((mirror, mark)) => return Ok(Outcome::Read { mirror, mark }),
            Err(error) => match kind(&error) {
                Kind::Denied | Kind::TooLarge => {
                    return Ok(Outcome::Refused(explain(wanted.what(), &error)));
                }
                Kind::NoHistory => {}
                Kind::Doubt => return Err(explain(wanted.what(), &error)),
            },
        }
    }
    let why = "it was compacted faster than it can be read".to_owned();
    Err(StoreError::Unavailable { what: wanted.what(), why })
}

/// Reads a target as it was at a revision; `None` where the store does not know (any more, or yet).
pub(super) async fn read_history(
    kv: KvClient,
    wanted: &Wanted,
    revision: i64,
) -> Result<Option<(Mirror, Mark)>, StoreError> {
    match read_pages(&kv, wanted, Some(revision)).await {
        Ok((mirror, mark)) => Ok(Some((mirror, mark))),
        Err(error) => match kind(&error) {
            // A refusal is found, and told, by the read of the present.
            Kind::Denied | Kind::TooLarge | Kind::NoHistory => Ok(None),
            Kind::Doubt => Err(explain(wanted.what(), &error)),
        },
    }
}

async fn read_pages(kv: &KvClient, wanted: &Wanted, at: Option<i64>) -> Result<(Mirror, Mark), Error> {
    let mut mirror = Mirror::empty(&wanted.scope, wanted.detail);
    let mut fill = |kv| mirror.fill(&wanted.scope, seen(kv));
    let mark = pages(kv, &wanted.scope, wanted.without_values(), at, &mut fill).await?;
    Ok((mirror.filled(at.unwrap_or(mark.revision)), mark))
}

/// Reads all keys of a scope as they were at one moment, which is now unless a revision is given.
pub(super) async fn pages(
    kv: &KvClient,
    scope: &Scope,
    without_values: bool,
    at: Option<i64>,
    sink: &mut (dyn FnMut(PbKeyValue) + Send),
) -> Result<Mark, Error> {
    let mut left = scope.reads();
    let mut at = at;
    let mut first_mark: Option<Mark> = None;
    let mut page = FIRST_PAGE;
    while !left.is_empty() {
        let gets = left.iter().map(|range| get(range, without_values, Some((page, at)))).collect();
        let (mark, ranges) = match transaction(kv, gets).await {
            Err(error) if kind(&error) == Kind::TooLarge && page > 1 => {
                page = (page / 4).max(1);
                continue;
            }
            answer => answer?,
        };
        // The following pages show the revision of the first.
        at = at.or(Some(mark.revision));
        first_mark.get_or_insert(mark);
        let mut more = Vec::new();
        let (mut keys, mut bytes) = (0, 0);
        for (range, asked) in ranges.into_iter().zip(&left) {
            if let (true, Some(last)) = (range.more, range.kvs.last()) {
                let start = [last.key.as_slice(), b"\0"].concat();
                more.push(Range { start, end: asked.end.clone() });
            }
            keys += range.kvs.len();
            bytes += range.kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum::<usize>();
            range.kvs.into_iter().for_each(&mut *sink);
        }
        page = (PAGE_BYTES / (bytes / keys.max(1)).max(1)).clamp(1, LARGEST_PAGE);
        left = more;
    }
    Ok(first_mark.unwrap_or(Mark { cluster: 0, revision: 0 }))
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

fn seen(kv: PbKeyValue) -> Seen {
    Seen { key: kv.key, value: Some(kv.value.into()), revision: kv.mod_revision, created: true }
}

impl Wanted {
    fn without_values(&self) -> bool {
        let names = matches!(self.scope, Scope::Children(_));
        self.keys_only || names || self.detail == Detail::Versions
    }

    fn what(&self) -> String {
        format!("read {}", self.scope)
    }
}
