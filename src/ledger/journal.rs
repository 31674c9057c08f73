//! The journal's format: one JSON object a line. The last line of a watch is in effect; lines of runs accumulate.
//!
//! A line that a crash or a full disk truncated does not parse and is skipped. This is a format on disk: names that
//! differ from those of the fields are written out, and golden tests pin every line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::entry::{Applied, FleetRecord, GaveUp, LedgerEntry, LivePermit, LiveRecord, Owed, Paused};
use super::{identity, state_dir};
use crate::watch::{Fingerprint, RunId, RunRecord, WatchName};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Line {
    /// The ledger's id; the first line.
    #[serde(rename = "ledger")]
    Ledger(String),
    /// The current entry of a watch.
    #[serde(rename = "watch")]
    Watch(Box<EntryLine>),
    /// A run that ended.
    #[serde(rename = "run")]
    Run { watch: String, record: RunRecord },
    /// The watch was removed.
    #[serde(rename = "forget")]
    Forget(String),
}

/// An entry without its history.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryLine {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    live: Vec<LiveRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest_run: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interrupted: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<Paused>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenure: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fleet_record: Option<FleetRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    granted: Option<LivePermit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reported: Option<Applied>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owed: Option<Owed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gave_up: Option<GaveUp>,
    #[serde(default)]
    ended: u64,
    #[serde(default)]
    failed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    succeeded: Option<jiff::Timestamp>,
}

impl EntryLine {
    pub(super) fn of(name: &WatchName, entry: &LedgerEntry) -> Self {
        Self {
            name: name.to_string(),
            applied: entry.applied.clone(),
            live: entry.live.clone(),
            newest_run: entry.newest_run.clone(),
            interrupted: entry.interrupted.clone(),
            paused: entry.paused.clone(),
            stopped: entry.stopped.clone(),
            tenure: entry.tenure.clone(),
            fleet_record: entry.fleet_record.clone(),
            granted: entry.granted.clone(),
            reported: entry.reported.clone(),
            owed: entry.owed.clone(),
            gave_up: entry.gave_up.clone(),
            ended: entry.ended,
            failed: entry.failed,
            succeeded: entry.succeeded,
        }
    }

    fn apply_to(self, entry: &mut LedgerEntry) {
        entry.applied = self.applied;
        entry.live = self.live;
        entry.newest_run = self.newest_run;
        entry.interrupted = self.interrupted;
        entry.paused = self.paused;
        entry.stopped = self.stopped;
        entry.tenure = self.tenure;
        entry.fleet_record = self.fleet_record;
        entry.granted = self.granted;
        entry.reported = self.reported;
        entry.owed = self.owed;
        entry.gave_up = self.gave_up;
        entry.ended = self.ended;
        entry.failed = self.failed;
        entry.succeeded = self.succeeded;
    }
}

/// The content of a journal.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) id: Option<String>,
    pub(super) entries: BTreeMap<WatchName, LedgerEntry>,
    /// Number of lines that do not parse.
    pub(super) damaged: usize,
}

/// Reads a journal and skips damaged lines; a missing file is an empty journal.
pub(super) fn read(path: &Path) -> std::io::Result<Contents> {
    let whole = |mut file: File| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map(|_| bytes)
    };
    match state_dir::read(path).and_then(whole) {
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
            // Run ids begin with it and go into environments and the log. An invalid id is dropped; the other lines stay in effect.
            Line::Ledger(id) => self.id = Some(id).filter(|id| identity::is_valid(id)),
            Line::Watch(line) => {
                let name = WatchName::new(&line.name).ok()?;
                line.apply_to(self.entries.entry(name).or_default());
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

/// The runs of a watch in lines like those of a journal.
pub(super) fn runs(bytes: &[u8], watch: &WatchName) -> Vec<RunRecord> {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    lines
        .filter_map(|line| match line {
            Line::Run { watch: other, record } => (other == watch.as_str()).then_some(record),
            Line::Ledger(_) | Line::Watch(_) | Line::Forget(_) => None,
        })
        .collect()
}

/// A line with its newline.
pub(super) fn encode(line: &Line) -> Vec<u8> {
    // Strings, numbers and lists always serialise; an empty line would be skipped.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// A whole journal of these entries.
pub(super) fn encode_all<'a>(
    id: &str,
    entries: impl Iterator<Item = (&'a WatchName, &'a LedgerEntry)>,
) -> Vec<u8> {
    let mut bytes = encode(&Line::Ledger(id.to_owned()));
    for (name, entry) in entries {
        bytes.extend(encode(&Line::Watch(Box::new(EntryLine::of(name, entry)))));
        for record in &entry.history {
            bytes.extend(encode(&Line::Run { watch: name.to_string(), record: record.clone() }));
        }
    }
    bytes
}
