//! What a former daemon left is dealt with once, whenever its watch is defined: an `on_give_up` that it owed is run, a
//! program that it left running is ended.

use super::*;
use crate::daemon::runs::HookReport;
use crate::watch::State;

fn told(name: &str) -> WatchSpec {
    WatchSpec { on_give_up: Some(Box::new(Action::Program(vec!["true".into()]))), ..spec(name, "/a") }
}

fn state(scene: &Scene) -> State {
    plan(&scene.runs).state
}

/// A daemon that stopped while the `on_give_up` of `a` waited for room, and the next one.
async fn owed() -> Scene {
    let mut scene = Scene::new();
    scene.runs.stop(Instant::now());
    scene.runs.report(&told("a"), &state(&scene), HookReport::held());
    until_begun(&scene, 0).await;
    assert!(scene.entry("a").owed.is_some());
    scene.next_daemon().await;
    scene
}

/// Lets the tasks of the hooks go as far as they can, then asserts the number of processes.
async fn until_begun(scene: &Scene, count: usize) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.fake.live().len(), count);
}

#[tokio::test]
async fn a_watch_that_is_defined_later_gets_what_it_is_owed_once() {
    let scene = owed().await;
    let a = told("a");
    scene.runs.run_owed_hooks([&a].into_iter());
    // A reload before the program has room.
    scene.runs.run_owed_hooks([&a].into_iter());
    scene.runs.report(&a, &state(&scene), HookReport::held());
    until_begun(&scene, 1).await;
    assert!(scene.entry("a").owed.is_none());
    scene.runs.run_owed_hooks([&a].into_iter());
    scene.runs.report(&a, &state(&scene), HookReport::held());
    until_begun(&scene, 1).await;
}

#[tokio::test]
async fn what_is_owed_in_the_ledger_alone_does_not_suppress_a_report() {
    let scene = owed().await;
    let a = told("a");
    scene.runs.report(&a, &state(&scene), HookReport::held());
    scene.runs.report(&a, &state(&scene), HookReport::held());
    scene.runs.run_owed_hooks([&a].into_iter());
    until_begun(&scene, 1).await;
    assert!(scene.entry("a").owed.is_none());
}

/// A `validate` or `on_give_up` of a killed daemon.
fn left(scene: &Scene, what: &str, watch: &str, pid: i32) -> FoundRun {
    FoundRun {
        run: RunId(format!("{what}-{}-1-{pid}", scene.ledger.id()).into()),
        watch: WatchName::new(watch).unwrap(),
        store: "main".to_owned(),
        key: "/a".to_owned(),
        version: "1".to_owned(),
        identity: identity(pid),
        marked: true,
        uid: 7,
    }
}

#[tokio::test]
async fn a_program_that_a_killed_daemon_left_is_ended_whenever_its_watch_is_loaded() {
    let mut scene = Scene::new();
    for (what, watch, pid) in [("validate", "a", 1), ("on_give_up", "b", 2), ("validate", "b", 3)] {
        scene.fake.show(left(&scene, what, watch, pid));
    }
    scene.fake.show(FoundRun { uid: 8, ..left(&scene, "validate", "b", 4) });
    scene.next_daemon().await;
    let ended = async |pid| assert_eq!(scene.fake.command(pid).await, RunCommand::Term { timed_out: false });
    scene.runs.end_old_hooks([&spec("a", "/a")].into_iter());
    ended(1).await;
    // The file that defines the other is read later.
    for pid in [2, 3, 4] {
        assert!(!scene.fake.was_commanded(pid), "{pid}");
    }
    scene.runs.end_old_hooks([&spec("b", "/b")].into_iter());
    ended(2).await;
    ended(3).await;
    until_begun(&scene, 4).await;
    assert!(!scene.fake.was_commanded(4), "another account can claim to be one");
}
