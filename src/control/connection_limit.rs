//! A bounded number of connections, each for a bounded time, so that many silent clients hold few descriptors, and
//! only briefly.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;

/// Pause after a failed accept.
const CLOSED: Duration = Duration::from_secs(1);

/// How many clients are served at once and how long each may stay. Further clients wait in the listener's queue.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimit {
    /// What the clients connect to, for the log.
    pub place: &'static str,
    /// Connections served at once.
    pub most: usize,
    /// Time limit from accept to close.
    pub visit: Duration,
}

impl ConnectionLimit {
    /// Accepts connections forever and serves each in its own task.
    pub async fn serve<S, F>(
        self,
        mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>>,
        serve: impl Fn(S) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(self.most));
        let mut closed = false;
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match std::future::poll_fn(&mut accept).await {
                Ok(stream) => {
                    closed = false;
                    let visit = tokio::time::timeout(self.visit, serve(stream));
                    tokio::spawn(async move {
                        let _ = visit.await;
                        drop(place);
                    });
                }
                // Out of descriptors, or the client went away: retry later.
                Err(error) => {
                    if !std::mem::replace(&mut closed, true) {
                        tracing::warn!("{} cannot accept a connection: {error}", self.place);
                    }
                    tokio::time::sleep(CLOSED).await;
                }
            }
        }
    }
}
