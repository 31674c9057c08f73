//! All faults at once, in an order that a seed determines: stores, the daemon, reloads, puts, deletes.
//!
//! `TWITCHER_SEED` repeats a run; `TWITCHER_FAULTS` makes it longer.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::witness::{KINDS, Witnesses, definition, processes_of, zombies_of};
use super::writer::Writer;
use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::proxy::Proxy;
use crate::fixture::zookeeper::ZooKeeper;

const SEED: u64 = 20_100_401;
const LENGTH: usize = 240;
/// One run in five fails and is retried.
const REST: &str = "sleep 0.0$(($$ % 7)); test $(($$ % 5)) -ne 0";
const FIELDS: &str = "retries = 'unlimited'\nretry_delay = '20ms'\nretry_delay_max = '50ms'";

/// A store by number, or one of its witnesses.
type Store = usize;

#[derive(Debug, Clone, Copy)]
enum Event {
    Step(Store),
    /// As fast as the store accepts them.
    Burst(Store),
    Delete(Store),
    Reset(Store),
    Cut(Store),
    Stall(Store),
    Heal(Store),
    KillServer(Store),
    /// For this many milliseconds.
    FreezeServer(Store, u64),
    KillDaemon,
    /// With all of its actions, as when a machine loses power.
    KillEverything,
    StopDaemon,
    /// Its actions are left to the next daemon.
    HandOver,
    /// For this many milliseconds: sessions end, and queues fill.
    FreezeDaemon(u64),
    /// The same definition in other words.
    Rewrite(Store, usize),
    /// A changed definition.
    Redefine(Store, usize),
    Trigger(Store, usize),
    PauseAndResume(Store, usize),
    Wait(u64),
}

fn plan(seed: u64, length: usize) -> Vec<Event> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut next = || {
        let (store, server) = (rng.usize(..3), 1 + rng.usize(..2));
        let kind = rng.usize(..KINDS.len());
        match rng.u32(..100) {
            0..30 => Event::Step(store),
            30..35 => Event::Burst(store),
            35..40 => Event::Delete(store),
            40..48 => Event::Reset(server),
            48..52 => Event::Cut(server),
            52..55 => Event::Stall(server),
            55..63 => Event::Heal(server),
            63..65 => Event::KillServer(server),
            65..67 => Event::FreezeServer(server, rng.u64(100..3500)),
            67..73 => Event::KillDaemon,
            73..75 => Event::KillEverything,
            75..77 => Event::StopDaemon,
            77 => Event::HandOver,
            78 => Event::FreezeDaemon(rng.u64(100..3500)),
            79..81 => Event::Rewrite(store, kind),
            81..86 => Event::Redefine(store, kind),
            86..89 => Event::Trigger(store, kind),
            89..91 => Event::PauseAndResume(store, kind),
            _ => Event::Wait(rng.u64(..150)),
        }
    };
    (0..length).map(|_| next()).collect()
}

struct World {
    daemon: Daemon,
    etcd: Etcd,
    zookeeper: ZooKeeper,
    /// In front of etcd and `ZooKeeper`.
    proxies: [Proxy; 2],
    /// `dir`, etcd, `ZooKeeper`.
    stores: Vec<Witnesses>,
    redefinitions: u64,
}

impl World {
    fn new() -> Self {
        let etcd = Etcd::start();
        let zookeeper = ZooKeeper::start();
        let proxies = [Proxy::start(etcd.port()), Proxy::start(zookeeper.port())];
        let daemon = Daemon::prepare(&format!(
            "shutdown_grace = '200ms'\n\
             [store.etcd]\nurl = 'etcd://127.0.0.1:{}'\n\
             [store.zk]\nurl = 'zookeeper://127.0.0.1:{}'\nsession_timeout = '2s'\n",
            proxies[0].port(),
            proxies[1].port()
        ));
        let root: PathBuf = daemon.path("keys");
        let stores = [
            ("local", Writer::dir(root)),
            ("etcd", Writer::etcd(&[etcd.port()])),
            ("zk", Writer::zookeeper(&[zookeeper.address()])),
        ];
        let prepare = |(store, writer)| Witnesses::prepare(&daemon, store, writer, FIELDS, REST);
        let stores = stores.into_iter().map(prepare).collect();
        Self { daemon, etcd, zookeeper, proxies, stores, redefinitions: 0 }
    }

    fn name(&self, store: Store, kind: usize) -> String {
        format!("{}-{}", self.stores[store].store, KINDS[kind].0)
    }

