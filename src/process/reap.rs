//! Collects all children that are not leaders of runs, as PID 1 must.

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::{Spawner, procfs};

impl Spawner {
    /// Collects ended children that this process did not start. Returns false if a run was just being started, so that its
    /// child could not be told apart; call it again.
    pub fn reap_foreign(&self) -> bool {
        let Some(_no_start) = self.children.between_starts() else { return false };
        let us = std::process::id();
        let ended = |stat: &procfs::Stat| !stat.alive && u32::try_from(stat.parent) == Ok(us);
        for stat in procfs::every_stat().filter(ended) {
            if !self.children.is_leader(stat.pid) {
                // Its status is not needed; an error means that it is gone.
                let _ = waitpid(Pid::from_raw(stat.pid), Some(WaitPidFlag::WNOHANG));
            }
        }
        true
    }
}
