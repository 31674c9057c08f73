//! One live run: a task that feeds it, drains it, carries out commands and collects it.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use super::foreground::Foreground;
use super::output::Pipes;
use super::procfs::Groups;
use super::spawn::{self, Status};
use crate::watch::{Outcome, ProcessIdentity, RunId, SignalNumber, WatchName};

/// Poll interval for the group after its leader ended under TERM or KILL; doubles …
const FIRST_LOOK: Duration = Duration::from_millis(5);
/// … up to this.
const LATER_LOOKS: Duration = Duration::from_millis(100);
/// Poll interval for the end of a process if epoll cannot take one more descriptor.
const UNREGISTERED_LOOKS: Duration = Duration::from_millis(50);

/// A command to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunCommand {
    /// A signal to the leader alone.
    Notify(SignalNumber),
    /// TERM to the whole group. From now on the run ends when the group is empty, which may take KILL: a member may ignore
    /// TERM, or a shell that held the signal back may fork a new one at that moment.
    Term {
        /// Whether the run's `timeout` sent it; then the outcome is `timed_out`.
        timed_out: bool,
    },
    /// KILL to the whole group, until it is empty.
    Kill,
}

/// Sends commands to a run. Commands after its end have no effect.
#[derive(Debug, Clone)]
pub struct RunCommands {
    commands: mpsc::UnboundedSender<RunCommand>,
    refused: Arc<AtomicBool>,
}

impl RunCommands {
    /// Sends a command. Commands are carried out in order.
    pub fn send(&self, command: RunCommand) {
        // Refused only after the end.
        let _ = self.commands.send(command);
    }

