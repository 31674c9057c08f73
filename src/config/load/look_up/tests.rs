//! Look-ups in a database that answers when the test lets it.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::config::accounts::tests::FakeAccounts;
use crate::config::accounts::{DaemonIdentity, UserEntry};

const QUICK: Patience =
    Patience { whole: Duration::from_millis(500), brief: Duration::from_millis(300), pending: 2 };

/// Accounts whose user names beginning with `slow` block while `gate` is locked, and fail while `away` is set.
#[derive(Default)]
pub(in crate::config::load) struct SlowAccounts {
    pub(in crate::config::load) gate: Mutex<()>,
    pub(in crate::config::load) away: Mutex<bool>,
}

impl Accounts for SlowAccounts {
    fn daemon(&self) -> DaemonIdentity {
        FakeAccounts(0).daemon()
    }

    fn user_by_name(&self, name: &str) -> io::Result<Option<UserEntry>> {
        if name.starts_with("slow") {
            drop(self.gate.lock().unwrap());
            if *self.away.lock().unwrap() {
                return Err(io::Error::other("the directory server is away"));
            }
            return FakeAccounts(0).user_by_name("www");
        }
        FakeAccounts(0).user_by_name(name)
    }

    fn user_by_uid(&self, uid: u32) -> io::Result<Option<UserEntry>> {
        FakeAccounts(0).user_by_uid(uid)
    }

    fn group_by_name(&self, name: &str) -> io::Result<Option<u32>> {
        FakeAccounts(0).group_by_name(name)
    }

    fn groups_of(&self, user: &str, gid: u32) -> io::Result<Vec<u32>> {
        FakeAccounts(0).groups_of(user, gid)
    }
}

fn user(look_ups: &mut LookUps, name: &str) -> Result<u32, String> {
    let name = AccountName::Name(name.to_owned());
    look_ups.account(Some(&name), None).map(|account| account.uid).map_err(|problem| problem.message)
}

#[test]
fn a_look_up_that_blocks_is_said_and_its_late_answer_is_taken() {
    let accounts = Arc::new(SlowAccounts::default());
    let mut look_ups = LookUps::new(accounts.clone(), QUICK);
    let closed = accounts.gate.lock().unwrap();
    assert_eq!(
        user(&mut look_ups, "slow"),
        Err("the user slow cannot be looked up: the name service does not answer".to_owned())
    );
    assert_eq!(user(&mut look_ups, "www"), Ok(33), "others are looked up");
    assert!(user(&mut look_ups, "slow-2").is_err());
    assert!(user(&mut look_ups, "slow-3").unwrap_err().contains("earlier look-ups"));
    assert_eq!(look_ups.pending.len(), QUICK.pending);
    assert!(look_ups.has_failed());
    drop(closed);
    let deadline = Instant::now() + Duration::from_mins(1);
    while user(&mut look_ups, "slow") != Ok(33) {
        assert!(Instant::now() < deadline);
        assert!(!look_ups.begin(), "a first answer changes none");
    }
    look_ups.begin();
    assert_eq!((user(&mut look_ups, "slow"), look_ups.has_failed()), (Ok(33), false));
}

#[test]
fn a_failure_for_a_passing_reason_is_not_remembered_and_the_last_answer_stays() {
    let accounts = Arc::new(SlowAccounts::default());
    let mut look_ups = LookUps::new(accounts.clone(), Patience::default());
    *accounts.away.lock().unwrap() = true;
    assert!(user(&mut look_ups, "slow").unwrap_err().contains("away"));
    assert!(look_ups.has_failed());
    look_ups.begin();
    *accounts.away.lock().unwrap() = false;
    assert_eq!((user(&mut look_ups, "slow"), look_ups.has_failed()), (Ok(33), false));
    *accounts.away.lock().unwrap() = true;
    assert!(!look_ups.refresh(), "a failure changes nothing");
    assert!(look_ups.has_failed());
    assert_eq!(user(&mut look_ups, "slow"), Ok(33));
    look_ups.begin();
    assert!(look_ups.has_failed(), "it is tried again at each reading");
    *accounts.away.lock().unwrap() = false;
    look_ups.begin();
    assert!(!look_ups.has_failed());
}

#[test]
fn a_definite_answer_is_remembered_until_the_next_refresh() {
    let mut look_ups = LookUps::new(Arc::new(FakeAccounts(0)), Patience::default());
    assert!(user(&mut look_ups, "nobody-here").unwrap_err().contains("there is no user"));
    assert!(!look_ups.has_failed());
    assert!(!look_ups.refresh());
    assert_eq!(user(&mut look_ups, "www"), Ok(33));
    assert!(look_ups.names_accounts());
}
