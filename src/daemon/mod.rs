//! The daemon: start, main loop, and shutdown.
//!
//! Start: configuration, log, ledger (the lock of the state directory), control socket, watches, ready. The loop takes
//! requests of clients, hints that files changed, readings of the configuration, signals, and watches that drained; it
//! waits for none of them. `policy` decides about runs, `live` performs the decisions, and `runs` owns the runs.

mod ad_hoc;
mod answer;
mod fleet;
mod http;
mod live;
mod loading;
mod reload;
mod report;
mod runs;
mod service;
mod signals;
mod supervisor;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::config::{DirectoryWatch, FileReport, Hint, LoadedWatches, Loader, Settings};
use crate::control::{Asked, Server, ServerError};
use crate::ledger::{Ledger, LedgerError, random_id};
use crate::process::{self, Spawner};
use crate::status::counted;
pub use ad_hoc::{AdHoc, End as AdHocEnd, watch};
pub use fleet::Crowd;
use http::{Http, Probe};
use loading::{Extent, Loaded, Loading};
use runs::Runs;
use service::Watchdog;
use signals::{Asks, Signals};
use supervisor::Supervisor;

/// How long shutdown waits for the ledger's disk …
const LAST_WRITES: Duration = Duration::from_secs(5);
/// … and for actions that got KILL. The kernel keeps a process that waits for a dead disk.
const UNKILLABLE: Duration = Duration::from_secs(10);
/// How often PID 1 looks for ended processes, at most.
const REAP_INTERVAL: Duration = Duration::from_millis(100);

