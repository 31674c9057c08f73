//! Single requests to etcd: each is answered within the time limit or fails; none is retried.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcd_client::proto::{PbKeyValue, PbRangeResponse, PbResponseOp, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, Error, GetOptions, PutOptions, Txn, TxnOp};

use super::connect::{Connection, Entrance, late};
use super::explain::{Kind, explain, kind};
use super::keys::Scope;
use super::read::Pages;
use crate::log::escape;
use crate::store::access::{Change, Child, Condition, Entry, Listing, Reached};
use crate::store::{StoreError, StoreFiles, StoreSpec, TenureId};
use crate::watch::{Key, Spelling, Version, WatchType};

/// The server's default `--max-txn-ops`; it may be set lower.
const MOST_IN_TRANSACTION: usize = 128;
/// Bytes of values in one transaction; the server's default `--max-request-bytes` is 1.5 MiB.
const HEAVIEST_TRANSACTION: usize = 1 << 20;

/// A connection to one member, for requests.
pub struct Access {
    connection: Connection,
    entrance: Entrance,
    limit: Duration,
}

impl Access {
    /// Connects to the first member that answers, starting at a random one. The limit applies to this and then to each
    /// request.
    pub async fn open(spec: &StoreSpec, limit: Duration) -> Result<Self, StoreError> {
        Self::open_with(spec, limit, &StoreFiles::default()).await
    }

    /// The same with given threads for reading the store's files.
    pub(in crate::store) async fn open_with(
        spec: &StoreSpec,
        limit: Duration,
        files: &StoreFiles,
    ) -> Result<Self, StoreError> {
        let entrance = Entrance::new(spec, files)?;
        let began = Instant::now();
        let first = fastrand::u64(..u64::from(u32::MAX));
        let mut failure = None;
        for turn in 0..entrance.members() {
            let left = limit.saturating_sub(began.elapsed());
            let share = left / u32::try_from(entrance.members() - turn).unwrap_or(u32::MAX).max(1);
            match tokio::time::timeout(share, entrance.enter(first + turn)).await {
                Ok(Ok(connection)) => return Ok(Self { connection, entrance, limit }),
                Ok(Err(error @ StoreError::Unavailable { .. })) => failure = Some(error),
                Ok(Err(error)) => return Err(error),
                Err(_) => failure = Some(late(format!("connect to {}", spec.url), share)),
            }
        }
        let what = format!("connect to {}", spec.url);
        let none = || StoreError::Refused { what, why: "the URL names no server".to_owned() };
        Err(failure.unwrap_or_else(none))
    }

