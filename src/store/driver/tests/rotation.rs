//! Certificates that are replaced while a session serves: a new session takes its place once it is ready.

use super::*;

fn stage() -> (Stage, mpsc::Sender<Result<u64, String>>) {
    let (found, looks) = mpsc::channel(1);
    (Stage::with_looks(|_| (), Some(looks)), found)
}

/// The files are replaced, and two looks see the same.
async fn replace(found: &mpsc::Sender<Result<u64, String>>, hash: u64) {
    for _ in 0..2 {
        found.send(Ok(hash)).await.unwrap();
    }
}

async fn value(states: &mut Subscription) -> Content {
    states.next().await.state.content
}

#[tokio::test(start_paused = true)]
async fn the_old_session_serves_until_the_new_one_is_ready_and_nothing_is_lost_between() {
    let (mut stage, found) = stage();
    let mut states = stage.subscribe("/a", false);
    let mut old = stage.ready().await;
    let id = old.arms().await[0].id;
    old.show(id, 1, "one", Proof::Read).await;
    assert_eq!(value(&mut states).await, Content::Value("one".into()));
    found.send(Ok(1)).await.unwrap();
    replace(&found, 2).await;
    let mut new = stage.session().await;
    old.show(id, 2, "two", Proof::Event).await;
    assert_eq!(value(&mut states).await, Content::Value("two".into()));
    assert!(states.freshness().connected);
    new.say(Report::Ready { server: "s2".into() }).await;
    // Everything is read again, so what the old session had not told is not missed.
    assert_eq!(new.arms().await[0].id, id);
    old.reports.closed().await;
    assert!(states.freshness().connected);
    new.show(id, 3, "three", Proof::Read).await;
    assert_eq!(value(&mut states).await, Content::Value("three".into()));
    // It is not made again for what is in use.
    replace(&found, 2).await;
    assert!(timeout(Duration::from_mins(2), stage.opened.recv()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_new_session_that_fails_leaves_the_old_one_alone_and_is_tried_again() {
    let (mut stage, found) = stage();
    let mut states = stage.subscribe("/a", false);
    let mut old = stage.ready().await;
    let id = old.arms().await[0].id;
    old.show(id, 1, "one", Proof::Read).await;
    assert_eq!(value(&mut states).await, Content::Value("one".into()));
    found.send(Ok(1)).await.unwrap();
    replace(&found, 2).await;
    let refused = stage.session().await;
    refused.lose().await;
    refused.reports.closed().await;
    old.show(id, 2, "two", Proof::Event).await;
    assert_eq!(value(&mut states).await, Content::Value("two".into()));
    assert!(states.freshness().connected);
    found.send(Ok(2)).await.unwrap();
    // One that does not answer ends, too.
    let silent = stage.session().await;
    silent.reports.closed().await;
    found.send(Ok(2)).await.unwrap();
    let mut new = stage.ready().await;
    assert_eq!(new.arms().await[0].id, id);
}

#[tokio::test(start_paused = true)]
async fn new_certificates_that_no_server_accepts_are_tried_ever_more_rarely() {
    let (mut stage, found) = stage();
    let _states = stage.subscribe_verified("/a", false, Duration::from_hours(2));
    let mut old = stage.ready().await;
    let id = old.arms().await[0].id;
    old.show(id, 1, "one", Proof::Read).await;
    found.send(Ok(1)).await.unwrap();
    let mut tried = 0;
    for _ in 0..720 {
        found.send(Ok(2)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        while let Ok(refused) = stage.opened.try_recv() {
            refused.lose().await;
            tried += 1;
        }
    }
    assert!((8..=80).contains(&tried), "{tried} in an hour");
}

#[tokio::test(start_paused = true)]
async fn broken_files_and_a_lost_session_do_not_disturb_each_other() {
    let (mut stage, found) = stage();
    let _states = stage.subscribe("/a", false);
    let mut old = stage.ready().await;
    drop(old.arms().await);
    found.send(Ok(1)).await.unwrap();
    for _ in 0..3 {
        found.send(Err("ca.pem: it is empty".to_owned())).await.unwrap();
    }
    assert!(timeout(Duration::from_secs(5), stage.opened.recv()).await.is_err());
    replace(&found, 2).await;
    let successor = stage.session().await;
    old.lose().await;
    successor.reports.closed().await;
    // The next session reads the files anyway.
    let mut new = stage.ready().await;
    let id = new.arms().await[0].id;
    new.show(id, 1, "one", Proof::Read).await;
    replace(&found, 2).await;
    assert!(timeout(Duration::from_mins(2), stage.opened.recv()).await.is_err());
}
