//! Every combination of `uid` and `gid`, on a fake account database.

use std::collections::BTreeMap;

use super::*;

/// A machine with `root`, `www` (uid 33, groups 33 and 44) and the groups `adm` and `nobody`.
pub(in crate::config) struct FakeAccounts(pub(in crate::config) u32);

impl Accounts for FakeAccounts {
    fn daemon(&self) -> DaemonIdentity {
        DaemonIdentity { uid: self.0, gid: self.0 }
    }

    fn user_by_name(&self, name: &str) -> io::Result<Option<UserEntry>> {
        let uid = match name {
            "root" => 0,
            "www" | "www-data" => 33,
            "broken" => return Err(io::Error::other("NSS is away")),
            _ => return Ok(None),
        };
        self.user_by_uid(uid)
    }

    fn user_by_uid(&self, uid: u32) -> io::Result<Option<UserEntry>> {
        let known = BTreeMap::from([(0, ("root", "/root", "/bin/bash")), (33, ("www", "/var/www", ""))]);
        Ok(known.get(&uid).map(|(name, home, shell)| UserEntry {
            name: (*name).to_owned(),
            uid,
            gid: uid,
            home: home.into(),
            shell: shell.into(),
        }))
    }

    fn group_by_name(&self, name: &str) -> io::Result<Option<u32>> {
        Ok(BTreeMap::from([("root", 0), ("www", 33), ("adm", 4)]).get(name).copied())
    }

    fn groups_of(&self, user: &str, gid: u32) -> io::Result<Vec<u32>> {
        Ok(if user == "www" { vec![gid, 44, 33, 44] } else { vec![gid] })
    }
}

fn name(name: &str) -> AccountName {
    AccountName::Name(name.to_owned())
}

fn number(number: u32) -> AccountName {
    AccountName::Number(number)
}

/// uid, gid, groups, user, home, shell.
fn who(daemon: u32, uid: Option<&AccountName>, gid: Option<&AccountName>) -> String {
    match resolve(&FakeAccounts(daemon), uid, gid) {
        Ok(Account { uid, gid, groups, user, home, shell }) => {
            format!("{uid}:{gid} {groups:?} {user} {} {}", home.display(), shell.display())
        }
        Err(AccountProblem { field, message, help, is_passing: _ }) => {
            format!("{field:?}: {message}; {help}")
        }
    }
}

#[test]
fn a_root_daemon_runs_an_action_as_any_user() {
    assert_eq!(who(0, None, None), "0:0 None root /root /bin/bash");
    assert_eq!(who(0, Some(&name("www")), None), "33:33 Some([33, 44]) www /var/www /bin/sh");
    assert_eq!(who(0, Some(&number(33)), None), "33:33 Some([33, 44]) www /var/www /bin/sh");
    assert_eq!(who(0, Some(&name("www")), Some(&name("adm"))), "33:4 Some([4, 33, 44]) www /var/www /bin/sh");
    assert_eq!(who(0, Some(&number(33)), Some(&number(7))), "33:7 Some([7, 33, 44]) www /var/www /bin/sh");
    assert_eq!(who(0, Some(&name("root")), None), "0:0 Some([0]) root /root /bin/bash");
    assert_eq!(who(0, Some(&number(0)), Some(&number(0))), "0:0 Some([0]) root /root /bin/bash");
}

#[test]
fn a_group_alone_keeps_the_user_and_not_the_groups_that_the_daemon_was_started_with() {
    assert_eq!(who(0, None, Some(&name("adm"))), "0:4 Some([4]) root /root /bin/bash");
}

#[test]
fn a_number_without_account_needs_a_group_beside_it() {
    assert_eq!(
        who(0, Some(&number(7)), None),
        "Uid: user 7 has no account on this machine, so its group is unknown; set `gid` too"
    );
    assert_eq!(who(0, Some(&number(7)), Some(&number(8))), "7:8 Some([8]) 7 / /bin/sh");
}

#[test]
fn an_unknown_name_is_a_problem_when_the_file_is_read() {
    assert!(
        who(0, Some(&name("wwww")), None)
            .starts_with("Uid: there is no user `wwww` on this machine; `getent passwd`")
    );
    assert!(
        who(0, None, Some(&name("admin")))
            .starts_with("Gid: there is no group `admin` on this machine; `getent group`")
    );
    assert!(who(0, Some(&name("33")), None).ends_with("write a number without quotes"));
    assert!(who(0, Some(&name("broken")), None).contains("NSS is away"));
}

#[test]
fn a_daemon_that_is_not_root_runs_actions_only_as_itself() {
    let itself = "33:33 None www /var/www /bin/sh";
    assert_eq!(who(33, None, None), itself);
    assert_eq!(who(33, Some(&name("www")), None), itself);
    assert_eq!(who(33, None, Some(&number(33))), itself);
    assert_eq!(who(12, None, None), "12:12 None 12 / /bin/sh");
    assert!(
        who(33, Some(&name("root")), None)
            .starts_with("Uid: the daemon runs as user 33 and group 33, and only root")
    );
    assert!(who(33, None, Some(&name("adm"))).starts_with("Gid: the daemon runs as user 33"));
}

#[test]
fn this_machine_knows_root() {
    let accounts = SystemAccounts::as_root();
    let root = accounts.user_by_name("root").unwrap().unwrap();
    assert_eq!((root.uid, accounts.user_by_uid(0).unwrap().unwrap()), (0, root.clone()));
    assert_eq!(accounts.group_by_name("root").unwrap(), Some(0));
    assert!(accounts.groups_of("root", 77).unwrap().contains(&77));
    assert_eq!(accounts.user_by_name("no-such-user-here").unwrap(), None);
    assert_eq!(accounts.user_by_uid(4_000_000_000).unwrap(), None);
}
