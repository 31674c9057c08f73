//! A fake spawner, and plain watches, for the tests of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::processes::Processes;
use super::slots::Slots;
use super::{Plan, Runs};
use crate::ledger::Ledger;
use crate::process::{
    Ended, FoundRun, Launch, OutputSink, RunCommand, RunDetails, RunTask, Running, SpawnError,
};
use crate::watch::*;

/// A watch of a key that runs `true`, with every wait off.
pub(in crate::daemon) fn spec(name: &str, key: &str) -> WatchSpec {
    let minimal = fixture::minimal();
    let account = Account {
        uid: 7,
        gid: 7,
        user: "user".into(),
        home: "/".into(),
        ..minimal.surroundings.account.clone()
    };
    WatchSpec {
        name: WatchName::new(name).unwrap(),
        target: Target { key: Key::new(key).unwrap(), ..minimal.target.clone() },
        action: Action::Program(vec!["true".into()]),
        surroundings: Arc::new(Surroundings { account, ..(*minimal.surroundings).clone() }),
        pipe_stdin: false,
        output: Output::Null,
        ..minimal
    }
}

/// The details of a run of version 1, and that state.
pub(super) fn plan(runs: &Runs) -> Plan {
    let version = Version::Revision(1);
    let state = State { seq: Seq(1), version, content: Content::Value("1".into()) };
    let details = RunDetails {
        run: runs.next_id(),
        reason: Reason::Change,
        version,
        attempt: 2,
        coalesced: 3,
        permit: None,
    };
    Plan { details, input: None, state, permit: None }
}

/// Processes that exist only in memory. The daemon may be replaced while they live.
#[derive(Default)]
pub(super) struct Fake {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    last_pid: i32,
    live: BTreeMap<i32, RunTask>,
    /// Visible in `/proc`.
    found: Vec<FoundRun>,
    refuse: bool,
}

impl Fake {
    /// Lets every start fail from now on.
    pub(super) fn refuse(&self) {
        self.inside.lock().unwrap().refuse = true;
    }

    /// Adds a process of a killed daemon, which has no record.
    pub(super) fn show(&self, found: FoundRun) {
        let mut inside = self.inside.lock().unwrap();
        let (_, task) = Running::new(found.identity.clone(), Instant::now());
        inside.live.insert(found.identity.pid, task);
        inside.found.push(found);
    }

    pub(super) fn live(&self) -> Vec<i32> {
        self.inside.lock().unwrap().live.keys().copied().collect()
    }

    /// Ends a process.
    pub(super) fn end(&self, pid: i32, outcome: Outcome) {
        let task = self.inside.lock().unwrap().live.remove(&pid).unwrap();
        task.end(Ended { outcome, output_tail: "tail".to_owned() });
    }

    /// Whether a command to a process waits to be read.
    pub(super) fn was_commanded(&self, pid: i32) -> bool {
        self.inside.lock().unwrap().live.get(&pid).is_some_and(|task| !task.commands.is_empty())
    }

    /// Waits for the next command to a process.
    pub(super) async fn command(&self, pid: i32) -> RunCommand {
        std::future::poll_fn(|context| {
            self.inside.lock().unwrap().live.get_mut(&pid).unwrap().commands.poll_recv(context)
        })
        .await
        .unwrap()
    }
}

impl Processes for Fake {
    fn start(&self, _: &Launch, _: OutputSink) -> Result<Running, SpawnError> {
        let mut inside = self.inside.lock().unwrap();
        if inside.refuse {
            // The only way to such an error from here: an impossible plan.
            let none = WatchSpec { action: Action::Program(Vec::new()), ..spec("none", "/none") };
            let details = RunDetails {
                run: RunId("l-0-0".into()),
                reason: Reason::Change,
                version: Version::Revision(1),
                attempt: 1,
                coalesced: 1,
                permit: None,
            };
            return Err(Launch::new(&none, &details, None, None).unwrap_err());
        }
        inside.last_pid += 1;
        let pid = inside.last_pid;
        let (running, task) = Running::new(identity(pid), Instant::now());
        inside.live.insert(pid, task);
        Ok(running)
    }

    fn adopt(&self, process: &ProcessIdentity, _: OutputSink) -> Option<Running> {
        let mut inside = self.inside.lock().unwrap();
        let place = inside.live.get_mut(&process.pid)?;
        let (running, task) = Running::new(process.clone(), Instant::now());
        *place = task;
        Some(running)
    }

    fn kill_starts(&self, _: &[&str]) -> Vec<FoundRun> {
        Vec::new()
    }

    fn find_runs(&self, prefix: &str) -> Vec<FoundRun> {
        let mut found = self.inside.lock().unwrap().found.clone();
        found.retain(|found| found.run.0.starts_with(prefix));
        found
    }

    fn drain_leftovers(&self, _: &str, _: &BTreeSet<u64>) -> usize {
        0
    }
}

pub(super) fn identity(pid: i32) -> ProcessIdentity {
    ProcessIdentity { pid, start_ticks: 1, boot_id: "boot".into(), output_pipe: None, errors_pipe: None }
}

/// The runs of successive daemons, with the same processes and the same ledger.
pub(super) fn runs(fake: &Arc<Fake>, ledger: &Ledger, start: i64) -> Arc<Runs> {
    let started = jiff::Timestamp::from_second(start).unwrap();
    let nowhere = std::path::Path::new("/nonexistent");
    Arc::new(Runs::with(Arc::clone(fake) as _, ledger.clone(), nowhere, Slots::new(8), started))
}