    fn write(&self, store: Store, kind: usize, fields: &str, comment: &str) {
        let fields = format!("{FIELDS}\n{fields}");
        let (word, own) = KINDS[kind];
        let text = definition(&self.daemon, &self.stores[store].store, word, own, &fields, REST);
        self.daemon.write(&format!("{}.toml", self.name(store, kind)), &format!("{comment}{text}"));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Step(store) => self.stores[store].step(),
            Event::Burst(store) => (0..10).for_each(|_| self.stores[store].step()),
            Event::Delete(store) => {
                let writer = &mut self.stores[store].writer;
                writer.delete("/n");
                writer.delete("/tree/leaf");
            }
            Event::Reset(server) => self.proxies[server - 1].reset_all(),
            Event::Cut(server) => self.proxies[server - 1].cut(),
            Event::Stall(server) => self.proxies[server - 1].stall(),
            Event::Heal(server) => self.proxies[server - 1].heal(),
            Event::KillServer(1) => {
                self.etcd.kill();
                self.etcd.start_again();
            }
            Event::KillServer(_) => {
                self.zookeeper.kill();
                self.zookeeper.start_again();
            }
            Event::FreezeServer(1, milliseconds) => {
                self.etcd.freeze();
                std::thread::sleep(Duration::from_millis(milliseconds));
                self.etcd.thaw();
            }
            Event::FreezeServer(_, milliseconds) => {
                self.zookeeper.freeze();
                std::thread::sleep(Duration::from_millis(milliseconds));
                self.zookeeper.thaw();
            }
            Event::KillDaemon => {
                self.daemon.kill();
                self.daemon.run();
            }
            Event::KillEverything => {
                self.daemon.kill();
                for pid in processes_of(&self.daemon) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                self.daemon.run();
            }
            Event::StopDaemon => {
                assert!(self.daemon.stop().success());
                self.daemon.run();
            }
            Event::HandOver => {
                self.daemon.signal(Signal::SIGUSR1);
                assert!(self.daemon.wait().success());
                self.daemon.run();
            }
            Event::FreezeDaemon(milliseconds) => {
                self.daemon.signal(Signal::SIGSTOP);
                for store in &mut self.stores {
                    store.step();
                }
                std::thread::sleep(Duration::from_millis(milliseconds));
                self.daemon.signal(Signal::SIGCONT);
            }
            Event::Rewrite(store, kind) => {
                self.redefinitions += 1;
                self.write(store, kind, "", &format!("# written {} times\n", self.redefinitions));
            }
            Event::Redefine(store, kind) => {
                self.redefinitions += 1;
                let settle = self.redefinitions % 50;
                self.write(store, kind, &format!("settle = '{settle}ms'"), "");
            }
            // Refused if there is no state to run yet.
            Event::Trigger(store, kind) => drop(self.daemon.ask(&["trigger", &self.name(store, kind)])),
            Event::PauseAndResume(store, kind) => {
                let name = self.name(store, kind);
                self.daemon.ask(&["pause", &name]);
                self.stores[store].step();
                until("the watch to be resumed", || {
                    self.daemon.ask(&["resume", &name]);
                    (self.daemon.watch(&name)["state"] != "paused").then_some(())
                });
            }
            Event::Wait(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn under_random_faults_the_newest_state_wins_once_and_in_order() {
    let seed = number("TWITCHER_SEED").unwrap_or(SEED);
    let length = number("TWITCHER_FAULTS").map_or(LENGTH, |length| usize::try_from(length).unwrap());
    println!("TWITCHER_SEED={seed} TWITCHER_FAULTS={length}");
    let mut world = World::new();
    for store in &mut world.stores {
        store.step();
    }
    world.daemon.run();
    for event in plan(seed, length) {
        println!("{event:?}");
        world.happen(event);
    }
    // The last value must run, although no put follows the faults.
    for store in &mut world.stores {
        store.step();
    }
    for proxy in &world.proxies {
        proxy.heal();
    }
    for store in &mut world.stores {
        store.prove(&world.daemon);
    }
    until("no zombie", || zombies_of(&world.daemon).is_empty().then_some(()));
    assert!(world.daemon.stop().success());
    until("no action to be left", || processes_of(&world.daemon).is_empty().then_some(()));
    let log = world.daemon.log();
    assert!(!log.contains("bug in twitcher") && !log.contains("panicked"), "{log}");
}

#[test]
fn a_seed_repeats_its_plan() {
    let told = |seed| format!("{:?}", plan(seed, 500));
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(8));
}
