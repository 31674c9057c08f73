//! Twenty daemons, their store, and what is broken at the moment.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::plan::{Event, Kind};
use super::server::Server;
use super::witness::Witness;
use super::{HOSTS, LIMIT};
use crate::fixture::daemon::{Daemon, until};
use crate::fixture::program;
use crate::fixture::proxy::Proxy;

/// Longest wait for an action, before a fault.
const SOON: Duration = Duration::from_secs(40);
/// A new version comes after so long, if not all hosts have run the last one before.
const VERSION: Duration = Duration::from_secs(8);

/// What ends a fault.
#[derive(Debug)]
enum Repair {
    Start(usize),
    Continue(i32),
    Heal(usize),
    StartServer,
    ThawServer,
    StopTwin,
    Terms(usize),
    Resume,
    Restore(PathBuf),
    Reunite,
}

pub struct World<S> {
    server: S,
    /// In front of each server: those of one half of the hosts, and those of the other.
    proxies: [Vec<Proxy>; 2],
    daemons: Vec<Daemon>,
    twin: Option<Daemon>,
    pub witness: Witness,
    repairs: Vec<(Instant, Repair)>,
    down: BTreeSet<usize>,
    /// The server neither runs nor answers.
    server_away: bool,
    put_at: Instant,
    puts: u64,
}

fn url<S: Server>(ports: &[u16]) -> String {
    let servers: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("{}://{}", S::SCHEME, servers.join(","))
}

impl<S: Server> World<S> {
    pub fn start(server: S) -> Self {
        let proxies = || server.ports().into_iter().map(Proxy::start).collect::<Vec<_>>();
        let proxies = [proxies(), proxies()];
        let mut world = Self {
            server,
            proxies,
            daemons: Vec::new(),
            twin: None,
            witness: Witness::new(),
            repairs: Vec::new(),
            down: BTreeSet::new(),
            server_away: false,
            put_at: Instant::now(),
            puts: 0,
        };
        let version = world.put();
        for host in 0..HOSTS {
            let daemon = Daemon::start(&world.settings(host), &[("git.toml", &world.watch(LIMIT))]);
            world.daemons.push(daemon);
        }
        world.until_all_have(&version);
        world
    }

    fn settings(&self, host: usize) -> String {
        let ports: Vec<u16> = self.proxies[host % 2].iter().map(Proxy::port).collect();
        let url = url::<S>(&ports);
        format!(
            "host = 'h{host}'\nshutdown_grace = '1s'\n[fleet]\nttl = '10s'\n[store.main]\nurl = '{url}'\n"
        )
    }

    fn watch(&self, limit: usize) -> String {
        format!(
            "[[watch]]\nname = 'git'\nstore = 'main'\nkey = '/git/head'\naction = '''{}'''\ntimeout = '16s'\n\
             kill_after = '1s'\nretries = 3\nretry_delay = '200ms'\nretry_delay_max = '500ms'\nverify_interval = '10s'\n\
             [watch.fleet]\nmax_parallel = {limit}\nstop_on_failures = 'never'\ndeadline = '40s'\n",
            self.witness.action()
        )
    }

    fn url(&self) -> String {
        url::<S>(&self.server.ports())
    }

    /// Puts a new value. Returns its version.
    pub fn put(&mut self) -> String {
        self.puts += 1;
        self.put_at = Instant::now();
        program::good(&self.url(), &["put", "/git/head", &self.puts.to_string()]);
        let read: Value =
            serde_json::from_str(&program::good(&self.url(), &["get", "--json", "/git/head"])).unwrap();
        read["version"].as_str().map_or_else(|| read["version"].to_string(), str::to_owned)
    }

    /// The next actions wait until [`World::end_faults`].
    pub fn hold(&self) {
        self.witness.flag("hold");
    }

    pub fn trigger_without_permit(&self, host: usize) {
        self.daemons[host].say(&["trigger", "--without-permit", "git"]);
    }

    /// Whether an action runs, after a wait for one.
    pub fn until_someone_acts(&mut self) -> bool {
        let began = Instant::now();
        while self.witness.acting().is_empty() {
            if began.elapsed() > SOON {
                return false;
            }
            self.live_for(Duration::from_millis(20));
        }
        true
    }

