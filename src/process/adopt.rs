//! Runs that an earlier daemon started and that outlived it: finds them, checks their identity, and waits for them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use tokio::net::unix::pipe::{self, OpenOptions};

use super::output::{Pipes, Stream};
use super::procfs::{self, Stat};
use super::run::{Leader, Run, Running};
use super::{Leftovers, OutputSink, Spawner, spawn};
use crate::watch::{ProcessIdentity, RunId, WatchName};

/// A live action that is known only from `/proc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRun {
    /// `TWITCHER_RUN`.
    pub run: RunId,
    /// `TWITCHER_WATCH`.
    pub watch: WatchName,
    /// `TWITCHER_STORE`.
    pub store: String,
    /// `TWITCHER_KEY`.
    pub key: String,
    /// `TWITCHER_VERSION`.
    pub version: String,
    /// The leader of its process group.
    pub identity: ProcessIdentity,
    /// It has the mark that only leaders of runs have. An unmarked process may be a leader that could not be marked, or a
    /// service that an action left running in a session of its own.
    pub marked: bool,
    /// The account that it runs as. Anyone can set the variables: they count only if this is the watch's own account.
    pub uid: u32,
}

impl Spawner {
    /// Adopts a run that an earlier daemon started, if exactly that process still lives. Its outcome will be unknown,
    /// because only a parent learns it; commands work as usual, and so does its output.
    pub fn adopt(&self, identity: &ProcessIdentity, sink: OutputSink) -> Option<Running> {
        if identity.boot_id.is_empty() || identity.boot_id != self.boot_id {
            return None;
        }
        // Open the descriptor before comparing, so that the process cannot change in between.
        let pidfd = spawn::open_process(identity.pid).ok()?;
        let stat = procfs::stat(identity.pid)
            .filter(|stat| stat.alive && stat.start_ticks == identity.start_ticks)?;
        let leader = Leader::adopted(identity.clone(), pidfd);
        // If it is a child of this very process, the task that started it already reads its output.
        let foreign = u32::try_from(stat.parent) != Ok(std::process::id());
        let output = foreign.then(|| output_pipes(identity)).filter(|pipes| !pipes.are_closed());
        Some(
            Run::new(leader, self.groups.clone(), None, output, sink)
                .start(procfs::began(identity.start_ticks), || ()),
        )
    }

    /// Live actions whose run id begins with `prefix`: these include runs that started just before a crash, unrecorded.
    ///
    /// Only session leaders, and of each run the one that started first. Reads `/proc/*/environ`, which shows other users'
    /// processes only to `CAP_SYS_PTRACE`, and may block on a process that hangs: do not call it from a task that others
    /// wait for.
    pub fn find_runs(&self, prefix: &str) -> Vec<FoundRun> {
        let mut found: BTreeMap<RunId, FoundRun> = BTreeMap::new();
        for stat in procfs::every_stat().filter(|stat| stat.alive && stat.session == stat.pid) {
            let Some(run) = self.read_run(stat, prefix) else { continue };
            match found.entry(run.run.clone()) {
                Entry::Vacant(place) => {
                    place.insert(run);
                }
                Entry::Occupied(mut other) => {
                    if run.identity.start_ticks < other.get().identity.start_ticks {
                        other.insert(run);
                    }
                }
            }
        }
        found.into_values().collect()
    }

    /// Keeps reading the output of processes that ended runs of an earlier daemon left running, so that no service that an
    /// action started blocks on a full pipe. Pipes with the inodes `read` already have a reader. Returns how many pipes
    /// it reads.
    ///
    /// Reads `/proc` like [`Spawner::find_runs`], and needs a tokio runtime.
    pub fn drain_leftovers(&self, prefix: &str, read: &BTreeSet<u64>) -> usize {
        let mut read = read.clone();
        let mut leftovers: BTreeMap<WatchName, Leftovers> = BTreeMap::new();
        let mut count = 0;
        for stat in procfs::every_stat().filter(|stat| stat.alive) {
            let Some(run) = self.read_run(stat, prefix) else { continue };
            for stream in Stream::BOTH {
                let Some((inode, pipe)) = held_pipe(stat.pid, stream.number(), &read) else { continue };
                read.insert(inode);
                let leftovers = leftovers.entry(run.watch.clone()).or_default();
                OutputSink::to_log(leftovers, &run.watch, &run.run).linger(Pipes::only(stream, pipe));
                count += 1;
            }
        }
        count
    }

