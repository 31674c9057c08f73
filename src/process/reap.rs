//! Collects all children that are not leaders of runs, as PID 1 has to.

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::{Spawner, procfs};

impl Spawner {
    /// Collects the ended children of this process that it did not start. False: a run was just being started, so
    /// nothing could be told apart; call it again.
    pub fn reap_foreign(&self) -> bool {
        let Some(_no_start) = self.children.between_starts() else { return false };
        let us = std::process::id();
        let ended = |stat: &procfs::Stat| !stat.alive && u32::try_from(stat.parent) == Ok(us);
        for stat in procfs::every_stat().filter(ended) {
            if !self.children.is_leader(stat.pid) {
                // Nobody needs its status; an error means that it is gone.
                let _ = waitpid(Pid::from_raw(stat.pid), Some(WaitPidFlag::WNOHANG));
            }
        }
        true
    }
}
