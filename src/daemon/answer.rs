//! What clients and scrapers are answered. The loop goes on at once; whoever has to wait for the watches does
//! so in a task of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::{timeout, timeout_at};

use super::Daemon;
use super::ground::Ground;
use super::http::Probe;
use super::live::{Event, HANGS, Live, unasked};
use crate::config::FileState as Loaded;
use crate::control::{Answer, Asked, Request, unknown_watch};
use crate::metrics::{self, Own};
use crate::policy::Control;
use crate::status::{
    DaemonStatus, FileState, FileStatus, History, Status, StoreState, StoreStatus, WatchStatus,
};
use crate::store::LinkState;
use crate::watch::WatchSpec;

/// How long a watch may take to answer. All of them together, for a status: one that hangs must not keep the
/// others' from being seen.
const PATIENCE: Duration = Duration::from_secs(5);

/// A watch that was asked how it is.
struct Looked {
    spec: Arc<WatchSpec>,
    file: PathBuf,
    answer: oneshot::Receiver<WatchStatus>,
}

impl Looked {
    fn begin(live: &Live) -> Self {
        let (spec, file) = (Arc::clone(&live.spec), live.file.clone());
        Self { spec, file, answer: live.begin_ask(Event::Look) }
    }
}

async fn gather(asked: Vec<Looked>, ground: &Ground) -> Vec<WatchStatus> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut watches = Vec::with_capacity(asked.len());
    for Looked { spec, file, answer } in asked {
        match timeout_at(deadline, answer).await {
            Ok(Ok(status)) => watches.push(status),
            // One that has just drained is not there any more.
            Ok(Err(_)) => {}
            Err(_) => watches.push(unasked(&spec, &file, ground)),
        }
    }
    watches
}

impl Daemon {
    pub(super) fn answer(&mut self, asked: Asked) {
        let Asked { request, answer } = asked;
        match request {
            Request::Status { name } => match self.status(name.as_deref()) {
                Ok(status) => {
                    tokio::spawn(async move {
                        let _ = answer.send(done(&status.await));
                    });
                }
                Err(error) => drop(answer.send(Answer::Error(error))),
            },
            Request::History { name } => {
                let found = self.known(&name).map(|_| {
                    let entry = self.ground.ledger.entry(&name).unwrap_or_default();
                    History { watch: name.clone(), runs: entry.history.into_iter().collect() }
                });
                drop(answer.send(found.map_or_else(Answer::Error, |history| done(&history))));
            }
            Request::Explain { name } => match self.known(&name) {
                Ok(live) => {
                    let explained = live.begin_ask(Event::Explain);
                    tokio::spawn(async move {
                        let _ = answer.send(match timeout(PATIENCE, explained).await {
                            Ok(Ok(explanation)) => done(&explanation),
                            Ok(Err(_)) => gone(&name),
                            Err(_) => Answer::Error(format!("{name}: {HANGS}")),
                        });
                    });
                }
                Err(error) => drop(answer.send(Answer::Error(error))),
            },
            Request::Trigger { name } => self.control(&name, Control::Trigger, answer),
            Request::Resume { name } => self.control(&name, Control::Resume, answer),
            Request::Pause { name, seconds } => match seconds.map(Duration::try_from_secs_f64).transpose() {
                Ok(length) => {
                    let until = length.and_then(|length| Instant::now().checked_add(length));
                    self.control(&name, Control::Pause { until }, answer);
                }
                Err(error) => drop(answer.send(Answer::Error(format!("cannot pause {name}: {error}")))),
            },
            Request::Reload => drop(answer.send(done(&self.reload(super::reload::Extent::Everything)))),
        }
    }

    fn control(&self, name: &str, control: Control, answer: tokio::sync::oneshot::Sender<Answer>) {
        let live = match self.known(name) {
            Ok(live) => live,
            Err(error) => {
                let _ = answer.send(Answer::Error(error));
                return;
            }
        };
        let controlled = live.begin_ask(|answer| Event::Control(control, answer));
        let name = name.to_owned();
        tokio::spawn(async move {
            let _ = answer.send(match timeout(PATIENCE, controlled).await {
                Ok(Ok(Ok(sentence))) => done(&sentence),
                Ok(Ok(Err(why))) => Answer::Error(why),
                Ok(Err(_)) => gone(&name),
                Err(_) => Answer::Error(format!("{name}: {HANGS}")),
            });
        });
    }

