//! Answers clients and scrapers. The loop continues at once; a request that must wait for the watches does so in its own
//! task.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Daemon;
use super::fleet::why_no_permit;
use super::http::{GroupPlace, Probe};
use super::live::{ASKS, Event, HANGS, JUDGED_WITHIN, Live, READ_WITHIN};
use super::report::{PATIENCE, Report, ShownWatch};
use super::supervisor::Definition;
use crate::config::LoadState;
use crate::control::{Answer, Asked, Reply, Request, unknown_watch};
use crate::metrics::{self, Own};
use crate::policy::{Control, Permission};
use crate::status::{DaemonStatus, Explanation, FileState, FileStatus, History, StoreState, StoreStatus};
use crate::store::LinkState;
use crate::watch::fleet::FleetPage;
use crate::watch::{RunRecord, WatchName};

/// How long an answer waits for the ledger's disk.
const KEPT: Duration = Duration::from_secs(1);

impl Daemon {
    pub(super) fn answer(&mut self, asked: Asked) {
        let Asked { request, answer } = asked;
        match request {
            Request::Status { name } => drop(answer.send(match self.report(name.as_deref()) {
                Ok(report) => Reply::Pieces(report.pieces()),
                Err(error) => Answer::Error(error).into(),
            })),
            Request::History { name, run } => self.history(&name, run, answer),
            Request::Explain { name } => match self.known(&name) {
                Ok(live) => {
                    let explained = live.begin_ask(Event::Explain);
                    let broken = self.broken_sentence(&live.file);
                    let (group, host) = (self.supervisor.group_of(&name), live.spec.machine.host.clone());
                    tokio::spawn(async move {
                        let answered = match timeout(PATIENCE, explained).await {
                            Ok(Ok(Explanation { watch, mut because })) => {
                                let asks = because.iter_mut().find(|sentence| *sentence == ASKS);
                                if let (Some(sentence), Some(GroupPlace { name, store, keys })) =
                                    (asks, group)
                                {
                                    *sentence = why_no_permit(&store, &keys, &name, &host).await;
                                }
                                because.extend(broken);
                                done(&Explanation { watch, because })
                            }
                            Ok(Err(_)) => gone(&name),
                            Err(_) => Answer::Error(format!("{name}: {HANGS}")),
                        };
                        drop(answer.send(answered.into()));
                    });
                }
                Err(error) => {
                    let explanation = self.supervisor.disabled_watch(&name).map(|definition| Explanation {
                        watch: name.clone(),
                        because: vec![disabled_sentence(&name, definition)],
                    });
                    let answered = explanation.map_or(Answer::Error(error), |explanation| done(&explanation));
                    drop(answer.send(answered.into()));
                }
            },
            Request::Trigger { name, cached, without_permit } => {
                let permission = if without_permit { Permission::Waived } else { Permission::Needed };
                let within =
                    if cached { JUDGED_WITHIN + PATIENCE } else { READ_WITHIN + JUDGED_WITHIN + PATIENCE };
                let event = move |answer| Event::Trigger { cached, permission, answer };
                self.order(&name, within, event, answer);
            }
            Request::Release { name } => self.control(&name, Control::Release, answer),
            Request::Resume { name } => self.control(&name, Control::Resume, answer),
            Request::Pause { name, seconds } => match seconds.map(Duration::try_from_secs_f64).transpose() {
                Ok(length) => {
                    let until = length.and_then(|length| Instant::now().checked_add(length));
                    self.control(&name, Control::Pause { until }, answer);
                }
                Err(error) => {
                    drop(answer.send(Answer::Error(format!("cannot pause {name}: {error}")).into()));
                }
            },
            Request::Reload => self.loading.ask(super::loading::Extent::Everything, Some(answer)),
            Request::Rehearse => self.loading.rehearse(answer),
            Request::Preview { name, cached } => self.preview(&name, cached, answer),
        }
    }

    /// Answers with the last runs of a watch, which are read from disk; or with one of them and its whole output.
    fn history(&self, name: &str, run: Option<String>, answer: oneshot::Sender<Reply>) {
        let disabled = self.supervisor.disabled_watch(name).map(|definition| &definition.spec);
        let spec = disabled.map_or_else(|| self.known(name).map(|live| &live.spec), Ok);
        let watch = match spec {
            Ok(spec) => spec.name.clone(),
            Err(error) => {
                let _ = answer.send(Answer::Error(error).into());
                return;
            }
        };
        let ledger = self.runs.ledger().clone();
        tokio::spawn(async move {
            let (reader, name) = (ledger.clone(), watch.clone());
            let read = tokio::task::spawn_blocking(move || reader.history(&name));
            let mut runs = match timeout(PATIENCE, read).await {
                Ok(Ok(runs)) => runs,
                // A disk that hangs keeps back only what is nowhere else.
                Ok(Err(_)) | Err(_) => {
                    ledger.read(watch.as_str(), |entry| entry.history.iter().cloned().collect())
                }
            };
            match run {
                Some(id) => runs.retain(|run| *run.run.0 == *id),
                None => runs = runs.into_iter().map(RunRecord::shortened).collect(),
            }
            drop(answer.send(done(&History { watch: watch.to_string(), runs }).into()));
        });
    }

