//! The daemon's status, collected from the watches. Its text is written while they are asked: of ten thousand watches, only
//! a few are in memory at a time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::live::{Event, Live, disabled, unasked};
use super::supervisor::Definition;
use crate::ledger::Ledger;
use crate::status::{DaemonStatus, FileStatus, Status, StoreStatus, WatchStatus};
use crate::watch::{WatchName, WatchSpec};

/// How long the watches of one status may take together: one that hangs must not hide the others.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Time limit of a watch that is asked after the others have used that up.
const LEFT: Duration = Duration::from_millis(500);

/// Watches asked at once; they become one piece of the text.
const TOGETHER: usize = 64;

/// [`Status`], before the watches are asked.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) daemon: DaemonStatus,
    pub(super) stores: Vec<StoreStatus>,
    pub(super) files: Vec<FileStatus>,
    #[serde(skip)]
    pub(super) watches: Vec<ShownWatch>,
    #[serde(skip)]
    pub(super) ledger: Ledger,
}

/// A watch to show.
pub(super) enum ShownWatch {
    /// It is asked.
    Live(Live),
    /// It cannot be asked.
    Disabled(Definition),
}

impl ShownWatch {
    pub(super) fn name(&self) -> &WatchName {
        match self {
            Self::Live(live) => &live.spec.name,
            Self::Disabled(definition) => &definition.spec.name,
        }
    }
}

impl Report {
    /// The whole status at once.
    pub(super) async fn status(self) -> Status {
        let asked = self.watches.iter().map(Looked::begin).collect();
        let watches = gather(asked, Instant::now() + PATIENCE, &self.ledger).await;
        let Self { daemon, stores, files, .. } = self;
        Status { daemon, stores, files, watches }
    }

    /// The text of [`Answer::Done`](crate::control::Answer::Done) with the whole status, in pieces. Ends early if the receiver
    /// is gone.
    pub(super) fn pieces(self) -> mpsc::Receiver<Vec<u8>> {
        let (pieces, taken) = mpsc::channel(1);
        tokio::spawn(async move {
            let _ = self.write(pieces).await;
        });
        taken
    }

    async fn write(self, pieces: mpsc::Sender<Vec<u8>>) -> Result<(), mpsc::error::SendError<Vec<u8>>> {
        let mut piece = br#"{"done":"#.to_vec();
        append(&mut piece, &self);
        // The watches are written before the object's end.
        piece.pop();
        piece.extend_from_slice(br#","watches":["#);
        let deadline = Instant::now() + PATIENCE;
        let mut separator: &[u8] = b"";
        for some in self.watches.chunks(TOGETHER) {
            let asked = some.iter().map(Looked::begin).collect();
            for watch in gather(asked, deadline.max(Instant::now() + LEFT), &self.ledger).await {
                piece.extend_from_slice(separator);
                separator = b",";
                append(&mut piece, &watch);
            }
            pieces.send(std::mem::take(&mut piece)).await?;
        }
        piece.extend_from_slice(b"]}}");
        pieces.send(piece).await
    }
}

/// The status of a watch, asked if possible.
struct Looked {
    spec: Arc<WatchSpec>,
    file: Arc<Path>,
    answer: Option<oneshot::Receiver<WatchStatus>>,
}

impl Looked {
    fn begin(shown: &ShownWatch) -> Self {
        let (spec, file, answer) = match shown {
            ShownWatch::Live(live) => (&live.spec, &live.file, Some(live.begin_ask(Event::Look))),
            ShownWatch::Disabled(Definition { spec, file }) => (spec, file, None),
        };
        Self { spec: Arc::clone(spec), file: Arc::clone(file), answer }
    }
}

async fn gather(asked: Vec<Looked>, deadline: Instant, ledger: &Ledger) -> Vec<WatchStatus> {
    let mut watches = Vec::with_capacity(asked.len());
    for Looked { spec, file, answer } in asked {
        let Some(answer) = answer else {
            watches.push(disabled(&spec, &file, ledger));
            continue;
        };
        match timeout_at(deadline, answer).await {
            Ok(Ok(status)) => watches.push(status),
            // One that has just drained is gone.
            Ok(Err(_)) => {}
            Err(_) => watches.push(unasked(&spec, &file, ledger)),
        }
    }
    watches
}

/// Only strings, numbers and lists, into memory: that cannot fail.
fn append(text: &mut Vec<u8>, value: &impl Serialize) {
    let _ = serde_json::to_writer(text, value);
}

#[cfg(test)]
mod tests {
    use super::super::live::HANGS;
    use super::super::runs::Runs;
    use super::super::supervisor::tests::definition;
    use super::*;
    use crate::control::Answer;
    use crate::status::WatchState;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_hangs_keeps_nobody_elses_status_back() {
        let ledger = Ledger::in_memory();
        let looked = || {
            let Definition { spec, file } = definition();
            let (answer_out, answer) = oneshot::channel();
            (Looked { spec, file, answer: Some(answer) }, answer_out)
        };
        let (hanging, _never) = looked();
        let (drained, gone) = looked();
        drop(gone);
        let (well, answer) = looked();
        let idle = WatchStatus { state: WatchState::Idle, ..unasked(&well.spec, &well.file, &ledger) };
        answer.send(idle.clone()).unwrap();
        let watches = gather(vec![hanging, drained, well], Instant::now() + PATIENCE, &ledger).await;
        assert_eq!(watches.len(), 2);
        assert_eq!((watches[0].name.as_str(), watches[0].error.as_deref()), ("a", Some(HANGS)));
        assert_eq!(watches[1], idle);
    }

    #[tokio::test]
    async fn the_text_is_that_of_a_status() {
        let definition = definition();
        for number in [0, 1, TOGETHER, TOGETHER + 1, 3 * TOGETHER] {
            let report = || {
                let runs = Arc::new(Runs::ad_hoc(jiff::Timestamp::UNIX_EPOCH));
                let daemon = DaemonStatus {
                    version: "1".to_owned(),
                    pid: 1,
                    host: "host".to_owned(),
                    started: jiff::Timestamp::UNIX_EPOCH,
                    complaints: vec!["a \"complaint\"".to_owned()],
                };
                let answering = |_| {
                    ShownWatch::Live(Live::answering(
                        Arc::clone(&definition.spec),
                        Arc::clone(&definition.file),
                        &runs,
                    ))
                };
                let watches = (0..number).map(answering).collect();
                Report {
                    daemon,
                    stores: Vec::new(),
                    files: Vec::new(),
                    watches,
                    ledger: runs.ledger().clone(),
                }
            };
            let mut pieces = report().pieces();
            let mut text = Vec::new();
            while let Some(piece) = pieces.recv().await {
                text.extend(piece);
            }
            let Ok(Answer::Done(told)) = serde_json::from_slice(&text) else {
                panic!("{}", String::from_utf8_lossy(&text))
            };
            let status: Status = serde_json::from_value(told).unwrap();
            assert_eq!(status, report().status().await);
            assert_eq!(status.watches.len(), number);
        }
    }
}
