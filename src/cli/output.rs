//! Standard output that may be closed by its reader at any moment, as in `twitcher ls / | head -1`.

use std::io::{self, Write};

use super::Failure;

/// Writes text as it is. A reader that has gone ends the command quietly, with status 0: it had enough.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Writes bytes as they are; see [`print()`].
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::silent(0)
        } else {
            Failure::new(format!("cannot write to standard output: {error}"))
        }
    })
}
