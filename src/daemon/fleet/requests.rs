//! The requests of a membership to its store. Each is a future that resolves to a [`StoreAnswer`].

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::{read, wire};
use crate::fleet::member::Own;
use crate::fleet::record::Summary;
use crate::fleet::{
    GroupKey, GroupKeys, HostName, KeyState, Revision, TenureId, Transaction, TransactionOutcome, Value,
    Write,
};
use crate::store::{NodeAcl, Store, Tenure};

/// First and longest wait between attempts.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Longest time to wait for the watched key to be read.
const TARGET_WITHIN: Duration = Duration::from_secs(10);

/// A request in flight.
pub(super) type StoreRequest = BoxFuture<'static, StoreAnswer>;

/// The answer to a request.
pub(super) enum StoreAnswer {
    Tenure(Tenure),
    Revoked,
    Own(Box<OwnRead>),
    Away(StoreRequest),
    Member(u64, TransactionOutcome),
    Conductor(u64, TransactionOutcome),
    All(Option<All>),
    Summary(Option<Arc<Summary>>),
    /// The request has failed, and another one follows by itself.
    Nothing,
}

/// Our keys, read.
pub(super) struct OwnRead {
    pub(super) own: Own,
    /// The revisions of record and permit that were known when the read began.
    pub(super) known: (Revision, Revision),
}

impl OwnRead {
    /// Whether the store was restored from a backup: a key is older than it was, or our record is gone.
    /// `disturbed`: the tenure was lost or the store reconnected; only then a record that is gone proves it.
    pub(super) fn is_restored(&self, disturbed: bool) -> bool {
        let (record, permit) = self.known;
        let vanished = disturbed && self.own.record.value.is_none() && record > Revision::ABSENT;
        vanished || self.own.record.at < record || self.own.permit.at < permit
    }
}

/// The whole group, read.
pub(super) struct All {
    /// The revision of `rollout` that was known when the read began.
    pub(super) fence: Revision,
    pub(super) entries: Vec<(GroupKey, KeyState)>,
    pub(super) at: Revision,
    /// The watched key was read.
    pub(super) proved: bool,
}

impl All {
    /// The same, judged by `rollout`.
    pub(super) fn is_restored(&self, disturbed: bool) -> bool {
        let rollout = self.entries.iter().find(|(key, _)| *key == GroupKey::Rollout);
        match rollout {
            Some((_, entry)) => entry.at < self.fence,
            None => self.at < self.fence || disturbed && self.fence > Revision::ABSENT,
        }
    }
}

/// Opens a tenure, however long that takes.
pub(super) fn open(store: Store, ttl: Duration) -> StoreRequest {
    Box::pin(async move {
        let mut wait = RETRY.0;
        loop {
            match store.tenure(ttl).await {
                Ok(tenure) => return StoreAnswer::Tenure(tenure),
                Err(error) => {
                    tracing::debug!(store = %store.spec().name, "no tenure: {error}");
                    tokio::time::sleep(wait).await;
                }
            }
            wait = (wait * 2).min(RETRY.1);
        }
    })
}

/// Reads this host's keys; reports [`StoreAnswer::Away`] and retries while the store is unreachable.
pub(super) fn read_own(
    store: Store,
    keys: GroupKeys,
    host: HostName,
    known: (Revision, Revision),
) -> StoreRequest {
    read_own_after(store, keys, host, known, RETRY.0)
}

fn read_own_after(
    store: Store,
    keys: GroupKeys,
    host: HostName,
    known: (Revision, Revision),
    wait: Duration,
) -> StoreRequest {
    Box::pin(async move {
        match read::own(&store, &keys, &host).await {
            Ok(own) => StoreAnswer::Own(Box::new(OwnRead { own, known })),
            Err(error) => {
                tracing::debug!(store = %store.spec().name, "the host's own record is not read: {error}");
                tokio::time::sleep(wait).await;
                StoreAnswer::Away(read_own_after(store, keys, host, known, (wait * 2).min(RETRY.1)))
            }
        }
    })
}

/// Reads this host's keys once, to verify them.
pub(super) fn verify_own(
    store: Store,
    keys: GroupKeys,
    host: HostName,
    known: (Revision, Revision),
) -> StoreRequest {
    Box::pin(async move {
        let own = read::own(&store, &keys, &host).await;
        own.map_or(StoreAnswer::Nothing, |own| StoreAnswer::Own(Box::new(OwnRead { own, known })))
    })
}

/// Deletes `alive/HOST` of a former tenure of this host. Its lease or session lives on without a key.
pub(super) fn take_name(
    store: Store,
    keys: GroupKeys,
    host: HostName,
    tenure: TenureId,
    acl: NodeAcl,
) -> StoreRequest {
    Box::pin(async move {
        if let Ok(entry) = read::alive(&store, &keys, host.clone()).await
            && let Some(Value::Alive(alive)) = &entry.value
            && alive.tenure == tenure
        {
            let key = GroupKey::Alive(host);
            let require = vec![(key.clone(), entry.revision())];
            let transaction = Transaction { require, write: vec![Write::Delete { key }] };
            wire::commit(&store, &keys, &transaction, acl).await;
        }
        StoreAnswer::Revoked
    })
}

/// Reads the whole group, after the watched key was read (`proof`) or the time for that is over.
pub(super) fn read_all(
    store: Store,
    keys: GroupKeys,
    fence: Revision,
    proof: impl Future<Output = impl Send> + Send + 'static,
) -> StoreRequest {
    Box::pin(async move {
        let proved = tokio::time::timeout(TARGET_WITHIN, proof).await.is_ok();
        if let Ok((entries, at)) = read::all(&store, &keys).await {
            return StoreAnswer::All(Some(All { fence, entries, at, proved }));
        }
        tokio::time::sleep(RETRY.0 + RETRY.0.mul_f64(fastrand::f64())).await;
        StoreAnswer::All(None)
    })
}

/// Reads `summary`, with retries until the store answers.
pub(super) fn read_summary(store: Store, keys: GroupKeys) -> StoreRequest {
    Box::pin(async move {
        let mut wait = RETRY.0;
        let summary = loop {
            match read::summary(&store, &keys).await {
                Ok(summary) => break summary,
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait = (wait * 2).min(RETRY.1);
        };
        StoreAnswer::Summary(match summary {
            Some(Value::Summary(summary)) => Some(summary),
            Some(_) | None => None,
        })
    })
}
