//! The bounded queue between the threads that log and the thread that writes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record::Record;

/// Most bytes that may wait for a slow reader.
const MOST_BYTES: usize = 1024 * 1024;

/// The number of a writer. Every change of the destination starts a new writer, because its reader may block the old one
/// forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Generation(u64);

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    /// Taken by the writer and not yet written.
    in_hand: Option<Arc<Record>>,
    closed: Option<Instant>,
    generation: Generation,
    /// Lost and not yet reported.
    lost: u64,
    lost_in_all: u64,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Wakes the writer: a record was added, or the queue was closed.
    came: Condvar,
    /// Wakes flushes: the last record was written.
    written: Condvar,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record, or counts it as lost. Never waits for the writer.
    pub(super) fn push(&self, record: Record) {
        let size = record.size();
        let mut state = self.lock();
        if state.bytes + size > MOST_BYTES {
            state.lose();
        } else {
            state.bytes += size;
            state.records.push_back(Arc::new(record));
            drop(state);
            self.came.notify_all();
        }
    }

    /// Replaces the writer; the new one begins with the record that the old one has not written yet.
    pub(super) fn next_writer(&self) -> Generation {
        let mut state = self.lock();
        state.generation.0 += 1;
        if let Some(record) = state.in_hand.take() {
            state.bytes += record.size();
            state.records.push_front(record);
        }
        self.came.notify_all();
        state.generation
    }

    /// For a writer: whether to keep trying, because it was not replaced and the program is not about to exit.
    pub(super) fn wants(&self, writer: Generation) -> bool {
        let state = self.lock();
        state.generation == writer && state.closed.is_none_or(|since| since.elapsed() < super::FLUSH_LIMIT)
    }

    /// For a writer: waits for the next record. `None`: the writer was replaced, or the queue is closed and empty.
    pub(super) fn next(&self, writer: Generation) -> Option<Arc<Record>> {
        let mut state = self.lock();
        if state.generation == writer {
            state.in_hand = None;
            if state.records.is_empty() {
                self.written.notify_all();
            }
        }
        loop {
            if state.generation != writer {
                return None;
            }
            if let Some(record) = state.records.pop_front() {
                state.bytes -= record.size();
                state.in_hand = Some(Arc::clone(&record));
                return Some(record);
            }
            if state.closed.is_some() {
                return None;
            }
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// For the writer: counts a record that could not be written.
    pub(super) fn lose(&self) {
        self.lock().lose();
    }

    /// For the writer: how many records were lost since the last call.
    pub(super) fn take_lost(&self) -> u64 {
        std::mem::take(&mut self.lock().lost)
    }

    /// Closes the queue: no more records follow.
    pub(super) fn close(&self) {
        self.lock().closed = Some(Instant::now());
        self.came.notify_all();
    }

    pub(super) fn lost_in_all(&self) -> u64 {
        self.lock().lost_in_all
    }

    /// Waits at most this long until everything is written; whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        while state.in_hand.is_some() || !state.records.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (state, _) = self.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

impl State {
    fn lose(&mut self) {
        self.lost += 1;
        self.lost_in_all += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogLevel;

    fn record(number: usize) -> Record {
        let message = format!("{number:0>1000}");
        Record { time: jiff::Timestamp::UNIX_EPOCH, level: LogLevel::Info, message, fields: Vec::new() }
    }

    #[test]
    fn records_that_do_not_fit_are_counted_and_the_rest_stay_in_order() {
        let queue = Queue::new();
        let writer = queue.next_writer();
        for number in 0..5000 {
            queue.push(record(number));
        }
        let lost = queue.take_lost();
        assert_eq!((queue.take_lost(), queue.lost_in_all()), (0, lost));
        assert!(!queue.flush(Duration::ZERO));
        queue.close();
        let kept: Vec<Arc<Record>> = std::iter::from_fn(|| queue.next(writer)).collect();
        assert_eq!(kept.len() as u64 + lost, 5000);
        assert!(kept.len() > 800 && kept.len() * 1000 < MOST_BYTES, "{}", kept.len());
        assert!(kept.into_iter().enumerate().all(|(number, kept)| *kept == record(number)));
        assert!(queue.flush(Duration::ZERO));
    }

    #[test]
    fn a_replaced_writer_passes_its_record_to_the_next() {
        let queue = Queue::new();
        let first = queue.next_writer();
        queue.push(record(1));
        queue.push(record(2));
        assert_eq!(*queue.next(first).unwrap(), record(1));
        assert!(queue.wants(first));
        let second = queue.next_writer();
        assert!(!queue.wants(first) && queue.wants(second));
        assert_eq!(queue.next(first), None);
        assert_eq!(*queue.next(second).unwrap(), record(1));
        assert_eq!(*queue.next(second).unwrap(), record(2));
    }
}