    /// Repairs what is due and puts new versions, for so long.
    pub fn live_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let now = Instant::now();
            while let Some(place) = self.repairs.iter().position(|(at, _)| *at <= now) {
                let (_, repair) = self.repairs.remove(place);
                self.repair(repair);
            }
            if !self.server_away && (self.put_at.elapsed() > VERSION || self.is_done()) {
                self.put();
            }
            if Instant::now() >= end {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All hosts have started since the last put, and nobody acts.
    fn is_done(&self) -> bool {
        self.put_at.elapsed() > Duration::from_secs(3)
            && self.witness.acting().is_empty()
            && self.repairs.is_empty()
    }

    fn later(&mut self, lasts: Duration, repair: Repair) {
        self.repairs.push((Instant::now() + lasts, repair));
    }

    /// A daemon that runs: one whose action runs where there is one.
    fn victim(&self, choice: usize) -> usize {
        let acting: Vec<usize> = self.witness.acting().into_iter().map(|(host, _)| host).collect();
        let acting: Vec<usize> = acting.into_iter().filter(|host| !self.down.contains(host)).collect();
        let up: Vec<usize> = (0..HOSTS).filter(|host| !self.down.contains(host)).collect();
        let among = if acting.is_empty() { &up } else { &acting };
        among[choice % among.len()]
    }

    /// Who conducts, or anybody.
    fn conductor(&self, choice: usize) -> usize {
        let read = if self.server_away {
            None
        } else {
            Some(program::run(&self.url(), &["get", "/twitcher/fleet/git/conductor"]))
        };
        let value = read.and_then(|read| serde_json::from_slice::<Value>(&read.stdout).ok());
        let host = value.and_then(|value| value["host"].as_str()?.trim_start_matches('h').parse().ok());
        host.filter(|host| !self.down.contains(host)).unwrap_or_else(|| self.victim(choice))
    }

    fn kill_daemon(&mut self, host: usize, lasts: Duration) {
        self.daemons[host].kill();
        self.down.insert(host);
        self.later(lasts, Repair::Start(host));
    }

    fn freeze_daemon(&mut self, host: usize, lasts: Duration) {
        let pid = self.daemons[host].pid();
        let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
        self.later(lasts, Repair::Continue(pid));
    }

    fn an_action(&self, choice: usize) -> Option<i32> {
        let acting = self.witness.acting();
        (!acting.is_empty()).then(|| acting[choice % acting.len()].1)
    }

    pub fn happen(&mut self, event: &Event) {
        let Event { kind, choice, lasts, pause: _ } = *event;
        match kind {
            Kind::KillDaemon => self.kill_daemon(self.victim(choice), lasts),
            Kind::KillConductor => self.kill_daemon(self.conductor(choice), lasts),
            Kind::KillMachine => {
                let host = self.victim(choice);
                self.kill_daemon(host, lasts);
                for (_, pid) in self.witness.acting().into_iter().filter(|(acting, _)| *acting == host) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            Kind::HandOver => {
                let host = self.victim(choice);
                self.daemons[host].signal(Signal::SIGCONT);
                self.daemons[host].signal(Signal::SIGUSR1);
                self.daemons[host].wait();
                self.daemons[host].run();
            }
            Kind::FreezeDaemon => self.freeze_daemon(self.victim(choice), lasts),
            Kind::FreezeConductor => self.freeze_daemon(self.conductor(choice), lasts),
            Kind::KillAction => {
                if let Some(pid) = self.an_action(choice) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            Kind::FreezeAction => {
                if let Some(pid) = self.an_action(choice) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
                    self.later(lasts, Repair::Continue(pid));
                }
            }
            Kind::Reset => self.proxies[choice % 2].iter().for_each(Proxy::reset_all),
            Kind::Cut => {
                self.proxies[choice % 2].iter().for_each(Proxy::cut);
                self.later(lasts, Repair::Heal(choice % 2));
            }
            Kind::BlackHole => {
                self.proxies[choice % 2].iter().for_each(Proxy::stall);
                self.later(lasts, Repair::Heal(choice % 2));
            }
            Kind::EndTenure => {
                let host = self.victim(choice);
                self.wait_for_server();
                if !self.server.end_tenure(host) {
                    self.freeze_daemon(host, lasts);
                }
            }
            Kind::Twin => {
                let host = self.victim(choice);
                self.twin = None;
                self.twin = Some(Daemon::start(&self.settings(host), &[("git.toml", &self.watch(LIMIT))]));
                self.later(lasts, Repair::StopTwin);
            }
            Kind::Terms => {
                self.daemons[choice].write("git.toml", &self.watch(1 + choice % (LIMIT - 1)));
                self.later(lasts, Repair::Terms(choice));
            }
            Kind::KillServer
            | Kind::FreezeServer
            | Kind::Compact
            | Kind::Pause
            | Kind::Restore
            | Kind::Divide => {
                self.wait_for_server();
                self.happen_to_server(kind, lasts);
            }
        }
    }

    fn happen_to_server(&mut self, kind: Kind, lasts: Duration) {
        if kind == Kind::KillServer {
            self.server.kill();
            self.server_away = true;
            self.later(lasts, Repair::StartServer);
        } else if kind == Kind::FreezeServer {
            self.server.freeze();
            self.server_away = true;
            self.later(lasts, Repair::ThawServer);
        } else if kind == Kind::Compact {
            self.server.compact();
        } else if kind == Kind::Divide {
            self.server.divide();
            self.server_away = true;
            self.later(lasts, Repair::Reunite);
        } else if kind == Kind::Restore {
            let backup = self.server.back_up();
            self.later(lasts, Repair::Restore(backup));
        } else {
            program::run(&self.url(), &["fleet", "pause", "git"]);
            self.later(lasts, Repair::Resume);
        }
    }

    fn wait_for_server(&mut self) {
        while self.server_away {
            self.live_for(Duration::from_millis(50));
        }
    }

    fn repair(&mut self, repair: Repair) {
        match repair {
            Repair::Start(host) => {
                self.daemons[host].run();
                self.down.remove(&host);
            }
            // It may have been killed meanwhile.
            Repair::Continue(pid) => drop(kill(Pid::from_raw(pid), Signal::SIGCONT)),
            Repair::Heal(side) => self.proxies[side].iter().for_each(Proxy::heal),
            Repair::StartServer => {
                self.server.start_again();
                self.server_away = false;
            }
            Repair::ThawServer => {
                self.server.thaw();
                self.server_away = false;
            }
            Repair::Reunite => {
                self.server.reunite();
                self.server_away = false;
            }
            Repair::StopTwin => self.twin = None,
            Repair::Terms(host) => self.daemons[host].write("git.toml", &self.watch(LIMIT)),
            Repair::Resume | Repair::Restore(_) if self.server_away => {
                self.later(Duration::from_millis(100), repair);
            }
            Repair::Resume => {
                // There is nothing to resume after a restore.
                until("no pause", || {
                    program::run(&self.url(), &["fleet", "resume", "git"]);
                    let control = program::run(&self.url(), &["get", "/twitcher/fleet/git/control"]).stdout;
                    let control: Value = serde_json::from_slice(&control).unwrap_or_default();
                    control["paused"].is_null().then_some(())
                });
            }
            Repair::Restore(backup) => self.server.restore(&backup),
        }
    }

    /// Ends all faults, and lets every action succeed.
    pub fn end_faults(&mut self) {
        self.witness.flag("calm");
        self.witness.unflag("hold");
        while !self.repairs.is_empty() {
            let (_, repair) = self.repairs.remove(0);
            self.repair(repair);
        }
        self.proxies.iter().flatten().for_each(Proxy::heal);
    }

    #[track_caller]
    pub fn until_all_have(&self, version: &str) {
        for daemon in &self.daemons {
            daemon.until_watch("git", |watch| {
                watch["applied"] == version && watch["fleet"]["state"] == "converged"
            });
        }
    }

    pub fn check_logs(&self) {
        for daemon in &self.daemons {
            let log = daemon.log();
            assert!(!log.contains("bug in twitcher") && !log.contains("panicked"), "{log}");
        }
    }
}
