//! The loader's thread: the daemon's loop requests readings of the configuration, and gets the result as an event.
//!
//! Requests that arrive during a reading share the next one. Files that could not be read for a temporary reason are read
//! again every few seconds.

use std::path::{Path, PathBuf};
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

enum Ask {
    /// A reading that takes effect.
    Read { extent: Extent, answer: Option<oneshot::Sender<Reply>> },
    /// From now on the valid settings in effect are kept in this directory.
    Remember { directory: PathBuf },
    /// A reading of everything that changes nothing.
    Rehearse { answer: oneshot::Sender<Reply> },
}

/// The result of one reading.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) reload: Reload,
    /// Clients that requested it.
    pub(super) answers: Vec<oneshot::Sender<Reply>>,
    /// It takes no effect: the clients asked what a reading would change.
    pub(super) is_rehearsal: bool,
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
        let _ = self.asks.send(Ask::Read { extent, answer });
    }

    /// Keeps the valid settings in effect in this directory, for a start with a bad `twitcher.conf`.
    pub(super) fn remember_in(&self, directory: &Path) {
        let _ = self.asks.send(Ask::Remember { directory: directory.to_owned() });
    }

    /// Asks for a reading that changes nothing.
    pub(super) fn rehearse(&self, answer: oneshot::Sender<Reply>) {
        let _ = self.asks.send(Ask::Rehearse { answer });
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
    let mut memory: Option<PathBuf> = None;
    let mut complaint = None;
    loop {
        let again = Ask::Read { extent: Extent::WatchFiles, answer: None };
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
        let (mut extent, mut answers, mut rehearsals) = (None, Vec::new(), Vec::new());
        for ask in std::iter::once(first).chain(asked.try_iter()) {
            match ask {
                Ask::Read { extent: more, answer } => {
                    extent = extent.max(Some(more));
                    answers.extend(answer);
                }
                Ask::Remember { directory } => memory = Some(directory),
                Ask::Rehearse { answer } => rehearsals.push(answer),
            }
        }
        if let Some(extent) = extent {
            let reload = match extent {
                Extent::Everything => loader.reload(),
                Extent::WatchFiles => loader.reload_watches(),
            };
            is_partial = reload.is_partial;
            if results.send(Loaded { reload, answers, is_rehearsal: false }).is_err() {
                return;
            }
        }
        if let Some(directory) = &memory {
            let now = loader.remember_in(directory).err();
            if let Some(why) = now.as_ref().filter(|_| now != complaint) {
                tracing::warn!("{why}");
            }
            complaint = now;
        }
        if !rehearsals.is_empty() {
            let reload = loader.rehearse();
            if results.send(Loaded { reload, answers: rehearsals, is_rehearsal: true }).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
