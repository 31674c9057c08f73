//! Where an action's output goes: through the gate to the log. Includes output that processes which the action left
//! running write after its end.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::net::unix::pipe;

use super::kept::Kept;
use super::lines::{Allowance, LineGate};
use crate::watch::{RunId, WatchName};

/// Output pipes of ended runs whose lines a watch still logs. Output of further pipes is read and discarded.
const MOST_LOGGED: usize = 64;
/// Bytes of one read(2).
const CHUNK: usize = 16 * 1024;
/// Reads before the task yields.
const READS_IN_A_ROW: usize = 16;

/// Which of its two outputs an action wrote into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Stream {
    pub(super) const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The word of the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The descriptor's number.
    pub(super) fn number(self) -> i32 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }
}

/// Takes a line of one of the streams.
type Emit = Box<dyn FnMut(Stream, &str) + Send>;

/// Receives the output of one run.
pub struct OutputSink {
    /// One for each stream: each has lines of its own.
    stdout: LineGate,
    stderr: LineGate,
    kept: Kept,
    emit: Emit,
    leftovers: Leftovers,
    /// The watch and the run whose output it is.
    names: Option<(WatchName, RunId)>,
    /// Set when the output is to be read and discarded.
    muted: Arc<AtomicBool>,
}

impl OutputSink {
    /// Hands each line, fit for a log, to `emit`.
    pub fn new(leftovers: &Leftovers, emit: impl FnMut(Stream, &str) + Send + 'static) -> Self {
        Self {
            stdout: LineGate::new(Arc::clone(&leftovers.allowance)),
            stderr: LineGate::new(Arc::clone(&leftovers.allowance)),
            kept: Kept::default(),
            emit: Box::new(emit),
            leftovers: leftovers.clone(),
            names: None,
            muted: Arc::default(),
        }
    }

    /// Logs each line with the names of its watch, run and stream.
    pub fn to_log(leftovers: &Leftovers, watch: &WatchName, run: &RunId) -> Self {
        let names = Some((watch.clone(), run.clone()));
        let (watch, run) = (watch.clone(), run.clone());
        let sink = Self::new(leftovers, move |stream, line| {
            let stream = stream.word();
            tracing::info!(target: "twitcher::output", watch = %watch, run = %run, stream, "{line}");
        });
        Self { names, ..sink }
    }

    /// The watch and the run whose output goes to the log.
    pub(super) fn names(&self) -> Option<&(WatchName, RunId)> {
        self.names.as_ref()
    }

    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if !self.muted.load(Ordering::Relaxed) {
            self.kept.add(bytes);
            let Self { stdout, stderr, emit, .. } = self;
            let gate = match stream {
                Stream::Stdout => stdout,
                Stream::Stderr => stderr,
            };
            gate.feed(bytes, Instant::now(), &mut |line| emit(stream, line));
        }
    }

    /// At the end of the run: logs unfinished lines, and returns the last lines for the history.
    pub(super) fn finish(&mut self) -> String {
        let Self { stdout, stderr, emit, .. } = self;
        stdout.finish(Instant::now(), &mut |line| emit(Stream::Stdout, line));
        stderr.finish(Instant::now(), &mut |line| emit(Stream::Stderr, line));
        std::mem::take(&mut self.kept).text()
    }

    /// Goes on reading pipes that somebody still holds after the run's end: a service that the action started
    /// must neither block on a full pipe nor be ended by SIGPIPE. Nothing waits for it.
    pub(super) fn linger(mut self, mut pipes: Pipes) {
        self.leftovers.add(Leftover(Arc::clone(&self.muted)));
        tokio::spawn(async move {
            while !pipes.are_closed() {
                pipes.drain(&mut self).await;
                // What is read now belongs to no run's record.
                self.kept = Kept::default();
            }
            self.finish();
        });
    }
}

/// Our ends of the pipes that a run writes into.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    pub(super) stdout: Option<pipe::Receiver>,
    pub(super) stderr: Option<pipe::Receiver>,
}

impl Pipes {
    /// Of one stream alone.
    pub(super) fn only(stream: Stream, pipe: pipe::Receiver) -> Self {
        match stream {
            Stream::Stdout => Self { stdout: Some(pipe), stderr: None },
            Stream::Stderr => Self { stdout: None, stderr: Some(pipe) },
        }
    }