    /// Answers with what a trigger would run.
    fn preview(&self, name: &str, cached: bool, answer: oneshot::Sender<Reply>) {
        let live = match self.known(name) {
            Ok(live) => live,
            Err(error) => {
                let _ = answer.send(Answer::Error(error).into());
                return;
            }
        };
        let previewed = live.begin_ask(|answer| Event::Preview { cached, answer });
        let name = name.to_owned();
        tokio::spawn(async move {
            let answered = match timeout(READ_WITHIN + PATIENCE, previewed).await {
                Ok(Ok(Ok(preview))) => done(&preview),
                Ok(Ok(Err(why))) => Answer::Error(why),
                Ok(Err(_)) => gone(&name),
                Err(_) => Answer::Error(format!("{name}: {HANGS}")),
            };
            drop(answer.send(answered.into()));
        });
    }

    fn control(&self, name: &str, control: Control, answer: oneshot::Sender<Reply>) {
        self.order(name, PATIENCE, |answer| Event::Control(control, answer), answer);
    }

    /// Sends an operator's request to a watch, and passes its answer on.
    fn order(
        &self,
        name: &str,
        patience: Duration,
        event: impl FnOnce(oneshot::Sender<Result<String, String>>) -> Event,
        answer: oneshot::Sender<Reply>,
    ) {
        let live = match self.known(name) {
            Ok(live) => live,
            Err(error) => {
                let _ = answer.send(Answer::Error(error).into());
                return;
            }
        };
        let controlled = live.begin_ask(event);
        let (name, ledger) = (name.to_owned(), self.runs.ledger().clone());
        tokio::spawn(async move {
            let answered = match timeout(patience, controlled).await {
                // A client that was told that a watch is paused relies on it, even if the daemon is killed.
                Ok(Ok(Ok(sentence))) => {
                    match tokio::task::spawn_blocking(move || ledger.wait_until_written(KEPT)).await {
                        Ok(Err(unwritten)) => {
                            done(&format!("{sentence}, but not across a restart: {unwritten}"))
                        }
                        Ok(Ok(())) | Err(_) => done(&sentence),
                    }
                }
                Ok(Ok(Err(why))) => Answer::Error(why),
                Ok(Err(_)) => gone(&name),
                Err(_) => Answer::Error(format!("{name}: {HANGS}")),
            };
            drop(answer.send(answered.into()));
        });
    }

    pub(super) fn probed(&self, probe: Probe) {
        match probe {
            Probe::Health(answer) => drop(answer.send(())),
            Probe::Ready(answer) => drop(answer.send(self.ready())),
            Probe::Fleets(answer) => drop(answer.send(self.fleets())),
            Probe::Metrics(answer) => {
                let (own, memberships) = (self.own(), self.supervisor.figures());
                // Without a name no name can be unknown.
                let Ok(report) = self.report(None) else { return };
                tokio::spawn(async move {
                    let _ = answer.send(metrics::render(&report.status().await, &own, &memberships));
                });
            }
        }
    }

    /// The groups of this host, where their page is served.
    fn fleets(&self) -> Option<Vec<GroupPlace>> {
        let served = match self.settings.fleet.page {
            FleetPage::Everywhere => true,
            FleetPage::Loopback => {
                self.settings.http_listen.is_some_and(|address| address.ip().to_canonical().is_loopback())
            }
            FleetPage::Nowhere => false,
        };
        served.then(|| self.supervisor.groups().collect())
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
        self.supervisor.watch(name).ok_or_else(|| match self.supervisor.disabled_watch(name) {
            Some(definition) => disabled_sentence(name, definition),
            None => self.unknown(name),
        })
    }

