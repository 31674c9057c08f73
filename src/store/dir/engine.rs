//! Reads targets, and reads them again when they change: the blocking half of a session.
//!
//! The order that leaves no gap: watch a directory, then read it; after reading, take the events that arrived meanwhile,
//! and report only targets that none of them touched.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::interest::{Dependent, FileRole, Hold, Interests, Touched};
use super::place::KeyPath;
use super::resolve::Found;
use super::single::{children, data, find};
use super::threads::Pulse;
use super::tree::Tree;
use crate::store::session::{Arm, Command, Proof, Reading, Report, TargetId};
use crate::store::{StoreError, TreeLimits};
use crate::watch::{Version, WatchType};

/// Targets read between two checks of the event queue.
const AT_ONCE: usize = 256;

/// How often a reading that changed while it was made is repeated, before it is reported anyway: a file that is written
/// continuously must not be silent forever.
const MOST_LOOKS: u8 = 8;

/// Rounds before commands are checked again.
const MOST_ROUNDS: u32 = 64;

/// How long a tree is read before other targets and commands get their turn.
const SLICE: Duration = Duration::from_millis(50);

/// All targets of a session, and their dependences.
#[derive(Debug)]
pub(super) struct Engine {
    root: PathBuf,
    limits: TreeLimits,
    interests: Interests,
    targets: BTreeMap<TargetId, Watched>,
    /// Trees of which a part has not been read yet.
    unread: BTreeSet<TargetId>,
    touched: Touched,
    pulse: Pulse,
    /// Why some keys are polled, as last reported.
    complaint: Option<String>,
    slice: Duration,
}

#[derive(Debug)]
struct Watched {
    arm: Arm,
    place: KeyPath,
    shape: Shape,
    /// The version last reported.
    reported: Option<Version>,
    /// A report is due, whether or not anything changed.
    owed: bool,
}

#[derive(Debug)]
enum Shape {
    /// A value or a list of names, always read as a whole.
    Whole(Vec<Hold>),
    /// A tree, whose changed parts are read again.
    Tree(Box<Tree>),
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Everything is reported; wait for an event or a command.
    Quiet,
    /// There is more to read.
    Busy,
    /// The receiver of reports is gone.
    Unheard,
}

impl Engine {
    pub(super) fn new(root: PathBuf, limits: TreeLimits, interests: Interests, pulse: Pulse) -> Self {
        Self {
            root,
            limits,
            interests,
            targets: BTreeMap::new(),
            unread: BTreeSet::new(),
            touched: Touched::default(),
            pulse,
            complaint: None,
            slice: SLICE,
        }
    }

