//! Readings that block for as long as the test wants.

use std::sync::mpsc::{Sender, channel};

use super::*;

const QUICK: Patience =
    Patience { first: Duration::from_millis(500), brief: Duration::from_millis(200), blocked: 2 };

/// Reads `/a`, `/b/c` and `/d`; touching a path in `blocking` blocks until the returned sender is dropped.
fn reading(
    blocking: &[&'static str],
) -> (Sender<()>, impl Fn(&Progress) -> Vec<&'static str> + Clone + Send + use<>) {
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let blocking = blocking.to_vec();
    let read = move |progress: &Progress| {
        let mut read = Vec::new();
        for path in ["/a", "/b/c", "/d"] {
            if progress.may_touch(Path::new(path)) {
                if blocking.contains(&path) {
                    let _ = released.lock().unwrap().recv();
                }
                read.push(path);
            }
        }
        read
    };
    (release, read)
}

#[test]
fn everything_but_the_path_that_blocks_is_read() {
    let mut threads = ReadingThreads::new(QUICK);
    let (release, read) = reading(&["/b/c"]);
    assert_eq!(threads.run(read.clone()), Ok(vec!["/a", "/d"]));
    assert!(threads.has_blocked());
    assert_eq!(threads.run(read.clone()), Ok(vec!["/a", "/d"]));
    assert_eq!(threads.blocked.len(), 1, "a blocked path is not touched again");
    drop(release);
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    while threads.run(read.clone()) != Ok(vec!["/a", "/b/c", "/d"]) {
        assert!(std::time::Instant::now() < deadline);
    }
    assert!(!threads.has_blocked());
}

#[test]
fn the_number_of_blocked_threads_is_bounded() {
    let mut threads = ReadingThreads::new(QUICK);
    let (_release, read) = reading(&["/a", "/b/c", "/d"]);
    for _ in 0..3 {
        assert_eq!(threads.run(read.clone()), Err(UNANSWERED.to_owned()));
        assert_eq!(threads.blocked.len(), 2);
    }
}

#[test]
fn a_slow_reading_that_makes_progress_is_waited_for() {
    let mut threads = ReadingThreads::new(QUICK);
    let read = threads.run(|progress| {
        (0..15)
            .filter(|step| {
                std::thread::sleep(Duration::from_millis(100));
                progress.may_touch(Path::new(&format!("/{step}")))
            })
            .count()
    });
    assert_eq!((read, threads.has_blocked()), (Ok(15), false));
}

#[test]
fn a_panic_is_an_error() {
    let read = ReadingThreads::new(Patience::default()).run(|_| -> () { panic!("in the test") });
    assert!(read.unwrap_err().contains("bug in twitcher"));
}
