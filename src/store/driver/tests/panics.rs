//! A panic of the driver is a lost session, never a deaf one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use super::*;

/// A subscriber whose waker panics once, in the driver's task.
#[derive(Default)]
struct PanicsOnce(AtomicBool);

impl Wake for PanicsOnce {
    fn wake(self: Arc<Self>) {
        assert!(self.0.swap(true, Ordering::Relaxed), "planted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_driver_is_a_lost_session_and_everything_is_armed_again() {
    let mut stage = Stage::new();
    let mut panicking = stage.subscribe("/a", false);
    let mut other = stage.subscribe("/a", false);
    let mut every = stage.subscribe("/b", true);
    let mut session = stage.ready().await;
    let arms = session.arms().await;
    for arm in &arms {
        session.show(arm.id, 7, "x", Proof::Read).await;
    }
    for subscription in [&mut panicking, &mut other, &mut every] {
        assert_eq!(text(&subscription.next().await), "x");
    }
    let planted = Waker::from(Arc::new(PanicsOnce::default()));
    assert!(panicking.poll_next(&mut Context::from_waker(&planted)).is_pending());
    let proved = tokio::spawn(every.prove());
    assert_eq!(session.verifies().await, [arms[1].id]);
    session.show(arms[0].id, 8, "y", Proof::Event).await;
    session.reports.closed().await;
    assert_eq!(stage.store.health().borrow().state, LinkState::Down);
    assert!(other.freshness().error.unwrap().contains("planted"));

    let late = stage.subscribe("/late", false);
    let mut session = stage.ready().await;
    let mut again = session.arms().await;
    assert_eq!(again.len(), 3, "the subscription added meanwhile is armed too");
    assert_eq!(again[1].resume.as_ref().unwrap().version, Version::Revision(7));
    for arm in again.drain(..) {
        session.show(arm.id, 8, "y", Proof::Read).await;
    }
    for subscription in [&mut panicking, &mut other, &mut every] {
        assert_eq!(text(&subscription.next().await), "y");
    }
    proved.await.unwrap();
    assert_eq!(other.freshness().error, None);
    drop(late);
    assert_eq!(session.disarms().await.len(), 1);
    session.show(arms[0].id, 9, "z", Proof::Event).await;
    while text(&panicking.next().await) != "z" {}
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_the_driver_panics_on_is_served_afterwards() {
    let mut stage = Stage::new();
    let _first = stage.subscribe("/a", false);
    let mut session = stage.ready().await;
    let id = session.arms().await[0].id;
    session.show(id, 7, "x", Proof::Read).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    // The driver receives it while it delivers the state that already exists.
    let mut second = stage.subscribe("/a", false);
    let planted = Waker::from(Arc::new(PanicsOnce::default()));
    assert!(second.poll_next(&mut Context::from_waker(&planted)).is_pending());
    session.reports.closed().await;
    let mut session = stage.ready().await;
    assert_eq!(session.arms().await.len(), 1);
    session.show(id, 8, "y", Proof::Read).await;
    while text(&second.next().await) != "y" {}
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_session_is_opened_is_retried_with_back_off() {
    let (count, mut counted) = mpsc::unbounded_channel();
    let mut stage = Stage::opening_after(move |attempt| {
        let _ = count.send(attempt);
        assert!(count.is_closed(), "planted");
    });
    let mut subscription = stage.subscribe("/a", false);
    let began = tokio::time::Instant::now();
    for _ in 0..50 {
        counted.recv().await.unwrap();
    }
    assert!(began.elapsed() > Duration::from_secs(50), "{:?}", began.elapsed());
    assert!(subscription.freshness().error.unwrap().contains("planted"));
    drop(counted);
    let mut session = stage.ready().await;
    let id = session.arms().await[0].id;
    session.show(id, 1, "x", Proof::Read).await;
    assert_eq!(text(&subscription.next().await), "x");
}
