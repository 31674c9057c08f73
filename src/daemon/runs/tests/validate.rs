//! The slot of `validate`.

use std::task::Poll;

use super::*;
use crate::watch::{Reason, RunMode, Seq, Version};

/// Rounds of a key that changes faster than slots become free.
const CHANGES: u64 = 3;

fn judged(name: &str, run_mode: RunMode, notify_signal: Option<SignalNumber>) -> WatchSpec {
    let spec = spec(name, "/a");
    let policy = PolicySpec { run_mode, notify_signal, ..PolicySpec::clone(&spec.policy) };
    let program = Action::Program(vec!["true".into()]);
    WatchSpec { policy: Arc::new(policy), validate: Some(Box::new(program)), ..spec }
}

fn candidate(seq: u64) -> StateToJudge {
    let version = Version::Revision(i64::try_from(seq).unwrap());
    StateToJudge { seq: Seq(seq), version, reason: Reason::Change, coalesced: 1, input: None }
}

/// Starts a run in a slot.
fn run(own: &mut OwnRuns, spec: &WatchSpec, runs: &Runs) {
    own.acquire(spec);
    assert!(is_granted(own));
    assert_eq!(own.start(spec, plan(runs)), Begun::Live);
}

/// Runs of `b` and `c` in turn, in six of the eight slots: that is the limit of one account.
fn fill(scene: &Scene) -> ((WatchSpec, OwnRuns), (WatchSpec, OwnRuns)) {
    let (mut b, mut c) = ((spec("b", "/b"), scene.own()), (spec("c", "/c"), scene.own()));
    for _ in 0..3 {
        run(&mut b.1, &b.0, &scene.runs);
        run(&mut c.1, &c.0, &scene.runs);
    }
    (b, c)
}

