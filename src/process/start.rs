//! From plan to running process: the pipes, the clone, and the error message on failure.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Gid, Uid, fchown, geteuid, pipe2, write};
use tokio::net::unix::pipe;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::children::Children;
use super::failure::SpawnError;
use super::foreground::Foreground;
use super::guard::StartGuard;
use super::output::Pipes;
use super::prepared::{Prepared, above_standard};
use super::procfs::{self, Groups};
use super::record;
use super::run::{Feed, Leader, Run, Running};
use super::spawn::{self, Child, Failure, Plan};
use super::step::Step;
use super::{Launch, OutputSink};
use crate::watch::{Limit, Output, ProcessIdentity};

/// How often a program that is being written is tried again, 5 ms apart. This also happens when another run is cloned
/// while a script is written: the clone holds a copy of the descriptor.
const BUSY_TRIES: usize = 20;

/// Time limit from the clone to the exec, if the watch's `timeout` is not shorter: a program on a slow network file
/// system may take long, but a start that hangs must not hold its watch forever.
const LONGEST_START: Duration = Duration::from_secs(30);

/// Starts runs, and finds those that an earlier daemon started. One for the whole daemon; cheap to clone.
#[derive(Debug, Clone)]
pub struct Spawner {
    pub(super) boot_id: Arc<str>,
    pub(super) groups: Groups,
    pub(super) children: Arc<Children>,
    prepared: Arc<Prepared>,
    guard: StartGuard,
}

impl Spawner {
    /// Reads the boot id, and ensures that this process can collect its children.
    pub fn new() -> Self {
        spawn::keep_child_statuses();
        Self {
            boot_id: procfs::boot_id(),
            groups: Groups::default(),
            children: Arc::default(),
            prepared: Arc::default(),
            guard: StartGuard::default(),
        }
    }

    /// Starts a run. Returns when the action has been executed, or why it was not.
    ///
    /// Must be called in a tokio runtime. A file system that hangs may block this call, but on a multi-threaded runtime no
    /// other task.
    pub fn start(&self, launch: &Launch, sink: OutputSink) -> Result<Running, SpawnError> {
        let shown = launch.shown();
        let foreground = match launch.output {
            Output::Terminal => {
                let lent = Foreground::lend();
                Some(lent.map_err(|why| SpawnError::before(format!("give the terminal to {shown}"), why))?)
            }
            Output::Log | Output::Null | Output::Inherit => None,
        };
        let Streams { stdio, feed, output, inodes } = self
            .streams(launch, foreground.as_ref())
            .map_err(|error| SpawnError::preparing(format!("make pipes for {shown}"), &error))?;
        let record = self.prepared.record().and_then(|memory| record::written(memory, launch));
        let plan = plan(launch, stdio, record.and_then(|record| above_standard(record).ok()));
        let since = Instant::now();
        let limit = launch.timeout.map_or(LONGEST_START, |timeout| timeout.min(LONGEST_START));
        let starting = self.children.starting();
        let child =
            blocking(|| self.spawn_patiently(&plan, limit)).map_err(|failure| explain(launch, failure))?;
        let own = self.children.own(child.pid);
        drop(starting);
        // Drop our copies of the child's ends: otherwise the end of its output would never be seen.
        drop(plan);
        let [output_pipe, errors_pipe] = inodes;
        let identity = ProcessIdentity {
            pid: child.pid,
            // Zero equals the start time of no process: without /proc, nothing is adopted.
            start_ticks: procfs::stat(child.pid).map_or(0, |stat| stat.start_ticks),
            boot_id: self.boot_id.clone(),
            output_pipe,
            errors_pipe,
        };
        let leader = Leader::child(identity, child.pidfd, own);
        let has_pipes = output.is_some();
        let run = Run::new(leader, self.groups.clone(), feed, output, sink);
        let prepared = Arc::clone(&self.prepared);
        Ok(run.with_terminal(foreground).start(since, move || prepared.next(has_pipes)))
    }
}

impl Spawner {
    fn spawn_patiently(&self, plan: &Plan, limit: Duration) -> Result<Child, Failure> {
        let mut result = self.guard.spawn(plan, limit);
        for _ in 0..BUSY_TRIES {
            match result {
                Err(failure) if failure.errno == Errno::ETXTBSY => {
                    std::thread::sleep(Duration::from_millis(5));
                    result = self.guard.spawn(plan, limit);
                }
                Ok(_) | Err(_) => break,
            }
        }
        result
    }
}

impl Default for Spawner {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a call that is slow, or may block on a hanging file system, without blocking other tasks of the same thread.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}

/// The child's standard streams and our ends of them.
struct Streams {
    stdio: [OwnedFd; 3],
    feed: Option<Feed>,
    output: Option<Pipes>,
    /// Of the pipes of standard output and standard error.
    inodes: [Option<u64>; 2],
}

