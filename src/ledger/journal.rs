//! The journal's form: one JSON object a line; the last line about a watch holds, history lines add up.
//!
//! A line that was cut by a crash or a full disk does not parse and is passed over. Writing is elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::entry::{Applied, Entry, LiveRun, Paused};
use crate::watch::{RunId, RunRecord, WatchName};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    /// The ledger's id; the first line.
    Ledger(String),
    /// What holds of a watch from here on.
    Watch(Standing),
    /// A run of a watch that ended.
    Run { watch: String, record: RunRecord },
    /// The watch is forgotten.
    Forget(String),
}

/// An entry without its history.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    live: Vec<LiveRun>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest_run: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interrupted: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<Paused>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
    #[serde(default)]
    ended: u64,
    #[serde(default)]
    failed: u64,
}

impl Standing {
    pub(super) fn of(name: &WatchName, entry: &Entry) -> Self {
        Self {
            name: name.to_string(),
            applied: entry.applied.clone(),
            live: entry.live.clone(),
            newest_run: entry.newest_run.clone(),
            interrupted: entry.interrupted.clone(),
            paused: entry.paused.clone(),
            stopped: entry.stopped.clone(),
            ended: entry.ended,
            failed: entry.failed,
        }
    }

    fn apply_to(self, entry: &mut Entry) {
        entry.applied = self.applied;
        entry.live = self.live;
        entry.newest_run = self.newest_run;
        entry.interrupted = self.interrupted;
        entry.paused = self.paused;
        entry.stopped = self.stopped;
        entry.ended = self.ended;
        entry.failed = self.failed;
    }
}

/// What a journal says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) id: Option<String>,
    pub(super) entries: BTreeMap<WatchName, Entry>,
    /// Lines that could not be understood.
    pub(super) damaged: usize,
}

/// Reads a journal as far as it goes; none is an empty one.
pub(super) fn read(path: &Path) -> std::io::Result<Contents> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Contents::default()),
        Err(error) => Err(error),
    }
}

pub(super) fn parse(bytes: &[u8]) -> Contents {
    let mut contents = Contents::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if contents.take(line).is_none() {
            contents.damaged += 1;
        }
    }
    contents
}

impl Contents {
    fn take(&mut self, line: &[u8]) -> Option<()> {
        match serde_json::from_slice(line).ok()? {
            Line::Ledger(id) => self.id = Some(id),
            Line::Watch(standing) => {
                let name = WatchName::new(&standing.name).ok()?;
                standing.apply_to(self.entries.entry(name).or_default());
            }
            Line::Run { watch, record } => {
                self.entries.entry(WatchName::new(&watch).ok()?).or_default().remember(record);
            }
            Line::Forget(name) => {
                self.entries.remove(&WatchName::new(&name).ok()?);
            }
        }
        Some(())
    }
}

/// A line with its newline.
pub(super) fn encode(line: &Line) -> Vec<u8> {
    // Only strings, numbers and lists: serialising them cannot fail, and an empty line is passed over.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// A whole journal that says exactly this.
pub(super) fn encode_all<'a>(id: &str, entries: impl Iterator<Item = (&'a WatchName, &'a Entry)>) -> Vec<u8> {
    let mut bytes = encode(&Line::Ledger(id.to_owned()));
    for (name, entry) in entries {
        bytes.extend(encode(&Line::Watch(Standing::of(name, entry))));
        for record in &entry.history {
            bytes.extend(encode(&Line::Run { watch: name.to_string(), record: record.clone() }));
        }
    }
    bytes
}
