//! How a run ended.

use std::fmt;

/// A signal's number, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalNumber(pub i32);

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It exited by itself with this code, 0 to 255.
    Exited(i32),
    /// A signal ended it that the daemon did not send for reasons of its own.
    Killed(SignalNumber),
    /// It exceeded its `timeout` and was ended; the details are kept for people.
    TimedOut {
        /// The exit code, if TERM made it exit by itself.
        exit_code: Option<i32>,
        /// Otherwise the signal that ended it.
        signal: Option<SignalNumber>,
    },
    /// It never started: what was tried and why it failed, as one sentence.
    NotStarted(String),
    /// It ended while nothing could collect its status: an adopted run, or one lost with the machine.
    Unknown,
}

/// What an outcome means to the policy of its watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The state was applied.
    Succeeded,
    /// The state was not applied: retry.
    Failed,
    /// Unknown: the run is repeated as a recovery.
    Unknown,
}

impl Outcome {
    /// Judges the outcome by the watch's `success_codes`.
    pub fn verdict(&self, success_codes: &[i32]) -> Verdict {
        match self {
            Self::Exited(code) if success_codes.contains(code) => Verdict::Succeeded,
            Self::Exited(_) | Self::Killed(_) | Self::TimedOut { .. } | Self::NotStarted(_) => {
                Verdict::Failed
            }
            Self::Unknown => Verdict::Unknown,
        }
    }

    /// The word in `status --json`: succeeded, failed, killed, `timed_out`, `not_started` or unknown.
    pub fn word(&self, success_codes: &[i32]) -> &'static str {
        match self {
            Self::Exited(code) if success_codes.contains(code) => "succeeded",
            Self::Exited(_) => "failed",
            Self::Killed(_) => "killed",
            Self::TimedOut { .. } => "timed_out",
            Self::NotStarted(_) => "not_started",
            Self::Unknown => "unknown",
        }
    }

    /// The exit code, if any.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(*code),
            Self::TimedOut { exit_code, .. } => *exit_code,
            Self::Killed(_) | Self::NotStarted(_) | Self::Unknown => None,
        }
    }

    /// The signal that ended the run, if any.
    pub fn signal(&self) -> Option<SignalNumber> {
        match self {
            Self::Killed(signal) => Some(*signal),
            Self::TimedOut { signal, .. } => *signal,
            Self::Exited(_) | Self::NotStarted(_) | Self::Unknown => None,
        }
    }
}

impl fmt::Display for SignalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(signal) => f.write_str(signal.as_str()),
            Err(_) => write!(f, "signal {}", self.0),
        }
    }
}
