//! One live run: a task that feeds it, drains it, carries out orders and sees its end.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::OutputSink;
use super::children::OwnChild;
use super::output::{Drained, drain, drain_now};
use super::procfs::Groups;
use super::spawn::{self, Status};
use crate::watch::{Outcome, ProcessIdentity, SignalNumber};

/// How soon a group is looked at again after its leader ended under TERM or KILL; doubles …
const FIRST_LOOK: Duration = Duration::from_millis(5);
/// … up to this.
const LATER_LOOKS: Duration = Duration::from_millis(100);
/// How often an end is looked for where epoll has no room for one more descriptor.
const UNREGISTERED_LOOKS: Duration = Duration::from_millis(50);

/// What a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunCommand {
    /// A signal to the leader alone.
    Notify(SignalNumber),
    /// TERM to the whole group. From here on the run ends when the group is empty, which may take KILL:
    /// a member may ignore TERM, or be forked just then by a shell that held the signal back.
    Term {
        /// Whether it is the run's `timeout`, which then is its outcome.
        timed_out: bool,
    },
    /// KILL to the whole group, until it is empty.
    Kill,
}

/// Gives orders to a run; those that come after its end do nothing.
#[derive(Debug, Clone)]
pub struct RunCommands(mpsc::UnboundedSender<RunCommand>);

impl RunCommands {
    /// Sends a command. Commands are carried out in the order of sending.
    pub fn send(&self, command: RunCommand) {
        // Refused only after the end.
        let _ = self.0.send(command);
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The outcome.
    pub outcome: Outcome,
    /// Its last lines, at most 1 KiB, escaped.
    pub output_tail: String,
}

/// Resolves when a run has ended. Dropping it changes nothing for the run.
#[derive(Debug)]
pub struct Ending(oneshot::Receiver<Ended>);

impl Future for Ending {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let lost = || Ended { outcome: Outcome::Unknown, output_tail: String::new() };
        // The run's task gives no answer only when the runtime itself ends.
        Pin::new(&mut self.0).poll(context).map(|ended| ended.unwrap_or_else(|_| lost()))
    }
}

/// A live run.
#[derive(Debug)]
pub struct Running {
    /// Its leader.
    pub identity: ProcessIdentity,
    /// When its leader began.
    pub since: Instant,
    /// Signals it.
    pub commands: RunCommands,
    /// Its end.
    pub ended: Ending,
}

/// Standard input that did not fit into the pipe at once.
pub(super) struct Feed {
    pub(super) pipe: pipe::Sender,
    pub(super) bytes: Bytes,
}

impl Feed {
    /// Writes what fits; whether there is more to write.
    async fn go_on(&mut self) -> bool {
        if self.pipe.writable().await.is_err() {
            return false;
        }
        match self.pipe.try_write(&self.bytes) {
            Ok(written) => self.bytes.advance(written),
            Err(error) => {
                let again = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                // Anything else is a reader that has read enough (EPIPE), which is no error.
                return again;
            }
        }
        !self.bytes.is_empty()
    }
}

/// How the leader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaderEnd {
    Status(Status),
    /// Somebody else collected it.
    Unseen,
}

/// The first process of a run.
pub(super) struct Leader {
    identity: ProcessIdentity,
    pidfd: Pidfd,
    /// None where somebody else collects it.
    own: Option<OwnChild>,
}

enum Pidfd {
    Registered(AsyncFd<OwnedFd>),
    Unregistered(OwnedFd),
}

impl Leader {
    /// A process that we made.
    pub(super) fn child(identity: ProcessIdentity, pidfd: OwnedFd, own: OwnChild) -> Self {
        Self::new(identity, pidfd, Some(own))
    }

    /// A process that somebody else collects.
    pub(super) fn adopted(identity: ProcessIdentity, pidfd: OwnedFd) -> Self {
        Self::new(identity, pidfd, None)
    }

    fn new(identity: ProcessIdentity, pidfd: OwnedFd, own: Option<OwnChild>) -> Self {
        // The process exists, so failing is no choice any more.
        let pidfd = spawn::register(pidfd).map_or_else(Pidfd::Unregistered, Pidfd::Registered);
        Self { identity, pidfd, own }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.pidfd {
            Pidfd::Registered(fd) => fd.get_ref().as_fd(),
            Pidfd::Unregistered(fd) => fd.as_fd(),
        }
    }

    /// Whether it ended. It stays uncollected, so that its number still means its group.
    fn end(&self) -> Option<LeaderEnd> {
        if self.own.is_some() {
            match spawn::peek(self.fd()) {
                Ok(status) => status.map(LeaderEnd::Status),
                Err(_) => Some(LeaderEnd::Unseen),
            }
        } else {
            // A pidfd is readable when its process has ended (pidfd_open(2)).
            let ended = poll(&mut [PollFd::new(self.fd(), PollFlags::POLLIN)], PollTimeout::ZERO);
            matches!(ended, Ok(ready) if ready > 0).then_some(LeaderEnd::Unseen)
        }
    }

    async fn ended(&self) -> LeaderEnd {
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            match &self.pidfd {
                Pidfd::Registered(fd) => {
                    if let Ok(mut ready) = fd.readable().await
                        && self.end().is_none()
                    {
                        ready.clear_ready();
                    }
                }
                Pidfd::Unregistered(_) => sleep(UNREGISTERED_LOOKS).await,
            }
        }
    }

    fn signal_group(&self, signal: i32) {
        // Fails only where nobody is left to hear it.
        let _ = spawn::signal_group(self.identity.pid, signal);
    }

    fn collect(&mut self) {
        // Before its number is free: the next child may have the same.
        if self.own.take().is_some() {
            let _ = spawn::reap(self.fd());
        }
    }
}

