//! Connections in bounded numbers, each for a bounded time: a crowd of silent clients takes few descriptors, and not
//! for long.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;

/// How long nothing is taken after that failed.
const CLOSED: Duration = Duration::from_secs(1);

/// How many are served at once, and how long each may stay. More wait in the listener's queue.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimit {
    /// What they come to, for the log.
    pub place: &'static str,
    /// At once.
    pub most: usize,
    /// From its coming to its end.
    pub visit: Duration,
}

impl ConnectionLimit {
    /// Takes connections for ever, and serves each in a task of its own.
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
                // No descriptor left, or the client went away: others may have more luck a little later.
                Err(error) => {
                    if !std::mem::replace(&mut closed, true) {
                        tracing::warn!("{} cannot take a connection: {error}", self.place);
                    }
                    tokio::time::sleep(CLOSED).await;
                }
            }
        }
    }
}
