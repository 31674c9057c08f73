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

fn candidate(seq: u64) -> Candidate {
    let version = Version::Revision(i64::try_from(seq).unwrap());
    Candidate { seq: Seq(seq), version, reason: Reason::Change, coalesced: 1, input: None }
}

/// Starts a run in a slot.
fn run(own: &mut OwnRuns, spec: &WatchSpec, runs: &Runs) {
    own.acquire(spec);
    assert!(is_granted(own));
    assert_eq!(own.start(spec, plan(runs)), None);
}

/// What a turn of the watch's task does.
fn turn(own: &mut OwnRuns, spec: &WatchSpec) -> Option<Judged> {
    let mut context = Context::from_waker(std::task::Waker::noop());
    match own.poll_judged(spec, &mut context) {
        Poll::Ready(judged) => judged,
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn what_judges_about_a_live_run_shares_its_slot_and_anything_else_waits_for_one() {
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

        // The slots of all are untouched by it.
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
    assert_eq!(own.start(&a, plan(&scene.runs)), None);
    turn(&mut own, &a);
    assert!(own.judging_since().is_some());
}

#[tokio::test]
async fn an_adopted_run_which_has_no_slot_counts_as_one_that_has() {
    let mut scene = Scene::new();
    let (a, mut own) = (judged("a", RunMode::Restart, None), scene.own());
    assert_eq!(own.start(&a, plan(&scene.runs)), None);
    drop(own);
    scene.next_daemon().await;
    let (b, c) = (spec("b", "/b"), spec("c", "/c"));
    let (mut own, mut of_b, mut of_c) = (scene.own(), scene.own(), scene.own());
    for _ in 0..3 {
        run(&mut of_b, &b, &scene.runs);
        run(&mut of_c, &c, &scene.runs);
    }
    assert_eq!(own.adopt(&a, Duration::ZERO).len(), 1);
    own.validate(&a, candidate(2));
    turn(&mut own, &a);
    assert!(own.judging_since().is_some());
}

#[tokio::test]
async fn a_key_that_changes_while_it_waits_to_be_judged_keeps_its_place() {
    let scene = Scene::new();
    let (a, b, c) = (judged("a", RunMode::Queue, None), spec("b", "/b"), spec("c", "/c"));
    let (mut own, mut of_b, mut of_c, mut later) = (scene.own(), scene.own(), scene.own(), scene.own());
    for _ in 0..3 {
        run(&mut of_b, &b, &scene.runs);
        run(&mut of_c, &c, &scene.runs);
    }
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
    let (a, b, c) = (judged("a", RunMode::Queue, None), spec("b", "/b"), spec("c", "/c"));
    let (mut own, mut of_b, mut of_c, mut later) = (scene.own(), scene.own(), scene.own(), scene.own());
    for _ in 0..3 {
        run(&mut of_b, &b, &scene.runs);
        run(&mut of_c, &c, &scene.runs);
    }
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
