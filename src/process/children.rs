//! Which children are leaders of runs, and collecting all others, as PID 1 has to.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::{Spawner, procfs};

/// The children that nobody but the task of their run may collect: it alone learns how they ended.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// Held for reading from before a clone until its child is among `leaders`.
    starting: RwLock<()>,
    leaders: Mutex<BTreeSet<i32>>,
}

/// A child stays uncollected by others as long as this lives.
#[derive(Debug)]
pub(super) struct OwnChild {
    pid: i32,
    children: Arc<Children>,
}

impl Children {
    /// To be held while a child is made.
    pub(super) fn starting(&self) -> RwLockReadGuard<'_, ()> {
        self.starting.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn own(self: &Arc<Self>, pid: i32) -> OwnChild {
        self.leaders().insert(pid);
        OwnChild { pid, children: Arc::clone(self) }
    }

    fn leaders(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.leaders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OwnChild {
    fn drop(&mut self) {
        self.children.leaders().remove(&self.pid);
    }
}

impl Spawner {
    /// Collects the ended children of this process that it did not start. False: a run was just being started, so
    /// nothing could be told apart; call it again.
    pub fn reap_foreign(&self) -> bool {
        let Ok(_no_start) = self.children.starting.try_write() else { return false };
        let us = std::process::id();
        let ended = |stat: &procfs::Stat| !stat.alive && u32::try_from(stat.parent) == Ok(us);
        for stat in procfs::every_stat().filter(ended) {
            if !self.children.leaders().contains(&stat.pid) {
                // How it ended interests nobody; an error means that it is gone.
                let _ = waitpid(Pid::from_raw(stat.pid), Some(WaitPidFlag::WNOHANG));
            }
        }
        true
    }
}