    /// Whether the system refused to send a signal to the run, because it runs as another account by now.
    pub fn were_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits for the end of the run.
    pub async fn closed(&self) {
        self.commands.closed().await;
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The outcome.
    pub outcome: Outcome,
    /// Its last lines, at most 64 KiB, escaped.
    pub output_tail: String,
}

/// Resolves when a run has ended. Dropping it does not affect the run.
#[derive(Debug)]
pub struct Ending(oneshot::Receiver<Ended>);

impl Future for Ending {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let lost = || Ended { outcome: Outcome::Unknown, output_tail: String::new() };
        // The run's task drops the sender only when the runtime itself shuts down.
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
    /// Sends it commands.
    pub commands: RunCommands,
    /// Its end.
    pub ended: Ending,
}

/// The task's end of a [`Running`]: receives the commands and reports the end.
#[derive(Debug)]
pub struct RunTask {
    /// The commands, in order.
    pub commands: mpsc::UnboundedReceiver<RunCommand>,
    ended: oneshot::Sender<Ended>,
    refused: Arc<AtomicBool>,
}

impl RunTask {
    /// Reports the end of the run. The receiver may be gone.
    pub fn end(self, ended: Ended) {
        let _ = self.ended.send(ended);
    }
}

impl Running {
    /// A live run, and the descriptors of its task.
    pub fn new(identity: ProcessIdentity, since: Instant) -> (Self, RunTask) {
        let (commands, received) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let refused = Arc::<AtomicBool>::default();
        let commands = RunCommands { commands, refused: Arc::clone(&refused) };
        let running = Self { identity, since, commands, ended: Ending(ended) };
        (running, RunTask { commands: received, ended: end, refused })
    }
}

/// Standard input that did not fit into the pipe at once.
pub(super) struct Feed {
    pub(super) pipe: pipe::Sender,
    pub(super) bytes: Bytes,
}

impl Feed {
    /// Writes what fits; whether more is left.
    async fn go_on(&mut self) -> bool {
        if self.pipe.writable().await.is_err() {
            return false;
        }
        match self.pipe.try_write(&self.bytes) {
            Ok(written) => self.bytes.advance(written),
            Err(error) => {
                let again = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                // Any other error means that the reader has read enough (EPIPE), which is no error.
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
    /// Other code collected it.
    Unseen,
}

/// The first process of a run.
pub(super) struct Leader {
    identity: ProcessIdentity,
    pidfd: Pidfd,
    /// `None` if other code collects it.
    own: Option<OwnChild>,
}

enum Pidfd {
    Registered(AsyncFd<OwnedFd>),
    Unregistered(OwnedFd),
}

impl Leader {
    /// A child of ours.
    pub(super) fn child(identity: ProcessIdentity, pidfd: OwnedFd, own: OwnChild) -> Self {
        Self::new(identity, pidfd, Some(own))
    }

    /// A process that is not our child: other code collects it.
    pub(super) fn adopted(identity: ProcessIdentity, pidfd: OwnedFd) -> Self {
        Self::new(identity, pidfd, None)
    }

    fn new(identity: ProcessIdentity, pidfd: OwnedFd, own: Option<OwnChild>) -> Self {
        // The process exists, so failing is no longer an option.
        let pidfd = spawn::register(pidfd).map_or_else(Pidfd::Unregistered, Pidfd::Registered);
        Self { identity, pidfd, own }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.pidfd {
            Pidfd::Registered(fd) => fd.get_ref().as_fd(),
            Pidfd::Unregistered(fd) => fd.as_fd(),
        }
    }

    /// How it ended, if it has. A child stays uncollected, so that its pid still names its group.
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

    /// Whether its pid cannot have been reused: while it lives, and while it is an uncollected child of ours.
    fn owns_its_number(&self) -> bool {
        self.own.is_some() || self.end().is_none()
    }

    /// Sends a signal to the group. Returns whether the system refused it: all of its members run as other accounts.
    fn signal_group(&self, signal: i32) -> bool {
        let sent = spawn::signal_group(self.identity.pid, signal);
        // Anything else means that no member is left.
        sent.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM))
    }

    fn collect(&mut self) {
        // Before the pid is free: the next child may get the same one.
        if self.own.take().is_some() {
            let _ = spawn::reap(self.fd());
        }
    }
}

/// Which of TERM and KILL the run was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Commanded {
    /// Whether the run ends only when its whole group is gone.
    end: bool,
    killed: bool,
    timed_out: bool,
}

/// A run and everything that its task holds.
pub(super) struct Run {
    leader: Leader,
    groups: Groups,
    feed: Option<Feed>,
    output: Option<(Pipes, OutputSink)>,
    /// The watch and the run, for the log.
    names: Option<(WatchName, RunId)>,
    /// Whether a signal to it was refused.
    refused: Arc<AtomicBool>,
    /// Taken back when the run has ended.
    _foreground: Option<Foreground>,
}

impl Run {
    pub(super) fn new(
        leader: Leader,
        groups: Groups,
        feed: Option<Feed>,
        output: Option<Pipes>,
        sink: OutputSink,
    ) -> Self {
        let names = sink.names().cloned();
        let output = output.map(|pipes| (pipes, sink));
        let refused = Arc::default();
        Self { leader, groups, feed, output, names, refused, _foreground: None }
    }

    /// The same for a run that has the terminal.
    pub(super) fn with_terminal(self, foreground: Option<Foreground>) -> Self {
        Self { _foreground: foreground, ..self }
    }

    /// `aside` is done in the run's task, before anything else.
    pub(super) fn start(mut self, since: Instant, aside: impl FnOnce() + Send + 'static) -> Running {
        let (running, mut task) = Running::new(self.leader.identity.clone(), since);
        self.refused = Arc::clone(&task.refused);
        tokio::spawn(async move {
            aside();
            let end = self.live(&mut task.commands).await;
            task.end(end);
        });
        running
    }

