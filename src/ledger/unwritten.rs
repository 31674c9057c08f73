//! The error of a flush: what is not on the disk yet.

use std::path::PathBuf;

use crate::watch::WatchName;

/// Changes that are only in memory.
#[derive(Debug, thiserror::Error)]
#[error("what was last known of {} watches ({}) is not in the ledger {}: {why}", watches.len(), shown(watches), path.display())]
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
