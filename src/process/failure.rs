//! Why an action did not start, as a sentence for an operator.

use std::fmt;

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
}

impl SpawnError {
    /// A failure before there was a process.
    pub(super) fn before(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { step: None, what: what.into(), why: why.to_string(), hint: "" }
    }

    /// A step that failed with a system error.
    pub(super) fn at(step: Step, what: impl Into<String>, errno: Errno) -> Self {
        Self { step: Some(step), what: what.into(), why: reason(errno), hint: hint(step, errno) }
    }

    /// The process was stopped, or hung, before it executed its program.
    pub(super) fn held(what: impl Into<String>) -> Self {
        Self {
            step: Some(Step::Held),
            what: what.into(),
            why: "the process was stopped or hung before its program began, and was killed".to_owned(),
            hint: "look for who stops processes of the action's user, and for file systems that hang",
        }
    }

    /// The step that failed, if a process was attempted.
    pub fn step(&self) -> Option<Step> {
        self.step
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

/// What to do about it, if known.
fn hint(step: Step, errno: Errno) -> &'static str {
    match (step, errno) {
        (Step::Clone, Errno::EAGAIN) => {
            "the limit of processes (ulimit -u, pids cgroup, pid_max) was reached"
        }
        (Step::Clone, Errno::ENOMEM) => "no memory is left for another process",
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
        let plain = SpawnError::at(Step::Session, "start a session", Errno::EPERM);
        assert_eq!(plain.to_string(), "start a session: operation not permitted");
    }
}
