//! Finds the children that a former daemon left between their clone and their exec.
//!
//! Such a child still has the daemon's program and environment, and holds no descriptor but its record (and standard input,
//! output and error). The account of its action may have stopped it. It has not executed an instruction of the action, so it
//! is killed and its run is repeated.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::adopt::{FoundRun, variable};
use super::procfs::{self, Stat};
use super::record::{ACCOUNT, SHOWN};
use super::{Spawner, spawn};

/// The most that is read of a record; all are shorter.
const LONGEST: u64 = 64 << 10;
/// How long to wait for the end of a killed process, in milliseconds. One that hangs in a system call ends later, without
/// executing anything.
const KILL_WAIT: u16 = 1000;

impl Spawner {
    /// Kills every process that a former daemon cloned for a run with one of these prefixes and that has not executed its
    /// action yet. Returns their runs; a run that executed its action at that moment is among them too.
    ///
    /// Call it with the ledger's lock held: a child that has not closed the daemon's descriptors yet holds a copy of that lock,
    /// and has no record to be found by. Reads `/proc` like [`Spawner::find_runs`].
    pub fn kill_starts(&self, prefixes: &[&str]) -> Vec<FoundRun> {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        procfs::every_stat()
            .filter(|stat| stat.alive && stat.pid != own && has_record(stat.pid))
            .filter_map(|stat| self.kill_start(stat, prefixes))
            .collect()
    }

    fn kill_start(&self, stat: Stat, prefixes: &[&str]) -> Option<FoundRun> {
        // Open the descriptor before looking, so that the process cannot be replaced in between.
        let process = spawn::open_process(stat.pid).ok()?;
        let found = self.abandoned(stat, prefixes)?;
        spawn::signal_process(process.as_fd(), libc::SIGKILL).ok()?;
        let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ended, PollTimeout::from(KILL_WAIT));
        Some(found)
    }

    /// The run of a child whose daemon is gone.
    fn abandoned(&self, stat: Stat, prefixes: &[&str]) -> Option<FoundRun> {
        let same = procfs::stat(stat.pid).is_some_and(|now| now.start_ticks == stat.start_ticks);
        if !same || !procfs::is_our_program(stat.pid) || procfs::is_our_program(stat.parent) {
            return None;
        }
        let mut text = Vec::new();
        let record = File::open(record_of(stat.pid)).ok()?;
        record.take(LONGEST).read_to_end(&mut text).ok()?;
        let account: u32 = variable(&text, ACCOUNT)?.parse().ok()?;
        // Before setresuid(2) it has the daemon's account, and after it that of the action. A process of any other account forged
        // the record.
        let uid = procfs::uid(stat.pid)?;
        if uid != account && uid != nix::unistd::geteuid().as_raw() {
            return None;
        }
        let run = |prefix: &&str| FoundRun::described(&text, prefix, self.identity(stat), true, account);
        prefixes.iter().find_map(run)
    }
}

fn has_record(pid: i32) -> bool {
    std::fs::read_link(record_of(pid)).is_ok_and(|shown| shown == Path::new(SHOWN))
}

fn record_of(pid: i32) -> String {
    format!("/proc/{pid}/fd/{}", spawn::RECORD)
}
