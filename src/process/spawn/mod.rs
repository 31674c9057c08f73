//! The system calls without a safe wrapper: the clone and what the child does until its exec, waitid, signals by number,
//! and the allocator's settings. The only room with unsafe code.
//!
//! Between clone and exec nothing is decided, looked up or allocated: the child runs in the memory of the daemon
//! (`CLONE_VM`), while the thread that cloned it sleeps (`CLONE_VFORK`) and all other threads go on. That costs the
//! same at any size of the daemon, where fork(2) copies page tables.
//!
//! The order of steps in the child, and why:
//!
//! 1. `setsid`: a session and group of its own, before anything that can take time. With a terminal only a group of
//!    its own: the terminal belongs to the caller's session.
//! 2. Descriptors 0, 1, 2, then all others closed but the record of the start: a child that is stopped later, as its own
//!    account can, holds neither the ledger's lock nor a port. Before limits, which could forbid it. With a terminal,
//!    its foreground: every signal is blocked, so that the kernel does not stop this process for asking (TTOU).
//! 3. Niceness and limits: raising them is root's privilege (setpriority(2), setrlimit(2)). Then the mark that
//!    distinguishes a run's leader from its descendants.
//! 4. Groups, group, user: in this order, because each takes away the right to do the one before. Raw system
//!    calls, because glibc's wrappers would change every thread of the daemon.
//! 5. Directory: entered as that user, with that user's permissions. Then the umask.
//! 6. Signals: the parent blocked all of them, so no handler of the daemon ever runs here; all dispositions become
//!    default, where possible in the clone, and only then is the mask emptied.
#![expect(unsafe_code, reason = "clone, raw system calls and waitid have no safe wrapper; all of it is here")]

mod calls;
mod child;
mod clone;
mod plan;
mod settings;
mod stack;

use std::ffi::{CString, c_char, c_void};
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use nix::errno::Errno;

use super::step::Step;
#[cfg(test)]
pub(super) use calls::signal_start;
pub(super) use calls::{
    Status, is_marked_leader, kill_start, open_process, peek, reap, register, signal_group, signal_process,
};
use calls::{set_mask, wait_for};
use child::child;
use plan::Shared;
pub(super) use plan::{Plan, RECORD};
pub(super) use settings::keep_child_statuses;
pub use settings::{keep_freed_memory, keep_one_heap, take_over_signals};
use stack::Stack;

/// A process that was cloned and executes its program.
#[derive(Debug)]
pub(super) struct Child {
    /// Its pid, also the id of its group and session.
    pub(super) pid: i32,
    /// Refers to this process even if the pid is reused.
    pub(super) pidfd: OwnedFd,
}

/// Why there is no process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// The step that failed.
    pub(super) step: Step,
    /// Which limit, if the step is setting limits.
    pub(super) index: usize,
    /// The error.
    pub(super) errno: Errno,
}

/// Clones a child and returns when it has executed the action, or failed to.
///
/// The kernel stores the child's descriptor in `stored` before the child runs, so that another thread can kill the child
/// while this one sleeps. `returned` ends that thread's use of the descriptor, and reports whether it killed the child.
pub(super) fn spawn(
    plan: &Plan,
    stored: &AtomicI32,
    returned: impl FnOnce() -> bool,
) -> Result<Child, Failure> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
    };
    let shared = Shared {
        plan,
        argv: pointers(&plan.argv),
        env: pointers(&plan.env),
        failed: AtomicI32::new(0),
        index: AtomicUsize::new(0),
        errno: AtomicI32::new(0),
        handlers_cleared: AtomicBool::new(false),
        ignored: settings::ignored_signals(),
    };
    let cannot_clone = |errno| Failure { step: Step::Clone, index: 0, errno };
    let stack = Stack::take().map_err(cannot_clone)?;

    let all_signals = u64::MAX;
    let mut mask_before = 0u64;
    // SAFETY: both masks live on this stack and have the kernel's size of a signal set, 8 bytes. The call is raw because
    // glibc's never blocks its own two signals, whose handlers must not run in the child.
    unsafe { set_mask(&raw const all_signals, &raw mut mask_before) };
    // SAFETY: `shared` and `stack` outlive the child's use of them, because CLONE_VFORK suspends this thread until the child
    // has executed or exited. The child has its own stack and a copy of the descriptors; its code allocates nothing, takes
    // no lock and does not return into ours.
    let cloned = unsafe {
        let argument = (&raw const shared).cast_mut().cast::<c_void>();
        clone::clone(child, argument, &stack, stored, &shared.handlers_cleared, plan.clear_handlers)
    };
    // SAFETY: as above; the mask is the one that the call above stored.
    unsafe { set_mask(&raw const mask_before, ptr::null_mut()) };

    let pidfd = stored.load(Ordering::Acquire);
    let killed = returned();
    let pid = cloned.map_err(cannot_clone)?;
    // SAFETY: the kernel stored a new descriptor with no other owner (CLONE_PIDFD, clone(2)).
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let failed = shared.failed.load(Ordering::Acquire);
    let Some(step) = Step::IN_CHILD.into_iter().find(|step| *step as i32 == failed) else {
        if killed {
            let _ = wait_for(&pidfd, libc::WEXITED);
            return Err(Failure { step: Step::Held, index: 0, errno: Errno::EINTR });
        }
        return Ok(Child { pid, pidfd });
    };
    // It has reported why and is about to be a zombie.
    let _ = wait_for(&pidfd, libc::WEXITED);
    Err(Failure {
        step,
        index: shared.index.load(Ordering::Acquire),
        errno: Errno::from_raw(shared.errno.load(Ordering::Acquire)),
    })
}
