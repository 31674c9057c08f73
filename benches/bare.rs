//! The floors: what a loop does that only watches and starts, without any of what the daemon promises.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use twitcher::internals::process::{Launch, Leftovers, OutputSink, RunDetails, Spawner};
use twitcher::internals::watch::{
    Account, Action, Format, Key, Output, Reason, RunId, StoreName, Surroundings, Target, Version, WatchName,
    WatchSpec, WatchType,
};

/// How a bare loop starts the program.
pub enum Start {
    /// `std::process::Command`, which is `posix_spawn(3)`: no session, user, pipes or record.
    Command,
    /// The start of the daemon itself, with all that it does in the child.
    Same(Box<Same>),
}

pub struct Same {
    spawner: Spawner,
    spec: WatchSpec,
}

impl Start {
    /// The daemon's own start of the program, which gets the file as its argument.
    pub fn same(program: &Path, file: &Path) -> Self {
        let account = Account {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            groups: None,
            user: "root".into(),
            home: "/root".into(),
            shell: "/bin/sh".into(),
        };
        let surroundings = Surroundings {
            account,
            cwd: "/".into(),
            umask: 0o022,
            inherit_env: false,
            env: BTreeMap::new(),
            nice: None,
            limits: BTreeMap::new(),
        };
        let spec = WatchSpec {
            name: WatchName::new("floor").unwrap(),
            description: String::new(),
            enabled: true,
            target: Target {
                store: StoreName::new("it").unwrap(),
                key: Key::new("/same").unwrap(),
                watch_type: WatchType::Data,
            },
            action: Action::Program(vec![program.into(), file.into()]),
            surroundings: Arc::new(surroundings),
            pipe_stdin: true,
            format: Format::Raw,
            output: Output::Log,
            verify_interval: Duration::from_mins(5),
            splay: Duration::ZERO,
            mutex: None,
            fleet: None,
            validate: None,
            on_give_up: None,
            machine: Arc::default(),
            policy: Arc::default(),
        };
        Self::Same(Box::new(Same { spawner: Spawner::new(), spec }))
    }

    /// Starts the program with the value on standard input.
    pub fn start(&self, program: &Path, file: &Path, value: Bytes) {
        match self {
            Self::Command => {
                let input = if value.is_empty() { Stdio::null() } else { Stdio::piped() };
                let mut child = Command::new(program).arg(file).stdin(input).spawn().unwrap();
                tokio::task::spawn_blocking(move || {
                    if let Some(mut input) = child.stdin.take() {
                        // The program does not read it.
                        let _ = input.write_all(&value);
                    }
                    child.wait()
                });
            }
            Self::Same(same) => {
                let details = RunDetails {
                    run: RunId("floor-1-1".into()),
                    reason: Reason::Change,
                    version: Version::Revision(1),
                    attempt: 1,
                    coalesced: 1,
                    permit: None,
                };
                let launch = Launch::new(&same.spec, &details, Some(value), None).unwrap();
                let sink = OutputSink::new(&Leftovers::default(), |_, _| {});
                same.spawner.start(&launch, sink).unwrap();
            }
        }
    }
}

/// A bare loop: when it hears of a change, and what it starts then.
pub struct Loop {
    pub start: Start,
    pub program: PathBuf,
    /// Where the program notes its first instruction.
    pub file: PathBuf,
    /// Whether the program gets the value, which the daemon's start always gives it.
    pub feeds: bool,
}

impl Loop {
    pub fn heard(&self, value: &[u8]) {
        let value = if self.feeds { Bytes::copy_from_slice(value) } else { Bytes::new() };
        self.start.start(&self.program, &self.file, value);
    }
}
