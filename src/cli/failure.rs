//! The failure of a command: one message, one exit status.

use std::process::ExitCode;

use crate::log::escape;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    message: Option<String>,
    status: u8,
}

impl Failure {
    /// Exit status 1. The message says what was tried, on what, why it failed and what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), status: 1 }
    }

    /// An exit status that the command documents.
    pub(super) fn with_status(status: u8, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), status }
    }

    /// Exit status 2: the arguments make no sense together.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), status: 2 }
    }

    /// Whether the command line asks for something that makes no sense.
    pub(super) fn is_usage(&self) -> bool {
        self.status == 2
    }

    /// Exit status 128 plus the number of the signal that ended it, as in a shell.
    pub fn signalled(number: i32, message: impl Into<String>) -> Self {
        let status = u8::try_from(number).unwrap_or(0).saturating_add(128);
        Self { message: Some(message.into()), status }
    }

    /// Exits with this status and no message: everything was printed, or the reader is gone.
    pub fn silent(status: u8) -> Self {
        Self { message: None, status }
    }

    /// The same with an addition.
    #[must_use]
    pub(super) fn and(mut self, more: &str) -> Self {
        self.message = self.message.map(|message| format!("{message}; {more}"));
        self
    }

    /// The same with the command's purpose before it: `read /k`. Wrong usage stays as it is.
    #[must_use]
    pub(super) fn to(mut self, purpose: &str) -> Self {
        if self.status != 2 {
            self.message = self.message.map(|message| {
                let why = message.strip_prefix(purpose).and_then(|rest| rest.strip_prefix(": "));
                format!("cannot {purpose}: {}", why.unwrap_or(&message))
            });
        }
        self
    }

    pub(super) fn report(self) -> ExitCode {
        if let Some(message) = self.message {
            use std::io::Write;
            // Standard error may be closed; the exit status is still right.
            let _ = writeln!(std::io::stderr().lock(), "twitcher: {}", escape::lines(&message));
        }
        ExitCode::from(self.status)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message.as_deref().unwrap_or_default())
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Self::new(error.to_string())
    }
}
