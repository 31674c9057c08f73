//! An `on_give_up` that a former daemon owed is run once by the next, whenever its watch is defined.

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