    /// Why there is no watch of this name: it may be for other hosts, or the file that would define it, by its stem, may
    /// be broken.
    fn unknown(&self, name: &str) -> String {
        let elsewhere = |file: &&crate::config::FileReport| {
            file.elsewhere.iter().any(|watch| watch.name.as_str() == name)
        };
        if let Some(file) = self.files.iter().find(elsewhere) {
            let hosts: Vec<&str> = file
                .elsewhere
                .iter()
                .filter(|watch| watch.name.as_str() == name)
                .map(|watch| &*watch.hosts)
                .collect();
            let (hosts, host, path) = (hosts.join(" or "), &self.settings.machine.host, file.path.display());
            return format!("{name} is for hosts {hosts}: this host is {host} ({path})");
        }
        for file in &self.files {
            if let Some((_, why)) = not_loaded(file).find(|(watch, _)| watch.as_str() == name) {
                return format!("{why} ({})", file.path.display());
            }
        }
        let broken = self.files.iter().filter(|file| file.state != LoadState::Loaded);
        for file in broken {
            let stem = file.path.file_stem().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
            // `nginx-2` is the second watch of nginx.toml.
            let rest = name.strip_prefix(stem).filter(|_| !stem.is_empty());
            let number = |rest: &str| rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok());
            if let Some(problem) =
                file.problems.first().filter(|_| rest.is_some_and(|r| r.is_empty() || number(r)))
            {
                let (path, state) = (file.path.display(), file.state.word());
                return format!("{path} is {state}, so its watches are not there: {}", told(problem));
            }
        }
        unknown_watch(name, self.supervisor.names())
    }

    /// That a watch is not what its file says now.
    fn broken_sentence(&self, file: &std::path::Path) -> Option<String> {
        let report = self.files.iter().find(|report| *report.path == *file)?;
        let problem = report.problems.first().filter(|_| report.state != LoadState::Loaded)?;
        let (path, state) = (file.display(), report.state.word());
        Some(format!("{path} is {state}, so its last valid version stays in effect: {}", told(problem)))
    }

    /// Status of all watches, or one, before they are asked.
    fn report(&self, name: Option<&str>) -> Result<Report, String> {
        let watches = if let Some(name) = name {
            let disabled = self.supervisor.disabled_watch(name).cloned().map(ShownWatch::Disabled);
            vec![disabled.map_or_else(|| self.known(name).cloned().map(ShownWatch::Live), Ok)?]
        } else {
            let live = self.supervisor.watches().cloned().map(ShownWatch::Live);
            let disabled = self.supervisor.disabled().cloned().map(ShownWatch::Disabled);
            let mut watches: Vec<ShownWatch> = live.chain(disabled).collect();
            watches.sort_by(|one, other| one.name().cmp(other.name()));
            watches
        };
        Ok(Report {
            daemon: self.daemon_status(),
            stores: self.stores(),
            files: self.files.iter().map(file_status).collect(),
            watches,
            ledger: self.runs.ledger().clone(),
        })
    }

    fn daemon_status(&self) -> DaemonStatus {
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            host: self.settings.machine.host.clone(),
            started: self.started,
            complaints: self.complaints(),
        }
    }

    /// What the daemon cannot do at present.
    fn complaints(&self) -> Vec<String> {
        let ledger = self.runs.ledger().complaint();
        let loader = self.loader_is_gone.then(|| super::LOADER_IS_GONE.to_owned());
        let http = self.http.as_ref().and_then(super::http::Http::complaint);
        let control = self.control.as_ref().and_then(crate::control::Server::complaint);
        let no_control = self.no_control.as_ref().filter(|_| self.control.is_none());
        let no_control = no_control.map(|why| format!("no command reaches the daemon, because {why}"));
        let shortage = self.runs.shortage();
        let complaints = [ledger, self.blindness.clone(), loader, control, no_control, http, shortage];
        let polls = self.supervisor.stores().filter_map(|(name, store)| {
            let why = store.health().borrow().polls.clone()?;
            Some(format!("store {name}: {why}"))
        });
        self.shortcomings.iter().cloned().chain(complaints.into_iter().flatten()).chain(polls).collect()
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
                since: health.since(),
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
            running: self.runs.count(),
            log_lines_lost: self.log.lost(),
            settings_broken: !self.shortcomings.is_empty(),
            watches_not_loaded: self.withheld as u64,
            resident_bytes: kilobytes * 1024,
            open_descriptors: open as u64,
        }
    }
}

pub(super) fn done(value: &impl Serialize) -> Answer {
    match serde_json::to_value(value) {
        Ok(value) => Answer::Done(value),
        Err(error) => Answer::Error(format!("the answer cannot be written as JSON: {error}")),
    }
}

fn disabled_sentence(name: &str, definition: &Definition) -> String {
    let file = definition.file.display();
    format!("{name} is disabled: {file} says `enabled = false`; remove that line to enable it")
}

fn gone(name: &str) -> Answer {
    Answer::Error(format!("{name} is being changed or removed; try again in a moment"))
}

fn file_status(file: &crate::config::FileReport) -> FileStatus {
    FileStatus {
        path: file.path.display().to_string(),
        state: match file.state {
            // Some of its watches are not there.
            LoadState::Loaded if !file.withheld.is_empty() => FileState::Refused,
            LoadState::Loaded => FileState::Loaded,
            LoadState::Broken => FileState::Broken,
            LoadState::Refused => FileState::Refused,
        },
        problems: file.problems.iter().map(told).chain(not_loaded(file).map(|(_, why)| why)).collect(),
        not_loaded: file.withheld.iter().map(|watch| watch.name.to_string()).collect(),
    }
}

/// The watches that are not loaded because a setting that they need is unknown, each with a line that says so.
fn not_loaded(file: &crate::config::FileReport) -> impl Iterator<Item = (&WatchName, String)> {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    file.withheld.iter().map(move |watch| {
        let (line, column) = (watch.place.line, watch.place.column);
        let why = format!(
            "{name}:{line}:{column}: the watch `{}` is not loaded, because no valid value is known for {} (correct \
             twitcher.conf)",
            watch.name, watch.why
        );
        (&watch.name, why)
    })
}

fn told(problem: &crate::config::Problem) -> String {
    let help = problem.help().map(|help| format!(" ({help})")).unwrap_or_default();
    problem.one_line() + &help
}