/// A turn of the watch's task.
fn turn(own: &mut OwnRuns, spec: &WatchSpec) -> Option<Judged> {
    let mut context = Context::from_waker(std::task::Waker::noop());
    match own.poll_judged(spec, &mut context) {
        Poll::Ready(judged) => judged,
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn validate_shares_the_slot_of_a_run_that_it_decides_about_and_else_waits_for_one() {
    let hup = Some(SignalNumber(1));
    for (run_mode, notify, judges) in [
        (RunMode::Restart, None, true),
        (RunMode::Queue, hup, true),
        (RunMode::Queue, None, false),
        (RunMode::Discard, None, false),
        (RunMode::Parallel { max: 9 }, None, false),
    ] {
        let scene = Scene::new();
        let (spec, mut own) = (judged("a", run_mode, notify), scene.own());
        // Half of eight is one watch's limit.
        for _ in 0..4 {
            run(&mut own, &spec, &scene.runs);
        }
        own.validate(&spec, candidate(2));
        turn(&mut own, &spec);
        assert_eq!(own.judging_since().is_some(), judges, "{run_mode:?}");
        assert_eq!(own.waits_to_validate(), !judges, "{run_mode:?}");
        assert_eq!(scene.fake.live().len(), if judges { 5 } else { 4 });

        // It uses none of the slots of `max_processes`.
        if judges {
            own.acquire(&spec);
            assert!(!is_granted(&mut own));
        }
        scene.fake.end(1, Outcome::Exited(0));
        concluded(&mut own, &spec).await;
        if judges {
            assert!(is_granted(&mut own));
        } else {
            turn(&mut own, &spec);
            assert!(own.judging_since().is_some());
        }
    }
}

#[tokio::test]
async fn a_run_that_took_the_last_slot_while_a_state_waited_to_be_judged_shares_it() {
    let scene = Scene::new();
    let (a, b, c) = (judged("a", RunMode::Restart, None), spec("b", "/b"), spec("c", "/c"));
    let (mut own, mut of_b, mut of_c) = (scene.own(), scene.own(), scene.own());
    // Six of eight is one account's limit.
    for _ in 0..4 {
        run(&mut of_b, &b, &scene.runs);
    }
    run(&mut of_c, &c, &scene.runs);
    slot(&mut own, &a).await;
    own.validate(&a, candidate(2));
    turn(&mut own, &a);
    assert!(own.waits_to_validate());
    assert_eq!(own.start(&a, plan(&scene.runs)), Begun::Live);
    turn(&mut own, &a);
    assert!(own.judging_since().is_some());
}

#[tokio::test]
async fn validate_shares_the_place_of_an_adopted_run_although_that_has_no_slot() {
    let mut scene = Scene::new();
    let (a, mut own) = (judged("a", RunMode::Restart, None), scene.own());
    assert_eq!(own.start(&a, plan(&scene.runs)), Begun::Live);
    drop(own);
    scene.next_daemon().await;
    let _others = fill(&scene);
    let mut own = scene.own();
    assert_eq!(own.adopt(&a, Duration::ZERO).len(), 1);
    own.validate(&a, candidate(2));
    turn(&mut own, &a);
    assert!(own.judging_since().is_some());
}

#[tokio::test]
async fn a_key_that_changes_while_it_waits_to_be_judged_keeps_its_place() {
    let scene = Scene::new();
    let ((b, mut of_b), _c) = fill(&scene);
    let (a, mut own, mut later) = (judged("a", RunMode::Queue, None), scene.own(), scene.own());
    own.validate(&a, candidate(1));
    let d = spec("d", "/d");
    later.acquire(&d);
    for seq in 2..2 + CHANGES {
        turn(&mut own, &a);
        own.end_validation(&a);
        own.validate(&a, candidate(seq));
    }
    scene.fake.end(1, Outcome::Exited(0));
    concluded(&mut of_b, &b).await;
    turn(&mut own, &a);
    assert!(!is_granted(&mut later), "before the one that asked first");
    assert!(own.judging_since().is_some());
    // The newest is judged.
    let pid = *scene.fake.live().last().unwrap();
    scene.fake.end(pid, Outcome::Exited(0));
    assert_eq!(turn(&mut own, &a).unwrap().seq, Seq(1 + CHANGES));
    assert!(is_granted(&mut later));
}

#[tokio::test]
async fn the_place_of_a_state_that_none_follows_is_given_up() {
    let scene = Scene::new();
    let ((b, mut of_b), _c) = fill(&scene);
    let (a, mut own, mut later) = (judged("a", RunMode::Queue, None), scene.own(), scene.own());
    own.validate(&a, candidate(1));
    let d = spec("d", "/d");
    later.acquire(&d);
    own.end_validation(&a);
    assert!(!own.waits_to_validate());
    turn(&mut own, &a);
    scene.fake.end(1, Outcome::Exited(0));
    concluded(&mut of_b, &b).await;
    assert!(is_granted(&mut later));
    assert!(own.judging_since().is_none() && own.validator.is_none());
}

/// After a reload, a pause or a stop nothing starts before the store has been read, and that may take long.
#[tokio::test]
async fn a_state_that_waits_to_be_judged_takes_no_slot_while_starts_are_held() {
    let scene = Scene::new();
    let ((b, mut of_b), _c) = fill(&scene);
    let (a, mut own, mut later) = (judged("a", RunMode::Queue, None), scene.own(), scene.own());
    own.validate(&a, candidate(1));
    turn(&mut own, &a);
    assert!(own.waits_to_validate());
    own.hold_starts();
    later.acquire(&spec("d", "/d"));
    scene.fake.end(1, Outcome::Exited(0));
    concluded(&mut of_b, &b).await;
    turn(&mut own, &a);
    assert!(is_granted(&mut later), "the slot is of use to another watch");
    assert!(own.judging_since().is_none() && !own.waits_to_validate());
    own.release_starts(&a);
    drop(later);
    turn(&mut own, &a);
    assert!(own.judging_since().is_some());
}
