//! The clone: a child on a stack of its own, in the memory of the daemon, while the calling thread sleeps.
//!
//! Since Linux 5.5 the kernel gives it default dispositions for every signal that has a handler, in the clone itself. Older
//! ones, and machines without the instructions for it here, leave that to the child, which takes 64 system calls.

use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::errno::Errno;

use super::stack::Stack;

/// `CLONE_CLEAR_SIGHAND` of clone(2), whose constant in libc is too narrow on some machines.
const CLEAR_HANDLERS: u64 = 0x1_0000_0000;
/// `CLONE_ARGS_SIZE_VER0`: the fields of every kernel that has clone3.
const ARGUMENTS: usize = 64;

/// Whether the kernel clears handlers, as far as is known.
static CLEARS_HANDLERS: AtomicBool = AtomicBool::new(true);

/// What a child runs, given `argument`. It does not return.
pub(super) type Entry = extern "C" fn(*mut c_void) -> c_int;

/// Clones a child that runs `entry`, and returns its pid when it has executed a program or ended. The kernel stores its pidfd
/// in `pidfd` before it runs. `handlers_cleared` is stored before it runs, too: whether no signal has a handler in it.
///
/// # Safety
///
/// Every signal is blocked. `entry` does not return, allocates nothing and takes no lock; `argument` is valid for it. Nothing
/// else uses `stack`.
pub(super) unsafe fn clone(
    entry: Entry,
    argument: *mut c_void,
    stack: &Stack,
    pidfd: &AtomicI32,
    handlers_cleared: &AtomicBool,
    may_clear: bool,
) -> Result<i32, Errno> {
    if may_clear && CLEARS_HANDLERS.load(Ordering::Relaxed) {
        handlers_cleared.store(true, Ordering::Release);
        // SAFETY: as the caller promises.
        match unsafe { clone3(entry, argument, stack, pidfd) } {
            // Not in this kernel, or forbidden by a filter of system calls that does not know it.
            Err(Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => {
                CLEARS_HANDLERS.store(false, Ordering::Relaxed);
            }
            result => return result,
        }
    }
    handlers_cleared.store(false, Ordering::Release);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: as the caller promises; the end of the stack is one past its mapping, where it begins.
    let pid = unsafe {
        libc::clone(entry, stack.bottom().byte_add(Stack::LENGTH), flags, argument, pidfd.as_ptr())
    };
    if pid < 0 { Err(Errno::last()) } else { Ok(pid) }
}

/// clone3(2) has no wrapper in libc that gives the child another stack.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
unsafe fn clone3(
    entry: Entry,
    argument: *mut c_void,
    stack: &Stack,
    pidfd: &AtomicI32,
) -> Result<i32, Errno> {
    let flags = [libc::CLONE_VM, libc::CLONE_VFORK, libc::CLONE_PIDFD].into_iter();
    let flags = flags.fold(CLEAR_HANDLERS, |all, flag| all | u64::from(flag.cast_unsigned()));
    // SAFETY: all zeros is a valid clone_args.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags;
    arguments.pidfd = pidfd.as_ptr() as u64;
    arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    arguments.stack = stack.bottom() as u64;
    arguments.stack_size = Stack::LENGTH as u64;
    let result: c_long;
    // SAFETY: the parent only has the result of the system call changed, and the registers that every system call changes: the
    // child writes to its own stack alone, whose end is aligned as a call demands, and never leaves `entry`.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            // The outermost frame, for whoever unwinds.
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") &raw const arguments,
            in("rsi") ARGUMENTS,
            in("r12") argument,
            in("r13") entry,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            // The outermost frame, for whoever unwinds.
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") &raw const arguments => result,
            in("x1") ARGUMENTS,
            in("x20") argument,
            in("x21") entry,
        );
    }
    match i32::try_from(result) {
        Ok(pid) if pid > 0 => Ok(pid),
        Ok(error) => Err(Errno::from_raw(error.wrapping_neg())),
        Err(_) => Err(Errno::ENOSYS),
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone3(_: Entry, _: *mut c_void, _: &Stack, _: &AtomicI32) -> Result<i32, Errno> {
    Err(Errno::ENOSYS)
}