    fn of(&mut self, stream: Stream) -> &mut Option<pipe::Receiver> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Whether nobody can write into any of them.
    pub(super) fn are_closed(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// Waits for output and takes some of it. Never resolves when all are closed.
    pub(super) async fn drain(&mut self, sink: &mut OutputSink) {
        let (stream, ready) = tokio::select! {
            ready = readable(self.stdout.as_ref()) => (Stream::Stdout, ready),
            ready = readable(self.stderr.as_ref()) => (Stream::Stderr, ready),
        };
        let pipe = self.of(stream);
        let drained = match pipe {
            Some(pipe) if ready.is_ok() => take(stream, sink, READS_IN_A_ROW, |buffer| pipe.try_read(buffer)),
            Some(_) | None => Drained::Closed,
        };
        if drained == Drained::Closed {
            *pipe = None;
        }
        // A writer that is as fast as this reader would keep the task from ever waiting.
        tokio::task::consume_budget().await;
    }

    /// Takes what is in the pipes now and not more than fits in them, however fast others go on writing.
    pub(super) fn drain_now(&mut self, sink: &mut OutputSink) {
        for stream in Stream::BOTH {
            let pipe = self.of(stream);
            // Past tokio's readiness, which may not have heard yet of what was written just before the end.
            // A pipe holds at most 1 MiB unless root says otherwise (pipe(7), pipe-max-size).
            pipe.take_if(|pipe| {
                let reads = 1024 * 1024 / CHUNK;
                take(stream, sink, reads, |buffer| Ok(nix::unistd::read(&*pipe, buffer)?)) == Drained::Closed
            });
        }
    }
}

async fn readable(pipe: Option<&pipe::Receiver>) -> std::io::Result<()> {
    match pipe {
        Some(pipe) => pipe.readable().await,
        None => std::future::pending().await,
    }
}

impl fmt::Debug for OutputSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputSink").field("kept", &self.kept).finish_non_exhaustive()
    }
}

/// Shared by the outputs of all runs of a watch: the log allowance, and the outputs of ended runs that are still open.
/// All of those are read until they close; beyond 64, the oldest are no longer logged. One for each watch, kept as long
/// as the watch.
#[derive(Debug, Clone, Default)]
pub struct Leftovers {
    allowance: Arc<Mutex<Allowance>>,
    logged: Arc<Mutex<VecDeque<Leftover>>>,
}

/// An output that is still read after its run's end: the mute flag shared with its reader.
#[derive(Debug)]
struct Leftover(Arc<AtomicBool>);

impl Leftover {
    /// Whether its reader has finished, because no process holds the pipe.
    fn is_over(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Leftovers {
    fn add(&self, leftover: Leftover) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|leftover| !leftover.is_over());
        logged.push_back(leftover);
        while logged.len() > MOST_LOGGED {
            if let Some(Leftover(muted)) = logged.pop_front() {
                muted.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// What a read left in the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    /// Somebody can still write.
    Open,
    /// No writer is left.
    Closed,
}

fn take(
    stream: Stream,
    sink: &mut OutputSink,
    reads: usize,
    mut read: impl FnMut(&mut [u8]) -> std::io::Result<usize>,
) -> Drained {
    // On the worker's stack, so that a quiet run holds no buffer.
    let mut buffer = [0u8; CHUNK];
    for _ in 0..reads {
        match read(&mut buffer) {
            Ok(0) => return Drained::Closed,
            Ok(length) => sink.write(stream, buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Drained::Open,
            Err(_) => return Drained::Closed,
        }
    }
    Drained::Open
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    /// Writes more than a pipe holds.
    async fn talk(pipe: pipe::Sender) {
        let mut left = 256 << 10;
        while left > 0 {
            pipe.writable().await.unwrap();
            match pipe.try_write(&[b'\n'; 4096]) {
                Ok(written) => left -= written.min(left),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    }

    #[tokio::test]
    async fn all_leftover_outputs_are_read_but_only_the_newest_are_logged() {
        let leftovers = Leftovers::default();
        let logged: Arc<Mutex<BTreeSet<usize>>> = Arc::default();
        let (muted, all) = (6, MOST_LOGGED + 6);
        let services: Vec<pipe::Sender> = (0..all)
            .map(|number| {
                let (write, read) = pipe::pipe().unwrap();
                let logged = Arc::clone(&logged);
                let emit = move |_, _: &str| logged.lock().unwrap().extend([number]);
                OutputSink::new(&leftovers, emit).linger(Pipes::only(Stream::Stdout, read));
                write
            })
            .collect();
        for service in services {
            let talked = tokio::time::timeout(Duration::from_mins(1), talk(service)).await;
            assert!(talked.is_ok(), "it blocks on a full pipe");
        }
        let newest: BTreeSet<usize> = (muted..all).collect();
        while *logged.lock().unwrap() != newest {
            tokio::task::yield_now().await;
        }
        assert!(leftovers.logged.lock().unwrap().len() <= MOST_LOGGED);
    }
}
