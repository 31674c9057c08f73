//! One session with etcd: reads armed targets, watches from exactly there, and reports to the driver.
//!
//! Reads and watches have separate connections, because streams that wait to be read can fill a connection. Any doubt
//! ends the session, unless it concerns a single target.

mod watches;

use std::collections::{BTreeMap, VecDeque};

use futures::StreamExt;
use futures::future::{BoxFuture, OptionFuture};
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::connect::{Connection, Entrance};
use super::explain::explain;
use super::history::FIRST_REVISION;
use super::jobs::{Asked, EVENTS_ON_THEIR_WAY, FinishedJob, Job, Purpose};
use super::keys::Scope;
use super::mirror::{Mirror, Seen};
use super::read::{Mark, ReadOutcome, WantedKeys};
use super::streams::{Opened, Streams, Watch};
use crate::store::access::LEFT_OUT;
use crate::store::session::{Arm, Command, Proof, Reading, Report, Session, TargetId};
use crate::store::{StoreError, StoreFiles, StoreSpec};
use crate::watch::{Content, Detail, Version};

/// Reads in flight; further ones queue. Ranges, which may take minutes, never take the last slot, so that a single
/// key does not wait for large trees.
const READS_AT_ONCE: usize = 4;
/// Single keys per job: a few transactions.
const KEYS_IN_JOB: usize = 512;
/// Commands received per batch.
const COMMANDS: usize = 64;

/// Opens a session with the next member in rotation. With `since`, a target without an update to resume from is shown as of
/// that revision, followed by every later update.
pub fn session(spec: &StoreSpec, attempt: u64, since: Option<i64>, files: &StoreFiles) -> Session {
    let entrance = Entrance::new(spec, files);
    Session::start(move |commands, reports| async move {
        let served = Box::pin(async {
            let entrance = entrance?;
            let (reader, watcher) = futures::join!(entrance.enter(attempt), entrance.connect(attempt));
            let (reader, watcher) = (reader?, watcher?);
            let ready = Report::Ready { server: reader.server.clone() };
            let since = since.map(|revision| revision.max(FIRST_REVISION));
            let serving = Serving::new(entrance, reader, watcher, reports.clone(), since);
            Box::pin(serving.run(ready, commands)).await
        });
        match served.await {
            Ok(Unwanted) => {}
            // A send error means that the driver has dropped the session.
            Err(error) => drop(reports.send(Report::Lost(error)).await),
        }
    })
}

/// The session ended because the driver dropped its end.
struct Unwanted;

struct Serving {
    entrance: Entrance,
    reader: Connection,
    watcher: Connection,
    reports: mpsc::Sender<Report>,
    /// Boxed, because the nodes of a `BTreeMap` are half empty.
    targets: BTreeMap<TargetId, Box<ServedTarget>>,
    streams: Streams,
    opening: Option<BoxFuture<'static, Result<Opened, StoreError>>>,
    /// Watches waiting for the stream that is being opened.
    unplaced: VecDeque<Watch>,
    reading: FuturesUnordered<BoxFuture<'static, Result<FinishedJob, StoreError>>>,
    /// How many of the reads in flight are ranges.
    ranges: usize,
    to_read: VecDeque<Job>,
    /// Re-checks that are not due yet. They wait here so that they occupy no read slot.
    rechecks: VecDeque<(Instant, Vec<Job>)>,
    last_number: i64,
    last_epoch: u64,
    cluster: Option<u64>,
    /// The highest revision seen in a read. A later read with a lower one means that the store was restored.
    highest: i64,
    /// Whether the warning about keys that cannot be shown was logged.
    says_left_out: bool,
    since: Option<i64>,
    out: VecDeque<Report>,
}

/// A target that this session serves.
struct ServedTarget {
    scope: Scope,
    detail: Detail,
    /// Incremented whenever the target is armed again; answers of an older epoch are dropped.
    epoch: u64,
    mirror: Option<Mirror>,
    watches: [Option<i64>; 2],
    /// Fallbacks tried since the watch was last accepted.
    denied: Denied,
    /// Events of a revision whose last fragment has not arrived yet.
    held: Vec<Seen>,
}

