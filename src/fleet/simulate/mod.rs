//! Both machines against a model store and an adversary, in virtual time, by seeds.
//!
//! `TWITCHER_FLEET_SEEDS` plays so many seeds of each kind instead of a few, from `TWITCHER_FLEET_FROM` on;
//! `TWITCHER_FLEET_SEED` plays one. `make simulate` plays 20,000 seeds of fifty hosts and 20 of ten thousand.

mod actor;
mod adversary;
mod network;
mod oracle;
mod planted;
mod process;
mod queue;
mod restore;
mod setting;
mod store;
mod world;

use std::time::Duration;

use self::planted::Planted;
use self::setting::{Setting, crowded, limited, setting};
use self::world::World;
use super::terms::Share;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Plays a seed until everybody has the newest version. Returns the world, or what went wrong.
fn play(setting: Setting, seed: u64, bound: Duration) -> Result<World, String> {
    let hosts = setting.hosts;
    let mut world = World::new(setting, seed);
    loop {
        for _ in 0..200 {
            if !world.step() {
                return Err("nothing happens any more".to_owned());
            }
            if let Some(violation) = &world.oracle.violation {
                return Err(format!("after {:?} and {} steps: {violation}", world.now.0, world.steps));
            }
        }
        if world.calm() && world.all_converged() {
            // Faults and orders are where a planted fault shows, if at all.
            return if world.setting.planted.is_some() { Ok(world) } else { rollout_in_peace(world, bound) };
        }
        if world.now.0 > bound {
            return Err(format!(
                "I5: {hosts} hosts have not converged after {:?}:\n{}",
                world.now.0,
                world.shown()
            ));
        }
    }
}

/// One more version without a fault: each host's keys are written at most so often.
fn rollout_in_peace(mut world: World, bound: Duration) -> Result<World, String> {
    // What began before the faults ended comes to its end: restarts, news of lost tenures.
    let peace = world.now.plus(secs(180));
    while world.now < peace {
        world.step();
    }
    for process in &mut world.processes {
        (process.writes, process.attempts) = (0, 0);
    }
    world.setting.versions = world.version + 1;
    world.next_version();
    let end = world.now.plus(bound);
    while !world.all_converged() {
        for _ in 0..50 {
            world.step();
        }
        if let Some(violation) = &world.oracle.violation {
            return Err(format!("after all faults: {violation}"));
        }
        if world.now > end {
            return Err(format!("I5: not converged after all faults:\n{}", world.shown()));
        }
    }
    let holds = world.setting.terms.iter().any(|terms| !terms.hold.is_zero());
    let most = 5 + u32::from(holds);
    let too_many =
        |process: &&process::Process| process.writes > most + 2 * process.attempts.saturating_sub(1);
    match world.processes.iter().find(too_many) {
        Some(p) => Err(format!("I5: {} writes of {}, and {most} are enough", p.writes, p.host)),
        None => Ok(world),
    }
}

fn play_seeds(name: &str, few: u64, of: impl Fn(u64) -> Setting) {
    let started = std::time::Instant::now();
    let seeds = match (number("TWITCHER_FLEET_SEED"), number("TWITCHER_FLEET_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => {
            let from = number("TWITCHER_FLEET_FROM").unwrap_or_default();
            from..from + seeds.unwrap_or(few)
        }
    };
    let (mut runs, mut reclaims, mut steps) = (0, 0, 0);
    for seed in seeds.clone() {
        match play(of(seed), seed, secs(20_000)) {
            Ok(world) => {
                runs += world.oracle.starts;
                reclaims += world.oracle.reclaims;
                steps += world.steps;
            }
            Err(violation) => panic!("{name}, seed {seed}: {violation}"),
        }
    }
    println!("{name}: {seeds:?}, {runs} runs, {reclaims} reclaims, {steps} steps, {:?}", started.elapsed());
}

#[test]
fn few_hosts_under_every_fault() {
    play_seeds("few hosts", 30, |seed| setting(3 + usize::try_from(seed % 6).unwrap(), seed));
}

#[test]
fn fifty_hosts_under_every_fault() {
    play_seeds("fifty hosts", 3, |seed| setting(50, seed));
}

/// A thousand in `make test`; `TWITCHER_FLEET_HOSTS` plays with so many.
#[test]
fn a_crowd_under_every_fault() {
    let hosts = number("TWITCHER_FLEET_HOSTS").map_or(1_000, |hosts| usize::try_from(hosts).unwrap());
    play_seeds("a crowd", 1, |seed| crowded(hosts, seed));
}

/// Long runs and many versions, among which the fault is looked for.
fn eventful(seed: u64, planted: Option<Planted>) -> Setting {
    Setting { planted, run: secs(20), versions: 4, ..setting(6, seed) }
}

#[test]
fn without_a_planted_fault_nothing_is_found() {
    for seed in 0..number("TWITCHER_FLEET_SEEDS").unwrap_or(30) {
        if let Err(violation) = play(eventful(seed, None), seed, secs(20_000)) {
            panic!("seed {seed}: {violation}");
        }
    }
}

