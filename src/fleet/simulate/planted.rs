//! Planted faults: what the simulation must find. Each changes what passes between a machine and the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::store::Store;
use crate::fleet::record::{HostRecord, HostState, Instance, Permit};
use crate::fleet::terms::{MaxParallel, Terms};
use crate::fleet::{GroupKey, HostName, KeyState, PermitId, Revision, Transaction, Value, Write};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// A conductor's transactions do not require its fence.
    NoFence,
    /// A claim requires nothing.
    NoClaim,
    /// A start does not look at the age of its claim.
    NoFresh,
    /// A silent holder's permit is free at once.
    NoReclaimWait,
    /// A reclaim does not compare the holder's record.
    NoRecordCompare,
    /// A newer version starts under an older one's permit.
    PermitKept,
    /// The least careful host counts.
    MaxMeet,
    /// One permit too many.
    OffByOne,
    /// A daemon that starts again does not know what failed before.
    LostCount,
    /// A conductor that finds the seat vacant grants at once, and no daemon remembers its record.
    NoMemory,
}

impl Planted {
    /// What a conductor gets to see of a key.
    pub fn seen(planted: Option<Self>, terms: &[Terms], mut entry: KeyState) -> KeyState {
        let Some(Value::Host(record)) = &entry.value else { return entry };
        let changed = match planted {
            Some(Self::NoReclaimWait) => HostRecord { limit: Duration::ZERO, ..(**record).clone() },
            Some(Self::MaxMeet) => {
                let most = terms.iter().map(|terms| terms.max_parallel).max();
                let most = most.unwrap_or(MaxParallel::Unlimited);
                let terms = Terms { max_parallel: most, ..(*record.terms).clone() };
                HostRecord { terms: Arc::new(terms), ..(**record).clone() }
            }
            Some(
                Self::NoFence
                | Self::NoClaim
                | Self::NoFresh
                | Self::NoRecordCompare
                | Self::PermitKept
                | Self::OffByOne
                | Self::LostCount
                | Self::NoMemory,
            )
            | None => return entry,
        };
        entry.value = Some(Value::Host(Arc::new(changed)));
        entry
    }

    /// What a member gets to see of its own record. `inst`: its start.
    pub fn own(planted: Option<Self>, inst: &Instance, mut entry: KeyState) -> KeyState {
        if let (Some(Self::LostCount), Some(Value::Host(record))) = (planted, &entry.value)
            && record.inst != *inst
        {
            entry.value = Some(Value::Host(Arc::new(HostRecord { failures: 0, ..(**record).clone() })));
        }
        entry
    }

    /// The permit that a member's transaction claims.
    pub fn claims(transaction: &Transaction, host: &HostName) -> Option<PermitId> {
        let claims = transaction.require.iter().any(|(key, _)| *key == GroupKey::Permit(host.clone()));
        let permit = transaction.write.iter().find_map(|write| match write {
            Write::Put { value: Value::Host(record), .. } if record.state == HostState::Running => {
                record.permit
            }
            Write::Put { .. } | Write::Delete { .. } => None,
        });
        permit.filter(|_| claims)
    }

    pub fn member(planted: Option<Self>, transaction: &Transaction, claims: bool) -> Transaction {
        let mut transaction = transaction.clone();
        if planted == Some(Self::NoClaim) && claims {
            transaction.require.clear();
        }
        transaction
    }

    pub fn conductor(planted: Option<Self>, transaction: &Transaction, store: &Store) -> Transaction {
        let mut transaction = transaction.clone();
        let takes_over = transaction.require.len() == 1;
        match planted {
            Some(Self::NoFence) if !takes_over => {
                transaction.require.retain(|(key, _)| *key != GroupKey::Rollout);
            }
            Some(Self::NoRecordCompare) => {
                transaction.require.retain(|(key, _)| !matches!(key, GroupKey::Host(_)));
            }
            Some(Self::OffByOne) => one_more(&mut transaction, store),
            Some(
                Self::NoFence
                | Self::NoClaim
                | Self::NoFresh
                | Self::NoReclaimWait
                | Self::PermitKept
                | Self::MaxMeet
                | Self::LostCount
                | Self::NoMemory,
            )
            | None => {}
        }
        transaction
    }
}

/// Where a transaction grants the last permit, it grants one more.
fn one_more(transaction: &mut Transaction, store: &Store) {
    let grant = transaction.write.iter().find_map(|write| match write {
        Write::Put { value: Value::Permit(permit), .. } => Some(Arc::clone(permit)),
        Write::Put { .. } | Write::Delete { .. } => None,
    });
    let Some(grant) = grant else { return };
    let written: BTreeSet<GroupKey> = transaction.write.iter().map(|write| write.key().clone()).collect();
    let asks = |key: &GroupKey| match (key, store.keys.get(key).map(|stored| &stored.value)) {
        (GroupKey::Host(host), Some(Value::Host(record))) => {
            let permit = GroupKey::Permit(host.clone());
            let free = !store.keys.contains_key(&permit) && !written.contains(&permit);
            (free && record.asks() && record.seen == Some(grant.state)).then_some(permit)
        }
        _ => None,
    };
    let Some(key) = store.keys.keys().find_map(asks) else { return };
    let id = PermitId { epoch: grant.id.epoch, number: grant.id.number + 1_000_000 };
    transaction.require.push((key.clone(), Revision::ABSENT));
    transaction.write.push(Write::put(key, Value::Permit(Arc::new(Permit { id, ..(*grant).clone() }))));
}
