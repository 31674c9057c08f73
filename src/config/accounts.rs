//! Resolves the account that an action runs as when its file is read, so that nothing is looked up at run time.
//!
//! The rules are pure over [`Accounts`]; [`SystemAccounts`] asks the machine (passwd, group and other NSS sources).

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User};

use super::raw::AccountName;
use crate::watch::Account;

/// An account of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
    pub shell: PathBuf,
}

/// The user and group that the daemon itself runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaemonIdentity {
    pub uid: u32,
    pub gid: u32,
}

/// The user and group database.
pub trait Accounts: Send + Sync {
    /// The user and group of the asking daemon.
    fn daemon(&self) -> DaemonIdentity;
    /// The account with this name.
    fn user_by_name(&self, name: &str) -> io::Result<Option<UserEntry>>;
    /// The account with this number.
    fn user_by_uid(&self, uid: u32) -> io::Result<Option<UserEntry>>;
    /// The number of the group with this name.
    fn group_by_name(&self, name: &str) -> io::Result<Option<u32>>;
    /// The groups of this user, including `gid`: getgrouplist(3).
    fn groups_of(&self, user: &str, gid: u32) -> io::Result<Vec<u32>>;
}

/// This machine's accounts.
#[derive(Debug, Clone, Copy)]
pub struct SystemAccounts {
    daemon: DaemonIdentity,
}

impl SystemAccounts {
    /// As this process sees them.
    pub fn of_process() -> Self {
        Self { daemon: DaemonIdentity { uid: Uid::effective().as_raw(), gid: Gid::effective().as_raw() } }
    }

    /// As a root daemon sees them: to check files for it without being root.
    pub fn as_root() -> Self {
        Self { daemon: DaemonIdentity { uid: 0, gid: 0 } }
    }
}

impl From<User> for UserEntry {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
            shell: user.shell,
        }
    }
}

impl Accounts for SystemAccounts {
    fn daemon(&self) -> DaemonIdentity {
        self.daemon
    }

    fn user_by_name(&self, name: &str) -> io::Result<Option<UserEntry>> {
        Ok(User::from_name(name)?.map(UserEntry::from))
    }

    fn user_by_uid(&self, uid: u32) -> io::Result<Option<UserEntry>> {
        Ok(User::from_uid(Uid::from_raw(uid))?.map(UserEntry::from))
    }

    fn group_by_name(&self, name: &str) -> io::Result<Option<u32>> {
        Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
    }

    fn groups_of(&self, user: &str, gid: u32) -> io::Result<Vec<u32>> {
        let user = CString::new(user)?;
        let groups = nix::unistd::getgrouplist(&user, Gid::from_raw(gid))?;
        Ok(groups.into_iter().map(Gid::as_raw).collect())
    }
}

/// The accounts of a machine that cannot be asked: every name exists.
#[derive(Debug, Clone, Copy)]
pub struct AnyAccounts;

impl Accounts for AnyAccounts {
    fn daemon(&self) -> DaemonIdentity {
        DaemonIdentity { uid: 0, gid: 0 }
    }

    fn user_by_name(&self, name: &str) -> io::Result<Option<UserEntry>> {
        let (home, shell) = ("/".into(), "/bin/sh".into());
        Ok(Some(UserEntry { name: name.to_owned(), uid: 1, gid: 1, home, shell }))
    }

    fn user_by_uid(&self, uid: u32) -> io::Result<Option<UserEntry>> {
        Ok(self.user_by_name("anybody")?.map(|user| UserEntry { uid, ..user }))
    }

    fn group_by_name(&self, _: &str) -> io::Result<Option<u32>> {
        Ok(Some(1))
    }

    fn groups_of(&self, _: &str, gid: u32) -> io::Result<Vec<u32>> {
        Ok(vec![gid])
    }
}

/// The account of this process: a command of the command line runs as its user.
pub fn of_caller() -> io::Result<Account> {
    resolve(&SystemAccounts::of_process(), None, None).map_err(|problem| io::Error::other(problem.message))
}

/// Which of the two fields a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountField {
    Uid,
    Gid,
}

/// Why the account of an action cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccountProblem {
    pub(super) field: AccountField,
    pub(super) message: String,
    pub(super) help: String,
    /// Whether the same look-up may succeed later without a change of the file.
    pub(super) is_passing: bool,
}

