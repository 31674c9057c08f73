//! The steps that lead to a running action, so that errors can name the one that failed.

/// The step that failed between the decision to start and the first instruction of the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Step {
    /// clone(2).
    Clone = 1,
    /// setsid(2).
    Session,
    /// dup3(2) to 0, 1 or 2.
    Descriptors,
    /// tcsetpgrp(3): the foreground of the terminal.
    Foreground,
    /// `close_range(2)`: all other descriptors.
    Close,
    /// setpriority(2).
    Niceness,
    /// setrlimit(2).
    Limit,
    /// setgroups(2).
    Groups,
    /// setresgid(2).
    Group,
    /// setresuid(2).
    User,
    /// chdir(2).
    Directory,
    /// execve(2).
    Execute,
    /// None of them failed: the process was stopped or hung, and the start guard killed it.
    Held,
}

impl Step {
    pub(super) const IN_CHILD: [Self; 11] = [
        Self::Session,
        Self::Descriptors,
        Self::Foreground,
        Self::Close,
        Self::Niceness,
        Self::Limit,
        Self::Groups,
        Self::Group,
        Self::User,
        Self::Directory,
        Self::Execute,
    ];
}
