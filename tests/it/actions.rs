//! Actions: what they inherit, how they end, and what they leave behind. Real processes, run as root.
#![expect(clippy::unwrap_used, reason = "this file is tests only")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use twitcher::internals::process::{
    Ended, Launch, Leftovers, OutputSink, RunCommand, RunDetails, Running, SpawnError, Spawner,
};
use twitcher::internals::watch::*;

mod adoption;
mod endings;
mod inheritance;
mod volume;

/// Time limit for a condition.
const PATIENCE: Duration = crate::fixture::server::LONG;

/// The lines that a run wrote.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for a line that satisfies a condition.
    async fn find(&self, wanted: impl Fn(&str) -> bool) -> String {
        until(|| self.all().into_iter().find(|line| wanted(line))).await
    }

    fn sink(&self, leftovers: &Leftovers) -> OutputSink {
        let lines = self.clone();
        OutputSink::new(leftovers, move |_, line| lines.0.lock().unwrap().push(line.to_owned()))
    }
}

/// Waits for a condition.
async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = condition() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, search).await.expect("the condition was not met in time")
}

fn shell(command: &str) -> WatchSpec {
    spec(Action::Shell(command.to_owned()))
}

/// The attributes of a watch's process, to be changed.
fn around(spec: &mut WatchSpec) -> &mut Surroundings {
    Arc::make_mut(&mut spec.surroundings)
}

fn program(words: &[&str]) -> WatchSpec {
    spec(Action::Program(words.iter().map(Into::into).collect()))
}

fn details(run: &str) -> RunDetails {
    RunDetails {
        run: RunId(run.into()),
        reason: Reason::Change,
        version: Version::Revision(1042),
        attempt: 1,
        coalesced: 1,
        permit: None,
    }
}

/// Starts an action; its output is in the lines.
fn start(spec: &WatchSpec, input: Option<Bytes>) -> Result<(Running, Lines), SpawnError> {
    let lines = Lines::default();
    let launch = Launch::new(spec, &details("ledger-1-1"), input, None)?;
    let running = Spawner::new().start(&launch, lines.sink(&Leftovers::default()))?;
    Ok((running, lines))
}

async fn end(running: Running) -> Ended {
    tokio::time::timeout(PATIENCE, running.ended).await.expect("the run did not end in time")
}

/// Runs an action to its end; returns its output.
async fn run(spec: &WatchSpec, input: Option<Bytes>) -> (Ended, Vec<String>) {
    let (running, lines) = start(spec, input).unwrap();
    (end(running).await, lines.all())
}

/// Whether a process runs (zombies do not).
fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

/// The live processes of a group.
fn group_members(group: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| lives(*pid))
        .filter(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
                stat.rsplit(')').next().unwrap().split_whitespace().nth(2) == Some(group.to_string().as_str())
            })
        })
        .collect()
}

fn term(timed_out: bool) -> RunCommand {
    RunCommand::Term { timed_out }
}

/// Runs the body in a separate process: this test binary again with only this test, which must get here again. For tests
/// that would disturb others, or be disturbed by them.
fn isolated(test: &str, body: impl FnOnce()) {
    const INNER: &str = "TWITCHER_TEST_INNER";
    if std::env::var_os(INNER).is_some_and(|inner| inner == test) {
        body();
        println!("inner {test} done");
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INNER, test)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test} failed in its own process:\n{out}\n{err}");
    assert!(out.contains(&format!("inner {test} done")), "{test} did not run in its own process:\n{out}");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

fn spec(action: Action) -> WatchSpec {
    assert!(nix::unistd::geteuid().is_root(), "these tests change users: run them as root");
    WatchSpec {
        name: WatchName::new("git").unwrap(),
        description: String::new(),
        enabled: true,
        target: Target {
            store: StoreName::new("main").unwrap(),
            key: Key::new("/git/head").unwrap(),
            watch_type: WatchType::Data,
        },
        action,
        surroundings: Arc::new(Surroundings {
            account: Account {
                uid: 0,
                gid: 0,
                groups: None,
                user: "root".into(),
                home: "/root".into(),
                shell: "/bin/sh".into(),
            },
            cwd: "/".into(),
            umask: 0o022,
            inherit_env: false,
            env: BTreeMap::new(),
            nice: None,
            limits: BTreeMap::new(),
        }),
        pipe_stdin: true,
        format: Format::Raw,
        output: Output::Log,
        verify_interval: VERIFY_INTERVAL,
        splay: Duration::ZERO,
        mutex: None,
        fleet: None,
        validate: None,
        on_give_up: None,
        machine: Arc::default(),
        policy: Arc::default(),
    }
}
