//! The system calls that have no safe wrapper: the clone and what the child does until it executes the
//! action, waiting for it by pidfd, signals by number, and the allocator's settings. The only file with unsafe code.
//!
//! Nothing is decided here, and nothing is looked up or allocated between clone and exec: the child runs
//! in the memory of the daemon (`CLONE_VM`), while the thread that cloned it sleeps (`CLONE_VFORK`) and
//! every other one goes on. That costs the same at any size of the daemon, where fork(2) pays for each page.
//!
//! The order in the child, and why:
//!
//! 1. `setsid`: a session and group of its own, before anything that can take time. With a terminal only a group of
//!    its own: the terminal belongs to the caller's session.
//! 2. Descriptors 0, 1, 2, then close-on-exec for all others: before limits, which could forbid it. With a terminal,
//!    its foreground: every signal is blocked, so that the kernel does not stop this process for asking (TTOU).
//! 3. Niceness and limits: raising them is root's privilege (setpriority(2), setrlimit(2)). Then the mark that
//!    tells a run's leader from its descendants.
//! 4. Groups, group, user: in this order, because each takes away the right to do the one before. Raw
//!    calls, because glibc's wrappers would change every thread of the daemon.
//! 5. Directory: entered as that user, so that it opens no door. Then the file mode mask.
//! 6. Signals: every one was blocked by the parent, so no handler of the daemon ever runs here; all
//!    become default, and only then the mask is emptied.
#![expect(unsafe_code, reason = "clone, raw system calls and waitid have no safe wrapper; all of it is here")]

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::step::Step;

/// What the child becomes: everything resolved, everything allocated.
pub(super) struct Plan {
    /// Standard input, output and error. None of them is numbered below 3.
    pub(super) stdio: [OwnedFd; 3],
    /// Standard input is a terminal, whose foreground the action takes.
    pub(super) terminal: bool,
    /// Niceness, where it is changed.
    pub(super) nice: Option<c_int>,
    /// `RLIMIT_…` with soft and hard value.
    pub(super) limits: Vec<(u32, libc::rlimit64)>,
    /// Supplementary groups; `None` keeps the daemon's.
    pub(super) groups: Option<Vec<libc::gid_t>>,
    /// Group.
    pub(super) gid: libc::gid_t,
    /// User.
    pub(super) uid: libc::uid_t,
    /// Directory.
    pub(super) cwd: CString,
    /// File mode mask.
    pub(super) umask: libc::mode_t,
    /// Files to try to execute, in order.
    pub(super) programs: Vec<CString>,
    /// Arguments, the name first.
    pub(super) argv: Vec<CString>,
    /// `NAME=value`.
    pub(super) env: Vec<CString>,
    /// Whether `close_range(2)` is used; false on kernels before 5.11, and in the test of the other way.
    pub(super) close_range: bool,
}

/// A process that was cloned and executes its program.
#[derive(Debug)]
pub(super) struct Child {
    /// Its number, also of its group and session.
    pub(super) pid: i32,
    /// Stays right when the number is used again.
    pub(super) pidfd: OwnedFd,
}

/// Why there is no process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// Where it failed.
    pub(super) step: Step,
    /// Which one of several (limits).
    pub(super) index: usize,
    /// Why.
    pub(super) errno: Errno,
}

/// How the leader of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// What the child reads and answers in the memory that it shares with the sleeping thread.
struct Shared<'a> {
    plan: &'a Plan,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    failed: AtomicI32,
    index: AtomicUsize,
    errno: AtomicI32,
}

/// The child's stack, with a range below it that faults rather than being written through. 64 KiB is a
/// multiple of every page size of the supported machines.
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
        // SAFETY: the range lies within the mapping that was just made and that only `stack` knows.
        let opened = unsafe {
            libc::mprotect(base.byte_add(Self::GUARD), Self::SIZE, libc::PROT_READ | libc::PROT_WRITE)
        };
        if opened == 0 { Ok(stack) } else { Err(Errno::last()) }
    }

    /// The end of the mapping, where a stack that grows downwards begins; aligned to a page.
    fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping.
        unsafe { self.0.byte_add(Self::GUARD + Self::SIZE) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody runs on it any more: the vfork child has gone to another
        // memory (exec) or is gone.
        unsafe { libc::munmap(self.0, Self::GUARD + Self::SIZE) };
    }
}

