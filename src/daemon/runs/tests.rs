//! The life of a run with a fake spawner (promises P3 and P5): whatever happens to the daemon, each run is recorded once,
//! waited for, and concluded once.

mod hooks;
mod validate;

use std::task::Context;
use std::time::Duration;

use super::fixture::{Fake, identity, plan, runs, spec};
use super::*;
use crate::ledger::{LedgerEntry, LiveRecord};
use crate::process::{FoundRun, RunCommand};
use crate::watch::{Outcome, PolicySpec, RunRecord, SignalNumber, Verdict};

struct Scene {
    fake: Arc<Fake>,
    ledger: Ledger,
    runs: Arc<Runs>,
}

impl Scene {
    fn new() -> Self {
        let (fake, ledger) = (Arc::new(Fake::default()), Ledger::in_memory());
        let runs = runs(&fake, &ledger, 1);
        Self { fake, ledger, runs }
    }

    /// Replaces this daemon, as if it had been killed, by the next one.
    async fn next_daemon(&mut self) {
        self.runs = runs(&self.fake, &self.ledger, 2);
        self.runs.find().await;
    }

    fn own(&self) -> OwnRuns {
        OwnRuns::new(Arc::clone(&self.runs))
    }

    fn entry(&self, watch: &str) -> LedgerEntry {
        self.ledger.entry(watch).unwrap_or_default()
    }

    fn live(&self, watch: &str) -> Vec<LiveRecord> {
        self.entry(watch).live
    }

    fn history(&self, watch: &str) -> Vec<RunRecord> {
        self.entry(watch).history.into()
    }
}

/// Waits for the end of a run and concludes it; returns how.
async fn concluded(own: &mut OwnRuns, spec: &WatchSpec) -> Concluded {
    let (run, ended) = std::future::poll_fn(|context| own.poll_ended(context)).await;
    let concluded = own.ended(spec, &run, ended).unwrap();
    own.forget(spec, &run);
    concluded
}

fn verdict(concluded: Concluded) -> Verdict {
    match concluded {
        Concluded::Own(end) => end.verdict,
        Concluded::Foreign => panic!("it is its own"),
    }
}

async fn slot(own: &mut OwnRuns, spec: &WatchSpec) {
    own.acquire(spec);
    std::future::poll_fn(|context| own.poll_slot(context)).await;
}

#[tokio::test]
async fn a_run_is_written_down_while_it_lives_and_recorded_when_it_ends() {
    let scene = Scene::new();
    let (spec, mut own) = (spec("a", "/a"), scene.own());
    slot(&mut own, &spec).await;
    assert_eq!(own.start(&spec, plan(&scene.runs)), Begun::Live);
    let [live] = &scene.live("a")[..] else { panic!("it is recorded") };
    assert_eq!((live.attempt, live.coalesced, live.process.pid), (2, 3, 1));
    assert_eq!((scene.runs.count(), own.live().len()), (1, 1));

    scene.fake.end(1, Outcome::Exited(0));
    let (run, ended) = std::future::poll_fn(|context| own.poll_ended(context)).await;
    assert_eq!(verdict(own.ended(&spec, &run, ended).unwrap()), Verdict::Succeeded);
    let state = own.given(&run).unwrap();
    scene.runs.book().applied(&spec.name, &spec.target, state);
    own.forget(&spec, &run);

    let entry = scene.entry("a");
    assert_eq!((entry.live.len(), entry.ended, entry.failed), (0, 1, 0));
    assert_eq!(entry.applied.unwrap().version, "1");
    let record = &entry.history[0];
    assert_eq!((record.attempt, record.coalesced, record.exit_code), (2, 3, Some(0)));
    assert_eq!((record.outcome.as_str(), record.output.as_str()), ("succeeded", "tail"));
    assert_eq!((scene.runs.count(), own.live().len()), (0, 0));
    assert_eq!(own.outcomes(), [("succeeded", 1)]);
}

#[tokio::test]
async fn a_run_that_does_not_start_is_recorded_and_leaves_no_slot_taken() {
    let scene = Scene::new();
    let (spec, mut own) = (spec("a", "/a"), scene.own());
    scene.fake.refuse();
    for number in 1..=20 {
        // More often than there are slots.
        slot(&mut own, &spec).await;
        let Begun::Ended(end) = own.start(&spec, plan(&scene.runs)) else { panic!("it has started") };
        assert_eq!(end.verdict, Verdict::Failed);
        let entry = scene.entry("a");
        assert_eq!((entry.live.len(), entry.ended, entry.failed), (0, number, number));
    }
    let records = scene.history("a");
    let last = records.last().unwrap();
    assert_eq!(last.outcome, "not_started");
    assert!(last.output.contains("it names no program"), "{}", last.output);
    assert_eq!(scene.runs.count(), 0);
}