fn problem(field: AccountField, message: impl Into<String>, help: impl Into<String>) -> AccountProblem {
    AccountProblem { field, message: message.into(), help: help.into(), is_passing: false }
}

fn failed(field: AccountField, error: &io::Error) -> AccountProblem {
    AccountProblem {
        field,
        message: format!("the account database cannot be read: {error}"),
        help: "it is tried again every few seconds; try `getent passwd` and `getent group`".to_owned(),
        is_passing: true,
    }
}

/// Resolves `uid` and `gid`.
///
/// * neither: the daemon itself, with its current groups;
/// * `uid`: that user, their primary group, their groups;
/// * both: that user and group, and that user's groups (only `gid` if the number has no account);
/// * `gid`: the daemon's user with that group and the groups of that user's *account*, so that no group that the daemon
///   was started with is kept.
pub(super) fn resolve(
    accounts: &dyn Accounts,
    uid: Option<&AccountName>,
    gid: Option<&AccountName>,
) -> Result<Account, AccountProblem> {
    use AccountField::{Gid, Uid};
    let daemon = accounts.daemon();
    let by_uid = |uid: u32| accounts.user_by_uid(uid).map_err(|error| failed(Uid, &error));

    let (user_id, entry) = match uid {
        None => (daemon.uid, by_uid(daemon.uid)?),
        Some(AccountName::Number(number)) => (*number, by_uid(*number)?),
        Some(AccountName::Name(name)) => {
            let entry = accounts.user_by_name(name).map_err(|error| failed(Uid, &error))?;
            let entry = entry.ok_or_else(|| unknown(Uid, "user", name, "passwd"))?;
            (entry.uid, Some(entry))
        }
    };
    let group_id = match gid {
        Some(AccountName::Number(number)) => *number,
        Some(AccountName::Name(name)) => accounts
            .group_by_name(name)
            .map_err(|error| failed(Gid, &error))?
            .ok_or_else(|| unknown(Gid, "group", name, "group"))?,
        None if uid.is_none() => daemon.gid,
        None => entry.as_ref().map(|entry| entry.gid).ok_or_else(|| {
            problem(
                Uid,
                format!("user {user_id} has no account on this machine, so its group is unknown"),
                "set `gid` too",
            )
        })?,
    };

    let groups = if daemon.uid == 0 {
        let given = uid.is_some() || gid.is_some();
        given.then(|| groups(accounts, entry.as_ref(), group_id)).transpose()?
    } else {
        if user_id != daemon.uid || group_id != daemon.gid {
            let field = if user_id == daemon.uid { Gid } else { Uid };
            return Err(problem(
                field,
                format!(
                    "the daemon runs as user {} and group {}, and only root can run an action as another",
                    daemon.uid, daemon.gid
                ),
                "leave `uid` and `gid` out, or run the daemon as root",
            ));
        }
        None
    };
    let of_entry = |path: fn(&UserEntry) -> &PathBuf, else_: &str| {
        entry
            .as_ref()
            .map(path)
            .filter(|path| path.is_absolute())
            .cloned()
            .unwrap_or_else(|| PathBuf::from(else_))
    };
    Ok(Account {
        uid: user_id,
        gid: group_id,
        groups,
        user: entry.as_ref().map_or_else(|| user_id.to_string(), |entry| entry.name.clone()),
        home: of_entry(|entry| &entry.home, "/"),
        shell: of_entry(|entry| &entry.shell, "/bin/sh"),
    })
}

fn groups(accounts: &dyn Accounts, entry: Option<&UserEntry>, gid: u32) -> Result<Vec<u32>, AccountProblem> {
    let Some(entry) = entry else { return Ok(vec![gid]) };
    let mut groups =
        accounts.groups_of(&entry.name, gid).map_err(|error| failed(AccountField::Uid, &error))?;
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

fn unknown(field: AccountField, what: &str, name: &str, data_base: &str) -> AccountProblem {
    let shown = super::problem::word(name);
    let help = if name.bytes().all(|byte| byte.is_ascii_digit()) {
        "write a number without quotes".to_owned()
    } else {
        format!("`getent {data_base}` lists them; after adding it, run `twitcher reload`")
    };
    problem(field, format!("there is no {what} `{shown}` on this machine"), help)
}

#[cfg(test)]
pub(super) mod tests;