    /// When the next step is due without an event.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.interests.next_look()
    }

    /// Carries out commands, and reports changes.
    pub(super) fn step(
        &mut self,
        commands: Vec<Command>,
        reports: &mpsc::Sender<Report>,
    ) -> Result<Step, StoreError> {
        for command in commands {
            if self.command(command, reports).is_err() {
                return Ok(Step::Unheard);
            }
        }
        if self.unread.is_empty() {
            for id in self.interests.due(Instant::now()) {
                self.owe(id);
            }
        }
        let step = self.rounds(reports)?;
        if self.unread.is_empty() {
            self.interests.polled().end_round(Instant::now());
        }
        let complaint = self.interests.polled().complaint();
        // While a round is under way, it is unknown which targets are still polled.
        if complaint == self.complaint || self.complaint.is_some() && !self.unread.is_empty() {
            return Ok(step);
        }
        self.complaint.clone_from(&complaint);
        Ok(if send(reports, Report::Polls(complaint)).is_ok() { step } else { Step::Unheard })
    }

    fn rounds(&mut self, reports: &mpsc::Sender<Report>) -> Result<Step, StoreError> {
        let mut looks: BTreeMap<TargetId, u8> = BTreeMap::new();
        for _ in 0..MOST_ROUNDS {
            self.drain()?;
            let Some((id, places)) = self.touched.places.pop_first() else {
                let Some(id) = self.unread.pop_first() else { return Ok(Step::Quiet) };
                let reading = self.look(id, &BTreeSet::new());
                self.drain()?;
                // If it changed while it was read, the next round reads the changed part again.
                let unheard =
                    !self.touched.places.contains_key(&id) && self.report(id, reading, reports).is_err();
                return Ok(if unheard { Step::Unheard } else { Step::Busy });
            };
            let mut due = vec![(id, places)];
            while due.len() < AT_ONCE
                && let Some(next) = self.touched.places.pop_first()
            {
                due.push(next);
            }
            let readings: Vec<_> = due.into_iter().map(|(id, places)| (id, self.look(id, &places))).collect();
            self.drain()?;
            for (id, reading) in readings {
                let looked = looks.entry(id).or_default();
                *looked += 1;
                if self.touched.places.contains_key(&id) && *looked < MOST_LOOKS {
                    // It changed while it was read, so the result may mix old and new. The next round reads it again.
                    continue;
                }
                *looked = 0;
                if self.report(id, reading, reports).is_err() {
                    return Ok(Step::Unheard);
                }
            }
        }
        Ok(Step::Busy)
    }

    /// The list of mounts has changed.
    pub(super) fn remounted(&mut self) {
        self.interests.remounted(&mut self.touched);
    }

    /// What to wait on for events; `None` while the system refuses it.
    pub(super) fn descriptor(&self) -> Option<io::Result<OwnedFd>> {
        self.interests.descriptor()
    }

    /// What to wait on for a change of the mounts.
    pub(super) fn mounts(&self) -> Option<io::Result<OwnedFd>> {
        self.interests.mounts().descriptor()
    }

    fn drain(&mut self) -> Result<(), StoreError> {
        self.interests.drain(Instant::now(), &mut self.touched).map_err(|errno| StoreError::Unavailable {
            what: format!("read the events of directory {}", self.root.display()),
            why: errno.desc().to_owned(),
        })?;
        if std::mem::take(&mut self.touched.all) {
            let everything: Vec<TargetId> = self.targets.keys().copied().collect();
            for id in everything {
                self.touch(id);
            }
        }
        Ok(())
    }

    fn touch(&mut self, id: TargetId) {
        self.touched.add(&Dependent { target: id, at: "".into() });
    }

    fn command(&mut self, command: Command, reports: &mpsc::Sender<Report>) -> Result<(), Unheard> {
        match command {
            Command::Arm(arms) => {
                for arm in arms {
                    let id = arm.id;
                    self.disarm(id);
                    match KeyPath::of(&arm.key) {
                        Ok(place) => {
                            let shape = match arm.watch_type {
                                WatchType::Data | WatchType::Children => Shape::Whole(Vec::new()),
                                WatchType::Tree => Shape::Tree(Box::new(Tree::new(
                                    id,
                                    arm.detail,
                                    self.limits,
                                    self.pulse.clone(),
                                ))),
                            };
                            let watched = Watched { arm, place, shape, reported: None, owed: true };
                            self.targets.insert(id, watched);
                            self.touch(id);
                        }
                        Err(error) => send(reports, Report::Refused { id, error })?,
                    }
                }
            }
            Command::Disarm(ids) => ids.into_iter().for_each(|id| self.disarm(id)),
            Command::Verify(ids) => {
                for id in ids {
                    self.owe(id);
                }
            }
        }
        Ok(())
    }

    /// Reads a target again and reports it in any case.
    fn owe(&mut self, id: TargetId) {
        if let Some(watched) = self.targets.get_mut(&id) {
            watched.owed = true;
            self.touch(id);
        }
    }

    fn disarm(&mut self, id: TargetId) {
        self.unread.remove(&id);
        self.touched.places.remove(&id);
        self.interests.polled().remove(id);
        match self.targets.remove(&id).map(|watched| watched.shape) {
            Some(Shape::Whole(holds)) => self.interests.release(&whole(id), holds),
            Some(Shape::Tree(mut tree)) => tree.release(&mut self.interests),
            None => {}
        }
    }

    fn report(
        &mut self,
        id: TargetId,
        reading: Option<Result<Reading, StoreError>>,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Unheard> {
        match reading {
            None => Ok(()),
            Some(Ok(reading)) => {
                let Some(watched) = self.targets.get_mut(&id) else { return Ok(()) };
                let owed = std::mem::take(&mut watched.owed);
                if !owed && watched.reported == Some(reading.version) {
                    return Ok(());
                }
                watched.reported = Some(reading.version);
                let proof = if owed { Proof::Read } else { Proof::Event };
                send(reports, Report::State { id, reading, proof })
            }
            Some(Err(error)) => {
                self.disarm(id);
                send(reports, Report::Refused { id, error })
            }
        }
    }

    /// Reads a target, or its touched parts; `None` if it is no longer armed, or a tree that is not read completely yet.
    fn look(&mut self, id: TargetId, places: &BTreeSet<Arc<str>>) -> Option<Result<Reading, StoreError>> {
        self.pulse.beat();
        let until = Instant::now() + self.slice;
        let watched = self.targets.get_mut(&id)?;
        let seen = match &mut watched.shape {
            Shape::Whole(holds) => {
                // Take the new dependences before releasing the old ones, so that a directory common to both stays watched without a
                // gap.
                let old = std::mem::take(holds);
                let found = find(&mut self.interests, &self.root, &whole(id), holds, &watched.place);
                if let (WatchType::Data, Ok(Found::File(file))) = (watched.arm.watch_type, &found) {
                    self.interests.depend_on_file(file, FileRole::Key, &whole(id), holds);
                }
                let seen = found.and_then(|found| match watched.arm.watch_type {
                    WatchType::Data => data(found, watched.arm.detail),
                    WatchType::Children | WatchType::Tree => {
                        children(&mut self.interests, &whole(id), holds, found)
                    }
                });
                // Thousands of links may lead through the same directories.
                holds.sort_unstable();
                holds.dedup();
                let old = old.into_iter().filter(|hold| holds.binary_search(hold).is_err()).collect();
                self.interests.release(&whole(id), old);
                seen
            }
            Shape::Tree(tree) => {
                let done = if places.contains("") {
                    // Release them first: the walk takes some of the same dependences again.
                    tree.release(&mut self.interests);
                    let mut holds = Vec::new();
                    let found = find(&mut self.interests, &self.root, &whole(id), &mut holds, &watched.place);
                    tree.rebuild(&mut self.interests, holds, found, until)
                } else {
                    tree.refresh(&mut self.interests, places, until)
                };
                if done.is_ok() && !tree.is_read() {
                    self.unread.insert(id);
                    return None;
                }
                self.unread.remove(&id);
                done.map(|()| tree.state())
            }
        };
        Some(seen.map(|(version, content)| Reading { version, content }))
    }
}