    pub(super) fn probed(&self, probe: Probe) {
        match probe {
            Probe::Health(answer) => drop(answer.send(())),
            Probe::Ready(answer) => drop(answer.send(self.ready())),
            Probe::Metrics(answer) => {
                let own = self.own();
                // Without a name there is nothing that could be unknown.
                let Ok(status) = self.status(None) else { return };
                tokio::spawn(async move {
                    let _ = answer.send(metrics::render(&status.await, &own));
                });
            }
        }
    }

    fn ready(&self) -> Result<(), String> {
        let down: Vec<String> = self
            .supervisor
            .stores()
            .filter(|(_, store)| store.health().borrow().state != LinkState::Connected)
            .map(|(name, _)| format!("store {name} is not connected"))
            .collect();
        if down.is_empty() { Ok(()) } else { Err(down.join("\n")) }
    }

    fn known(&self, name: &str) -> Result<&Live, String> {
        self.supervisor.watch(name).ok_or_else(|| unknown_watch(name, self.supervisor.names()))
    }

    /// Asks the watches without waiting for them.
    fn status(&self, name: Option<&str>) -> Result<impl Future<Output = Status> + Send + use<>, String> {
        let asked: Vec<Looked> = match name {
            Some(name) => vec![Looked::begin(self.known(name)?)],
            None => self.supervisor.watches().map(Looked::begin).collect(),
        };
        let ground = Arc::clone(&self.ground);
        let daemon = self.daemon_status();
        let stores = self.stores();
        let files = self.files.iter().map(file_status).collect();
        Ok(async move {
            let watches = gather(asked, &ground).await;
            Status { daemon, stores, files, watches }
        })
    }

    fn daemon_status(&self) -> DaemonStatus {
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            host: self.settings.host.clone(),
            started: self.started,
            complaints: self.ground.ledger.complaint().into_iter().chain(self.blindness.clone()).collect(),
        }
    }

    fn stores(&self) -> Vec<StoreStatus> {
        let status = |(name, store): (&crate::watch::StoreName, &crate::store::Store)| {
            let health = store.health().borrow().clone();
            StoreStatus {
                name: name.to_string(),
                url: store.spec().url.to_string(),
                state: match health.state {
                    LinkState::Connected => StoreState::Connected,
                    LinkState::Connecting => StoreState::Connecting,
                    LinkState::Down => StoreState::Down,
                },
                since: health.since,
                error: health.error,
                reconnects: health.reconnects,
            }
        };
        self.supervisor.stores().map(status).collect()
    }

    fn own(&self) -> Own {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let kilobytes: u64 = resident.and_then(|number| number.parse().ok()).unwrap_or(0);
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Own {
            reloads: self.reloads,
            running: self.ground.running(),
            log_lines_lost: self.log.lost(),
            resident_bytes: kilobytes * 1024,
            open_descriptors: open as u64,
        }
    }
}

fn done(value: &impl Serialize) -> Answer {
    match serde_json::to_value(value) {
        Ok(value) => Answer::Done(value),
        Err(error) => Answer::Error(format!("the answer cannot be written as JSON: {error}")),
    }
}

fn gone(name: &str) -> Answer {
    Answer::Error(format!("{name} is being changed or removed; try again in a moment"))
}

fn file_status(file: &crate::config::FileReport) -> FileStatus {
    FileStatus {
        path: file.path.display().to_string(),
        state: match file.state {
            Loaded::Loaded => FileState::Loaded,
            Loaded::Broken => FileState::Broken,
            Loaded::Refused => FileState::Refused,
        },
        problems: file.problems.iter().map(told).collect(),
    }
}

fn told(problem: &crate::config::Problem) -> String {
    let help = problem.help().map(|help| format!(" ({help})")).unwrap_or_default();
    problem.one_line() + &help
}

#[cfg(test)]
mod tests {
    use super::super::supervisor::{Definition, tests::definition};
    use super::*;
    use crate::status::WatchState;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_hangs_keeps_nobody_elses_status_back() {
        let ground = Ground::ad_hoc(jiff::Timestamp::now(), None);
        let looked = || {
            let Definition { spec, file } = definition();
            let (answer_out, answer) = oneshot::channel();
            (Looked { spec, file, answer }, answer_out)
        };
        let (hanging, _never) = looked();
        let (drained, gone) = looked();
        drop(gone);
        let (well, answer) = looked();
        let idle = WatchStatus { state: WatchState::Idle, ..unasked(&well.spec, &well.file, &ground) };
        answer.send(idle.clone()).unwrap();
        let watches = gather(vec![hanging, drained, well], &ground).await;
        assert_eq!(watches.len(), 2);
        assert_eq!((watches[0].name.as_str(), watches[0].error.as_deref()), ("a", Some(HANGS)));
        assert_eq!(watches[1], idle);
    }
}
