//! The polls of one tree: the one in flight, and when the next is due.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::store::zookeeper::poll::{PollAnswer, interval};

/// Nodes that were polled, by their places in the tree; without those whose poll failed.
pub(super) type Polled = Vec<(Arc<str>, PollAnswer)>;

/// The polls of one tree.
pub(super) struct Polls {
    pub(super) in_flight: Option<BoxFuture<'static, Polled>>,
    /// When the next batch is due.
    pub(super) next: Instant,
    /// The last place of the batch before.
    pub(super) last: Option<Arc<str>>,
}

impl Polls {
    /// The first batch follows a walk, at a moment that differs between trees and hosts.
    pub(super) fn new() -> Self {
        Self { in_flight: None, next: Instant::now() + interval(0).mul_f64(fastrand::f64()), last: None }
    }
}

/// The poll in flight; pending forever while there is none.
pub(super) async fn in_flight(polls: &mut Polls) -> Polled {
    match &mut polls.in_flight {
        Some(polling) => {
            let polled = polling.await;
            polls.in_flight = None;
            polled
        }
        None => std::future::pending().await,
    }
}