/// What TERM and KILL have made of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Commanded {
    /// Whether it must end with its whole group.
    end: bool,
    killed: bool,
    timed_out: bool,
}

/// A run and all that its task holds.
pub(super) struct Run {
    leader: Leader,
    groups: Groups,
    feed: Option<Feed>,
    pipe: Option<pipe::Receiver>,
    sink: Option<OutputSink>,
}

impl Run {
    pub(super) fn new(
        leader: Leader,
        groups: Groups,
        feed: Option<Feed>,
        output: Option<(pipe::Receiver, OutputSink)>,
    ) -> Self {
        let (pipe, sink) = output.unzip();
        Self { leader, groups, feed, pipe, sink }
    }

    pub(super) fn start(self, since: Instant) -> Running {
        let (commands, received) = mpsc::unbounded_channel();
        let (tell, ended) = oneshot::channel();
        let identity = self.leader.identity.clone();
        tokio::spawn(async move {
            let end = self.live(received).await;
            // Nobody needs to be interested.
            let _ = tell.send(end);
        });
        Running { identity, since, commands: RunCommands(commands), ended: Ending(ended) }
    }

    async fn live(mut self, mut commands: mpsc::UnboundedReceiver<RunCommand>) -> Ended {
        let mut commanded = Commanded::default();
        let mut listening = true;
        let mut leader_end = None;
        let mut look = Duration::ZERO;
        let end = loop {
            tokio::select! {
                command = commands.recv(), if listening => match command {
                    Some(command) => self.obey(command, &mut commanded),
                    None => listening = false,
                },
                end = self.leader.ended(), if leader_end.is_none() => {
                    if !commanded.end {
                        break end;
                    }
                    leader_end = Some(end);
                }
                more = go_on(&mut self.feed) => if !more {
                    self.feed = None;
                },
                drained = drain_some(&mut self.pipe, &mut self.sink) => if drained == Drained::Closed {
                    self.pipe = None;
                },
                () = sleep(look), if leader_end.is_some() => {
                    let end = leader_end.unwrap_or(LeaderEnd::Unseen);
                    if !group_lives(&self.groups, &self.leader.identity).await {
                        break end;
                    }
                    if commanded.killed {
                        self.leader.signal_group(libc::SIGKILL);
                    }
                    look = (look * 2).clamp(FIRST_LOOK, LATER_LOOKS);
                }
            }
        };
        self.finish(end, commanded)
    }

    fn obey(&self, command: RunCommand, commanded: &mut Commanded) {
        if !commanded.end && self.leader.end().is_some() {
            // It ended by itself a moment ago: what it left running is left alone.
            return;
        }
        match command {
            RunCommand::Notify(signal) => {
                let _ = spawn::signal_process(self.leader.fd(), signal.0);
            }
            RunCommand::Term { timed_out } => {
                commanded.end = true;
                commanded.timed_out |= timed_out;
                self.leader.signal_group(libc::SIGTERM);
                // A stopped process would hear it only when it goes on.
                self.leader.signal_group(libc::SIGCONT);
            }
            RunCommand::Kill => {
                commanded.end = true;
                commanded.killed = true;
                self.leader.signal_group(libc::SIGKILL);
            }
        }
    }

    fn finish(mut self, end: LeaderEnd, commanded: Commanded) -> Ended {
        self.leader.collect();
        let mut output_tail = String::new();
        if let Some(mut sink) = self.sink.take() {
            let left = self.pipe.take().filter(|pipe| drain_now(pipe, &mut sink) == Drained::Open);
            output_tail = sink.finish();
            if let Some(pipe) = left {
                sink.linger(pipe);
            }
        }
        Ended { outcome: outcome(end, commanded.timed_out), output_tail }
    }
}

async fn group_lives(groups: &Groups, leader: &ProcessIdentity) -> bool {
    let (groups, leader) = (groups.clone(), leader.clone());
    tokio::task::spawn_blocking(move || groups.live(&leader)).await.unwrap_or(false)
}

async fn go_on(feed: &mut Option<Feed>) -> bool {
    match feed {
        Some(feed) => feed.go_on().await,
        None => std::future::pending().await,
    }
}

async fn drain_some(pipe: &mut Option<pipe::Receiver>, sink: &mut Option<OutputSink>) -> Drained {
    match (pipe, sink) {
        (Some(pipe), Some(sink)) => drain(pipe, sink).await,
        (_, _) => std::future::pending().await,
    }
}

fn outcome(end: LeaderEnd, timed_out: bool) -> Outcome {
    match (end, timed_out) {
        (LeaderEnd::Status(Status::Exited(code)), false) => Outcome::Exited(code),
        (LeaderEnd::Status(Status::Signaled(signal)), false) => Outcome::Killed(SignalNumber(signal)),
        (LeaderEnd::Unseen, false) => Outcome::Unknown,
        (LeaderEnd::Status(Status::Exited(code)), true) => {
            Outcome::TimedOut { exit_code: Some(code), signal: None }
        }
        (LeaderEnd::Status(Status::Signaled(signal)), true) => {
            Outcome::TimedOut { exit_code: None, signal: Some(SignalNumber(signal)) }
        }
        (LeaderEnd::Unseen, true) => Outcome::TimedOut { exit_code: None, signal: None },
    }
}
