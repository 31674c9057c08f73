//! The thread that writes: the only one that a reader can hold.

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

/// The wait before a reader that is not there is tried again; doubles …
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// An opened destination.
pub(super) enum Sink {
    /// One datagram a record.
    Datagram { socket: UnixDatagram, path: PathBuf, form: Form },
    /// One line a record.
    Stream { stream: Box<dyn Write + Send>, form: Form },
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datagram { path, form, .. } => write!(f, "Datagram({}, {form:?})", path.display()),
            Self::Stream { form, .. } => write!(f, "Stream({form:?})"),
        }
    }
}

/// Starts the thread for a destination, in place of the one before. It ends when it is replaced, or the
/// queue is closed and empty.
pub(super) fn start(queue: Arc<Queue>, mut sink: Sink) {
    let writer = queue.next_writer();
    let write = move || {
        while let Some(record) = queue.next(writer) {
            match sink.write(&record, || queue.wants(writer)) {
                Ok(()) => tell_losses(&mut sink, &queue, writer),
                Err(_) if queue.wants(writer) => queue.lose(),
                // The writer that took this one's place has the record too.
                Err(_) => return,
            }
        }
    };
    // Without a thread the queue fills and counts: the program is not stopped by its log.
    let _ = thread::Builder::new().name("log".to_owned()).spawn(write);
}

fn tell_losses(sink: &mut Sink, queue: &Queue, writer: Generation) {
    let lost = queue.take_lost();
    if lost > 0 {
        let message = format!("{lost} log messages were lost: the log's reader was away or too slow");
        let time = jiff::Timestamp::now();
        let record = Record { time, level: LogLevel::Warn, message, fields: Vec::new() };
        // Where it fails, the whole number is still to be seen in `lost_in_all`.
        let _ = sink.write(&record, || queue.wants(writer));
    }
}

impl Sink {
    /// Writes a record, waiting for a reader as long as it takes: meanwhile the queue fills.
    fn write(&mut self, record: &Record, wanted: impl Fn() -> bool) -> io::Result<()> {
        let pid = std::process::id();
        match self {
            Self::Datagram { socket, path, form } => {
                let bytes = form.bytes(record, &TimeZone::system(), pid);
                patiently(wanted, || socket.send_to(&bytes, &path).map(drop))
            }
            Self::Stream { stream, form } => {
                let bytes = form.bytes(record, &TimeZone::system(), pid);
                let mut rest = bytes.as_slice();
                patiently(wanted, || {
                    while !rest.is_empty() {
                        let length = stream.write(rest)?;
                        rest = rest.get(length.max(1)..).unwrap_or_default();
                    }
                    Ok(())
                })
            }
        }
    }
}

/// Tries until it works, can never work, or is not wanted any more.
fn patiently(wanted: impl Fn() -> bool, mut write: impl FnMut() -> io::Result<()>) -> io::Result<()> {
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

/// Nobody there, nobody there yet, or nobody reading: a log daemon that is started again ends all of it.
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
