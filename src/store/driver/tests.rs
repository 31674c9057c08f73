//! The driver against sessions that the test plays itself, with a simulated clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::store::session::{Arm, Command, Proof, Reading, Report, Session, TargetId};
use crate::store::{StoreError, StoreSpec, StoreUrl};
use crate::watch::{Content, Detail, Key, StoreName, Version, WatchType};

/// The test's end of a session.
struct Played {
    attempt: u64,
    commands: mpsc::UnboundedReceiver<Command>,
    reports: mpsc::Sender<Report>,
}

struct Stage {
    store: Store,
    opened: mpsc::UnboundedReceiver<Played>,
}

impl Stage {
    fn new() -> Self {
        Self::opening_after(|_| ())
    }

    /// `before` is called with the number of the attempt before each session is opened.
    fn opening_after(before: impl Fn(u64) + Send + 'static) -> Self {
        let (opened_out, opened) = mpsc::unbounded_channel();
        let open = move |_: &StoreSpec, attempt| {
            before(attempt);
            let opened_out = opened_out.clone();
            Session::start(|commands, reports| {
                let _ = opened_out.send(Played { attempt, commands, reports });
                std::future::pending()
            })
        };
        let spec =
            StoreSpec::new(StoreName::new("played").unwrap(), StoreUrl::Dir { root: "/nowhere".into() });
        Self { store: Store::open_with(spec, Box::new(open)), opened }
    }

    fn subscribe(&self, key: &str, every: bool) -> Subscription {
        self.subscribe_verified(key, every, Duration::from_mins(5))
    }

    fn subscribe_verified(&self, key: &str, every: bool, verify_interval: Duration) -> Subscription {
        self.store.subscribe(Subscribe {
            key: Key::new(key).unwrap(),
            watch_type: WatchType::Data,
            detail: Detail::Values,
            every,
            verify_interval,
        })
    }

    async fn session(&mut self) -> Played {
        self.opened.recv().await.unwrap()
    }

    async fn ready(&mut self) -> Played {
        let session = self.session().await;
        session.say(Report::Ready { server: "s1".into() }).await;
        session
    }
}

impl Played {
    async fn say(&self, report: Report) {
        self.reports.send(report).await.unwrap();
    }

    async fn show(&self, id: TargetId, version: i64, text: &str, proof: Proof) {
        let content = Content::Value(text.to_owned().into());
        let reading = Reading { version: Version::Revision(version), content };
        self.say(Report::State { id, reading, proof }).await;
    }

    /// Parts of an answer, this far apart.
    async fn parts(&self, count: u32, apart: Duration) {
        for _ in 0..count {
            tokio::time::sleep(apart).await;
            self.say(Report::Progress).await;
        }
    }

    async fn lose(&self) {
        let error = StoreError::Unavailable { what: "ask s1".into(), why: "it is gone".into() };
        self.say(Report::Lost(error)).await;
    }

    async fn arms(&mut self) -> Vec<Arm> {
        match self.commands.recv().await.unwrap() {
            Command::Arm(arms) => arms,
            other @ (Command::Disarm(_) | Command::Verify(_)) => panic!("{other:?}"),
        }
    }

    async fn verifies(&mut self) -> Vec<TargetId> {
        match self.commands.recv().await.unwrap() {
            Command::Verify(ids) => ids,
            other @ (Command::Disarm(_) | Command::Arm(_)) => panic!("{other:?}"),
        }
    }

    async fn disarms(&mut self) -> Vec<TargetId> {
        match self.commands.recv().await.unwrap() {
            Command::Disarm(ids) => ids,
            other @ (Command::Verify(_) | Command::Arm(_)) => panic!("{other:?}"),
        }
    }
}

fn text(update: &Update) -> String {
    match &update.state.content {
        Content::Value(value) => String::from_utf8(value.to_vec()).unwrap(),
        other @ (Content::Absent | Content::Unread | Content::Children(_) | Content::Tree(_)) => {
            panic!("{other:?}")
        }
    }
}

