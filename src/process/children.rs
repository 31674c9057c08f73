//! Tracks which children are leaders of runs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Children that only the task of their run may collect, because it needs their exit status.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// Held for reading from before a clone until its child is among `leaders`.
    starting: RwLock<()>,
    leaders: Mutex<BTreeSet<i32>>,
}

/// While this lives, no other code collects the child.
#[derive(Debug)]
pub(super) struct OwnChild {
    pid: i32,
    children: Arc<Children>,
}

impl Children {
    /// Must be held while a child is created.
    pub(super) fn starting(&self) -> RwLockReadGuard<'_, ()> {
        self.starting.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn own(self: &Arc<Self>, pid: i32) -> OwnChild {
        self.leaders().insert(pid);
        OwnChild { pid, children: Arc::clone(self) }
    }

    /// `None` while a child is being created.
    pub(super) fn between_starts(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        self.starting.try_write().ok()
    }

    pub(super) fn is_leader(&self, pid: i32) -> bool {
        self.leaders().contains(&pid)
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
