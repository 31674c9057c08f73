//! How the supervisor handles panics; everything else is tested on the whole daemon.

use super::*;
use crate::config::Loader;
use crate::status::{WatchState, WatchStatus};

/// The definition of a watch, `a`.
pub(in crate::daemon) fn definition() -> Definition {
    let scene = tempfile::tempdir().unwrap();
    written(scene.path(), "true").1
}

/// Settings and a watch with this action, in files below a directory.
fn written(place: &std::path::Path, action: &str) -> (Arc<crate::config::Settings>, Definition) {
    let write = |name: &str, text: String| std::fs::write(place.join(name), text).unwrap();
    std::fs::create_dir(place.join("keys")).unwrap();
    write("keys/a", "1".to_owned());
    write("twitcher.conf", format!("[store.local]\nurl = 'dir://{}/keys'\n", place.display()));
    write("a.toml", format!("[[watch]]\nkey = '/a'\nrun_on_load = false\naction = '{action}'\n"));
    let mut loader = Loader::new(place);
    let settings = loader.reload().settings.unwrap();
    let watch = &loader.watches()["a"];
    (settings, Definition { spec: Arc::clone(&watch.spec), file: Arc::clone(&watch.file) })
}

struct Scene {
    place: tempfile::TempDir,
    supervisor: Supervisor,
}

impl Scene {
    /// One watch, `a`, on a `dir` store.
    fn new(action: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (settings, definition) = written(place.path(), action);
        let runs = Arc::new(Runs::ad_hoc(jiff::Timestamp::now()));
        let mut supervisor = Supervisor::new(runs);
        supervisor.configure(settings.stores.clone(), Duration::ZERO);
        supervisor.define(definition);
        Self { place, supervisor }
    }

    fn live(&self) -> &Live {
        self.supervisor.watch("a").unwrap()
    }

    fn put(&self, value: &str) {
        std::fs::write(self.place.path().join("keys/a"), value).unwrap();
    }

    /// Runs the supervisor until the watch satisfies a condition.
    async fn until(&mut self, holds: impl Fn(&WatchStatus) -> bool) -> WatchStatus {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            assert!(Instant::now() < deadline, "waited in vain");
            let look = self.live().begin_ask(Event::Look);
            // Answered or refused, but never left open.
            let looked = tokio::time::timeout(Duration::from_mins(1), look).await.unwrap();
            if let Ok(status) = looked
                && holds(&status)
            {
                return status;
            }
            let _ = tokio::time::timeout(Duration::from_millis(10), self.supervisor.turn()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_followed_by_a_rest_that_is_seen_and_by_what_was_missed() {
    let mut scene = Scene::new("true");
    scene.until(|watch| watch.version.is_some()).await;
    scene.live().tell(Event::Fault);
    let resting = scene.until(|watch| watch.error.is_some()).await;
    assert_eq!(resting.state, WatchState::Unreachable);
    assert!(resting.error.unwrap().contains("a bug in twitcher"));
    let explained = scene.live().begin_ask(Event::Explain).await.unwrap();
    assert!(explained.because[0].contains("it watches its store again in"), "{explained:?}");
    // The change comes while the watch ignores its store.
    scene.put("2");
    let after = scene.until(|watch| watch.error.is_none() && watch.converged).await;
    assert_eq!(after.runs, 1, "though run_on_load = false");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_survives_a_fault_of_its_watch_and_is_not_doubled() {
    let mut scene = Scene::new("exec sleep 1000");
    scene.until(|watch| watch.version.is_some()).await;
    scene.put("2");
    let pid = scene.until(|watch| watch.running.len() == 1).await.running[0].pid;
    scene.live().tell(Event::Fault);
    let resting = scene.until(|watch| watch.error.is_some()).await;
    assert_eq!(resting.running[0].pid, pid);
    let after = scene.until(|watch| watch.error.is_none() && watch.version.is_some()).await;
    assert_eq!((after.running.len(), after.running[0].pid), (1, pid));
    assert_eq!(scene.supervisor.runs.count(), 1);
    let _limit = scene.supervisor.stop(Instant::now());
    while !scene.supervisor.is_empty() {
        scene.supervisor.turn().await;
    }
    assert_eq!(scene.supervisor.runs.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_watch_that_just_broke_is_answered_with_an_error() {
    let mut scene = Scene::new("exec sleep 1000");
    scene.until(|watch| watch.version.is_some()).await;
    scene.put("2");
    scene.until(|watch| watch.running.len() == 1).await;
    scene.live().tell(Event::Fault);
    let answers = [(); 3].map(|()| scene.live().begin_ask(Event::Look));
    for answer in answers {
        let answer = tokio::time::timeout(Duration::from_mins(1), answer).await.unwrap();
        assert!(answer.is_err());
    }
    scene.supervisor.turn().await;
    let _limit = scene.supervisor.stop(Instant::now());
    while !scene.supervisor.is_empty() {
        scene.supervisor.turn().await;
    }
}

#[test]
fn rests_double_to_their_longest_and_are_forgotten() {
    let start = Instant::now();
    let mut faults = None;
    let mut rests = Vec::new();
    for number in 0..12 {
        let next = Faults::one_more(faults, start + Duration::from_secs(number));
        rests.push(next.rest().as_secs());
        faults = Some(next);
    }
    assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    let later = start + Duration::from_hours(1);
    assert_eq!(Faults::one_more(faults, later).rest(), Faults::FIRST_REST);
}