#[tokio::test]
async fn a_run_is_adopted_by_the_next_daemon_and_its_unseen_end_is_repeated() {
    let mut scene = Scene::new();
    let (spec, mut own) = (spec("a", "/a"), scene.own());
    assert_eq!(own.start(&spec, plan(&scene.runs)), Begun::Live);
    drop(own);
    scene.next_daemon().await;
    let mut own = scene.own();
    let [run] = own.adopt(&spec, Duration::ZERO) else { panic!("it is its own") };
    assert_eq!((run.live.process.pid, run.live.version.as_str()), (1, "1"));
    assert!(!own.has_foreign());
    assert_eq!(scene.live("a").len(), 1, "recorded once");

    scene.fake.end(1, Outcome::Unknown);
    assert_eq!(verdict(concluded(&mut own, &spec).await), Verdict::Unknown);
    let entry = scene.entry("a");
    assert_eq!(entry.interrupted, Some(described(&spec.target)));
    assert_eq!((entry.live.len(), entry.ended), (0, 1));
    assert_eq!(scene.runs.count(), 0);
}

#[tokio::test]
async fn a_run_that_died_with_the_daemon_is_interrupted() {
    let mut scene = Scene::new();
    let (spec, mut own) = (spec("a", "/a"), scene.own());
    assert_eq!(own.start(&spec, plan(&scene.runs)), Begun::Live);
    drop(own);
    scene.fake.end(1, Outcome::Killed(SignalNumber(9)));
    scene.next_daemon().await;
    let mut own = scene.own();
    assert_eq!(own.adopt(&spec, Duration::ZERO).len(), 0);
    let entry = scene.entry("a");
    assert_eq!((entry.live.len(), entry.ended), (0, 0));
    assert_eq!(entry.interrupted, Some(described(&spec.target)));
}

/// The watch has another key now.
#[tokio::test(start_paused = true)]
async fn a_foreign_run_holds_up_the_next_start_and_gets_term_and_kill() {
    let mut scene = Scene::new();
    let mut own = scene.own();
    assert_eq!(own.start(&spec("a", "/old"), plan(&scene.runs)), Begun::Live);
    drop(own);
    scene.next_daemon().await;
    let (spec, mut own) = (spec("a", "/new"), scene.own());
    assert_eq!(own.adopt(&spec, Duration::from_secs(20)).len(), 0, "the machine does not know it");
    assert!(own.has_foreign());
    own.acquire(&spec);
    let granted = std::future::poll_fn(|context| own.poll_slot(context));
    assert!(tokio::time::timeout(Duration::from_secs(10), granted).await.is_err(), "beside it");

    assert_eq!(scene.fake.command(1).await, RunCommand::Term { timed_out: false });
    assert_eq!(scene.fake.command(1).await, RunCommand::Kill);
    scene.fake.end(1, Outcome::Unknown);
    assert_eq!(concluded(&mut own, &spec).await, Concluded::Foreign);
    assert!(!own.has_foreign());
    std::future::poll_fn(|context| own.poll_slot(context)).await;
    assert_eq!(scene.live("a").len(), 0);
    assert_ne!(
        scene.entry("a").interrupted,
        Some(described(&spec.target)),
        "there is nothing to repeat here"
    );
}

#[tokio::test]
async fn a_run_without_a_record_is_found_and_adopted_as_own_or_foreign() {
    for (key, foreign) in [("/a", false), ("/elsewhere", true)] {
        let mut scene = Scene::new();
        let spec = spec("a", "/a");
        let run = RunId(format!("{}-0-1", scene.ledger.id()).into());
        scene.fake.show(FoundRun {
            run: run.clone(),
            watch: spec.name.clone(),
            store: "main".to_owned(),
            key: key.to_owned(),
            version: "5".to_owned(),
            identity: identity(99),
            marked: true,
            uid: spec.surroundings.account.uid,
        });
        scene.next_daemon().await;
        let mut own = scene.own();
        assert_eq!(own.adopt(&spec, Duration::from_hours(1)).len(), usize::from(!foreign));
        assert_eq!(own.has_foreign(), foreign);
        assert_eq!(scene.live("a")[0].run, run);
        assert_eq!(scene.runs.count(), 1);
    }
}