/// Clones a child and returns when it executes the action, or could not.
///
/// The kernel stores the child's descriptor in `stored` before the child runs, so that another thread can kill the child
/// while this one sleeps. `returned` ends that thread's use of the descriptor, and tells whether it killed the child.
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
    // SAFETY: both masks live on this stack and have the kernel's size of a signal set, 8 bytes. The call
    // is raw because glibc's never blocks its own two signals, whose handlers must not run in the child.
    unsafe { set_mask(&raw const all_signals, &raw mut mask_before) };
    // SAFETY: `shared` and `stack` outlive the child's use of them, because CLONE_VFORK holds this thread
    // until the child executed or exited. The child has its own stack and a copy of the descriptors; its
    // code allocates nothing, takes no lock and does not return into ours.
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
    // SAFETY: the kernel stored a new descriptor that nobody else owns (CLONE_PIDFD, clone(2)).
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let failed = shared.failed.load(Ordering::Acquire);
    let Some(step) = Step::IN_CHILD.into_iter().find(|step| *step as i32 == failed) else {
        if killed {
            let _ = wait_for(&pidfd, libc::WEXITED);
            return Err(Failure { step: Step::Held, index: 0, errno: Errno::EINTR });
        }
        return Ok(Child { pid, pidfd });
    };
    // It has said why and is about to be a zombie.
    let _ = wait_for(&pidfd, libc::WEXITED);
    Err(Failure {
        step,
        index: shared.index.load(Ordering::Acquire),
        errno: Errno::from_raw(shared.errno.load(Ordering::Acquire)),
    })
}

unsafe fn set_mask(new: *const u64, old: *mut u64) {
    // SAFETY: the caller hands over pointers that are null or valid for 8 bytes.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, old, size_of::<u64>()) };
}

extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: the parent passes its `Shared` and sleeps as long as this runs.
    let shared = unsafe { &*argument.cast_const().cast::<Shared<'_>>() };
    // SAFETY: this is the vfork child on its own stack.
    let (step, index, errno) = unsafe { become_action(shared) };
    shared.index.store(index, Ordering::Release);
    shared.errno.store(errno, Ordering::Release);
    shared.failed.store(step as i32, Ordering::Release);
    // SAFETY: ends this process only, without running anything of the daemon's at its exit.
    unsafe { libc::_exit(127) }
}

/// Calls the kernel; the error number where it refused. `errno` is the sleeping thread's own: it shares
/// its thread-local storage with the child, and does not look at it meanwhile.
macro_rules! call {
    ($number:expr $(, $argument:expr)*) => {{
        // SAFETY: the macro is only used in the child, with pointers into the plan that the parent keeps.
        let result = unsafe { libc::syscall($number $(, $argument)*) };
        // SAFETY: the location is valid for as long as the thread exists whose storage this is.
        if result < 0 { Err(unsafe { *libc::__errno_location() }) } else { Ok(result) }
    }};
}