/// Most runs fail, and daemons that gave up start again.
fn failing(seed: u64, planted: Option<Planted>) -> Setting {
    Setting { planted, failing: 500, run: secs(5), versions: 2, ..setting(6, seed) }
}

#[test]
fn no_failure_is_forgotten_when_a_daemon_starts_again() {
    for seed in 0..number("TWITCHER_FLEET_SEEDS").unwrap_or(30) {
        if let Err(violation) = play(failing(seed, None), seed, secs(20_000)) {
            panic!("seed {seed}: {violation}");
        }
    }
}

/// Seeds until the fault is found.
fn finds(planted: Planted, seeds: u64) {
    for seed in 0..seeds {
        let mut setting = eventful(seed, Some(planted));
        if planted == Planted::LostCount {
            setting = failing(seed, Some(planted));
        }
        if planted == Planted::MaxMeet {
            setting.terms = vec![limited(Share::Count(1)), limited(Share::Count(5))];
        }
        if let Err(violation) = play(setting, seed, secs(20_000)) {
            println!("{planted:?}: seed {seed}, {violation}");
            assert!(!violation.starts_with("I5"), "{planted:?} is found by what it breaks: {violation}");
            return;
        }
    }
    panic!("{planted:?} was not found in {seeds} seeds");
}

#[test]
fn a_conductor_without_its_fence_is_found() {
    finds(Planted::NoFence, 400);
}

#[test]
fn a_claim_that_requires_nothing_is_found() {
    finds(Planted::NoClaim, 400);
}

#[test]
fn a_reclaim_that_does_not_wait_is_found() {
    finds(Planted::NoReclaimWait, 400);
}

#[test]
fn a_permit_that_is_kept_across_versions_is_found() {
    finds(Planted::PermitKept, 400);
}

#[test]
fn the_least_careful_host_in_force_is_found() {
    finds(Planted::MaxMeet, 400);
}

#[test]
fn one_permit_too_many_is_found() {
    finds(Planted::OffByOne, 400);
}

#[test]
fn a_start_after_a_stale_claim_is_found() {
    finds(Planted::NoFresh, 400);
}

#[test]
fn a_reclaim_that_does_not_compare_the_record_is_found() {
    finds(Planted::NoRecordCompare, 400);
}

#[test]
fn a_daemon_that_forgets_what_failed_is_found() {
    finds(Planted::LostCount, 400);
}

/// One version after the other, one host at a time; the store is restored in the middle of it. Returns the violation.
fn restored(seed: u64, planted: Option<Planted>) -> Result<(), String> {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xbac0);
    let setting = Setting {
        terms: vec![limited(Share::Count(1))],
        run: secs(rng.u64(2..20)),
        faults_until: Duration::ZERO,
        failing: 0,
        versions: 1 + rng.u32(..3),
        every: secs(rng.u64(20..60)),
        orders: false,
        planted,
        ..setting(6, seed)
    };
    let mut world = World::new(setting, seed);
    world.oracle.only_limit = Some(1);
    let backup = Duration::from_millis(rng.u64(..40_000));
    world.after(backup, queue::Event::BackUp);
    world.after(backup + Duration::from_millis(rng.u64(..30_000)), queue::Event::Restore);
    while !world.all_converged() || world.backup.is_some() || world.now.0 < backup {
        assert!(world.step(), "nothing happens any more");
        if let Some(violation) = &world.oracle.violation {
            return Err(format!("after {:?}: {violation}", world.now.0));
        }
        if world.now.0 > secs(2_000) {
            return Err(format!("I5: not converged after a restore:\n{}", world.shown()));
        }
    }
    Ok(())
}

#[test]
fn a_restored_store_lets_no_more_hosts_act_at_once() {
    for seed in 0..number("TWITCHER_FLEET_SEEDS").unwrap_or(200) {
        if let Err(violation) = restored(seed, None) {
            panic!("seed {seed}: {violation}");
        }
    }
}

#[test]
fn a_daemon_that_takes_a_restored_store_for_the_one_that_it_knew_is_found() {
    let found = (0..200).find_map(|seed| Some((seed, restored(seed, Some(Planted::NoMemory)).err()?)));
    let (seed, violation) = found.expect("it was not found");
    // Too many runs at once, or permits of an epoch that hosts have given back in the lost history.
    println!("seed {seed}: {violation}");
}

/// No host waits for ever while versions come faster than the group can follow.
#[test]
fn nobody_starves_under_endless_versions() {
    let (hosts, every) = (6, secs(8));
    for seed in 0..5 {
        let setting = Setting {
            conductors: 2,
            terms: vec![limited(Share::Count(1))],
            run: secs(5),
            faults_until: Duration::ZERO,
            failing: 0,
            versions: 60,
            every,
            orders: false,
            restart_mode: false,
            ..setting(hosts, seed)
        };
        let mut world = World::new(setting, seed);
        while world.version < 60 {
            assert!(world.step());
            assert_eq!(world.oracle.violation, None, "seed {seed}");
            let longest = world.processes.iter().map(|process| world.now.since(process.last_success)).max();
            assert!(longest < Some(every * 24), "I7: seed {seed}, a host waits since {longest:?}");
        }
    }
}
