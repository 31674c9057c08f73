//! The error of a flush: the changes that are not on disk yet.

use std::path::PathBuf;

use crate::status::counted;
use crate::watch::WatchName;

/// Changes that exist only in memory.
#[derive(Debug, thiserror::Error)]
#[error("the latest state of {} ({}) is not in the ledger {}: {why}", counted(watches.len(), "watch", "watches"), shown(watches), path.display())]
pub struct Unwritten {
    pub(super) watches: Vec<WatchName>,
    pub(super) path: PathBuf,
    pub(super) why: String,
}

/// The first few names.
fn shown(watches: &[WatchName]) -> String {
    let few: Vec<&str> = watches.iter().take(5).map(WatchName::as_str).collect();
    let more = if watches.len() > few.len() { ", …" } else { "" };
    few.join(", ") + more
}