/// Turns this process into the action; returns only where that failed.
unsafe fn become_action(shared: &Shared<'_>) -> (Step, usize, c_int) {
    let plan = shared.plan;
    let apart = if plan.terminal {
        call!(libc::SYS_setpgid, 0 as c_int, 0 as c_int)
    } else {
        call!(libc::SYS_setsid)
    };
    if let Err(errno) = apart {
        return (Step::Session, 0, errno);
    }
    for (target, source) in (0 as c_int..).zip(&plan.stdio) {
        if let Err(errno) = call!(libc::SYS_dup3, source.as_raw_fd(), target, 0 as c_int) {
            return (Step::Descriptors, 0, errno);
        }
    }
    if plan.terminal
        && let Err(errno) = take_foreground()
    {
        return (Step::Foreground, 0, errno);
    }
    if let Err(errno) = close_on_exec(plan.close_range) {
        return (Step::CloseOnExec, 0, errno);
    }
    if let Some(nice) = plan.nice
        && let Err(errno) = call!(libc::SYS_setpriority, libc::PRIO_PROCESS, 0 as c_int, nice)
    {
        return (Step::Niceness, 0, errno);
    }
    for (index, (resource, limit)) in (0usize..).zip(&plan.limits) {
        let old = ptr::null_mut::<libc::rlimit64>();
        if let Err(errno) = call!(libc::SYS_prlimit64, 0 as c_int, *resource, &raw const *limit, old) {
            return (Step::Limit, index, errno);
        }
    }
    mark_leader();
    if let Some(groups) = &plan.groups {
        if let Err(errno) = call!(libc::SYS_setgroups, groups.len(), groups.as_ptr()) {
            return (Step::Groups, 0, errno);
        }
        // A daemon that is not root but may change users would hand its ambient capabilities to them.
        // EINVAL (before Linux 4.3) means that there are none.
        let (option, what) = (libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL);
        let _ = call!(libc::SYS_prctl, option, c_long::from(what), 0 as c_long, 0 as c_long, 0 as c_long);
    }
    if let Err(errno) = call!(libc::SYS_setresgid, plan.gid, plan.gid, plan.gid) {
        return (Step::Group, 0, errno);
    }
    if let Err(errno) = call!(libc::SYS_setresuid, plan.uid, plan.uid, plan.uid) {
        return (Step::User, 0, errno);
    }
    if let Err(errno) = call!(libc::SYS_chdir, plan.cwd.as_ptr()) {
        return (Step::Directory, 0, errno);
    }
    let _ = call!(libc::SYS_umask, plan.umask);
    default_signals(plan.terminal);
    (Step::Execute, 0, execute(shared))
}

/// Marks this process as the leader of a run by `SCHED_RESET_ON_FORK`, sched(7): kept by exec, not inherited, and seen
/// from outside, it tells a leader from a service that it left running in a session of its own.
///
/// It would change the children of what is scheduled in real time or has a negative niceness: such a leader
/// bears none, nor does one whose sandbox forbids it (`RestrictRealtime=`).
fn mark_leader() {
    let unprivileged = |policy: c_long| {
        [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE].map(c_long::from).contains(&policy)
    };
    // The raw call answers 20 − niceness, so that no answer is negative.
    let niceness = call!(libc::SYS_getpriority, libc::PRIO_PROCESS, 0 as c_int);
    if niceness.is_ok_and(|answer| answer <= 20)
        && let Ok(policy) = call!(libc::SYS_sched_getscheduler, 0 as c_int)
        && unprivileged(policy)
    {
        // Of these policies the only parameter is zero.
        let parameter: c_int = 0;
        let marked = policy | c_long::from(libc::SCHED_RESET_ON_FORK);
        let _ = call!(libc::SYS_sched_setscheduler, 0 as c_int, marked, &raw const parameter);
    }
}

/// Tries each file as execvp(3) does; the error to report where none could be executed.
fn execute(shared: &Shared<'_>) -> c_int {
    let mut worst = libc::ENOENT;
    for program in &shared.plan.programs {
        match call!(libc::SYS_execve, program.as_ptr(), shared.argv.as_ptr(), shared.env.as_ptr()) {
            Ok(_) | Err(libc::ENOENT | libc::ENOTDIR | libc::ENODEV | libc::ESTALE | libc::ETIMEDOUT) => {}
            Err(libc::EACCES) => worst = libc::EACCES,
            Err(other) => return other,
        }
    }
    worst
}

