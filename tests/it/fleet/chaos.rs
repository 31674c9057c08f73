//! Promise P9 under chaos: twenty real daemons on a real store, faults by a seed, and the action as the witness.
//!
//! `TWITCHER_SEED` repeats a run, `TWITCHER_CHAOS_SECONDS` makes it longer, and `TWITCHER_CHAOS_SERVERS=3` gives it a
//! cluster, whose leaders die, freeze and are cut off. Stops and absences are shorter than the limit of a run: the
//! exceptions of the promise are not provoked, and none is allowed for.

mod plan;
mod server;
mod witness;
mod world;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use self::plan::{Kind, plan};
use self::server::{Server, Several};
use self::witness::check;
use self::world::World;
use crate::fixture::daemon::until;
use crate::fixture::etcd::{Cluster, Etcd};
use crate::fixture::gate::alone;
use crate::fixture::zookeeper::{Ensemble, ZooKeeper};

const SEED: u64 = 20_260_911;
/// Each kind of fault strikes at least once, which takes about a minute.
const SECONDS: u64 = 30;
const HOSTS: usize = 20;
/// `max_parallel` of all hosts.
const LIMIT: usize = 4;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn never_more_than_the_permits<S: Server>(server: S) {
    let (seed, seconds) = (number("TWITCHER_SEED", SEED), number("TWITCHER_CHAOS_SECONDS", SECONDS));
    println!("TWITCHER_SEED={seed} TWITCHER_CHAOS_SECONDS={seconds}");
    let mut world = World::start(server);
    let began = Instant::now();
    let length = Duration::from_secs(seconds);
    let events = plan(S::KINDS, seed, length);
    let mut fired = BTreeSet::new();
    for event in events {
        // It strikes while a permit is held.
        let held = world.until_someone_acts();
        println!("{:?}: {event:?}{}", began.elapsed(), if held { "" } else { ", and nobody acts" });
        world.happen(&event);
        if held {
            fired.insert(event.kind);
        }
        world.live_for(event.pause);
    }
    world.end_faults();
    let version = world.put();
    world.until_all_have(&version);
    world.check_logs();

    let report = check(&world.witness.read(), LIMIT).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    println!("{report:?} after {:?}", began.elapsed());
    let missing: Vec<&Kind> = S::KINDS.iter().filter(|kind| !fired.contains(kind)).collect();
    assert!(missing.is_empty(), "never fired while a permit was held: {missing:?}");
}

#[test]
fn on_etcd() {
    let _alone = alone();
    match number("TWITCHER_CHAOS_SERVERS", 1) {
        1 => never_more_than_the_permits(Etcd::start()),
        _ => never_more_than_the_permits(Several::new(Cluster::start(3))),
    }
}

#[test]
fn on_zookeeper() {
    let _alone = alone();
    match number("TWITCHER_CHAOS_SERVERS", 1) {
        1 => never_more_than_the_permits(ZooKeeper::for_many_daemons()),
        _ => never_more_than_the_permits(Several::new(Ensemble::start())),
    }
}

/// What the checker is for: a start that the store never allowed.
#[test]
fn a_start_without_a_permit_is_found() {
    let _alone = alone();
    let mut world = World::start(Etcd::start());
    world.hold();
    let version = world.put();
    until("all permits to be used", || (world.witness.acting().len() >= LIMIT).then_some(()));
    let idle = (0..HOSTS).find(|host| !world.witness.acts(*host)).unwrap();
    world.trigger_without_permit(idle);
    // It has counted the others; they go on after that.
    let of_this = format!(" {version} ");
    let started = || world.witness.read().lines().filter(|line| line.contains(&of_this)).count();
    until("one more", || (started() > LIMIT).then_some(()));
    world.end_faults();
    world.until_all_have(&version);
    let found = check(&world.witness.read(), LIMIT).unwrap_err();
    assert!(found.contains("5 at once"), "{found}");
}
