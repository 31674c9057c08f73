//! Settings of the whole process: inherited signals, and the allocator.

use std::ffi::c_int;
use std::ptr;
use std::sync::OnceLock;

use super::calls::set_mask;

/// Ensures that ended children stay until they are collected: a daemon whose parent ignored SIGCHLD inherits that, and
/// the kernel would discard its children's statuses (wait(2), NOTES).
pub(in crate::process) fn keep_child_statuses() {
    // SAFETY: reads one disposition and may reset it to the default; installs no handler.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGCHLD, ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
        {
            now.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(libc::SIGCHLD, &raw const now, ptr::null_mut());
        }
    }
}

/// Undoes inherited signal settings: unblocks every signal, and ignores XFSZ like PIPE, so that a full file is an error
/// of write(2) instead of the end of the process. Runs still start with default dispositions.
///
/// A mask belongs to a thread: call this on the first thread, before it starts others.
pub fn take_over_signals() {
    let none = 0u64;
    // SAFETY: `none` has the size of a signal set; the old mask is not requested. The second call installs no handler.
    unsafe {
        set_mask(&raw const none, ptr::null_mut());
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// The signals that this process ignores, as of the first start: nothing ignores a signal later.
pub(super) fn ignored_signals() -> &'static [c_int] {
    static IGNORED: OnceLock<Vec<c_int>> = OnceLock::new();
    let is_ignored = |signal: &c_int| {
        // The kernel's sigaction begins with the handler. Raw, because glibc shows its own two signals to nobody.
        let mut now = [0u64; 4];
        let unchanged = ptr::null::<u64>();
        // SAFETY: `now` is large enough for the kernel's sigaction with a signal set of 8 bytes.
        let read = unsafe {
            libc::syscall(libc::SYS_rt_sigaction, *signal, unchanged, now.as_mut_ptr(), size_of::<u64>())
        };
        read == 0 && now[0] == libc::SIG_IGN as u64
    };
    IGNORED.get_or_init(|| (1..=64).filter(is_ignored).collect())
}

/// Makes all threads allocate from one heap, and returns large freed blocks to the system: mallopt(3). By default glibc
/// keeps a heap for each thread, and keeps larger and larger blocks: much memory for a daemon that mostly waits. No effect
/// with another allocator.
pub fn keep_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

/// Makes the allocator reuse freed blocks, for a command that reads much and exits soon. By default glibc returns large
/// blocks to the system and raises its threshold step by step; this sets the final threshold at once.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
}