/// Makes this process's group the foreground of the terminal that standard input is.
fn take_foreground() -> Result<(), c_int> {
    let group = c_int::try_from(call!(libc::SYS_getpid)?).unwrap_or(0);
    call!(libc::SYS_ioctl, 0 as c_int, libc::TIOCSPGRP, &raw const group).map(drop)
}

/// Every disposition to its default, then an empty mask. A sigaction of zeros means default on every
/// machine; the two signals that cannot be changed answer EINVAL.
///
/// With a terminal TSTP is ignored: nobody would continue an action that Ctrl-Z has stopped.
fn default_signals(terminal: bool) {
    let default = [0u64; 4];
    for signal in 1 as c_int..=64 {
        let old = ptr::null_mut::<u64>();
        let _ = call!(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, size_of::<u64>());
    }
    if terminal {
        let ignore = [libc::SIG_IGN as u64, 0, 0, 0];
        let old = ptr::null_mut::<u64>();
        let _ = call!(libc::SYS_rt_sigaction, libc::SIGTSTP, ignore.as_ptr(), old, size_of::<u64>());
    }
    let none = 0u64;
    // SAFETY: `none` has the size of a signal set; the old mask is not wanted.
    unsafe { set_mask(&raw const none, ptr::null_mut()) };
}

fn close_on_exec(close_range: bool) -> Result<(), c_int> {
    if close_range
        && call!(libc::SYS_close_range, 3 as c_int, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC).is_ok()
    {
        return Ok(());
    }
    // Before Linux 5.11: every descriptor that /proc lists, by getdents64(2) into a buffer on the stack.
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let directory = call!(libc::SYS_openat, libc::AT_FDCWD, c"/proc/self/fd".as_ptr(), flags)?;
    let mut entries = [0u64; 512];
    loop {
        let size = size_of_val(&entries);
        let filled = call!(libc::SYS_getdents64, directory, entries.as_mut_ptr(), size)?;
        if filled == 0 {
            break;
        }
        let mut at: usize = 0;
        while at < usize::try_from(filled).unwrap_or(0) {
            // SAFETY: the kernel filled `filled` bytes with entries, each of which says its own length; the
            // name is at byte 19 and ends with a NUL (getdents64(2)).
            let (length, fd) = unsafe {
                let entry = entries.as_ptr().cast::<u8>().add(at);
                (entry.add(16).cast::<u16>().read_unaligned(), decimal(entry.add(19)))
            };
            if let Some(fd) = fd
                && fd > 2
            {
                let _ = call!(libc::SYS_fcntl, fd, libc::F_SETFD, libc::FD_CLOEXEC);
            }
            at += usize::from(length);
        }
    }
    Ok(())
}

/// The number that a NUL-terminated name is; `None` for `.` and `..`.
unsafe fn decimal(mut digits: *const u8) -> Option<c_int> {
    let mut number: c_int = 0;
    loop {
        // SAFETY: the name ends with a NUL, at which this stops.
        let digit = unsafe { *digits };
        match digit {
            0 => return Some(number),
            b'0'..=b'9' => number = number.wrapping_mul(10).wrapping_add(c_int::from(digit - b'0')),
            _ => return None,
        }
        // SAFETY: as above: not past the NUL.
        digits = unsafe { digits.add(1) };
    }
}

/// Whether a child ended, and how; it stays a zombie until [`reap`]. `None`: it lives.
pub(super) fn peek(pidfd: BorrowedFd<'_>) -> io::Result<Option<Status>> {
    wait_for(&pidfd, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
}

/// Collects an ended child: from here on its number may be somebody else's.
pub(super) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Status>> {
    wait_for(&pidfd, libc::WEXITED | libc::WNOHANG)
}

/// By libc and not nix, whose waitid fails for a child that a real-time signal ended.
fn wait_for(pidfd: &impl AsRawFd, options: c_int) -> io::Result<Option<Status>> {
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        // SAFETY: all zeros is a siginfo_t, and the kernel's way to say that nothing has ended yet.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is valid for writing.
        if unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, options) } == 0 {
            // SAFETY: waitid filled in the fields of a child's change of state, or left zeros.
            let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
            return Ok(match info.si_code {
                _ if pid == 0 => None,
                libc::CLD_EXITED => Some(Status::Exited(status)),
                _ => Some(Status::Signaled(status)),
            });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// A descriptor for a process that is not our child.
pub(super) fn open_process(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers; the descriptor it returns is new and ours.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0 as c_int);
        match c_int::try_from(fd) {
            Ok(fd) if fd >= 0 => Ok(OwnedFd::from_raw_fd(fd)),
            Ok(_) | Err(_) => Err(io::Error::last_os_error()),
        }
    }
}

