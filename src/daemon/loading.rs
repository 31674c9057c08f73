//! The loader's thread: the daemon's loop requests readings of the configuration, and gets the result as an event.
//!
//! Requests that arrive during a reading share the next one. Files that could not be read for a temporary reason are read
//! again every few seconds.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config::{Loader, Reload};
use crate::control::Reply;

/// Time from an incomplete reading to the next attempt.
const RETRY: Duration = Duration::from_secs(5);

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extent {
    /// The watch files: after a hint of inotify.
    WatchFiles,
    /// `twitcher.conf`, accounts and watch files: at start, on SIGHUP and `twitcher reload`.
    Everything,
}

struct Ask {
    extent: Extent,
    answer: Option<oneshot::Sender<Reply>>,
}

/// The result of one reading.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) reload: Reload,
    /// Clients that requested it.
    pub(super) answers: Vec<oneshot::Sender<Reply>>,
}

/// The loop's end of the loader's thread.
pub(super) struct Loading {
    asks: Sender<Ask>,
    loaded: mpsc::UnboundedReceiver<Loaded>,
}

impl Loading {
    /// Starts the thread. It reads nothing before the first request.
    pub(super) fn start(loader: Loader) -> std::io::Result<Self> {
        Self::start_with(loader, RETRY)
    }

    fn start_with(reader: Loader, retry: Duration) -> std::io::Result<Self> {
        let (asks, asked) = channel();
        let (loaded_out, loaded) = mpsc::unbounded_channel();
        let work = move || serve(reader, &asked, &loaded_out, retry);
        std::thread::Builder::new().name("loader".to_owned()).spawn(work)?;
        Ok(Self { asks, loaded })
    }

    /// Requests a reading that begins after this call; `answer` comes back with its result.
    pub(super) fn ask(&self, extent: Extent, answer: Option<oneshot::Sender<Reply>>) {
        // Fails only where the thread has ended, which `next` tells.
        let _ = self.asks.send(Ask { extent, answer });
    }

    /// The next result; `None` if the thread has panicked. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Loaded> {
        self.loaded.recv().await
    }
}

fn serve(
    mut loader: Loader,
    asked: &Receiver<Ask>,
    results: &mpsc::UnboundedSender<Loaded>,
    retry: Duration,
) {
    let mut is_partial = false;
    loop {
        let again = Ask { extent: Extent::WatchFiles, answer: None };
        let first = if is_partial {
            match asked.recv_timeout(retry) {
                Ok(ask) => ask,
                Err(RecvTimeoutError::Timeout) => again,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        } else {
            match asked.recv() {
                Ok(ask) => ask,
                Err(_) => return,
            }
        };
        let mut extent = first.extent;
        let mut answers: Vec<_> = first.answer.into_iter().collect();
        for ask in asked.try_iter() {
            extent = extent.max(ask.extent);
            answers.extend(ask.answer);
        }
        let reload = match extent {
            Extent::Everything => loader.reload(),
            Extent::WatchFiles => loader.reload_watches(),
        };
        is_partial = reload.is_partial;
        if results.send(Loaded { reload, answers }).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
