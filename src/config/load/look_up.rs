//! Account look-ups on threads of their own: a name service that does not answer delays only the files that name its
//! accounts.
//!
//! Definite answers are remembered until the next refresh. A temporary failure is not: the last definite answer stays in
//! effect, and the account is looked up again at the next reading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::accounts::{self, AccountField, AccountProblem, Accounts};
use crate::config::raw::AccountName;
use crate::watch::Account;

/// `uid` and `gid` as written.
type Key = (Option<AccountName>, Option<AccountName>);
type Resolved = Result<Account, AccountProblem>;

/// Time limits of look-ups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// All unanswered look-ups of one reading together.
    pub(super) whole: Duration,
    /// Each look-up once `whole` is used up.
    pub(super) brief: Duration,
    /// Unanswered look-ups, and so blocked threads, at a time.
    pub(super) pending: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { whole: Duration::from_secs(5), brief: Duration::from_millis(500), pending: 4 }
    }
}

/// Looks up accounts, and remembers the answers.
pub(super) struct LookUps {
    accounts: Arc<dyn Accounts>,
    patience: Patience,
    /// The rest of `patience.whole` in this reading.
    left: Duration,
    remembered: BTreeMap<Key, Resolved>,
    /// Look-ups without an answer yet; each blocks a thread.
    pending: BTreeMap<Key, Receiver<Resolved>>,
    /// Accounts whose last look-up failed temporarily.
    failed: BTreeSet<Key>,
}

impl LookUps {
    pub(super) fn new(accounts: Arc<dyn Accounts>, patience: Patience) -> Self {
        Self {
            accounts,
            patience,
            left: patience.whole,
            remembered: BTreeMap::new(),
            pending: BTreeMap::new(),
            failed: BTreeSet::new(),
        }
    }

    /// Looks up the same accounts, and remembers nothing yet.
    pub(super) fn anew(&self) -> Self {
        Self::new(Arc::clone(&self.accounts), self.patience)
    }

    /// Whether a file named a user or a group.
    pub(super) fn names_accounts(&self) -> bool {
        let named = |(uid, gid): &Key| uid.is_some() || gid.is_some();
        self.remembered.keys().chain(self.pending.keys()).any(named)
    }

    /// Whether a look-up must be tried again.
    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Begins a reading: takes late answers, and retries failed look-ups that have an earlier answer in effect. Returns whether
    /// a remembered answer changed.
    pub(super) fn begin(&mut self) -> bool {
        self.left = self.patience.whole;
        let mut late = Vec::new();
        self.pending.retain(|key, answer| match answer.try_recv() {
            Ok(answer) => {
                late.push((key.clone(), answer));
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Disconnected) => false,
        });
        let mut again = std::mem::take(&mut self.failed);
        again.retain(|key| self.remembered.contains_key(key) && !late.iter().any(|(late, _)| late == key));
        let changed =
            late.into_iter().fold(false, |changed, (key, answer)| self.remember(key, &answer) || changed);
        self.ask_again(again) || changed
    }

    /// Looks up every remembered account again. Returns whether an answer changed.
    pub(super) fn refresh(&mut self) -> bool {
        self.ask_again(self.remembered.keys().cloned().collect())
    }

    fn ask_again(&mut self, keys: BTreeSet<Key>) -> bool {
        keys.into_iter().fold(false, |changed, key| {
            let answer = self.ask(&key);
            self.remember(key, &answer) || changed
        })
    }

    /// The account that these fields name.
    pub(super) fn account(&mut self, uid: Option<&AccountName>, gid: Option<&AccountName>) -> Resolved {
        let key = (uid.cloned(), gid.cloned());
        if let Some(answer) = self.remembered.get(&key) {
            return answer.clone();
        }
        let answer = self.ask(&key);
        self.remember(key, &answer);
        answer
    }

    /// Remembers a definite answer. Returns whether it differs from the remembered one.
    fn remember(&mut self, key: Key, answer: &Resolved) -> bool {
        if answer.as_ref().is_err_and(|problem| problem.is_passing) {
            self.failed.insert(key);
            return false;
        }
        self.failed.remove(&key);
        let before = self.remembered.insert(key, answer.clone());
        before.is_some_and(|before| before != *answer)
    }

    /// Looks up an account, or waits for the look-up in progress.
    fn ask(&mut self, key: &Key) -> Resolved {
        if !self.pending.contains_key(key) {
            if self.pending.len() >= self.patience.pending {
                return Err(unanswered(key, "the name service has not answered earlier look-ups yet"));
            }
            let (answers, answer) = sync_channel(1);
            let (accounts, wanted) = (Arc::clone(&self.accounts), key.clone());
            let look_up = move || {
                let (uid, gid) = &wanted;
                // Fails only if the loader is gone.
                let _ = answers.send(accounts::resolve(&*accounts, uid.as_ref(), gid.as_ref()));
            };
            if let Err(error) = thread::Builder::new().name("look-up".to_owned()).spawn(look_up) {
                return Err(unanswered(key, &format!("no thread can be started: {error}")));
            }
            self.pending.insert(key.clone(), answer);
        }
        let Some(answer) = self.pending.get(key) else {
            return Err(unanswered(key, "the look-up is gone"));
        };
        let began = Instant::now();
        let answer = answer.recv_timeout(self.left.max(self.patience.brief));
        self.left = self.left.saturating_sub(began.elapsed());
        match answer {
            Ok(answer) => {
                self.pending.remove(key);
                answer
            }
            Err(RecvTimeoutError::Timeout) => Err(unanswered(key, "the name service does not answer")),
            Err(RecvTimeoutError::Disconnected) => {
                self.pending.remove(key);
                Err(unanswered(key, "the look-up failed through a bug in twitcher"))
            }
        }
    }
}

fn unanswered((uid, gid): &Key, why: &str) -> AccountProblem {
    let (field, name, data_base) = match (uid, gid) {
        (Some(uid), _) => (AccountField::Uid, Some(uid), "passwd"),
        (None, Some(gid)) => (AccountField::Gid, Some(gid), "group"),
        (None, None) => (AccountField::Uid, None, "passwd"),
    };
    let what = if field == AccountField::Uid { "user" } else { "group" };
    let name = match name {
        Some(AccountName::Name(name)) => crate::config::problem::word(name),
        Some(AccountName::Number(number)) => number.to_string(),
        None => "of the daemon".to_owned(),
    };
    AccountProblem {
        field,
        message: format!("the {what} {name} cannot be looked up: {why}"),
        help: format!("it is looked up again every few seconds; try `getent {data_base} {name}`"),
        is_passing: true,
    }
}

#[cfg(test)]
mod tests;
