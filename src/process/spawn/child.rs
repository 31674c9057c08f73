//! The child between its clone and its exec: raw system calls on the plan, nothing else.

use std::ffi::{c_int, c_long, c_void};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::Ordering;

use super::super::step::Step;
use super::calls::set_mask;
use super::plan::{Plan, RECORD, Shared};

pub(super) extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: the parent passes its `Shared` and sleeps while this runs.
    let shared = unsafe { &*argument.cast_const().cast::<Shared<'_>>() };
    // SAFETY: this is the vfork child on its own stack.
    let (step, index, errno) = unsafe { become_action(shared) };
    shared.index.store(index, Ordering::Release);
    shared.errno.store(errno, Ordering::Release);
    shared.failed.store(step as i32, Ordering::Release);
    // SAFETY: ends this process only, without running any exit handlers of the daemon.
    unsafe { libc::_exit(127) }
}

/// Makes a system call; returns the error number if it failed. `errno` belongs to the sleeping thread: the child shares
/// its thread-local storage, and that thread does not read it meanwhile.
macro_rules! call {
    ($number:expr $(, $argument:expr)*) => {{
        // SAFETY: the macro is only used in the child, with pointers into the plan that the parent keeps alive.
        let result = unsafe { libc::syscall($number $(, $argument)*) };
        // SAFETY: the location is valid as long as the thread exists whose storage this is.
        if result < 0 { Err(unsafe { *libc::__errno_location() }) } else { Ok(result) }
    }};
}

/// Turns this process into the action; returns only on failure.
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
    let closed = keep_record(plan).and_then(|from| close_from(from, plan.close_range));
    if let Err(errno) = closed {
        return (Step::Close, 0, errno);
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
        // A daemon that is not root but may change users would pass its ambient capabilities on. EINVAL (before Linux 4.3) means
        // that there are none.
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
    default_signals(shared);
    (Step::Execute, 0, execute(shared))
}

/// Marks this process as the leader of a run by `SCHED_RESET_ON_FORK`, sched(7): exec keeps it, children do not inherit
/// it, and it is visible from outside, so it distinguishes a leader from a service in a session of its own.
///
/// It would affect the children of a leader with a real-time policy or a negative niceness: such a leader gets no mark,
/// nor does one whose sandbox forbids it (`RestrictRealtime=`).
fn mark_leader() {
    let unprivileged = |policy: c_long| {
        [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE].map(c_long::from).contains(&policy)
    };
    // The raw system call returns 20 − niceness, so that no result is negative.
    let niceness = call!(libc::SYS_getpriority, libc::PRIO_PROCESS, 0 as c_int);
    if niceness.is_ok_and(|answer| answer <= 20)
        && let Ok(policy) = call!(libc::SYS_sched_getscheduler, 0 as c_int)
        && unprivileged(policy)
    {
        // The only parameter of these policies is zero.
        let parameter: c_int = 0;
        let marked = policy | c_long::from(libc::SCHED_RESET_ON_FORK);
        let _ = call!(libc::SYS_sched_setscheduler, 0 as c_int, marked, &raw const parameter);
    }
}

/// Tries each file as execvp(3) does; returns the error to report if none could be executed.
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
fn default_signals(shared: &Shared<'_>) {
    if shared.handlers_cleared.load(Ordering::Acquire) {
        shared.ignored.iter().for_each(|signal| disposition(*signal, libc::SIG_DFL));
    } else {
        (1..=64).for_each(|signal| disposition(signal, libc::SIG_DFL));
    }
    if shared.plan.terminal {
        disposition(libc::SIGTSTP, libc::SIG_IGN);
    }
    let none = 0u64;
    // SAFETY: `none` has the size of a signal set; the old mask is not requested.
    unsafe { set_mask(&raw const none, ptr::null_mut()) };
}

fn disposition(signal: c_int, handler: libc::sighandler_t) {
    let action = [handler as u64, 0, 0, 0];
    let old = ptr::null_mut::<u64>();
    let _ = call!(libc::SYS_rt_sigaction, signal, action.as_ptr(), old, size_of::<u64>());
}

/// Moves the record of the start to its number. Returns the first descriptor to close.
fn keep_record(plan: &Plan) -> Result<c_int, c_int> {
    let Some(record) = &plan.record else { return Ok(RECORD) };
    let record = record.as_raw_fd();
    if record != RECORD {
        call!(libc::SYS_dup3, record, RECORD, libc::O_CLOEXEC)?;
    }
    Ok(RECORD + 1)
}

fn close_from(first: c_int, close_range: bool) -> Result<(), c_int> {
    if close_range && call!(libc::SYS_close_range, first, libc::c_uint::MAX, 0 as libc::c_uint).is_ok() {
        return Ok(());
    }
    // Before Linux 5.9: every descriptor that /proc lists, by getdents64(2) into a buffer on the stack.
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
            // SAFETY: the kernel filled `filled` bytes with entries, each of which contains its own length; the name is at byte 19
            // and ends with a NUL (getdents64(2)).
            let (length, fd) = unsafe {
                let entry = entries.as_ptr().cast::<u8>().add(at);
                (entry.add(16).cast::<u16>().read_unaligned(), decimal(entry.add(19)))
            };
            if let Some(fd) = fd
                && fd >= first
                && c_long::from(fd) != directory
            {
                let _ = call!(libc::SYS_close, fd);
            }
            at += usize::from(length);
        }
    }
    call!(libc::SYS_close, directory).map(drop)
}

/// Parses a NUL-terminated name as a number; `None` for `.` and `..`.
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
