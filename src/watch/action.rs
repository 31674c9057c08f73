//! What is run, as whom and where: resolved when the watch file is read, so that nothing is looked up at run time.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::words::choice;

/// What to execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `/bin/sh -c STRING`.
    Shell(String),
    /// A program and its arguments, executed as they are. Never empty.
    Program(Vec<OsString>),
    /// The text of a program that begins with `#!`, run from a private file.
    Script(String),
}

impl fmt::Display for Action {
    /// As a person would type it; for a script, its text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(text) | Self::Script(text) => f.write_str(text),
            Self::Program(arguments) => {
                for (at, argument) in arguments.iter().enumerate() {
                    let gap = if at == 0 { "" } else { " " };
                    write!(f, "{gap}{}", argument.display())?;
                }
                Ok(())
            }
        }
    }
}

/// The account that an action runs as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, sorted. `None` keeps the daemon's: the action runs as the daemon's own account.
    pub groups: Option<Vec<u32>>,
    /// `USER` and `LOGNAME`: the account's name, or its number if it has none.
    pub user: String,
    /// `HOME`, `/` if the account has none.
    pub home: PathBuf,
    /// `SHELL`, `/bin/sh` if the account has none.
    pub shell: PathBuf,
}

choice! {
    /// A resource limit by its setrlimit(2) name in lower case without `RLIMIT_`.
    pub enum Limit {
        As = "as": "address space in bytes",
        Core = "core": "size of a core file in bytes",
        Cpu = "cpu": "CPU time in seconds",
        Data = "data": "data segment in bytes",
        Fsize = "fsize": "size of a file in bytes",
        Memlock = "memlock": "memory locked in RAM, in bytes",
        Msgqueue = "msgqueue": "POSIX message queues in bytes",
        Nice = "nice": "ceiling of the nice value, as 20 minus it",
        Nofile = "nofile": "open files, and one more",
        Nproc = "nproc": "processes of the user",
        Rss = "rss": "resident memory in bytes",
        Rtprio = "rtprio": "real-time priority",
        Rttime = "rttime": "CPU time without a blocking call under real-time scheduling, in microseconds",
        Sigpending = "sigpending": "queued signals",
        Stack = "stack": "stack in bytes",
    }
}

/// The process attributes of an action.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Surroundings {
    /// The account.
    pub account: Account,
    /// Working directory, entered as that account.
    pub cwd: PathBuf,
    /// File mode creation mask, 0 to 0o777.
    pub umask: u32,
    /// Whether the action inherits twitcher's own environment below the documented variables, as commands run from a command
    /// line do. Then a `TWITCHER_STORE` in `env` stays.
    pub inherit_env: bool,
    /// Variables on top of the documented ones.
    pub env: BTreeMap<String, String>,
    /// Niceness -20 to 19; `None` keeps the daemon's.
    pub nice: Option<i32>,
    /// Soft and hard limits; `None` is unlimited.
    pub limits: BTreeMap<Limit, Option<u64>>,
}

impl Surroundings {
    /// Working directory of a watch without `cwd`.
    pub const CWD: &'static str = "/";
    /// File mode creation mask of a watch without `umask`.
    pub const UMASK: u32 = 0o022;
}