impl Spawner {
    fn streams(&self, launch: &Launch, foreground: Option<&Foreground>) -> io::Result<Streams> {
        let (input, feed) = match (foreground, launch.input.clone()) {
            (Some(foreground), _) => (foreground.input()?.into(), None),
            (None, None) => (File::open("/dev/null")?.into(), None),
            (None, Some(bytes)) => {
                let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
                belong(&read, launch)?;
                (read, feed(write, bytes)?)
            }
        };
        let input = above_standard(input)?;
        let (out, errors, output) = match launch.output {
            Output::Inherit | Output::Terminal => {
                // Copies, and never under the numbers 0, 1 and 2.
                let out = io::stdout().as_fd().try_clone_to_owned()?;
                (out, io::stderr().as_fd().try_clone_to_owned()?, None)
            }
            Output::Null => {
                let nowhere = above_standard(OpenOptions::new().write(true).open("/dev/null")?.into())?;
                let errors = nowhere.try_clone()?;
                (nowhere, errors, None)
            }
            Output::Log => {
                let [out, errors] = self.prepared.outputs()?;
                belong(&out.write, launch)?;
                belong(&errors.write, launch)?;
                let inodes = [out.inode, errors.inode];
                let pipes = Pipes { stdout: Some(out.read), stderr: Some(errors.read) };
                (out.write, errors.write, Some((pipes, inodes)))
            }
        };
        let (output, inodes) = output.unzip();
        Ok(Streams { stdio: [input, out, errors], feed, output, inodes: inodes.unwrap_or_default() })
    }
}

/// Gives a pipe to the account of the action, which may reopen `/dev/stdin` or `/dev/stderr`: that checks the owner.
fn belong(pipe: &OwnedFd, launch: &Launch) -> io::Result<()> {
    let owner = &launch.account;
    if owner.uid != geteuid().as_raw() {
        fchown(pipe, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    }
    Ok(())
}

/// Writes what fits into the new pipe at once; usually that is everything.
fn feed(write_end: OwnedFd, mut bytes: Bytes) -> io::Result<Option<Feed>> {
    fcntl(&write_end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    while !bytes.is_empty() {
        match write(&write_end, &bytes) {
            Ok(written) => bytes.advance(written),
            Err(Errno::EAGAIN) => {
                return Ok(Some(Feed { pipe: pipe::Sender::from_owned_fd(write_end)?, bytes }));
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(None)
}

fn plan(launch: &Launch, stdio: [OwnedFd; 3], record: Option<OwnedFd>) -> Plan {
    Plan {
        stdio,
        record,
        terminal: launch.output == Output::Terminal,
        nice: launch.nice,
        limits: launch.limits.iter().map(|(limit, value)| (resource(*limit), rlimit(*value))).collect(),
        groups: launch.account.groups.clone(),
        gid: launch.account.gid,
        uid: launch.account.uid,
        cwd: launch.cwd.clone(),
        umask: launch.umask,
        programs: launch.programs.clone(),
        argv: launch.argv.clone(),
        env: launch.env.clone(),
        close_range: true,
        clear_handlers: true,
    }
}

fn rlimit(value: Option<u64>) -> libc::rlimit64 {
    let value = value.unwrap_or(libc::RLIM64_INFINITY);
    libc::rlimit64 { rlim_cur: value, rlim_max: value }
}

fn resource(limit: Limit) -> u32 {
    match limit {
        Limit::As => libc::RLIMIT_AS,
        Limit::Core => libc::RLIMIT_CORE,
        Limit::Cpu => libc::RLIMIT_CPU,
        Limit::Data => libc::RLIMIT_DATA,
        Limit::Fsize => libc::RLIMIT_FSIZE,
        Limit::Memlock => libc::RLIMIT_MEMLOCK,
        Limit::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Limit::Nice => libc::RLIMIT_NICE,
        Limit::Nofile => libc::RLIMIT_NOFILE,
        Limit::Nproc => libc::RLIMIT_NPROC,
        Limit::Rss => libc::RLIMIT_RSS,
        Limit::Rtprio => libc::RLIMIT_RTPRIO,
        Limit::Rttime => libc::RLIMIT_RTTIME,
        Limit::Sigpending => libc::RLIMIT_SIGPENDING,
        Limit::Stack => libc::RLIMIT_STACK,
    }
}

/// The failed step, for the error message.
fn explain(launch: &Launch, failure: Failure) -> SpawnError {
    let account = &launch.account;
    let what = match failure.step {
        Step::Clone => format!("create a process for {}", launch.shown()),
        Step::Session => "start a session".to_owned(),
        Step::Descriptors => "set up standard input and output".to_owned(),
        Step::Foreground => "take the foreground of the terminal".to_owned(),
        Step::Close => "keep the daemon's files from the action".to_owned(),
        Step::Niceness => format!("set niceness {}", launch.nice.unwrap_or_default()),
        Step::Limit => launch.limits.get(failure.index).map_or_else(
            || "set a limit".to_owned(),
            |(limit, value)| {
                let value = value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
                format!("set the limit `{}` to {value}", limit.word())
            },
        ),
        Step::Groups => format!("set the groups of user {}", account.user),
        Step::Group => format!("change to group {}", account.gid),
        Step::User => format!("change to user {} ({})", account.user, account.uid),
        Step::Directory => format!("enter directory {}", launch.cwd.to_string_lossy()),
        Step::Execute => format!("execute {}", launch.shown()),
        Step::Held => return SpawnError::held(format!("execute {}", launch.shown())),
    };
    SpawnError::at(failure.step, what, failure.errno)
}
