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
//!    default, and only then is the mask emptied.
#![expect(unsafe_code, reason = "clone, raw system calls and waitid have no safe wrapper; all of it is here")]

mod calls;
mod child;
mod plan;
mod settings;

use std::ffi::{CString, c_char, c_void};
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use nix::errno::Errno;

use super::step::Step;
#[cfg(test)]
pub(super) use calls::stop_start;
pub(super) use calls::{
    Status, is_marked_leader, kill_start, open_process, peek, reap, register, signal_group, signal_process,
};
use calls::{set_mask, wait_for};
use child::child;
use plan::Shared;
pub(super) use plan::{Plan, RECORD};
pub(super) use settings::keep_child_statuses;
pub use settings::{keep_freed_memory, keep_one_heap, take_over_signals};

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

/// The child's stack, with a guard range below it that faults. 64 KiB is a multiple of every page size of the supported
/// machines.
struct Stack(*mut c_void);

impl Stack {
    const GUARD: usize = 64 * 1024;
    const SIZE: usize = 256 * 1024;

    fn new() -> Result<Self, Errno> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), Self::GUARD + Self::SIZE, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let stack = Self(base);
        // SAFETY: the range lies within the mapping that was just made and that only `stack` refers to.
        let opened = unsafe {
            libc::mprotect(base.byte_add(Self::GUARD), Self::SIZE, libc::PROT_READ | libc::PROT_WRITE)
        };
        if opened == 0 { Ok(stack) } else { Err(Errno::last()) }
    }

    /// The end of the mapping, where a stack that grows downwards begins; page-aligned.
    fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping.
        unsafe { self.0.byte_add(Self::GUARD + Self::SIZE) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing runs on it any more: the vfork child has executed another program or is
        // gone.
        unsafe { libc::munmap(self.0, Self::GUARD + Self::SIZE) };
    }
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
    };
    let cannot_clone = |errno| Failure { step: Step::Clone, index: 0, errno };
    let stack = Stack::new().map_err(cannot_clone)?;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;

    let all_signals = u64::MAX;
    let mut mask_before = 0u64;
    // SAFETY: both masks live on this stack and have the kernel's size of a signal set, 8 bytes. The call is raw because
    // glibc's never blocks its own two signals, whose handlers must not run in the child.
    unsafe { set_mask(&raw const all_signals, &raw mut mask_before) };
    // SAFETY: `shared` and `stack` outlive the child's use of them, because CLONE_VFORK suspends this thread until the child
    // has executed or exited. The child has its own stack and a copy of the descriptors; its code allocates nothing, takes
    // no lock and does not return into ours.
    let pid = unsafe {
        let argument = (&raw const shared).cast_mut().cast::<c_void>();
        libc::clone(child, stack.top(), flags, argument, stored.as_ptr())
    };
    let clone_error = Errno::last();
    // SAFETY: as above; the mask is the one that the call above stored.
    unsafe { set_mask(&raw const mask_before, ptr::null_mut()) };

    let pidfd = stored.load(Ordering::Acquire);
    let killed = returned();
    if pid < 0 {
        return Err(cannot_clone(clone_error));
    }
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
