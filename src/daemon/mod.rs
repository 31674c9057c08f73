//! The daemon: its order of starting, its one loop, and its end.
//!
//! Start: settings, log, ledger (the lock of the state directory), control socket, watches, ready. The loop
//! takes what clients ask, hints that files changed, signals, and watches that drained; it waits for none of
//! them. Decisions about runs are made in `policy`, and performed in `live`.

mod ad_hoc;
mod answer;
mod ground;
mod http;
mod live;
mod orphans;
mod reload;
mod report;
mod service;
mod signals;
mod supervisor;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::config::{DirectoryWatch, Hint};
use crate::config::{FileReport, Loader, Settings};
use crate::control::{Asked, Server, ServerError};
use crate::ledger::{Ledger, LedgerError};
pub use ad_hoc::{AdHoc, End as AdHocEnd, watch};
use ground::Ground;
use http::Probe;
use service::Watchdog;
use signals::{Asks, Signals};
use supervisor::Supervisor;

/// How long the end of the daemon waits for the ledger's disk …
const LAST_WRITES: Duration = Duration::from_secs(5);
/// … and for actions that were sent KILL. The kernel keeps what waits for a dead disk.
const UNKILLABLE: Duration = Duration::from_secs(10);
/// How often PID 1 looks for ended processes, at most.
const REAP_INTERVAL: Duration = Duration::from_millis(100);

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// `twitcher.conf` cannot be used.
    #[error("{0}")]
    Settings(String),
    /// The state directory cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The control socket cannot be made.
    #[error(transparent)]
    Control(#[from] ServerError),
    /// Somebody else listens there.
    #[error(
        "cannot listen on {listen}: {error}; set http_listen in twitcher.conf to a free address or leave it out"
    )]
    Http {
        /// `http_listen`.
        listen: std::net::SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The log was set up before.
    #[error(transparent)]
    Log(#[from] crate::log::AlreadySetUp),
    /// The system refuses something that every process may have.
    #[error("cannot start the event loop: {0}")]
    System(#[from] std::io::Error),
}

/// Runs the daemon on a configuration directory until it is told to stop.
pub fn run(directory: &Path) -> Result<(), DaemonError> {
    crate::process::take_over_signals();
    crate::process::keep_one_heap();
    // More threads would not make a daemon that waits any faster, but bigger.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(serve(directory));
    // A file system that hangs must not hold up the end.
    runtime.shutdown_background();
    result
}

/// How the daemon is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Actions may finish for a while, and are ended then.
    Stop,
    /// Actions are left to the daemon that comes next, which adopts them.
    HandOver,
}

/// What the loop holds.
struct Daemon {
    started: jiff::Timestamp,
    loader: Loader,
    settings: Arc<Settings>,
    files: Vec<FileReport>,
    ground: Arc<Ground>,
    supervisor: Supervisor,
    /// What is wrong with watching the configuration directory.
    blindness: Option<String>,
    reloads: u64,
    log: crate::log::Guard,
}

async fn serve(directory: &Path) -> Result<(), DaemonError> {
    let mut signals = Signals::of_daemon()?;
    let started = jiff::Timestamp::now();
    let directory = std::path::absolute(directory)?;
    let mut loader = Loader::new(&directory);
    let settings = reload::first_settings(&mut loader).map_err(DaemonError::Settings)?;
    let log = crate::log::init(&log_settings(&settings))?;
    tracing::info!("twitcher {} starts on {}", env!("CARGO_PKG_VERSION"), directory.display());
    let ledger = Ledger::open(&settings.state_dir)?;
    let (asked_out, asked) = mpsc::channel(16);
    let control = Server::open(&settings.control_socket, asked_out).await?;
    let (probes_out, probes) = mpsc::channel(16);
    let http = match settings.http_listen {
        Some(listen) => {
            let opened = http::open(listen, probes_out.clone()).await;
            Some(opened.map_err(|error| DaemonError::Http { listen, error })?)
        }
        None => None,
    };
    let max_processes = usize::try_from(settings.max_processes).unwrap_or(usize::MAX);
    let ground = Arc::new(Ground::new(ledger, &settings.state_dir, max_processes, started));
    signals::reap_as_init(&ground.spawner)?;
    ground.find_lost_runs().await;
    let (watch, hints) = DirectoryWatch::start(&directory);
    let mut daemon = Daemon {
        started,
        loader,
        settings,
        files: Vec::new(),
        supervisor: Supervisor::new(Arc::clone(&ground)),
        ground,
        blindness: None,
        reloads: 0,
        log,
    };
    daemon.reload(reload::Extent::Everything);
    service::ready(&daemon.summary());
    let mut watchdog = Watchdog::new();
    let end = daemon.turn(&mut signals, hints, asked, probes, &mut watchdog).await;
    // Nothing new from here on.
    drop((watch, control, http, probes_out));
    daemon.end(end, &mut signals, &mut watchdog).await;
    Ok(())
}

impl Daemon {
    /// The loop: until a signal ends it.
    async fn turn(
        &mut self,
        signals: &mut Signals,
        mut hints: mpsc::Receiver<Hint>,
        mut asked: mpsc::Receiver<Asked>,
        mut probes: mpsc::Receiver<Probe>,
        watchdog: &mut Watchdog,
    ) -> End {
        loop {
            tokio::select! {
                signal = signals.next() => match signal.asks {
                    Asks::Stop => return End::Stop,
                    Asks::HandOver => return End::HandOver,
                    Asks::Reload => {
                        service::reloading();
                        self.reload(reload::Extent::Everything);
                        service::ready(&self.summary());
                    }
                    Asks::Nothing => {}
                },
                Some(hint) = hints.recv() => self.hinted(hint),
                Some(asked) = asked.recv() => self.answer(asked),
                Some(probe) = probes.recv() => self.probed(probe),
                () = self.supervisor.turn() => {}
                () = watchdog.feed() => {}
            }
        }
    }

    fn hinted(&mut self, hint: Hint) {
        if let Some(complaint) = &hint.complaint {
            tracing::error!("{complaint}");
        }
        self.blindness = hint.complaint;
        self.reload(reload::Extent::WatchFiles);
        service::ready(&self.summary());
    }

    async fn end(mut self, end: End, signals: &mut Signals, watchdog: &mut Watchdog) {
        service::stopping();
        match end {
            End::HandOver => {
                tracing::info!("leaving {} actions to the next daemon", self.running());
            }
            End::Stop => {
                let grace = self.settings.shutdown_grace;
                tracing::info!("stopping; {} actions may finish within {grace:?}", self.running());
                let mut limit = self.supervisor.stop(Instant::now() + grace);
                while !self.supervisor.is_empty() {
                    tokio::select! {
                        () = self.supervisor.turn() => {}
                        signal = signals.next() => match signal.asks {
                            // The second one: stop without waiting.
                            Asks::Stop => limit = self.supervisor.stop(Instant::now()),
                            Asks::HandOver => break,
                            Asks::Reload | Asks::Nothing => {}
                        },
                        () = tokio::time::sleep_until((limit + UNKILLABLE).into()) => {
                            tracing::error!("{} actions do not end, not even by KILL; leaving them to the next daemon", self.running());
                            break;
                        }
                        () = watchdog.feed() => {}
                    }
                }
            }
        }
        if let Err(unwritten) = self.ground.ledger.flush(LAST_WRITES) {
            tracing::error!("{unwritten}");
        }
        tracing::info!("stopped");
    }

    fn running(&self) -> u64 {
        self.ground.running()
    }

    /// One line for the service manager.
    fn summary(&self) -> String {
        let watches = self.supervisor.names().count();
        let broken = self.files.iter().filter(|file| file.state != crate::config::FileState::Loaded).count();
        if broken == 0 {
            format!("{watches} watches")
        } else {
            format!("{watches} watches, {broken} files with problems")
        }
    }
}

fn log_settings(settings: &Settings) -> crate::log::Settings {
    crate::log::Settings {
        destination: settings.log.clone(),
        level: settings.log_level,
        ..crate::log::Settings::default()
    }
}
