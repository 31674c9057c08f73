//! Bounds of what a server may make this client hold or do. Not part of the published crate: see PATCHES.md.

use std::time::{Duration, Instant};

use super::depot::Depot;
use super::types::WatchedEvent;
use crate::error::Error;

/// Bytes of one answer. The largest is that to a request for 64 nodes of 1 MiB each, a server's default `jute.maxbuffer`; the
/// rest is a margin.
const MOST_FRAME: usize = 72 << 20;

/// Events per second. No server writes nearly as fast.
const EVENTS_PER_SECOND: u32 = 100_000;

/// Bytes of events that wait in one persistent watcher.
const MOST_QUEUED: usize = 16 << 20;

/// Requests in flight above which none is made in response to an event.
pub const MOST_REQUESTS: usize = 10_000;

/// The least time between two attempts to connect.
pub const CONNECTION_INTERVAL: Duration = Duration::from_millis(200);

/// Fails if the frame that begins here is too large. An answer to a read may be, and costs only the connection; any other
/// frame of that size closes the session.
pub fn check_frame(reading: &[u8], depot: &Depot) -> Result<(), Error> {
    let Some(bytes) = reading.get(..4) else { return Ok(()) };
    let announced = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    if usize::try_from(announced).is_ok_and(|announced| announced <= MOST_FRAME) || announced == -1 {
        return Ok(());
    }
    let Some(bytes) = reading.get(4..8) else { return Ok(()) };
    let xid = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let message = format!("the server announces an answer of {announced} bytes, and at most {MOST_FRAME} are read");
    if depot.is_pending_read(xid) {
        return Err(Error::with_message(message));
    }
    Err(Error::BoundExceeded(message))
}

/// Memory that an event takes while it waits.
pub fn queued_bytes(path: &str) -> usize {
    size_of::<WatchedEvent>() + path.len()
}

/// Fails if the events that wait take more memory than a watcher may hold.
pub fn check_queue(bytes: usize) -> Result<(), Error> {
    if bytes <= MOST_QUEUED {
        return Ok(());
    }
    Err(Error::BoundExceeded(format!(
        "the server sends events faster than they are handled: more than {MOST_QUEUED} bytes of them wait"
    )))
}

/// Counts the events of the current second.
#[derive(Default)]
pub struct EventRate {
    since: Option<Instant>,
    events: u32,
}

impl EventRate {
    /// Counts one event; fails if there are too many.
    pub fn count(&mut self, now: Instant) -> Result<(), Error> {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            self.since = Some(now);
            self.events = 0;
        }
        self.events += 1;
        if self.events <= EVENTS_PER_SECOND {
            return Ok(());
        }
        Err(Error::BoundExceeded(format!("the server sends more than {EVENTS_PER_SECOND} events a second")))
    }
}
