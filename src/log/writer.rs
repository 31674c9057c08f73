//! The thread that writes the log: the only one that a slow or dead reader can block.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;
use nix::errno::Errno;

use super::format::Form;
use super::queue::{Generation, Queue};
use super::record::{LogLevel, Record};
use super::remote::Remote;

/// Back-off before a reader that is away is tried again; doubles …
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// An opened destination.
pub(super) enum Sink {
    /// One datagram a record.
    Datagram { socket: UnixDatagram, path: PathBuf, form: Form },
    /// One line a record.
    Stream { stream: Box<dyn Write + Send>, form: Form },
    /// A log server.
    Server(Box<Remote>),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datagram { path, form, .. } => write!(f, "Datagram({}, {form:?})", path.display()),
            Self::Stream { form, .. } => write!(f, "Stream({form:?})"),
            Self::Server(remote) => write!(f, "Server({remote:?})"),
        }
    }
}

/// Starts the writer of a destination, which replaces the current one. The thread ends when it is replaced in turn, or
/// when the queue is closed and empty.
pub(super) fn start(queue: Arc<Queue>, mut sink: Sink) {
    let writer = queue.next_writer();
    let write = move || {
        while let Some(record) = queue.next(writer) {
            match sink.write(&record, || queue.wants(writer)) {
                Ok(()) => tell_losses(&mut sink, &queue, writer),
                Err(_) if queue.wants(writer) => queue.lose(),
                // The next writer has this record too.
                Err(_) => return,
            }
        }
    };
    // If no thread can be started, the queue fills and counts lost messages; the program goes on.
    let _ = thread::Builder::new().name("log".to_owned()).spawn(write);
}

fn tell_losses(sink: &mut Sink, queue: &Queue, writer: Generation) {
    let lost = queue.take_lost();
    if lost > 0 {
        let message = format!("{lost} log messages were lost: the log's reader was away or too slow");
        let time = jiff::Timestamp::now();
        let record = Record { time, level: LogLevel::Warn, message, fields: Vec::new() };
        // If this fails, `lost_in_all` still has the number.
        let _ = sink.write(&record, || queue.wants(writer));
    }
}

impl Sink {
    /// Writes a record, waiting for the reader while the writer is wanted; meanwhile the queue fills.
    fn write(&mut self, record: &Record, wanted: impl Fn() -> bool) -> io::Result<()> {
        let pid = std::process::id();
        match self {
            Self::Datagram { socket, path, form } => {
                let bytes = form.bytes(record, &TimeZone::system(), pid);
                patiently(wanted, may_pass, || socket.send_to(&bytes, &path).map(drop))
            }
            Self::Stream { stream, form } => {
                let bytes = form.bytes(record, &TimeZone::system(), pid);
                let mut rest = bytes.as_slice();
                patiently(wanted, may_pass, || {
                    while !rest.is_empty() {
                        let length = stream.write(rest)?;
                        rest = rest.get(length.max(1)..).unwrap_or_default();
                    }
                    Ok(())
                })
            }
            Self::Server(remote) => {
                let frame = remote.frame(record);
                // The network is down, or the name does not resolve yet: every failure may be temporary.
                patiently(wanted, |_| true, || remote.send(&frame))
            }
        }
    }
}

/// Tries until it works, can never work, or is no longer wanted.
fn patiently(
    wanted: impl Fn() -> bool,
    may_pass: impl Fn(&io::Error) -> bool,
    mut write: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let mut wait = FIRST_WAIT;
    loop {
        match write() {
            Err(error) if may_pass(&error) && wanted() => {
                thread::sleep(wait);
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            done => return done,
        }
    }
}

/// Whether the reader is away or not reading, which ends when it is restarted.
fn may_pass(error: &io::Error) -> bool {
    let passing = [
        Errno::EAGAIN,
        Errno::EINTR,
        Errno::ENOBUFS,
        Errno::ENOMEM,
        Errno::ENOENT,
        Errno::ECONNREFUSED,
        Errno::ECONNRESET,
    ];
    error.raw_os_error().is_some_and(|number| passing.contains(&Errno::from_raw(number)))
}