/// Whether a process bears the mark of a run's leader.
pub(super) fn is_marked_leader(pid: i32) -> bool {
    // SAFETY: takes a number.
    let policy = unsafe { libc::sched_getscheduler(pid) };
    policy >= 0 && policy & libc::SCHED_RESET_ON_FORK != 0
}

/// Has the runtime tell when the process has ended; hands the descriptor back where epoll has no room.
pub(super) fn register(pidfd: OwnedFd) -> Result<AsyncFd<OwnedFd>, OwnedFd> {
    // SAFETY: an `OwnedFd` is open and the same as long as it lives, and nobody takes it out again.
    unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }
        .map_err(|error| error.into_parts().0)
}

/// Sends a signal to exactly this process, by number because nix knows no real-time signals.
pub(super) fn signal_process(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let info = ptr::null::<c_void>();
    // SAFETY: no pointer but the null that asks for the siginfo of kill(2).
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0 as libc::c_uint)
    };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Kills the child of a start by the number of its pidfd, which the caller keeps open.
pub(super) fn kill_start(pidfd: c_int) -> io::Result<()> {
    // SAFETY: the caller keeps the descriptor open during the call.
    signal_process(unsafe { BorrowedFd::borrow_raw(pidfd) }, libc::SIGKILL)
}

/// Stops it, as its own account could.
#[cfg(test)]
pub(super) fn stop_start(pidfd: c_int) -> io::Result<()> {
    // SAFETY: the caller keeps the descriptor open during the call.
    signal_process(unsafe { BorrowedFd::borrow_raw(pidfd) }, libc::SIGSTOP)
}

/// Sends a signal to a process group, whose number the caller keeps from being used again.
pub(super) fn signal_group(group: i32, signal: i32) -> io::Result<()> {
    if group <= 1 {
        // kill(2): -1 would be every process there is, 0 our own group.
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: takes two numbers.
    let sent = unsafe { libc::kill(-group, signal) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes sure that ended children wait to be collected: a daemon whose parent ignored SIGCHLD inherits
/// that, and its children's statuses would be thrown away (wait(2), NOTES).
pub(super) fn keep_child_statuses() {
    // SAFETY: reads and at most replaces one disposition by the default; installs no handler.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGCHLD, ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
        {
            now.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(libc::SIGCHLD, &raw const now, ptr::null_mut());
        }
    }
}

/// Undoes what this process has inherited from whoever started it, so that signals mean what they should: unblocks every
/// signal, and ignores XFSZ like PIPE, so that a full file is an error of write(2) and not the end. Runs start with
/// everything at its default all the same.
///
/// A mask belongs to a thread: call it on the first one, before it starts others.
pub fn take_over_signals() {
    let none = 0u64;
    // SAFETY: `none` has the size of a signal set; the old mask is not wanted. The second call installs no handler.
    unsafe {
        set_mask(&raw const none, ptr::null_mut());
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Has all threads allocate from one heap, and large blocks go back to the system when they are freed: mallopt(3).
/// By itself glibc keeps a heap for each thread, and keeps larger and larger blocks: much memory, for one that waits.
/// Nothing where another allocator is the system's.
pub fn keep_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

/// Has what is freed used again: for a command that reads much, and ends soon. By itself glibc gives large blocks back to
/// the system, and only learns step by step that as large ones are asked for again; this is as far as it would learn.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
    }
}