/// The receiver of reports is gone.
#[derive(Debug)]
struct Unheard;

fn send(reports: &mpsc::Sender<Report>, report: Report) -> Result<(), Unheard> {
    reports.blocking_send(report).map_err(|_| Unheard)
}

fn whole(target: TargetId) -> Dependent {
    Dependent { target, at: "".into() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::polled::Polled;
    use super::*;
    use crate::watch::{Content, Detail, Key};

    #[test]
    fn polled_trees_are_read_to_their_end_although_that_takes_longer_than_the_pause() {
        let folder = tempfile::tempdir().unwrap();
        for name in 0..8 {
            fs::create_dir_all(folder.path().join(format!("{name}/below"))).unwrap();
        }
        let root = folder.path().canonicalize().unwrap();
        let mut engine = Engine::new(root, TreeLimits::default(), Interests::open(), Pulse::default());
        engine.slice = Duration::ZERO;
        *engine.interests.polled() = Polled::every(Duration::ZERO);
        let (reports, mut heard) = mpsc::channel(64);
        let ids = [TargetId(1), TargetId(2)];
        let arm = |id| Arm {
            id,
            key: Key::new("/").unwrap(),
            watch_type: WatchType::Tree,
            detail: Detail::Values,
            resume: None,
        };
        let mut commands = vec![Command::Arm(ids.map(arm).into())];
        // Arming the targets, and two rounds of polls.
        for round in 0..3 {
            let mut read = BTreeSet::new();
            let (mut first, mut last) = (None, Instant::now());
            let mut steps = 0..100;
            while read.len() < ids.len() {
                assert!(steps.next().is_some(), "round {round} does not end: only {read:?} were read");
                // On a network file system, every step adds them.
                for id in ids {
                    engine.interests.polled().add(id, || "why".to_owned(), Instant::now());
                }
                last = Instant::now();
                engine.step(std::mem::take(&mut commands), &reports).unwrap();
                first.get_or_insert_with(Instant::now);
                while let Ok(report) = heard.try_recv() {
                    match report {
                        Report::State { id, reading, proof: Proof::Read } => {
                            let Content::Tree(tree) = reading.content else { panic!("{reading:?}") };
                            assert_eq!(tree.len(), 17, "with its top");
                            assert!(read.insert(id), "{id:?} was read twice in round {round}");
                        }
                        Report::Polls(Some(_)) => {}
                        other @ (Report::Ready { .. }
                        | Report::State { .. }
                        | Report::Progress
                        | Report::Refused { .. }
                        | Report::Polls(None)
                        | Report::Lost(_)) => panic!("{other:?}"),
                    }
                }
            }
            let due = engine.next_look().unwrap();
            assert!(due >= last + (last - first.unwrap()) * 10, "round {round} cost more than its last step");
            *engine.interests.polled() = Polled::every(Duration::ZERO);
        }
    }
}