const LOADER_IS_GONE: &str = "the configuration can no longer be read because of a bug in twitcher; what is loaded stays in effect; restart the daemon";

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// `twitcher.conf` cannot be used.
    #[error("{0}")]
    Settings(String),
    /// The state directory cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The control socket cannot be created.
    #[error(transparent)]
    Control(#[from] ServerError),
    /// The log was set up before.
    #[error(transparent)]
    Log(#[from] crate::log::AlreadySetUp),
    /// The system refuses a basic resource.
    #[error("cannot start the event loop: {0}")]
    System(#[from] std::io::Error),
}

/// Runs the daemon on a configuration directory until it is told to stop.
pub fn run(directory: &Path) -> Result<(), DaemonError> {
    crate::process::take_over_signals();
    crate::process::keep_one_heap();
    // More threads would only cost memory, because the daemon mostly waits.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(serve(directory));
    // A hanging file system must not delay shutdown.
    runtime.shutdown_background();
    result
}

/// How the daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Actions may finish for a while, and are ended then.
    Stop,
    /// Actions are left to the next daemon, which adopts them.
    HandOver,
}

/// The state of the loop.
struct Daemon {
    started: jiff::Timestamp,
    loading: Loading,
    settings: Arc<Settings>,
    watches: Arc<LoadedWatches>,
    files: Vec<FileReport>,
    runs: Arc<Runs>,
    supervisor: Supervisor,
    /// While `twitcher.conf` or `local.conf` has errors: what is in effect instead, and what is not loaded.
    shortcomings: Vec<String>,
    /// How many watches are not loaded, because settings that they need are unknown.
    withheld: usize,
    /// Why there is no control socket. Each reading of the configuration is another occasion to open it.
    no_control: Option<String>,
    /// Why changes in the configuration directory are not noticed immediately, while that holds.
    blindness: Option<String>,
    /// The loader's thread has panicked: nothing can be reloaded any more.
    loader_is_gone: bool,
    /// `None` once the daemon is stopping, and while there is a reason in `no_control`.
    control: Option<Server>,
    requests: mpsc::Sender<Asked>,
    http: Option<Http>,
    reloads: u64,
    log: crate::log::LogHandle,
}

async fn serve(directory: &Path) -> Result<(), DaemonError> {
    let mut signals = Signals::of_daemon()?;
    let started = jiff::Timestamp::now();
    let directory = std::path::absolute(directory)?;
    let (watch, hints) = DirectoryWatch::start(&directory);
    let mut loading = Loading::start(Loader::new(&directory))?;
    loading.ask(Extent::Everything, None);
    let first = loop {
        tokio::select! {
            first = loading.next() => break first.ok_or_else(|| DaemonError::Settings(LOADER_IS_GONE.to_owned()))?,
            signal = signals.next() => match signal.asks {
                Asks::Stop | Asks::HandOver => return Ok(()),
                Asks::Reload | Asks::Nothing => {}
            },
        }
    };
    let settings = reload::first_settings(&first.reload).map_err(DaemonError::Settings)?;
    let log = crate::log::init(&log_settings(&settings))?;
    tracing::info!("twitcher {} starts on {}", env!("CARGO_PKG_VERSION"), directory.display());
    let ledger = Ledger::open(&settings.state_dir, &random_id(), process::lock_holder)?;
    let seats = fleet::Seats::new(ledger.clone(), &settings.state_dir);
    ledger.set_history_bytes(settings.history_bytes);
    let (asked_out, asked) = mpsc::channel(16);
    let no_control = reload::no_control(&first.reload);
    let control = match no_control {
        Some(_) => None,
        None => Some(Server::open(&settings.control_socket, asked_out.clone()).await?),
    };
    let (probes_out, probes) = mpsc::channel(16);
    let http = settings.http_listen.map(|listen| Http::start(listen, probes_out.clone()));
    let max_processes = usize::try_from(settings.max_processes).unwrap_or(usize::MAX);
    let spawner = Spawner::new();
    signals::reap_as_init(&spawner)?;
    let runs = Arc::new(Runs::new(spawner, ledger, &settings.state_dir, max_processes, started));
    runs.find().await;
    let mut daemon = Daemon {
        started,
        loading,
        settings,
        watches: Arc::default(),
        files: Vec::new(),
        supervisor: Supervisor::new(Arc::clone(&runs)),
        runs,
        shortcomings: Vec::new(),
        withheld: 0,
        no_control,
        blindness: None,
        loader_is_gone: false,
        control,
        requests: asked_out,
        http,
        reloads: 0,
        log,
    };
    daemon.loading.remember_in(&daemon.settings.state_dir);
    daemon.supervisor.take_part(seats);
    daemon.begin(first);
    service::ready(&daemon.summary());
    let mut watchdog = Watchdog::new();
    let end = daemon.turn(&mut signals, hints, asked, probes, &mut watchdog).await;
    drop((watch, probes_out));
    daemon.end(end, &mut signals, &mut watchdog).await;
    Ok(())
}

impl Daemon {
    /// The main loop: until a signal ends it.
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
                        if let Some(control) = &self.control {
                            control.look();
                        }
                        self.loading.ask(Extent::Everything, None);
                    }
                    Asks::Nothing => {}
                },
                loaded = self.loading.next(), if !self.loader_is_gone => {
                    self.loaded(loaded);
                    self.open_control().await;
                }
                Some(hint) = hints.recv() => self.hinted(hint),
                Some(asked) = asked.recv() => self.answer(asked),
                Some(probe) = probes.recv() => self.probed(probe),
                () = self.supervisor.turn() => {}
                () = watchdog.feed() => {}
            }
        }
    }

    fn hinted(&mut self, hint: Hint) {
        if hint.complaint != self.blindness {
            if let Some(complaint) = &hint.complaint {
                tracing::error!("{complaint}");
            } else {
                tracing::info!("changes in the configuration directory are noticed immediately again");
            }
            self.blindness = hint.complaint;
        }
        self.loading.ask(Extent::WatchFiles, None);
    }

    fn loaded(&mut self, loaded: Option<Loaded>) {
        if let Some(loaded) = loaded {
            self.reload(loaded);
        } else {
            self.loader_is_gone = true;
            tracing::error!("{LOADER_IS_GONE}");
        }
        service::ready(&self.summary());
    }

    /// Opens the control socket as soon as its path is known.
    async fn open_control(&mut self) {
        if self.control.is_some() || self.no_control.is_some() {
            return;
        }
        match Server::open(&self.settings.control_socket, self.requests.clone()).await {
            Ok(control) => self.control = Some(control),
            Err(error) => {
                tracing::error!("{error}");
                self.no_control = Some(error.to_string());
            }
        }
    }

    async fn end(mut self, end: End, signals: &mut Signals, watchdog: &mut Watchdog) {
        service::stopping();
        // No more requests from here on.
        (self.control, self.http) = (None, None);
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
                            // The second signal: stop without waiting.
                            Asks::Stop => limit = self.supervisor.stop(Instant::now()),
                            Asks::HandOver => break,
                            Asks::Reload | Asks::Nothing => {}
                        },
                        () = tokio::time::sleep_until((limit + UNKILLABLE).into()) => {
                            tracing::error!("{} actions do not end, even after KILL; leaving them to the next daemon", self.running());
                            break;
                        }
                        () = watchdog.feed() => {}
                    }
                }
            }
        }
        if let Err(unwritten) = self.runs.ledger().flush(LAST_WRITES) {
            tracing::error!("{unwritten}");
        }
        tracing::info!("stopped");
    }

    fn running(&self) -> u64 {
        self.runs.count()
    }

    /// One line for the service manager.
    fn summary(&self) -> String {
        let watches = self.supervisor.names().count();
        let broken = self.files.iter().filter(|file| file.state != crate::config::LoadState::Loaded).count();
        let mut summary = counted(watches, "watch", "watches");
        if broken > 0 {
            let _ = write!(summary, ", {} with problems", counted(broken, "file", "files"));
        }
        if self.withheld > 0 {
            let withheld = counted(self.withheld, "watch", "watches");
            let _ = write!(summary, ", {withheld} not loaded for want of valid settings");
        }
        summary
    }
}

fn log_settings(settings: &Settings) -> crate::log::Settings {
    crate::log::Settings {
        destination: settings.log.clone(),
        level: settings.log_level,
        ..crate::log::Settings::default()
    }
}
