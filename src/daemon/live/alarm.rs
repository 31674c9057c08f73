//! Wakes a live watch at its next deadline. Holds a timer only while there is one.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// A timer that can be set, changed and cleared.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    pub(super) fn set(&mut self, deadline: Option<Instant>) {
        match (deadline.map(tokio::time::Instant::from_std), &mut self.0) {
            (None, sleep) => *sleep = None,
            // One that has fired must fire again if its deadline is still the earliest.
            (Some(deadline), Some(sleep)) if sleep.deadline() == deadline && !sleep.is_elapsed() => {}
            (Some(deadline), Some(sleep)) => sleep.as_mut().reset(deadline),
            (Some(deadline), sleep @ None) => *sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }

    /// Ready once the deadline has passed; never without a deadline.
    pub(super) fn poll_ring(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(context))
    }
}