/// Which fallback for a denied watch is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    Never,
    /// Retried with a fresh token.
    Renewed,
    /// Split into two watches that cover exactly the target's keys.
    Split,
}

impl Serving {
    fn new(
        entrance: Entrance,
        reader: Connection,
        watcher: Connection,
        reports: mpsc::Sender<Report>,
        since: Option<i64>,
    ) -> Self {
        Self {
            entrance,
            reader,
            watcher,
            reports,
            targets: BTreeMap::new(),
            streams: Streams::new(),
            opening: None,
            unplaced: VecDeque::new(),
            reading: FuturesUnordered::new(),
            ranges: 0,
            to_read: VecDeque::new(),
            rechecks: VecDeque::new(),
            last_number: 0,
            last_epoch: 0,
            cluster: None,
            highest: 0,
            says_left_out: false,
            since,
            out: VecDeque::new(),
        }
    }

    async fn run(
        mut self,
        ready: Report,
        mut commands_in: mpsc::UnboundedReceiver<Command>,
    ) -> Result<Unwanted, StoreError> {
        self.out.push_back(ready);
        let mut commands = Vec::new();
        loop {
            while let Some(report) = self.out.pop_front() {
                if self.reports.send(report).await.is_err() {
                    return Ok(Unwanted);
                }
            }
            while self.reading.len() < READS_AT_ONCE
                && let Some(job) = self.next_job()
            {
                let reports = self.reports.clone();
                // If the channel is full, the reports in it show progress as well.
                let part = move || drop(reports.try_send(Report::Progress));
                self.reading.push(Box::pin(job.run(self.reader.kv(), self.highest, part)));
            }
            let next_recheck = self.rechecks.front().map(|&(due, _)| tokio::time::sleep_until(due));
            tokio::select! {
                Some(()) = OptionFuture::from(next_recheck) => {
                    self.to_read.extend(self.rechecks.pop_front().into_iter().flat_map(|(_, jobs)| jobs));
                }
                count = commands_in.recv_many(&mut commands, COMMANDS) => {
                    if count == 0 {
                        return Ok(Unwanted);
                    }
                    for command in commands.drain(..) {
                        self.command(command);
                    }
                }
                Some(answer) = self.reading.next() => self.answered(answer?)?,
                Some(opened) = OptionFuture::from(self.opening.as_mut()) => {
                    self.opening = None;
                    self.opened(opened?);
                }
                response = self.streams.next() => {
                    let what = || format!("watch keys at {}", self.watcher.server);
                    let response = response.map_err(|error| explain(what(), &error))?;
                    self.told(response)?;
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Arm(arms) => self.arm(arms),
            Command::Disarm(ids) => {
                for id in ids {
                    self.drop_target(id);
                }
            }
            Command::Verify(ids) => self.read(ids, &Purpose::Verify),
        }
    }

    fn arm(&mut self, arms: Vec<Arm>) {
        let mut plain = Vec::new();
        for arm in arms {
            self.drop_target(arm.id);
            self.last_epoch += 1;
            let target = ServedTarget {
                scope: self.entrance.space.scope(&arm.key, arm.watch_type),
                detail: arm.detail,
                epoch: self.last_epoch,
                mirror: None,
                watches: [None, None],
                denied: Denied::Never,
                held: Vec::new(),
            };
            self.targets.insert(arm.id, Box::new(target));
            match arm.resume.map(|reading| (reading.version, reading)) {
                Some((Version::Revision(revision), reading)) => {
                    self.read([arm.id], &Purpose::Resume { reading: *reading, revision });
                }
                Some((Version::Hash(_), _)) | None => match self.since {
                    Some(revision) => self.read([arm.id], &Purpose::Since(revision)),
                    None => plain.push(arm.id),
                },
            }
        }
        self.read(plain, &Purpose::Arm);
    }

    fn read(&mut self, ids: impl IntoIterator<Item = TargetId>, purpose: &Purpose) {
        let jobs = self.jobs(ids, purpose);
        self.to_read.extend(jobs);
    }

    /// Reads of these targets: single keys together, everything else by itself.
    fn jobs(&self, ids: impl IntoIterator<Item = TargetId>, purpose: &Purpose) -> Vec<Job> {
        let mut jobs = Vec::new();
        let mut keys = Vec::new();
        for id in ids {
            let Some(target) = self.targets.get(&id) else { continue };
            let wanted = WantedKeys {
                // The user may have been granted more since the last read.
                scope: target.scope.widest(),
                detail: target.detail,
                // Revisions suffice to detect missed events; values are only read if there were any.
                keys_only: *purpose == Purpose::Verify,
            };
            let heard = target.mirror.as_ref().map_or(0, Mirror::as_of);
            let asked = Asked { id, epoch: target.epoch, heard, wanted };
            match (&asked.wanted.scope, purpose) {
                (Scope::Data(_), Purpose::Arm | Purpose::Verify | Purpose::Recheck) => keys.push(asked),
                (Scope::Data(_), Purpose::Resume { .. } | Purpose::Since(_))
                | (
                    Scope::Children(_)
                    | Scope::Tree(_)
                    | Scope::Below(_)
                    | Scope::Top(_)
                    | Scope::AllChildren(_)
                    | Scope::All(_),
                    _,
                ) => {
                    jobs.push(Job { asked: vec![asked], purpose: purpose.clone() });
                }
            }
        }
        while !keys.is_empty() {
            let rest = keys.split_off(keys.len().min(KEYS_IN_JOB));
            jobs.push(Job { asked: keys, purpose: purpose.clone() });
            keys = rest;
        }
        jobs
    }

    fn next_job(&mut self) -> Option<Job> {
        let full = self.ranges + 1 >= READS_AT_ONCE;
        let place = self.to_read.iter().position(|job| !(full && job.is_range()))?;
        let job = self.to_read.remove(place)?;
        self.ranges += usize::from(job.is_range());
        Some(job)
    }

    fn answered(&mut self, answer: FinishedJob) -> Result<(), StoreError> {
        let FinishedJob { job, not_below, outcomes } = answer;
        self.ranges -= usize::from(job.is_range());
        let mut missing = Vec::new();
        for (asked, outcome) in job.asked.into_iter().zip(outcomes) {
            let id = asked.id;
            if self.targets.get(&id).is_none_or(|target| target.epoch != asked.epoch) {
                continue;
            }
            let scope = asked.wanted.scope;
            match outcome {
                ReadOutcome::Refused(error) => self.refuse(id, error),
                ReadOutcome::Resumed { mirror, mark } => {
                    self.check(mark, not_below)?;
                    self.resume(id, mirror, scope);
                }
                ReadOutcome::Forgotten { mirror, mark, asked } => {
                    self.check(mark, not_below)?;
                    tracing::warn!(
                        "etcd does not know the changes of {scope} since revision {} (any more, or yet): only what is \
                         there now is shown",
                        asked.saturating_add(1)
                    );
                    self.begin_after(id, mirror, scope, asked);
                }
                ReadOutcome::Oldest { mirror, mark, asked } => {
                    self.check(mark, not_below)?;
                    self.begin_after(id, mirror, scope, asked);
                }
                ReadOutcome::Read { mirror, mark } => {
                    self.check(mark, not_below)?;
                    match job.purpose {
                        Purpose::Arm | Purpose::Resume { .. } | Purpose::Since(_) => {
                            self.begin(id, mirror, scope);
                        }
                        Purpose::Verify | Purpose::Recheck => {
                            let again = job.purpose == Purpose::Recheck;
                            if !self.verify(id, mirror, scope, mark, again.then_some(asked.heard)) {
                                missing.push(id);
                            }
                        }
                    }
                }
            }
        }
        if !missing.is_empty() {
            let jobs = self.jobs(missing, &Purpose::Recheck);
            self.rechecks.push_back((Instant::now() + EVENTS_ON_THEIR_WAY, jobs));
        }
        Ok(())
    }

    /// Fails if another cluster answers or the revision went backwards: everything is read anew in a new session.
    fn check(&mut self, mark: Mark, not_below: i64) -> Result<(), StoreError> {
        let known = *self.cluster.get_or_insert(mark.cluster);
        let why = if known != mark.cluster {
            format!("another cluster answers ({:x} instead of {known:x})", mark.cluster)
        } else if mark.revision < not_below {
            format!("its revision went back from {not_below} to {}", mark.revision)
        } else {
            self.highest = self.highest.max(mark.revision);
            return Ok(());
        };
        Err(StoreError::Unavailable { what: format!("read keys at {}", self.reader.server), why })
    }

    /// Reports a read and watches from its revision on.
    fn begin(&mut self, id: TargetId, read: Mirror, scope: Scope) {
        self.stop_watching(id);
        let Some(target) = self.targets.get_mut(&id) else { return };
        target.scope = scope;
        self.out.push_back(Report::State { id, reading: read.reading(), proof: Proof::Read });
        target.mirror = Some(read);
        self.mention_left_out(id);
        self.watch(id);
    }

    /// Logs once that some keys cannot be shown.
    fn mention_left_out(&mut self, id: TargetId) {
        let Some(target) = self.targets.get(&id) else { return };
        let left_out = target.mirror.as_ref().map_or(0, Mirror::left_out);
        if left_out > 0 && !std::mem::replace(&mut self.says_left_out, true) {
            let server = self.reader.server.as_str();
            tracing::warn!(
                server,
                keys = left_out,
                "of {}, not every key is shown: {LEFT_OUT}",
                target.scope
            );
        }
    }

    /// Like [`begin`](Self::begin), but the requested revision is compacted or not reached yet. If the state that was
    /// read is newer, first reports the key as absent at that revision, so that this state is delivered as an update.
    fn begin_after(&mut self, id: TargetId, read: Mirror, scope: Scope, asked: i64) {
        if Version::Revision(asked).is_before(read.reading().version) {
            let reading = Reading { version: Version::Revision(asked), content: Content::Absent };
            self.out.push_back(Report::State { id, reading, proof: Proof::Read });
        }
        self.begin(id, read, scope);
    }

    /// Watches from the last delivered update on. The read that the driver waits for is reported once it agrees with the
    /// events since.
    /// the events since.
    fn resume(&mut self, id: TargetId, history: Mirror, scope: Scope) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        target.scope = scope;
        target.mirror = Some(history);
        self.watch(id);
        self.read([id], &Purpose::Verify);
    }

    /// Compares a read with the mirror that the events maintain. `heard`: the mirror's revision at an earlier read
    /// that had found a missing event. Returns false if the target must be read again.
    fn verify(&mut self, id: TargetId, read: Mirror, scope: Scope, mark: Mark, heard: Option<i64>) -> bool {
        let Some(target) = self.targets.get(&id) else { return true };
        // The first read is still in flight, and verifies the target as well.
        let Some(mirror) = &target.mirror else { return true };
        let server = self.reader.server.as_str();
        if scope != target.scope {
            if heard.is_none() {
                return false;
            }
            tracing::info!(server, "the user's permissions changed: from now on, {scope}");
            self.begin(id, read, scope);
        } else if mirror.agrees(&read, mark.revision) {
            let reading = mirror.reading();
            self.out.push_back(Report::State { id, reading, proof: Proof::Read });
        } else if heard == Some(mirror.as_of()) {
            tracing::warn!(
                server,
                "a watch missed a change; it is created again from the state that was read"
            );
            self.begin(id, read, scope);
        } else {
            return false;
        }
        true
    }

    fn refuse(&mut self, id: TargetId, error: StoreError) {
        self.drop_target(id);
        self.out.push_back(Report::Refused { id, error });
    }

    fn drop_target(&mut self, id: TargetId) {
        self.stop_watching(id);
        self.targets.remove(&id);
    }
}
