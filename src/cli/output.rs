//! Standard output, which its reader may close at any time, as in `twitcher ls / | head -1`.

use std::io::{self, Write};

use super::Failure;

/// Writes text unchanged. If the reader is gone, the command ends quietly with status 0.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Writes bytes unchanged; see [`print()`].
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
