//! The log: syslog, a log server, journald, standard error as text or JSON; and the escaping that makes text from
//! outside safe to read ([`escape`]).
//!
//! Messages come from `tracing`, go into a bounded queue, and are written by a thread of their own, so that a dead or
//! slow reader never blocks a thread that logs. Messages that do not fit into the queue are counted, and the count is
//! logged when there is room again. Events carry their subject in fields: `watch`, `run`, `version`, `reason`,
//! `attempt`, `outcome`, `exit_code`, `seconds`, `file`, and `stream` for a line of an action's output.
//!
//! ```
//! # let (watch, run) = ("git", "a1-1-1");
//! tracing::info!(watch = %watch, run = %run, outcome = "failed", "the action exited with 3");
//! ```

mod destination;
pub mod escape;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lookup;
mod queue;
mod record;
mod remote;
mod rfc5424;
mod server;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::reload;

pub use destination::{Destination, Settings, UnknownDestination};
pub use record::{LogLevel, UnknownLevel};
pub use server::{InvalidLogServer, LogServer, Transport};

use queue::Queue;
use record::Record;

/// How long shutdown waits for a reader.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// The log was set up twice in one process.
#[derive(Debug, thiserror::Error)]
#[error("the log of this process is already set up")]
pub struct AlreadySetUp;

/// Controls the log. When it is dropped at exit, it waits up to a second until everything is written.
#[derive(Debug)]
#[must_use = "the guard waits for what is still in the queue; without it that is lost with the process"]
pub struct LogHandle {
    queue: Arc<Queue>,
    level: reload::Handle<Targets, Registry>,
}

/// Sets up the log of this process, and logs panics too.
pub fn init(settings: &Settings) -> Result<LogHandle, AlreadySetUp> {
    let (subscriber, guard) = subscriber(settings);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadySetUp)?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, "a bug in twitcher: {message}");
    }));
    Ok(guard)
}

/// A log that is not installed for the process: for tests, and for programs that have a log of their own.
pub fn subscriber(settings: &Settings) -> (impl Subscriber + Send + Sync + use<>, LogHandle) {
    let queue = Arc::new(Queue::new());
    writer::start(Arc::clone(&queue), settings.open());
    let (filter, level) = reload::Layer::new(admitted(settings.level));
    let subscriber = tracing_subscriber::registry().with(filter).with(ToQueue(Arc::clone(&queue)));
    (subscriber, LogHandle { queue, level })
}

impl LogHandle {
    /// Applies other settings. Messages that are not written yet go to the new destination.
    pub fn apply(&self, settings: &Settings) {
        writer::start(Arc::clone(&self.queue), settings.open());
        // Fails only if the subscriber is gone; then there is nothing to filter.
        let _ = self.level.reload(admitted(settings.level));
    }

    /// How many messages were lost since the start because the reader was dead or slow.
    pub fn lost(&self) -> u64 {
        self.queue.lost_in_all()
    }

    /// Waits at most this long until everything is written; whether it is.
    pub fn flush(&self, limit: Duration) -> bool {
        self.queue.flush(limit)
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        self.queue.close();
        self.queue.flush(FLUSH_LIMIT);
    }
}

/// Our messages from the chosen level on. Libraries log less: their failures come back to us as errors, which we log
/// once, in our own words.
fn admitted(level: LogLevel) -> Targets {
    let (ours, theirs) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::ERROR),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::ERROR),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::INFO),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    Targets::new().with_default(theirs).with_target("twitcher", ours)
}

struct ToQueue(Arc<Queue>);

impl<S: Subscriber> Layer<S> for ToQueue {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.push(Record::of(event, jiff::Timestamp::now()));
    }
}
