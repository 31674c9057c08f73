//! Silence: verification, proofs of life, and answers that are late or missing.

use super::*;

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
