//! The event queue of a live watch. Small, because there are thousands, almost always empty: a tokio channel allocates
//! room for 32 messages from the start.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Messages in order, from many senders to one receiver.
pub(super) struct Mailbox<T>(Mutex<Inside<T>>);

struct Inside<T> {
    /// `None` while it is empty, as almost always.
    #[expect(clippy::box_collection, reason = "an empty deque takes four words, times ten thousand watches")]
    waiting: Option<Box<VecDeque<T>>>,
    /// The receiver is gone.
    closed: bool,
    reader: Option<Waker>,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self(Mutex::new(Inside { waiting: None, closed: false, reader: None }))
    }
}

impl<T> Mailbox<T> {
    /// Adds a message, or drops it if the receiver is gone: then the sender's channel for the answer closes.
    pub(super) fn put(&self, message: T) {
        let reader = {
            let mut inside = self.inside();
            if inside.closed {
                drop(inside);
                return drop(message);
            }
            inside.waiting.get_or_insert_default().push_back(message);
            inside.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Takes a message, or wakes the task as soon as there is one.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<T> {
        let mut inside = self.inside();
        let Some(message) = inside.waiting.as_mut().and_then(|waiting| waiting.pop_front()) else {
            inside.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        inside.waiting.take_if(|waiting| waiting.is_empty());
        Poll::Ready(message)
    }

    /// Drops waiting messages, and all further ones.
    pub(super) fn close(&self) {
        let waiting = {
            let mut inside = self.inside();
            inside.closed = true;
            inside.waiting.take()
        };
        // Not under the lock: dropping a message may wake its sender.
        drop(waiting);
    }

    fn inside(&self) -> MutexGuard<'_, Inside<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a mailbox when its reader ends, however it ends.
pub(super) struct Reader<T>(pub(super) Arc<Mailbox<T>>);

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_in_order_and_survive_a_dropped_wait() {
        let mailbox = Mailbox::default();
        let take = || std::future::poll_fn(|context| mailbox.poll_take(context));
        tokio::select! {
            biased;
            _ = take() => panic!("nothing was put"),
            () = std::future::ready(()) => {}
        }
        mailbox.put(1);
        mailbox.put(2);
        assert_eq!((take().await, take().await), (1, 2));
        let (late, ()) = tokio::join!(take(), async { mailbox.put(3) });
        assert_eq!(late, 3);
    }

    #[tokio::test]
    async fn what_nobody_will_read_is_dropped() {
        let mailbox = Arc::new(Mailbox::default());
        let reader = Reader(Arc::clone(&mailbox));
        let [(before, answered_before), (after, answered_after)] =
            [(); 2].map(|()| tokio::sync::oneshot::channel::<()>());
        mailbox.put(before);
        drop(reader);
        mailbox.put(after);
        assert!(answered_before.await.is_err() && answered_after.await.is_err());
    }
}
