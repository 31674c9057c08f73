//! The status of the daemon as text, written while the watches are asked: of ten thousand, only a few are held in
//! memory at a time.

use serde::Serialize;
use tokio::sync::mpsc;

use super::live::{Event, Live};
use crate::status::{DaemonStatus, FileStatus, Status, StoreStatus};

/// Watches that are asked at once, and make one piece of the text.
const TOGETHER: usize = 64;

/// [`Status`](crate::status::Status), with the watches still to be asked.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) daemon: DaemonStatus,
    pub(super) stores: Vec<StoreStatus>,
    pub(super) files: Vec<FileStatus>,
    #[serde(skip)]
    pub(super) watches: Vec<Live>,
}

impl Report {
    /// All of it at once.
    pub(super) async fn status(self) -> Status {
        let Self { daemon, stores, files, watches: live } = self;
        let asked: Vec<_> = live.iter().map(|live| live.begin_ask(Event::Look)).collect();
        let mut watches = Vec::with_capacity(asked.len());
        for answer in asked {
            // One that has just drained is not there any more.
            watches.extend(answer.await);
        }
        Status { daemon, stores, files, watches }
    }

    /// The text of [`Answer::Done`](crate::control::Answer::Done) with the whole status, piece by piece. It ends early
    /// where nobody takes the pieces any more.
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
        // The watches come before the object's end.
        piece.pop();
        piece.extend_from_slice(br#","watches":["#);
        let mut separator: &[u8] = b"";
        for some in self.watches.chunks(TOGETHER) {
            let asked: Vec<_> = some.iter().map(|live| live.begin_ask(Event::Look)).collect();
            for answer in asked {
                // One that has just drained is not there any more.
                let Ok(watch) = answer.await else { continue };
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

/// Only strings, numbers and lists, into memory: that cannot fail.
fn append(text: &mut Vec<u8>, value: &impl Serialize) {
    let _ = serde_json::to_writer(text, value);
}