/// Waits longer than anything that would happen by itself.
async fn nothing_from(subscription: &mut Subscription) {
    let waited = timeout(Duration::from_millis(1), subscription.next()).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_connects_on_its_first_subscription_and_disconnects_after_its_last() {
    let mut stage = Stage::new();
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(stage.opened.try_recv().is_err());
    assert_eq!(stage.store.health().borrow().state, LinkState::Connecting);

    let subscription = stage.subscribe("/a", false);
    let mut session = stage.ready().await;
    let arms = session.arms().await;
    assert_eq!(stage.store.health().borrow().state, LinkState::Connected);
    drop(subscription);
    assert_eq!(session.disarms().await, [arms[0].id]);
    session.reports.closed().await;
    assert_eq!(stage.store.health().borrow().state, LinkState::Connecting);
}

#[tokio::test(start_paused = true)]
async fn equal_targets_share_one_watch_and_a_new_subscriber_gets_the_state_at_once() {
    let mut stage = Stage::new();
    let mut first = stage.subscribe("/a", false);
    let mut session = stage.ready().await;
    let arms = session.arms().await;
    session.show(arms[0].id, 7, "x", Proof::Read).await;
    assert_eq!(text(&first.next().await), "x");

    let mut second = stage.subscribe("/a", false);
    let mut other = stage.subscribe("/a", true);
    assert_eq!(text(&second.next().await), "x");
    let arms_of_every = session.arms().await;
    assert_eq!(arms_of_every.len(), 1, "only targets that are not watched yet are armed");
    nothing_from(&mut other).await;

    session.show(arms[0].id, 8, "y", Proof::Event).await;
    assert_eq!(text(&first.next().await), "y");
    assert_eq!(text(&second.next().await), "y");
    drop(first);
    session.show(arms[0].id, 9, "z", Proof::Event).await;
    assert_eq!(text(&second.next().await), "z");
    drop(second);
    assert_eq!(session.disarms().await, [arms[0].id]);
}

#[tokio::test(start_paused = true)]
async fn after_a_lost_session_everything_is_armed_again_and_only_new_states_are_delivered() {
    let mut stage = Stage::new();
    let mut slot = stage.subscribe("/a", false);
    let mut every = stage.subscribe("/b", true);
    let mut session = stage.ready().await;
    let arms = session.arms().await;
    for arm in &arms {
        assert_eq!(arm.resume, None);
        session.show(arm.id, 7, "x", Proof::Read).await;
    }
    let before = slot.next().await.state.seq;
    assert_eq!(text(&every.next().await), "x");
    session.lose().await;

    let first_attempt = session.attempt;
    let mut session = stage.session().await;
    assert_eq!(session.attempt, first_attempt + 1, "the next server is tried");
    assert_eq!(stage.store.health().borrow().state, LinkState::Down);
    assert_eq!(slot.freshness().error.unwrap(), "ask s1: it is gone");
    session.say(Report::Ready { server: "s2".into() }).await;
    let again = session.arms().await;
    assert_eq!(again.iter().map(|arm| arm.id).collect::<Vec<_>>(), [arms[0].id, arms[1].id]);
    assert_eq!(again[0].resume, None);
    assert_eq!(again[1].resume.as_ref().unwrap().version, Version::Revision(7));
    session.show(again[0].id, 7, "x", Proof::Read).await;
    nothing_from(&mut slot).await;
    assert_eq!(slot.freshness().error, None);

    session.show(again[0].id, 3, "restored", Proof::Read).await;
    let update = slot.next().await;
    assert_eq!((text(&update).as_str(), update.updates), ("restored", 1));
    assert!(update.state.seq > before, "a restored state is newer by definition");
    assert_eq!(stage.store.health().borrow().reconnects, 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_gets_the_newest_state_and_the_number_of_updates() {
    let mut stage = Stage::new();
    let mut slot = stage.subscribe("/a", false);
    let mut every = stage.subscribe("/a", true);
    let mut session = stage.ready().await;
    let arms = session.arms().await;
    for version in 1..=100 {
        for arm in &arms {
            session.show(arm.id, version, &version.to_string(), Proof::Event).await;
        }
    }
    for version in 1..=100 {
        let update = every.next().await;
        assert_eq!((text(&update), update.updates), (version.to_string(), 1));
    }
    let update = slot.next().await;
    assert_eq!((text(&update).as_str(), update.updates), ("100", 100));
}

#[tokio::test(start_paused = true)]
async fn silent_targets_are_verified_in_one_batch_after_the_shortest_interval() {
    let mut stage = Stage::new();
    let long = stage.subscribe_verified("/a", false, Duration::from_mins(5));
    let short = stage.subscribe_verified("/a", false, Duration::from_mins(1));
    let _also = stage.subscribe_verified("/b", false, Duration::from_secs(62));
    let mut session = stage.ready().await;
    let arms = session.arms().await;
    for arm in &arms {
        session.show(arm.id, 1, "x", Proof::Read).await;
    }
    let began = tokio::time::Instant::now();
    assert_eq!(session.verifies().await.len(), 2, "a target that is nearly due is verified too");
    let waited = began.elapsed();
    assert!((58..=61).contains(&waited.as_secs()), "{waited:?}");
    let verified = long.freshness().verified.unwrap();
    for arm in &arms {
        session.show(arm.id, 1, "x", Proof::Read).await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(long.freshness().verified.unwrap() > verified);

    drop(short);
    let began = tokio::time::Instant::now();
    loop {
        let ids = session.verifies().await;
        for &id in &ids {
            session.show(id, 1, "x", Proof::Read).await;
        }
        if ids.contains(&arms[0].id) && began.elapsed() > Duration::from_secs(90) {
            assert!(began.elapsed() > Duration::from_mins(4), "the long interval holds again");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn prove_waits_for_a_read_that_starts_after_the_call() {
    let mut stage = Stage::new();
    let subscription = stage.subscribe("/a", false);
    let mut session = stage.ready().await;
    let id = session.arms().await[0].id;
    // The first reading may be older than the request.
    let mut early = tokio::spawn(subscription.prove());
    tokio::time::sleep(Duration::from_millis(1)).await;
    session.show(id, 1, "x", Proof::Read).await;
    assert_eq!(session.verifies().await, [id]);
    session.show(id, 2, "y", Proof::Event).await;
    assert!(timeout(Duration::from_millis(1), &mut early).await.is_err(), "an event proves nothing");
    let mut late = tokio::spawn(subscription.prove());
    tokio::time::sleep(Duration::from_millis(1)).await;
    session.show(id, 2, "y", Proof::Read).await;
    early.await.unwrap();
    assert_eq!(session.verifies().await, [id]);
    assert!(
        timeout(Duration::from_millis(1), &mut late).await.is_err(),
        "that read was sent before the request"
    );
    // A new session's reads are newer than all requests to the old one.
    session.lose().await;
    let mut session = stage.ready().await;
    let id = session.arms().await[0].id;
    session.show(id, 2, "y", Proof::Read).await;
    late.await.unwrap();
    assert!(session.commands.try_recv().is_err(), "no further read is requested");
}

#[tokio::test(start_paused = true)]
async fn an_event_counts_as_proof_of_life() {
    let mut stage = Stage::new();
    let _subscription = stage.subscribe_verified("/a", false, Duration::from_mins(1));
    let mut session = stage.ready().await;
    let id = session.arms().await[0].id;
    session.show(id, 1, "x", Proof::Read).await;
    for version in 2..20 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        session.show(id, version, "x", Proof::Event).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(session.commands.try_recv().is_err(), "no read was needed");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_does_not_answer_is_replaced() {
    let mut stage = Stage::new();
    let mut subscription = stage.subscribe("/a", false);
    let session = stage.session().await;
    session.reports.closed().await;
    drop(session);

    let mut session = stage.ready().await;
    session.arms().await;
    session.reports.closed().await;
    assert!(subscription.freshness().error.unwrap().contains("not answered in time"));

    let mut session = stage.ready().await;
    let id = session.arms().await[0].id;
    session.show(id, 1, "x", Proof::Read).await;
    assert_eq!(text(&subscription.next().await), "x");
    assert_eq!(session.verifies().await, [id]);
    session.reports.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_answers_slowly_is_kept() {
    let mut stage = Stage::new();
    let subscriptions: Vec<Subscription> = (0..5).map(|n| stage.subscribe(&format!("/{n}"), false)).collect();
    let mut session = stage.ready().await;
    for arm in session.arms().await {
        tokio::time::sleep(Duration::from_secs(25)).await;
        session.show(arm.id, 1, "x", Proof::Read).await;
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(subscriptions.iter().all(|subscription| subscription.freshness().error.is_none()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_parts_may_take_long_unless_the_parts_stop() {
    let mut stage = Stage::new();
    let mut large = stage.subscribe("/large", false);
    let mut behind = stage.subscribe("/behind", false);
    let mut session = stage.ready().await;
    let arms = session.arms().await;
    // Far longer than a single answer may take.
    session.parts(40, Duration::from_secs(25)).await;
    session.show(arms[0].id, 1, "x", Proof::Read).await;
    assert_eq!(text(&large.next().await), "x");
    session.show(arms[1].id, 1, "y", Proof::Read).await;
    assert_eq!(text(&behind.next().await), "y");
    assert_eq!(stage.store.health().borrow().reconnects, 0);

    assert!(!session.verifies().await.is_empty());
    session.parts(40, Duration::from_secs(25)).await;
    assert_eq!(large.freshness().error, None);
    let began = tokio::time::Instant::now();
    session.reports.closed().await;
    assert!((29..=31).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_missing_answer_is_noticed_although_others_arrive() {
    let mut stage = Stage::new();
    let _small = stage.subscribe_verified("/small", false, Duration::from_secs(20));
    let _large = stage.subscribe_verified("/large", false, Duration::from_mins(1));
    let forgotten = stage.subscribe("/forgotten", false);
    let mut session = stage.ready().await;
    let arms = session.arms().await;
    let (small, large) = (arms[0].id, arms[1].id);
    session.show(small, 1, "x", Proof::Read).await;
    session.show(large, 1, "x", Proof::Read).await;
    let began = tokio::time::Instant::now();
    while let Some(command) = session.commands.recv().await {
        let Command::Verify(ids) = command else { panic!("{command:?}") };
        for id in ids {
            if id == large {
                session.parts(3, Duration::from_millis(100)).await;
            }
            session.show(id, 1, "x", Proof::Read).await;
        }
        assert!(began.elapsed() < Duration::from_mins(10), "the missing answer was not noticed");
    }
    assert!(forgotten.freshness().error.is_some());
    assert!(began.elapsed() >= Duration::from_mins(5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_refused_target_is_retried_and_affects_no_other() {
    let mut stage = Stage::new();
    let mut good = stage.subscribe("/good", false);
    let mut bad = stage.subscribe("/bad", false);
    let mut session = stage.ready().await;
    let arms = session.arms().await;
    session.show(arms[0].id, 1, "x", Proof::Read).await;
    let why = || StoreError::Denied { what: "read /bad".into(), why: "permission denied".into() };
    for _ in 0..5 {
        session.say(Report::Refused { id: arms[1].id, error: why() }).await;
        let again = session.arms().await;
        assert_eq!(again.iter().map(|arm| arm.id).collect::<Vec<_>>(), [arms[1].id]);
    }
    assert!(bad.freshness().error.unwrap().contains("permission denied"));
    assert_eq!(good.freshness().error, None);
    assert_eq!(text(&good.next().await), "x");
    session.show(arms[1].id, 1, "allowed", Proof::Read).await;
    assert_eq!(text(&bad.next().await), "allowed");
    assert_eq!(bad.freshness().error, None);
    assert!(stage.opened.try_recv().is_err(), "the session was kept");
}

#[tokio::test(start_paused = true)]
async fn reconnect_attempts_back_off() {
    let mut stage = Stage::new();
    let _subscription = stage.subscribe("/a", false);
    let began = tokio::time::Instant::now();
    for _ in 0..200 {
        stage.session().await.lose().await;
    }
    let elapsed = began.elapsed();
    assert!(elapsed > Duration::from_secs(200), "200 attempts within {elapsed:?}");
    assert!(elapsed < Duration::from_secs(200 * 5), "200 attempts took {elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn reports_of_disarmed_targets_are_ignored() {
    let mut stage = Stage::new();
    let gone = stage.subscribe("/gone", false);
    let mut kept = stage.subscribe("/kept", false);
    let mut session = stage.ready().await;
    let arms = session.arms().await;
    drop(gone);
    session.disarms().await;
    let refusal = StoreError::Denied { what: "read".into(), why: "denied".into() };
    session.show(arms[0].id, 1, "late", Proof::Event).await;
    session.say(Report::Refused { id: arms[0].id, error: refusal }).await;
    session.show(arms[1].id, 1, "x", Proof::Read).await;
    assert_eq!(text(&kept.next().await), "x");
}

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
async fn a_subscription_during_which_the_driver_panics_is_served_afterwards() {
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

#[tokio::test(start_paused = true)]
async fn verify_intervals_are_clamped() {
    let mut stage = Stage::new();
    let zero = stage.subscribe_verified("/zero", false, Duration::ZERO);
    let _longest = stage.subscribe_verified("/longest", false, Duration::MAX);
    let mut session = stage.ready().await;
    let ids: Vec<TargetId> = session.arms().await.iter().map(|arm| arm.id).collect();
    for &id in &ids {
        session.show(id, 1, "x", Proof::Read).await;
    }
    let began = tokio::time::Instant::now();
    for _ in 0..100 {
        assert_eq!(session.verifies().await, [ids[0]]);
        session.show(ids[0], 1, "x", Proof::Read).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!(zero.freshness().error, None);
}
