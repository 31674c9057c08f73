//! Where an action's output goes: through the gate to the log. Includes output that processes which the action left
//! running write after its end.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::net::unix::pipe;

use super::lines::{Allowance, LineGate};
use crate::watch::{RunId, WatchName};

/// Output pipes of ended runs whose lines a watch still logs. Output of further pipes is read and discarded.
const MOST_LOGGED: usize = 64;
/// Bytes of one read(2).
const CHUNK: usize = 16 * 1024;
/// Reads before the task yields.
const READS_IN_A_ROW: usize = 16;

/// Receives the output of one run.
pub struct OutputSink {
    gate: LineGate,
    emit: Box<dyn FnMut(&str) + Send>,
    leftovers: Leftovers,
    /// Set when the output is to be read and discarded.
    muted: Arc<AtomicBool>,
}

impl OutputSink {
    /// Hands each line, fit for a log, to `emit`.
    pub fn new(leftovers: &Leftovers, emit: impl FnMut(&str) + Send + 'static) -> Self {
        Self {
            gate: LineGate::new(Arc::clone(&leftovers.allowance)),
            emit: Box::new(emit),
            leftovers: leftovers.clone(),
            muted: Arc::default(),
        }
    }

    /// Logs each line with the names of its watch and run.
    pub fn to_log(leftovers: &Leftovers, watch: &WatchName, run: &RunId) -> Self {
        let (watch, run) = (watch.clone(), run.clone());
        Self::new(leftovers, move |line| {
            tracing::info!(target: "twitcher::output", watch = %watch, run = %run, "{line}");
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if !self.muted.load(Ordering::Relaxed) {
            self.gate.feed(bytes, Instant::now(), &mut self.emit);
        }
    }

    /// At the end of the run: logs an unfinished line, and returns the last lines for the history.
    pub(super) fn finish(&mut self) -> String {
        self.gate.finish(Instant::now(), &mut self.emit);
        self.gate.tail()
    }

    /// Goes on reading a pipe that somebody still holds after the run's end: a service that the action started
    /// must neither block on a full pipe nor be ended by SIGPIPE. Nothing waits for it.
    pub(super) fn linger(mut self, mut pipe: pipe::Receiver) {
        self.leftovers.add(Leftover(Arc::clone(&self.muted)));
        tokio::spawn(async move {
            while drain(&mut pipe, &mut self).await == Drained::Open {}
            self.finish();
        });
    }
}

impl fmt::Debug for OutputSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputSink").field("gate", &self.gate).finish_non_exhaustive()
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
pub(super) enum Drained {
    /// Somebody can still write.
    Open,
    /// No writer is left.
    Closed,
}

/// Waits for output and takes some of it.
pub(super) async fn drain(pipe: &mut pipe::Receiver, sink: &mut OutputSink) -> Drained {
    if pipe.readable().await.is_err() {
        return Drained::Closed;
    }
    let drained = take(sink, READS_IN_A_ROW, |buffer| pipe.try_read(buffer));
    // A writer that is as fast as this reader would keep the task from ever waiting.
    tokio::task::consume_budget().await;
    drained
}

/// Takes what is in the pipe now and not more than fits in one, however fast others go on writing.
pub(super) fn drain_now(pipe: &pipe::Receiver, sink: &mut OutputSink) -> Drained {
    // Past tokio's readiness, which may not have heard yet of what was written just before the end.
    // A pipe holds at most 1 MiB unless root says otherwise (pipe(7), pipe-max-size).
    take(sink, 1024 * 1024 / CHUNK, |buffer| Ok(nix::unistd::read(pipe, buffer)?))
}

fn take(
    sink: &mut OutputSink,
    reads: usize,
    mut read: impl FnMut(&mut [u8]) -> std::io::Result<usize>,
) -> Drained {
    // On the worker's stack, so that a quiet run holds no buffer.
    let mut buffer = [0u8; CHUNK];
    for _ in 0..reads {
        match read(&mut buffer) {
            Ok(0) => return Drained::Closed,
            Ok(length) => sink.write(buffer.get(..length).unwrap_or_default()),
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
                let emit = move |_: &str| logged.lock().unwrap().extend([number]);
                OutputSink::new(&leftovers, emit).linger(read);
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
