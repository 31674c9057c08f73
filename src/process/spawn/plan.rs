//! What a child does, as data: everything is resolved and allocated before the clone.

use std::ffi::{CString, c_char, c_int};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize};

/// The number that the record of a start has in the child.
pub(in crate::process) const RECORD: c_int = 3;

/// The plan for the child: everything is resolved and allocated.
pub(in crate::process) struct Plan {
    /// Standard input, output and error. None of them is numbered below 3.
    pub(in crate::process) stdio: [OwnedFd; 3],
    /// The record of the start, by which the next daemon finds this child if this one dies before the exec.
    pub(in crate::process) record: Option<OwnedFd>,
    /// Standard input is a terminal, whose foreground the action takes.
    pub(in crate::process) terminal: bool,
    /// Niceness, where it is changed.
    pub(in crate::process) nice: Option<c_int>,
    /// `RLIMIT_…` with soft and hard value.
    pub(in crate::process) limits: Vec<(u32, libc::rlimit64)>,
    /// Supplementary groups; `None` keeps the daemon's.
    pub(in crate::process) groups: Option<Vec<libc::gid_t>>,
    /// Group.
    pub(in crate::process) gid: libc::gid_t,
    /// User.
    pub(in crate::process) uid: libc::uid_t,
    /// Directory.
    pub(in crate::process) cwd: CString,
    /// File mode mask.
    pub(in crate::process) umask: libc::mode_t,
    /// Files to try to execute, in order.
    pub(in crate::process) programs: Vec<CString>,
    /// Arguments, the name first.
    pub(in crate::process) argv: Vec<CString>,
    /// `NAME=value`.
    pub(in crate::process) env: Vec<CString>,
    /// Whether to use `close_range(2)`; false on kernels before 5.11, and in the test of the fallback.
    pub(in crate::process) close_range: bool,
    /// Whether the clone clears the handlers of signals; false on kernels before 5.5, and in the test of the fallback.
    pub(in crate::process) clear_handlers: bool,
}

/// What the child reads, and its answer, in the memory that it shares with the sleeping thread.
pub(super) struct Shared<'a> {
    pub(super) plan: &'a Plan,
    pub(super) argv: Vec<*const c_char>,
    pub(super) env: Vec<*const c_char>,
    pub(super) failed: AtomicI32,
    pub(super) index: AtomicUsize,
    pub(super) errno: AtomicI32,
    /// Whether the clone cleared the handlers of signals.
    pub(super) handlers_cleared: AtomicBool,
    /// Signals that the daemon ignores.
    pub(super) ignored: &'a [c_int],
}
