//! Processes and signals: the system calls without a safe wrapper.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How the leader of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::process) enum Status {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

pub(super) unsafe fn set_mask(new: *const u64, old: *mut u64) {
    // SAFETY: the caller passes pointers that are null or valid for 8 bytes.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, old, size_of::<u64>()) };
}

/// Whether a child ended, and how; it stays a zombie until [`reap`]. `None`: it lives.
pub(in crate::process) fn peek(pidfd: BorrowedFd<'_>) -> io::Result<Option<Status>> {
    wait_for(&pidfd, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
}

/// Collects an ended child: from here on its pid may be reused.
pub(in crate::process) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Status>> {
    wait_for(&pidfd, libc::WEXITED | libc::WNOHANG)
}

/// Uses libc, because nix's waitid fails for a child that a real-time signal ended.
pub(super) fn wait_for(pidfd: &impl AsRawFd, options: c_int) -> io::Result<Option<Status>> {
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        // SAFETY: all zeros is a valid siginfo_t; the kernel leaves it so if nothing has ended.
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

/// Opens a descriptor for a process that is not our child.
pub(in crate::process) fn open_process(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers; the returned descriptor is new and ours.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0 as c_int);
        match c_int::try_from(fd) {
            Ok(fd) if fd >= 0 => Ok(OwnedFd::from_raw_fd(fd)),
            Ok(_) | Err(_) => Err(io::Error::last_os_error()),
        }
    }
}

/// Whether a process has the mark of a run's leader.
pub(in crate::process) fn is_marked_leader(pid: i32) -> bool {
    // SAFETY: takes a number.
    let policy = unsafe { libc::sched_getscheduler(pid) };
    policy >= 0 && policy & libc::SCHED_RESET_ON_FORK != 0
}

/// Registers the descriptor with the runtime, which reports the end of the process; returns it if epoll has no room.
pub(in crate::process) fn register(pidfd: OwnedFd) -> Result<AsyncFd<OwnedFd>, OwnedFd> {
    // SAFETY: an `OwnedFd` is open and unchanged while it lives, and nothing takes it out again.
    unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }
        .map_err(|error| error.into_parts().0)
}

/// Sends a signal to exactly this process, by number because nix has no real-time signals.
pub(in crate::process) fn signal_process(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let info = ptr::null::<c_void>();
    // SAFETY: no pointer but the null that asks for the siginfo of kill(2).
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0 as libc::c_uint)
    };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Kills the child of a start by the number of its pidfd, which the caller keeps open.
pub(in crate::process) fn kill_start(pidfd: c_int) -> io::Result<()> {
    // SAFETY: the caller keeps the descriptor open during the call.
    signal_process(unsafe { BorrowedFd::borrow_raw(pidfd) }, libc::SIGKILL)
}

/// Signals the child of a start, as the account of its action could.
#[cfg(test)]
pub(in crate::process) fn signal_start(pidfd: c_int, signal: i32) -> io::Result<()> {
    // SAFETY: the caller keeps the descriptor open during the call.
    signal_process(unsafe { BorrowedFd::borrow_raw(pidfd) }, signal)
}

/// Sends a signal to a process group; the caller ensures that its id is not reused.
pub(in crate::process) fn signal_group(group: i32, signal: i32) -> io::Result<()> {
    if group <= 1 {
        // kill(2): -1 would be every process, 0 our own group.
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: takes two numbers.
    let sent = unsafe { libc::kill(-group, signal) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
