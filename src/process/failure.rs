//! Why an action did not start, as a sentence for an operator.

use std::{fmt, io};

use nix::errno::Errno;

use super::step::Step;
use crate::watch::Outcome;

/// An action that did not start. Displays as one sentence: what was tried, why it failed, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnError {
    step: Option<Step>,
    what: String,
    why: String,
    hint: &'static str,
    prevented: bool,
}

impl SpawnError {
    /// A failure before there was a process.
    pub(super) fn before(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { step: None, what: what.into(), why: why.to_string(), hint: "", prevented: false }
    }

    /// A system call of the daemon failed before there was a process.
    pub(super) fn preparing(what: impl Into<String>, error: &io::Error) -> Self {
        let Some(errno) = error.raw_os_error().map(Errno::from_raw) else { return Self::before(what, error) };
        let (hint, prevented) = want(None, errno).map_or(("", false), |hint| (hint, true));
        Self { step: None, what: what.into(), why: reason(errno), hint, prevented }
    }

    /// A step that failed with a system error.
    pub(super) fn at(step: Step, what: impl Into<String>, errno: Errno) -> Self {
        let want = want(Some(step), errno);
        let hint = want.unwrap_or_else(|| hint(step, errno));
        Self { step: Some(step), what: what.into(), why: reason(errno), hint, prevented: want.is_some() }
    }

    /// The process was stopped, or hung, before it executed its program.
    pub(super) fn held(what: impl Into<String>) -> Self {
        Self {
            step: Some(Step::Held),
            what: what.into(),
            why: "the process was stopped or hung before its program began, and was killed".to_owned(),
            hint: "look for who stops processes of the action's user, and for file systems that hang",
            prevented: false,
        }
    }

    /// The step that failed, if a process was attempted.
    pub fn step(&self) -> Option<Step> {
        self.step
    }

    /// Whether the daemon, or the machine, had no room for another process, descriptor or file: this says nothing about
    /// the action, and passes when room is made.
    pub fn is_prevented(&self) -> bool {
        self.prevented
    }

    /// The outcome of a run that did not start.
    pub fn outcome(&self) -> Outcome {
        Outcome::NotStarted(self.to_string())
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

impl std::error::Error for SpawnError {}

/// The system's text for an error (strerror(3)), beginning in lower case.
pub(super) fn reason(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.rsplit_once(" (os error").map_or(text.as_str(), |(words, _)| words);
    let mut words = text.chars();
    words.next().map(|first| first.to_lowercase().chain(words).collect()).unwrap_or_default()
}

/// What the daemon or the machine has too little of, and what to do about it. `None`: the failure is about the action.
///
/// `step` is `None` before the clone. In the child only a full table of files is the machine's want: its limits, memory
/// and accounts are the action's own.
fn want(step: Option<Step>, errno: Errno) -> Option<&'static str> {
    let ours = matches!(step, None | Some(Step::Clone));
    if errno == Errno::ENFILE {
        Some("the machine's table of open files is full: raise the sysctl fs.file-max")
    } else if errno == Errno::EMFILE && ours {
        Some("the daemon has reached its limit of open files: raise LimitNOFILE in its unit (ulimit -n)")
    } else if errno == Errno::EAGAIN && ours {
        Some(
            "a limit of processes is reached: raise TasksMax in the daemon's unit (pids cgroup), ulimit -u or the sysctl kernel.pid_max",
        )
    } else if errno == Errno::ENOMEM && ours {
        Some("no memory is left for another process")
    } else if matches!(errno, Errno::ENOSPC | Errno::EDQUOT) && step.is_none() {
        Some("the file system, or a table of the kernel, is full: make room")
    } else {
        None
    }
}

/// What to do about it, if known.
fn hint(step: Step, errno: Errno) -> &'static str {
    match (step, errno) {
        (Step::Niceness | Step::Limit, Errno::EPERM | Errno::EACCES) => "only root can exceed its own limits",
        (Step::Groups | Step::Group | Step::User, Errno::EPERM) => {
            "only a daemon that runs as root can run actions as another user"
        }
        (Step::Directory, Errno::EACCES) => "the action's user has no permission to enter it",
        (Step::Directory, Errno::ENOENT) => "create it, or change `cwd`",
        (Step::Execute, Errno::ENOENT) => {
            "check the path, PATH, and the interpreter that its first line (#!) names"
        }
        (Step::Execute, Errno::EACCES) => {
            "it must be executable for the action's user, in a file system that is not mounted noexec"
        }
        (Step::Execute, Errno::ENOEXEC) => {
            "a script needs a first line that names its interpreter, such as #!/bin/sh"
        }
        (Step::Execute, Errno::E2BIG) => "its arguments and `env` together are too long",
        (Step::Execute, Errno::ETXTBSY) => "another process has it open for writing",
        (Step::Execute, Errno::EAGAIN) => "its user has more processes than its `nproc` limit allows",
        (_, _) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_failed_why_and_what_to_do() {
        let error = SpawnError::at(Step::User, "change to user www-data (33)", Errno::EPERM);
        assert_eq!(
            error.to_string(),
            "change to user www-data (33): operation not permitted; only a daemon that runs as root can run \
             actions as another user"
        );
        assert_eq!(error.outcome(), Outcome::NotStarted(error.to_string()));
        assert!(!error.is_prevented());
        let plain = SpawnError::at(Step::Session, "start a session", Errno::EPERM);
        assert_eq!(plain.to_string(), "start a session: operation not permitted");
    }

    #[test]
    fn only_what_the_daemon_or_the_machine_lacks_prevents_a_start() {
        let prevented = |step: Option<Step>, errno: Errno| match step {
            Some(step) => SpawnError::at(step, "create a process", errno).is_prevented(),
            None => SpawnError::preparing("make pipes", &io::Error::from(errno)).is_prevented(),
        };
        let wants = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EAGAIN];
        for errno in wants {
            assert!(prevented(None, errno) && prevented(Some(Step::Clone), errno), "{errno}");
        }
        for errno in [Errno::ENOSPC, Errno::EDQUOT] {
            assert!(prevented(None, errno) && !prevented(Some(Step::Clone), errno), "{errno}");
        }
        for step in Step::IN_CHILD {
            for errno in wants {
                assert_eq!(prevented(Some(step), errno), errno == Errno::ENFILE, "{step:?} {errno}");
            }
        }
        for errno in [Errno::ENOENT, Errno::EACCES, Errno::EPERM, Errno::EROFS] {
            assert!(!prevented(None, errno) && !prevented(Some(Step::Clone), errno), "{errno}");
        }
        assert!(!SpawnError::preparing("make pipes", &io::Error::other("closed")).is_prevented());
        assert!(!SpawnError::held("execute x").is_prevented());
        let error = SpawnError::preparing("make pipes for /bin/sh", &io::Error::from(Errno::EMFILE));
        assert_eq!(
            error.to_string(),
            "make pipes for /bin/sh: too many open files; the daemon has reached its limit of open files: raise \
             LimitNOFILE in its unit (ulimit -n)"
        );
    }
}