    /// Reads one key; `None` if it does not exist.
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let mut kv = self.connection.kv();
        let etcd_key = self.entrance.space.exact(key);
        let response = self.within(format!("read {key}"), async { kv.get(etcd_key, None).await }).await?;
        Ok(response.0.kvs.into_iter().next().map(entry))
    }

    /// Reads many keys, as many per request as the server answers.
    pub async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        let mut most = MOST_IN_TRANSACTION;
        while found.len() < keys.len() {
            let chunk: Vec<&Key> = keys[found.len()..].iter().take(most).collect();
            let looks: Vec<_> =
                chunk.iter().map(|key| TxnOp::get(self.entrance.space.exact(key), None)).collect();
            let what = format!("read {} keys", chunk.len());
            let mut kv = self.connection.kv();
            let asked = self.within(what, async { kv.txn(Txn::new().and_then(looks)).await });
            match asked.await {
                // More than fits into one response, or than this server's limits allow.
                Err(StoreError::Refused { .. }) if chunk.len() > 1 => most = chunk.len() / 2,
                answer => {
                    let answers = answer?.0.responses.into_iter();
                    found.extend(answers.map(|answer| range(answer)?.kvs.into_iter().next().map(entry)));
                }
            }
        }
        Ok(found)
    }

    /// Writes one key. Returns its new version.
    pub async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        let change = Change::put(key.clone(), value, condition);
        let revision = self.commit(format!("write {key}"), &[change]).await?.revision;
        Ok(Version::Revision(revision))
    }

    /// Deletes one key. Returns whether it existed.
    pub async fn delete(&self, key: &Key, condition: Condition) -> Result<bool, StoreError> {
        let change = Change::Delete { key: key.clone(), condition };
        Ok(self.commit(format!("delete {key}"), &[change]).await?.deleted > 0)
    }

    /// Makes all changes or none. Returns the version of each key that was put.
    pub async fn transact(&self, changes: &[Change]) -> Result<Vec<Version>, StoreError> {
        let what = format!("make {} changes in one transaction", changes.len());
        let revision = self.commit(what, changes).await?.revision;
        let puts = changes.iter().filter(|change| matches!(change, Change::Put { .. })).count();
        Ok(vec![Version::Revision(revision); puts])
    }

    /// Asks for a lease. The server may grant a longer one.
    pub(in crate::store) async fn grant(&self, ttl: Duration) -> Result<(TenureId, Duration), StoreError> {
        let seconds = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
        let mut leases = self.connection.leases();
        let granted = self.within("ask etcd for a lease".to_owned(), leases.grant(seconds, None)).await?;
        let ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or_default());
        Ok((TenureId(granted.id()), ttl))
    }

    /// Renews a lease, within `limit`. Returns whether the server still knows it.
    pub(in crate::store) async fn renew(&self, id: TenureId, limit: Duration) -> Result<bool, StoreError> {
        let what = || format!("renew lease {id} at {}", self.connection.server);
        let mut leases = self.connection.leases();
        match tokio::time::timeout(limit, leases.keep_alive(id.0)).await {
            Err(_) => Err(late(what(), limit)),
            Ok(Ok(_)) => Ok(true),
            // The server does not know the lease, or the request could not be sent: ask the server which.
            Ok(Err(Error::LeaseKeepAliveError(_))) => {
                let left = self.within(what(), leases.time_to_live(id.0, None)).await?;
                if left.ttl() < 0 {
                    return Ok(false);
                }
                Err(StoreError::Unavailable { what: what(), why: "the request was not sent".to_owned() })
            }
            Ok(Err(error)) => Err(explain(what(), &error)),
        }
    }

    /// Revokes a lease, which deletes its keys. An unknown lease has ended already.
    pub(in crate::store) async fn revoke(&self, id: TenureId) -> Result<(), StoreError> {
        let mut leases = self.connection.leases();
        let revoking = async {
            match leases.revoke(id.0).await {
                Err(error) if kind(&error) == Kind::NoLease => Ok(()),
                answer => answer.map(drop),
            }
        };
        self.within(format!("revoke lease {id}"), revoking).await.map_err(StoreError::after_sending)
    }

    /// A key's direct children, sorted by name; `None` if neither it nor anything below it exists.
    pub async fn children(&self, key: &Key) -> Result<Option<Vec<Child>>, StoreError> {
        let scope = self.entrance.space.scope(key, WatchType::Children);
        let mut names: BTreeMap<Arc<str>, (bool, bool)> = BTreeMap::new();
        let mut pages = Pages::new(self.connection.kv(), scope, true, None);
        while !pages.is_done() {
            let (_, page) = self.within(format!("list {key}"), pages.next()).await?;
            for kv in page {
                if let Some(name) = pages.scope.path(&kv.key) {
                    let (slashed, plain) = names.entry(name).or_default();
                    match pages.scope.spelling(&kv.key) {
                        Spelling::Slashed => *slashed = true,
                        Spelling::Plain => *plain = true,
                    }
                }
            }
        }
        if names.is_empty() {
            match self.get(key).await {
                Ok(Some(_)) => {}
                // A role with the prefix `KEY/` may list it, but may not read `KEY` itself.
                Ok(None) | Err(StoreError::Denied { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let names = names.into_iter();
        Ok(Some(
            names.map(|(name, (slashed, plain))| Child { name: name.to_string(), slashed, plain }).collect(),
        ))
    }

    /// Reads a key and everything below it, as it was at one revision. The time limit holds for each page.
    pub async fn tree(&self, key: &Key) -> Result<Listing, StoreError> {
        let scope = self.entrance.space.scope(key, WatchType::Tree);
        let (mut entries, mut plain) = (Vec::new(), Vec::new());
        let (mut revision, mut left_out) = (None, Vec::new());
        let mut take = |scope: &Scope, page: Vec<PbKeyValue>| {
            for kv in page {
                match (scope.path(&kv.key), scope.spelling(&kv.key)) {
                    (Some(path), Spelling::Slashed) => entries.push((path.to_string(), listed(kv))),
                    (Some(path), Spelling::Plain) => plain.push((path.to_string(), listed(kv))),
                    (None, _) if scope.leaves_out(&kv.key) => left_out.push(escape::line(&kv.key)),
                    (None, _) => {}
                }
            }
        };
        let mut pages = Pages::new(self.connection.kv(), scope, false, None);
        let mut come = Vec::new();
        while !pages.is_done() {
            let scope = pages.scope.clone();
            let next = self.within(format!("read {key} and everything below it"), pages.next());
            // Process the current page while the next one is in flight.
            let (next, ()) = tokio::join!(next, async {
                tokio::task::yield_now().await;
                take(&scope, std::mem::take(&mut come));
            });
            let (mark, page) = next?;
            revision = Some(mark.revision);
            come = page;
        }
        take(&pages.scope, come);
        // Already sorted, so this is fast.
        let mut entries: BTreeMap<String, Entry> = entries.into_iter().collect();
        for (path, entry) in plain {
            match entries.entry(path) {
                btree_map::Entry::Vacant(place) => {
                    place.insert(Entry { spelling: Spelling::Plain, ..entry });
                }
                // As in a watch, the key with a leading slash is shown.
                btree_map::Entry::Occupied(place) => left_out.push(escape::line(place.key().as_bytes())),
            }
        }
        Ok(Listing { entries, revision, left_out, unreadable: Vec::new() })
    }

    /// Makes changes in order, as many per transaction as fit, so that either all of those are made or none. `progress` is
    /// called before and after each transaction.
    pub async fn apply(
        &self,
        changes: &[Change],
        progress: &mut (dyn FnMut(Reached) + Send),
    ) -> Result<(), StoreError> {
        if changes.len() > 1 {
            for change in changes {
                self.admit(change).await?;
            }
        }
        let (mut done, mut most) = (0, MOST_IN_TRANSACTION);
        while done < changes.len() {
            let chunk = &changes[done..done + fitting(&changes[done..], most)];
            let what = match chunk {
                [Change::Put { key, .. }] => format!("write {key}"),
                [Change::Delete { key, .. }] => format!("delete {key}"),
                changes => format!("write {} keys", changes.len()),
            };
            progress(Reached::Sent(done + chunk.len()));
            match self.commit(what, chunk).await {
                // Nothing was written. This server may have lower limits than the defaults.
                Err(StoreError::Refused { .. }) if chunk.len() > 1 => {
                    most = chunk.len() / 2;
                    continue;
                }
                answer => answer?,
            };
            done += chunk.len();
            progress(Reached::Made(done));
        }
        Ok(())
    }

    /// Detects a value over the server's limit before anything is written, with a transaction whose condition never holds: the
    /// server refuses it anyway.
    async fn admit(&self, change: &Change) -> Result<(), StoreError> {
        let Change::Put { key, value, .. } = change else { return Ok(()) };
        if value.len() <= HEAVIEST_TRANSACTION {
            return Ok(());
        }
        let etcd_key = self.entrance.space.exact(key);
        let never = Compare::version(etcd_key.clone(), CompareOp::Less, 0);
        let write = TxnOp::put(etcd_key, value.to_vec(), None);
        let mut kv = self.connection.kv();
        let transaction = Txn::new().when([never]).and_then([write]);
        self.within(format!("write {key}"), async { kv.txn(transaction).await }).await.map(drop)
    }

    async fn commit(&self, what: String, changes: &[Change]) -> Result<Committed, StoreError> {
        let mut compares = Vec::new();
        let mut writes = Vec::new();
        let mut looks = Vec::new();
        for change in changes {
            let etcd_key = self.entrance.space.exact(change.key());
            compares.extend(compare(&what, &etcd_key, change.condition())?);
            looks.push(TxnOp::get(etcd_key.clone(), Some(GetOptions::new().with_keys_only())));
            writes.extend(match change {
                Change::Put { value, options, .. } => {
                    let lease = options.tenure.map(|id| PutOptions::new().with_lease(id.0));
                    Some(TxnOp::put(etcd_key, value.to_vec(), lease))
                }
                Change::Delete { .. } => Some(TxnOp::delete(etcd_key, None)),
                Change::Require { .. } => None,
            });
        }
        let transaction = Txn::new().when(compares).and_then(writes).or_else(looks);
        let mut kv = self.connection.kv();
        let asked = self.within(what.clone(), async { kv.txn(transaction).await }).await;
        let response: PbTxnResponse = asked.map_err(StoreError::after_sending)?.0;
        if response.succeeded {
            let deleted = response.responses.iter().map(|answer| match &answer.response {
                Some(PbTxnOpResponse::ResponseDeleteRange(deleted)) => deleted.deleted,
                Some(
                    PbTxnOpResponse::ResponsePut(_)
                    | PbTxnOpResponse::ResponseRange(_)
                    | PbTxnOpResponse::ResponseTxn(_),
                )
                | None => 0,
            });
            let deleted = deleted.sum();
            return Ok(Committed { revision: response.header.map_or(0, |header| header.revision), deleted });
        }
        let found = response.responses.into_iter().map(|answer| found(range(answer)?));
        Err(conflict(what, changes, found))
    }

    /// Applies the time limit to a request, and converts its error.
    async fn within<T>(
        &self,
        what: String,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.limit, request).await {
            Ok(answer) => answer.map_err(|error| explain(what, &error)),
            Err(_) => Err(late(what, self.limit)),
        }
    }
}

/// The result of a transaction.
struct Committed {
    revision: i64,
    deleted: i64,
}

/// An entry of a listing, without metadata.
fn listed(kv: PbKeyValue) -> Entry {
    let version = Version::Revision(kv.mod_revision);
    Entry { value: Some(kv.value.into()), version, spelling: Spelling::Slashed, metadata: Vec::new() }
}

fn entry(kv: PbKeyValue) -> Entry {
    let mut metadata = vec![
        ("create_revision", kv.create_revision.to_string()),
        ("mod_revision", kv.mod_revision.to_string()),
        ("version", kv.version.to_string()),
    ];
    if kv.lease != 0 {
        // As etcdctl writes it.
        metadata.push(("lease", format!("{:x}", kv.lease)));
    }
    Entry { metadata, ..listed(kv) }
}

/// How many of these fit into one transaction, in which etcd refuses two writes to one key.
fn fitting(changes: &[Change], most: usize) -> usize {
    let mut keys = BTreeSet::new();
    let mut bytes = 0;
    let fits = |change: &&Change| {
        let key = change.key();
        bytes += key.as_str().len()
            + match change {
                Change::Put { value, .. } => value.len(),
                Change::Delete { .. } | Change::Require { .. } => 0,
            };
        keys.insert(key.clone()) && (keys.len() == 1 || bytes <= HEAVIEST_TRANSACTION)
    };
    changes.iter().take(most).take_while(fits).count()
}

fn compare(what: &str, key: &[u8], condition: Condition) -> Result<Option<Compare>, StoreError> {
    match condition {
        Condition::Any => Ok(None),
        Condition::Absent => Ok(Some(Compare::create_revision(key, CompareOp::Equal, 0))),
        Condition::Version(Version::Revision(revision)) => {
            Ok(Some(Compare::mod_revision(key, CompareOp::Equal, revision)))
        }
        Condition::Version(version @ Version::Hash(_)) => Err(StoreError::Refused {
            what: what.to_owned(),
            why: format!("etcd's versions are revisions, numbers such as 1042; {version} is not one"),
        }),
    }
}

fn range(answer: PbResponseOp) -> Option<PbRangeResponse> {
    match answer.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => Some(range),
        Some(
            PbTxnOpResponse::ResponsePut(_)
            | PbTxnOpResponse::ResponseDeleteRange(_)
            | PbTxnOpResponse::ResponseTxn(_),
        )
        | None => None,
    }
}

fn found(range: PbRangeResponse) -> Option<i64> {
    range.kvs.into_iter().next().map(|kv| kv.mod_revision)
}

fn conflict(what: String, changes: &[Change], found: impl Iterator<Item = Option<i64>>) -> StoreError {
    let show = |revision: Option<i64>| {
        revision.map_or_else(|| "no such key".to_owned(), |revision| format!("version {revision}"))
    };
    for (change, found) in changes.iter().zip(found) {
        let expected = match change.condition() {
            Condition::Version(Version::Revision(revision)) => Some(revision),
            Condition::Absent => None,
            Condition::Any | Condition::Version(Version::Hash(_)) => continue,
        };
        if expected != found {
            return StoreError::Conflict {
                key: change.key().to_string(),
                expected: show(expected),
                found: show(found),
            };
        }
    }
    StoreError::Unavailable { what, why: "the keys were changed while they were compared".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_bounded_and_writes_each_key_once() {
        let put =
            |key: String, size: usize| Change::put(Key::new(&key).unwrap(), vec![0; size], Condition::Any);
        let many: Vec<Change> = (0..300).map(|n| put(format!("/{n}"), 1)).collect();
        assert_eq!(fitting(&many, 128), 128);
        assert_eq!(fitting(&many, 16), 16);
        let twice: Vec<Change> = ["/a", "/b", "/a"].map(|key| put(key.to_owned(), 1)).into();
        assert_eq!(fitting(&twice, 128), 2);
        let heavy: Vec<Change> = (0..5).map(|n| put(format!("/{n}"), 400 << 10)).collect();
        assert_eq!(fitting(&heavy, 128), 2);
        let alone = [put("/a".to_owned(), 5 << 20), put("/b".to_owned(), 1)];
        assert_eq!(fitting(&alone, 128), 1, "the server says that it is too large");
        assert_eq!(fitting(&[], 128), 0);
    }
}
