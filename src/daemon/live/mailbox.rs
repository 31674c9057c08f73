//! Where a live watch finds what it is told. Small, because there are thousands of them, each almost always
//! empty: a channel of tokio keeps room for 32 messages from the start.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Messages in order, from many to one.
pub(super) struct Mailbox<T> {
    waiting: Mutex<VecDeque<T>>,
    filled: Notify,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), filled: Notify::new() }
    }
}

impl<T> Mailbox<T> {
    pub(super) fn put(&self, message: T) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(message);
        self.filled.notify_one();
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
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let message = waiting.pop_front();
        if waiting.is_empty() {
            waiting.shrink_to_fit();
        }
        message
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
}