    async fn live(mut self, commands: &mut mpsc::UnboundedReceiver<RunCommand>) -> Ended {
        let mut commanded = Commanded::default();
        let mut listening = true;
        let mut leader_end = None;
        let mut look = Duration::ZERO;
        let end = loop {
            tokio::select! {
                command = commands.recv(), if listening => match command {
                    Some(command) => {
                        self.obey(command, &mut commanded);
                        look = Duration::ZERO;
                    }
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
                () = drain(&mut self.output) => {}
                () = sleep(look), if leader_end.is_some() => {
                    let end = leader_end.unwrap_or(LeaderEnd::Unseen);
                    if !group_lives(&self.groups, &self.leader.identity).await {
                        break end;
                    }
                    if commanded.killed {
                        self.signal_group(libc::SIGKILL);
                    }
                    look = (look * 2).clamp(FIRST_LOOK, LATER_LOOKS);
                }
            }
        };
        self.finish(end, commanded)
    }

    fn obey(&self, command: RunCommand, commanded: &mut Commanded) {
        if !commanded.end && self.leader.end().is_some() {
            // It ended by itself a moment ago: leave processes alone that it left running.
            return;
        }
        // Other code collected an adopted leader that ended, so its pid may now name a group of unrelated processes. KILL then
        // waits for the next check of the group.
        let reachable = self.leader.owns_its_number();
        match command {
            RunCommand::Notify(signal) => {
                let _ = spawn::signal_process(self.leader.fd(), signal.0);
            }
            RunCommand::Term { timed_out } => {
                commanded.end = true;
                commanded.timed_out |= timed_out;
                if reachable {
                    self.signal_group(libc::SIGTERM);
                    // A stopped process receives TERM only when it continues.
                    self.signal_group(libc::SIGCONT);
                }
            }
            RunCommand::Kill => {
                commanded.end = true;
                commanded.killed = true;
                if reachable {
                    self.signal_group(libc::SIGKILL);
                }
            }
        }
    }

    fn signal_group(&self, signal: i32) {
        if !self.leader.signal_group(signal) || self.refused.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            watch = self.names.as_ref().map(|(watch, _)| display(watch)),
            run = self.names.as_ref().map(|(_, run)| display(run)),
            "{} may not be sent to the processes of the run (group {}): they run as another account, for example \
             through sudo; the run goes on until they end. Let the daemon run as root with `uid` in the watch file \
             in the place of sudo, or give the action a time limit of its own",
            SignalNumber(signal),
            self.leader.identity.pid
        );
    }

    fn finish(mut self, end: LeaderEnd, commanded: Commanded) -> Ended {
        self.leader.collect();
        let mut output_tail = String::new();
        if let Some((mut pipes, mut sink)) = self.output.take() {
            pipes.drain_now(&mut sink);
            output_tail = sink.finish();
            if !pipes.are_closed() {
                sink.linger(pipes);
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

async fn drain(output: &mut Option<(Pipes, OutputSink)>) {
    match output {
        Some((pipes, sink)) => pipes.drain(sink).await,
        None => std::future::pending().await,
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;
    use crate::process::{Leftovers, procfs};

    /// The leader of an adopted run ended and was collected, and another group got its pid.
    #[tokio::test]
    async fn kill_of_an_adopted_run_spares_an_unrelated_group_with_the_same_id() {
        let mut leader = Command::new("true").spawn().unwrap();
        let pidfd = spawn::open_process(i32::try_from(leader.id()).unwrap()).unwrap();
        let mut stranger = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let number = i32::try_from(stranger.id()).unwrap();
        let start_ticks = procfs::stat(number).unwrap().start_ticks;
        let identity = |start_ticks| ProcessIdentity {
            pid: number,
            start_ticks,
            boot_id: procfs::boot_id(),
            output_pipe: None,
            errors_pipe: None,
        };
        leader.wait().unwrap();
        let sink = || OutputSink::new(&Leftovers::default(), |_, _| {});

        let run = Run::new(
            Leader::adopted(identity(start_ticks + 1), pidfd.try_clone().unwrap()),
            Groups::default(),
            None,
            None,
            sink(),
        );
        let mut commanded = Commanded { end: true, ..Commanded::default() };
        run.obey(RunCommand::Term { timed_out: false }, &mut commanded);
        run.obey(RunCommand::Kill, &mut commanded);
        assert!(commanded.killed);
        assert!(procfs::stat(number).unwrap().alive, "it was sent a signal");
        assert!(!group_lives(&run.groups, &run.leader.identity).await);

        // With the right start time it is the run's own group: the next look sends KILL.
        let own =
            Run::new(Leader::adopted(identity(start_ticks), pidfd), Groups::default(), None, None, sink());
        assert!(group_lives(&own.groups, &own.leader.identity).await);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
