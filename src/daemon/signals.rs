//! The received signals, with their senders, as one stream: for the daemon and for `twitcher watch`.

use std::fmt;
use std::io;

use futures::StreamExt as _;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::exfiltrator::origin::{Origin, Process};
use signal_hook::low_level::siginfo::Cause;
use signal_hook_tokio::SignalsInfo;

use crate::process::Spawner;
use crate::watch::SignalNumber;

/// What a signal requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// Read the configuration again.
    Reload,
    /// Stop, and end the runs too.
    Stop,
    /// Stop, and leave the runs to the next daemon.
    HandOver,
    /// Nothing; without a handler it would end the process.
    Nothing,
}

/// Which signals are handled, and their meaning.
type Meanings = &'static [(i32, Asks)];

/// The daemon's signals.
const DAEMON: Meanings = &[
    (libc::SIGHUP, Asks::Reload),
    (libc::SIGTERM, Asks::Stop),
    (libc::SIGINT, Asks::Stop),
    (libc::SIGUSR1, Asks::HandOver),
    (libc::SIGUSR2, Asks::Nothing),
    (libc::SIGALRM, Asks::Nothing),
    (libc::SIGVTALRM, Asks::Nothing),
    (libc::SIGPROF, Asks::Nothing),
    (libc::SIGIO, Asks::Nothing),
    (libc::SIGPWR, Asks::Nothing),
    (libc::SIGSTKFLT, Asks::Nothing),
    (libc::SIGXCPU, Asks::Nothing),
];

/// The signals of `twitcher watch`. All others have their default effect.
const WATCH: Meanings = &[
    (libc::SIGINT, Asks::Stop),
    (libc::SIGQUIT, Asks::Stop),
    (libc::SIGTERM, Asks::Stop),
    (libc::SIGHUP, Asks::Stop),
];

/// The stream of signals. At most one of each number is pending.
pub(super) struct Signals {
    stream: SignalsInfo<WithOrigin>,
    meanings: Meanings,
}

/// A signal that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) number: SignalNumber,
    pub(super) asks: Asks,
    sender: Sender,
}

/// The sender of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Process {
        /// 0 for a process of another PID namespace.
        pid: i32,
        uid: u32,
    },
    Kernel,
    Unknown,
}

impl Signals {
    /// Handles the daemon's signals from now on, and ignores those that would end it by accident: all whose default ends a
    /// process, except program faults and QUIT, which requests a core dump.
    pub(super) fn of_daemon() -> io::Result<Self> {
        Self::handle(DAEMON, libc::SIGRTMIN()..=libc::SIGRTMAX())
    }

    /// Handles the signals of `twitcher watch` from now on.
    pub(super) fn of_watch() -> io::Result<Self> {
        Self::handle(WATCH, std::iter::empty())
    }

    fn handle(meanings: Meanings, unused: impl Iterator<Item = i32>) -> io::Result<Self> {
        let numbers = meanings.iter().map(|(number, _)| *number).chain(unused);
        Ok(Self { stream: SignalsInfo::new(numbers)?, meanings })
    }

    /// Waits for the next signal that requests something. Logs each one with its sender. Cancel-safe.
    pub(super) async fn next(&mut self) -> Received {
        loop {
            // The stream ends only when its handle is closed, and there is none.
            let Some(origin) = self.stream.next().await else { return std::future::pending().await };
            let received = Received::of(&origin, self.meanings);
            match received.asks {
                Asks::Reload | Asks::Stop | Asks::HandOver => {
                    tracing::info!("received {received}");
                    return received;
                }
                Asks::Nothing => tracing::warn!("ignored {received}"),
            }
        }
    }
}

impl Received {
    fn of(origin: &Origin, meanings: Meanings) -> Self {
        let asks = meanings.iter().find(|(number, _)| *number == origin.signal).map(|(_, asks)| *asks);
        let sender = match (origin.process, origin.cause) {
            (Some(Process { pid, uid, .. }), _) => Sender::Process { pid, uid },
            (None, Cause::Kernel) => Sender::Kernel,
            (None, _) => Sender::Unknown,
        };
        Self { number: SignalNumber(origin.signal), asks: asks.unwrap_or(Asks::Nothing), sender }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from ", self.number)?;
        match self.sender {
            Sender::Process { pid: 0, uid } => {
                write!(f, "a process of uid {uid} in another PID namespace")
            }
            Sender::Process { pid, uid } => write!(f, "process {pid} of uid {uid}"),
            Sender::Kernel => f.write_str("the kernel or the terminal"),
            Sender::Unknown => f.write_str("an unknown sender"),
        }
    }
}

/// As PID 1, collects ended orphans, which the kernel reparents to PID 1. Otherwise it does nothing.
pub(super) fn reap_as_init(spawner: &Spawner) -> io::Result<()> {
    if std::process::id() != 1 {
        return Ok(());
    }
    let mut ends: SignalsInfo = SignalsInfo::new([libc::SIGCHLD])?;
    let spawner = spawner.clone();
    tokio::spawn(async move {
        loop {
            let spawner = spawner.clone();
            let reaped = tokio::task::spawn_blocking(move || spawner.reap_foreign()).await.unwrap_or(true);
            // Many at once share one pass; repeat it if a run was just being started.
            tokio::time::sleep(super::REAP_INTERVAL).await;
            if reaped {
                ends.next().await;
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_described_with_its_sender() {
        let received = |sender| Received { number: SignalNumber(libc::SIGTERM), asks: Asks::Stop, sender };
        for (sender, text) in [
            (Sender::Process { pid: 4711, uid: 0 }, "SIGTERM from process 4711 of uid 0"),
            (Sender::Process { pid: 0, uid: 7 }, "SIGTERM from a process of uid 7 in another PID namespace"),
            (Sender::Kernel, "SIGTERM from the kernel or the terminal"),
            (Sender::Unknown, "SIGTERM from an unknown sender"),
        ] {
            assert_eq!(received(sender).to_string(), text);
        }
    }

    /// By the table of signal(7): the signals that end a process by default are handled, except the named ones.
    #[test]
    fn every_signal_that_would_end_the_daemon_is_handled() {
        let harmless = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
        let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
        let faults = [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGABRT,
            libc::SIGSYS,
            libc::SIGTRAP,
        ];
        let others = [libc::SIGKILL, libc::SIGQUIT, libc::SIGPIPE, libc::SIGXFSZ];
        for number in 1..=31 {
            let handled = DAEMON.iter().any(|(handled, _)| *handled == number);
            let left = harmless.contains(&number)
                || stops.contains(&number)
                || faults.contains(&number)
                || others.contains(&number);
            assert!(handled != left, "{}", SignalNumber(number));
        }
    }
}