    fn read_run(&self, stat: Stat, prefix: &str) -> Option<FoundRun> {
        // PID 1 is never an action: in a container its environment may contain any variable.
        if stat.pid == 1 {
            return None;
        }
        let uid = procfs::uid(stat.pid)?;
        let environ = std::fs::read(format!("/proc/{}/environ", stat.pid)).ok()?;
        FoundRun::described(&environ, prefix, self.identity(stat), spawn::is_marked_leader(stat.pid), uid)
    }

    pub(super) fn identity(&self, stat: Stat) -> ProcessIdentity {
        ProcessIdentity {
            pid: stat.pid,
            start_ticks: stat.start_ticks,
            boot_id: self.boot_id.clone(),
            output_pipe: None,
            errors_pipe: None,
        }
    }
}

impl FoundRun {
    /// The run that these variables describe, if its id begins with `prefix`.
    pub(super) fn described(
        variables: &[u8],
        prefix: &str,
        identity: ProcessIdentity,
        marked: bool,
        uid: u32,
    ) -> Option<Self> {
        let variable = |name| variable(variables, name);
        let run = variable("TWITCHER_RUN").filter(|run| run.starts_with(prefix))?;
        Some(Self {
            run: RunId(run.into()),
            watch: WatchName::new(variable("TWITCHER_WATCH")?).ok()?,
            store: variable("TWITCHER_STORE")?.to_owned(),
            key: variable("TWITCHER_KEY")?.to_owned(),
            version: variable("TWITCHER_VERSION")?.to_owned(),
            identity,
            marked,
            uid,
        })
    }
}

/// The value of a variable in a list of `NAME=value`, each of which ends with a NUL.
pub(super) fn variable<'a>(variables: &'a [u8], name: &str) -> Option<&'a str> {
    let assigned = variables
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(assigned).ok()
}

/// Our ends of the pipes that a process writes its output into, opened anew. A run of an earlier version has one for
/// both streams.
fn output_pipes(identity: &ProcessIdentity) -> Pipes {
    let again = |inode: Option<u64>| inode.and_then(|inode| reopened(identity.pid, inode));
    Pipes { stdout: again(identity.output_pipe), stderr: again(identity.errors_pipe) }
}

/// Our end of the pipe with this inode. Only where the process still has the very pipe that it was given: any other is
/// read by somebody else.
fn reopened(pid: i32, inode: u64) -> Option<pipe::Receiver> {
    Stream::BOTH.into_iter().find_map(|stream| {
        let number = stream.number();
        let path = format!("/proc/{pid}/fd/{number}");
        // Asked first: to open anything but a pipe may have effects of its own.
        std::fs::metadata(&path).ok().filter(|found| found.ino() == inode && found.file_type().is_fifo())?;
        OpenOptions::new().open_receiver(&path).ok()
    })
}

/// A pipe that a process writes into and also holds open for reading, as only the pipes of runs are; see `start`.
fn held_pipe(pid: i32, number: i32, read: &BTreeSet<u64>) -> Option<(u64, pipe::Receiver)> {
    let path = format!("/proc/{pid}/fd/{number}");
    let found = std::fs::metadata(&path).ok().filter(|found| found.file_type().is_fifo())?;
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
    if flags & libc::O_ACCMODE != libc::O_RDWR || read.contains(&found.ino()) {
        return None;
    }
    Some((found.ino(), OpenOptions::new().open_receiver(&path).ok()?))
}
