//! When a live watch is to be woken if nothing else happens. It holds a timer only while it has a deadline.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// A timer that can be set, set again and taken back.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    pub(super) fn set(&mut self, deadline: Option<Instant>) {
        match (deadline.map(tokio::time::Instant::from_std), &mut self.0) {
            (None, sleep) => *sleep = None,
            // One that has rung must ring again where its deadline is still the earliest.
            (Some(deadline), Some(sleep)) if sleep.deadline() == deadline && !sleep.is_elapsed() => {}
            (Some(deadline), Some(sleep)) => sleep.as_mut().reset(deadline),
            (Some(deadline), sleep @ None) => *sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }

    /// Ready once the deadline has passed; never where there is none.
    pub(super) fn poll_ring(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(context))
    }
}
