//! The model store: linearizable, several keys at once, tenures that end whenever the adversary likes.

use std::collections::{BTreeMap, BTreeSet};

use crate::fleet::{GroupKey, KeyState, Revision, TenureId, Transaction, TransactionOutcome, Value, Write};

/// A key that exists.
#[derive(Clone)]
pub struct Stored {
    pub at: Revision,
    pub value: Value,
    tenure: Option<TenureId>,
}

/// The store of one group.
#[derive(Clone, Default)]
pub struct Store {
    pub revision: i64,
    pub keys: BTreeMap<GroupKey, Stored>,
    tenures: BTreeMap<TenureId, BTreeSet<GroupKey>>,
    opened: i64,
}

/// A key that was written or deleted.
pub struct Change {
    pub key: GroupKey,
    pub entry: KeyState,
}

impl Store {
    pub fn now(&self) -> Revision {
        Revision(self.revision)
    }

    pub fn read(&self, key: &GroupKey) -> KeyState {
        match self.keys.get(key) {
            Some(stored) => KeyState { at: stored.at, value: Some(stored.value.clone()) },
            None => KeyState { at: self.now(), value: None },
        }
    }

    pub fn read_all(&self) -> Vec<(GroupKey, KeyState)> {
        let entry = |stored: &Stored| KeyState { at: stored.at, value: Some(stored.value.clone()) };
        self.keys.iter().map(|(key, stored)| (key.clone(), entry(stored))).collect()
    }

    pub fn open(&mut self) -> TenureId {
        self.opened += 1;
        let tenure = TenureId(self.opened);
        self.tenures.insert(tenure, BTreeSet::new());
        tenure
    }

    pub fn is_open(&self, tenure: TenureId) -> bool {
        self.tenures.contains_key(&tenure)
    }

    /// Goes back to a backup. Returns the tenures that are open again; none gets the number of a lost one.
    pub fn restore(&mut self, backup: Self) -> Vec<TenureId> {
        let opened = self.opened;
        *self = Self { opened, ..backup };
        self.tenures.keys().copied().collect()
    }

    /// Ends a tenure: its keys vanish.
    pub fn end(&mut self, tenure: TenureId) -> Vec<Change> {
        let keys = self.tenures.remove(&tenure).unwrap_or_default();
        self.revision += i64::from(!keys.is_empty());
        let at = self.now();
        keys.into_iter()
            .filter(|key| self.keys.remove(key).is_some())
            .map(|key| Change { key, entry: KeyState { at, value: None } })
            .collect()
    }

    /// All or nothing. Under a tenure that has ended nothing is written.
    pub fn commit(&mut self, transaction: &Transaction) -> (TransactionOutcome, Vec<Change>) {
        let holds = |(key, at): &(GroupKey, Revision)| {
            self.keys.get(key).map_or(Revision::ABSENT, |stored| stored.at) == *at
        };
        let open = |write: &Write| match write {
            Write::Put { tenure: Some(tenure), .. } => self.tenures.contains_key(tenure),
            Write::Put { tenure: None, .. } | Write::Delete { .. } => true,
        };
        if !transaction.require.iter().all(holds) || !transaction.write.iter().all(open) {
            return (TransactionOutcome::Refused, Vec::new());
        }
        self.revision += 1;
        let at = self.now();
        let mut changes = Vec::new();
        for write in &transaction.write {
            let key = write.key().clone();
            if let Some(former) = self.keys.remove(&key)
                && let Some(keys) = former.tenure.and_then(|tenure| self.tenures.get_mut(&tenure))
            {
                keys.remove(&key);
            }
            let value = match write {
                Write::Put { value, tenure, .. } => {
                    if let Some(keys) = tenure.and_then(|tenure| self.tenures.get_mut(&tenure)) {
                        keys.insert(key.clone());
                    }
                    self.keys.insert(key.clone(), Stored { at, value: value.clone(), tenure: *tenure });
                    Some(value.clone())
                }
                Write::Delete { .. } => None,
            };
            changes.push(Change { key, entry: KeyState { at, value } });
        }
        (TransactionOutcome::Applied(at), changes)
    }
}