#[tokio::test]
async fn a_run_of_a_watch_that_is_gone_is_waited_for_and_written_off() {
    let mut scene = Scene::new();
    let (spec, mut own) = (spec("a", "/a"), scene.own());
    assert_eq!(own.start(&spec, plan(&scene.runs)), Begun::Live);
    drop(own);
    scene.next_daemon().await;
    scene.runs.adopt_orphans(|_| false);
    assert!(!scene.runs.is_empty());
    scene.fake.end(1, Outcome::Unknown);
    scene.runs.turn().await;
    assert!(scene.runs.is_empty());
    let entry = scene.entry("a");
    assert_eq!((entry.live.len(), entry.ended, scene.runs.count()), (0, 1, 0));
    assert_eq!(entry.interrupted, Some(described(&spec.target)));
}

#[tokio::test]
async fn an_orphan_goes_to_its_watch_when_that_comes_back_also_under_another_name() {
    for name in ["a", "renamed"] {
        let mut scene = Scene::new();
        let mut own = scene.own();
        assert_eq!(own.start(&spec("a", "/a"), plan(&scene.runs)), Begun::Live);
        drop(own);
        scene.next_daemon().await;
        scene.runs.adopt_orphans(|_| false);
        let mut own = scene.own();
        let [run] = own.adopt(&spec(name, "/a"), Duration::ZERO) else { panic!("{name}") };
        assert_eq!(run.live.process.pid, 1);
        assert!(scene.runs.is_empty());
        assert_eq!((scene.live(name).len(), scene.runs.count()), (1, 1));
        assert_eq!(scene.live("a").len(), usize::from(name == "a"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_orphans_at_the_deadline() {
    let mut scene = Scene::new();
    let mut own = scene.own();
    assert_eq!(own.start(&spec("a", "/a"), plan(&scene.runs)), Begun::Live);
    drop(own);
    scene.next_daemon().await;
    scene.runs.adopt_orphans(|_| false);
    let begun = tokio::time::Instant::now();
    scene.runs.stop((begun + Duration::from_secs(3)).into_std());
    assert_eq!(scene.fake.command(1).await, RunCommand::Term { timed_out: false });
    assert_eq!(scene.fake.command(1).await, RunCommand::Kill);
    assert!(begun.elapsed() >= Duration::from_secs(3) + KILL_AFTER);
}

/// A failure that the daemon's own stop caused is repeated at the next start; any other is not.
#[tokio::test]
async fn a_run_that_fails_while_the_daemon_stops_is_interrupted() {
    for stopping in [false, true] {
        let scene = Scene::new();
        let (spec, mut own) = (spec("a", "/a"), scene.own());
        assert_eq!(own.start(&spec, plan(&scene.runs)), Begun::Live);
        if stopping {
            own.stop(&spec, Instant::now());
            let run = own.live()[0].live.run.clone();
            own.command(&run, RunCommand::Term { timed_out: false });
            assert_eq!(scene.fake.command(1).await, RunCommand::Term { timed_out: false });
        }
        scene.fake.end(1, Outcome::Killed(SignalNumber(15)));
        assert_eq!(verdict(concluded(&mut own, &spec).await), Verdict::Failed);
        assert_eq!(scene.entry("a").interrupted.is_some(), stopping);
        assert!(scene.fake.live().is_empty());
    }
}

#[tokio::test]
async fn kill_reaches_every_run() {
    let scene = Scene::new();
    let (mut spec, mut own) = (spec("a", "/a"), scene.own());
    spec.policy = Arc::new(PolicySpec { timeout: Some(Duration::from_secs(1)), ..(*spec.policy).clone() });
    assert_eq!(own.start(&spec, plan(&scene.runs)), Begun::Live);
    assert_eq!(own.start(&spec, plan(&scene.runs)), Begun::Live);
    own.kill();
    for pid in [1, 2] {
        assert_eq!(scene.fake.command(pid).await, RunCommand::Kill);
    }
}

#[tokio::test]
async fn slots_are_those_of_live_runs() {
    let scene = Scene::new();
    let (spec, mut own) = (spec("a", "/a"), scene.own());
    // Half of eight is one watch's limit.
    for _ in 0..4 {
        slot(&mut own, &spec).await;
        assert_eq!(own.start(&spec, plan(&scene.runs)), Begun::Live);
    }
    own.acquire(&spec);
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(own.poll_slot(&mut context).is_pending());
    scene.fake.end(2, Outcome::Exited(1));
    assert_eq!(verdict(concluded(&mut own, &spec).await), Verdict::Failed);
    assert!(own.poll_slot(&mut context).is_ready());
    own.release();
}

fn with_mutex(name: &str, mutex: &str) -> WatchSpec {
    WatchSpec { mutex: Some(crate::watch::MutexName::new(mutex).unwrap()), ..spec(name, "/a") }
}

/// Whether the requested slot has been granted.
fn is_granted(own: &mut OwnRuns) -> bool {
    own.poll_slot(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
}

/// The next daemon's watch `b` is ready to start before `a` has adopted its run.
#[tokio::test]
async fn an_adopted_run_holds_the_mutex_that_it_was_started_under() {
    for written in [true, false] {
        let mut scene = Scene::new();
        let (before, mut own) = (with_mutex("a", "m"), scene.own());
        if written {
            slot(&mut own, &before).await;
            assert_eq!(own.start(&before, plan(&scene.runs)), Begun::Live);
        } else {
            scene.fake.show(FoundRun {
                run: RunId(format!("{}-0-1", scene.ledger.id()).into()),
                watch: before.name.clone(),
                store: "main".to_owned(),
                key: "/a".to_owned(),
                version: "5".to_owned(),
                identity: identity(1),
                marked: true,
                uid: before.surroundings.account.uid,
            });
        }
        drop(own);
        scene.next_daemon().await;
        // Only the record shows that a definition had another mutex.
        let a = if written { with_mutex("a", "other") } else { before };
        let b = with_mutex("b", "m");
        scene.runs.hold_mutexes([&a, &b].into_iter());
        let (mut own_a, mut own_b) = (scene.own(), scene.own());
        own_b.acquire(&b);
        assert!(!is_granted(&mut own_b), "{written}");
        assert_eq!(own_b.waits_for_mutex().unwrap().1, a.name);
        assert_eq!(own_a.adopt(&a, Duration::ZERO).len(), 1);
        assert!(!is_granted(&mut own_b));
        scene.fake.end(1, Outcome::Unknown);
        concluded(&mut own_a, &a).await;
        assert!(is_granted(&mut own_b));
    }
}

#[tokio::test]
async fn a_run_that_died_with_the_daemon_and_one_without_a_watch_free_their_mutex() {
    for (dies, defined) in [(true, true), (true, false), (false, false)] {
        let mut scene = Scene::new();
        let (a, mut own) = (with_mutex("a", "m"), scene.own());
        slot(&mut own, &a).await;
        assert_eq!(own.start(&a, plan(&scene.runs)), Begun::Live);
        drop(own);
        if dies {
            scene.fake.end(1, Outcome::Unknown);
        }
        scene.next_daemon().await;
        let b = with_mutex("b", "m");
        scene.runs.hold_mutexes([&b].into_iter());
        let mut own_b = scene.own();
        own_b.acquire(&b);
        assert!(!is_granted(&mut own_b));
        scene.runs.adopt_orphans(|_| defined);
        if defined {
            assert!(!is_granted(&mut own_b));
            scene.own().adopt(&a, Duration::ZERO);
        }
        if !dies {
            assert!(!is_granted(&mut own_b), "it lives, whether its watch is defined or not");
            scene.fake.end(1, Outcome::Unknown);
            scene.runs.turn().await;
        }
        assert!(is_granted(&mut own_b), "{dies} {defined}");
    }
}

/// As after a panic in the task of a watch: its process still exists.
#[tokio::test]
async fn a_task_that_is_gone_leaves_the_mutex_to_its_run() {
    let scene = Scene::new();
    let (a, b) = (with_mutex("a", "m"), with_mutex("b", "m"));
    let (mut own_a, mut own_b) = (scene.own(), scene.own());
    slot(&mut own_a, &a).await;
    assert_eq!(own_a.start(&a, plan(&scene.runs)), Begun::Live);
    drop(own_a);
    own_b.acquire(&b);
    assert!(!is_granted(&mut own_b));
    let mut own_a = scene.own();
    assert_eq!(own_a.adopt(&a, Duration::ZERO).len(), 1);
    scene.fake.end(1, Outcome::Unknown);
    concluded(&mut own_a, &a).await;
    assert!(is_granted(&mut own_b));
}
