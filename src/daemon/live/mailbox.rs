//! Where a live watch finds what it is told. Small, because there are thousands of them, each almost always
//! empty: a channel of tokio keeps room for 32 messages from the start.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Messages in order, from many to one.
pub(super) struct Mailbox<T> {
    /// `None` when nobody is there to take them any more.
    waiting: Mutex<Option<VecDeque<T>>>,
    filled: Notify,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { waiting: Mutex::new(Some(VecDeque::new())), filled: Notify::new() }
    }
}

impl<T> Mailbox<T> {
    /// Puts a message, which is dropped where nobody will take it: who waits for an answer to it is told so.
    pub(super) fn put(&self, message: T) {
        if let Some(waiting) = &mut *self.waiting() {
            waiting.push_back(message);
            self.filled.notify_one();
        }
    }

    /// Drops what waits and whatever is put from now on.
    fn close(&self) {
        let waiting = self.waiting().take();
        // Not under the lock: what is dropped may wake whoever asked.
        drop(waiting);
    }

    fn waiting(&self) -> MutexGuard<'_, Option<VecDeque<T>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a message and takes it. Nothing is lost where the future is dropped.
    pub(super) async fn take(&self) -> T {
        loop {
            if let Some(message) = self.try_take() {
                return message;
            }
            self.filled.notified().await;
        }
    }

    fn try_take(&self) -> Option<T> {
        let mut waiting = self.waiting();
        let waiting = waiting.as_mut()?;
        let message = waiting.pop_front();
        if waiting.is_empty() {
            waiting.shrink_to_fit();
        }
        message
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
        tokio::select! {
            biased;
            _ = mailbox.take() => panic!("nothing was put"),
            () = std::future::ready(()) => {}
        }
        mailbox.put(1);
        mailbox.put(2);
        assert_eq!((mailbox.take().await, mailbox.take().await), (1, 2));
        let (late, ()) = tokio::join!(mailbox.take(), async { mailbox.put(3) });
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
