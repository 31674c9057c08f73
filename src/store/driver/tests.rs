//! The driver against sessions that the test plays itself, with a simulated clock.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::store::session::{Arm, Command, Proof, Reading, Report, Session, TargetId};
use crate::store::{StoreError, StoreSpec, StoreUrl};
use crate::watch::{Content, Detail, Key, StoreName, Version, WatchType};

mod panics;
mod rotation;
mod silence;

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
        Self::with_looks(before, None)
    }

    fn with_looks(
        before: impl Fn(u64) + Send + 'static,
        looks: Option<mpsc::Receiver<Result<u64, String>>>,
    ) -> Self {
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
        Self { store: Store::open_rotating(spec, Box::new(open), looks), opened }
    }

    fn subscribe(&self, key: &str, every: bool) -> Subscription {
        self.subscribe_verified(key, every, Duration::from_mins(5))
    }

    fn subscribe_tree(&self, key: &str) -> Subscription {
        self.store.subscribe(Subscribe {
            key: Key::new(key).unwrap(),
            watch_type: WatchType::Tree,
            detail: Detail::Values,
            every: false,
            verify_interval: Duration::from_mins(5),
        })
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
async fn a_server_that_dies_of_the_first_reading_is_asked_for_it_ever_more_rarely() {
    let mut stage = Stage::new();
    let _subscription = stage.subscribe("/a", false);
    let (reading, began) = (Duration::from_secs(20), tokio::time::Instant::now());
    for _ in 0..200 {
        let session = stage.ready().await;
        tokio::time::sleep(reading).await;
        session.lose().await;
    }
    let waited = began.elapsed().saturating_sub(reading * 200);
    assert!(waited > Duration::from_secs(200), "{waited:?} in 200 waits");
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

#[tokio::test(start_paused = true)]
async fn health_says_why_keys_are_polled_until_none_is() {
    let mut stage = Stage::new();
    let _subscription = stage.subscribe("/a", false);
    let session = stage.ready().await;
    let mut health = stage.store.health();
    for why in [Some("no watch is left".to_owned()), None, Some("NFS".to_owned())] {
        session.say(Report::Polls(why.clone())).await;
        health.wait_for(|health| health.polls == why).await.unwrap();
    }
    session.lose().await;
    health.wait_for(|health| health.state == LinkState::Down && health.polls.is_none()).await.unwrap();
}

/// Otherwise a tree that is larger than the limits would be read again and again. A late refusal of anything else only means
/// that it waited in a queue.
#[tokio::test(start_paused = true)]
async fn a_tree_that_was_refused_after_a_long_time_is_retried_rarely() {
    let too_large = || StoreError::Refused { what: "read the tree".into(), why: "it is too large".into() };
    let denied = || StoreError::Denied { what: "read the tree".into(), why: "denied".into() };
    let (at_once, long) = (Duration::ZERO, Duration::from_secs(4));
    for (is_tree, error, took, rare) in [
        (true, too_large(), long, true),
        (true, too_large(), at_once, false),
        (true, denied(), long, false),
        (false, too_large(), long, false),
    ] {
        let mut stage = Stage::new();
        let _subscription = if is_tree { stage.subscribe_tree("/a") } else { stage.subscribe("/a", false) };
        let mut session = stage.ready().await;
        let mut id = session.arms().await[0].id;
        for _ in 0..20 {
            tokio::time::sleep(took).await;
            let refused = tokio::time::Instant::now();
            session.say(Report::Refused { id, error: error.clone() }).await;
            id = session.arms().await[0].id;
            let waited = refused.elapsed();
            assert_eq!(waited >= Duration::from_secs(200), rare, "{error}: {waited:?}");
            assert!(rare || waited <= Duration::from_secs(61), "{error}: {waited:?}");
        }
    }
}
