//! Reloading, starting, and the size of the program.

use std::time::{Duration, Instant};

use crate::fixture::daemon::{Daemon, until};
use crate::table::{Table, percentile};

/// One of a thousand files changes.
pub fn thousand_files(table: &mut Table) {
    let mut daemon = Daemon::prepare("");
    for number in 0..1000 {
        daemon.write(&format!("{number}.toml"), "[[watch]]\nkey = '/a'\naction = 'true'\n");
    }
    daemon.run();
    until("all", || (daemon.status()["watches"].as_array()?.len() == 1000).then_some(()));
    let mut samples = Vec::new();
    for round in 0..20 {
        // What is timed is the reload that is asked for; the hint of inotify comes later and finds nothing.
        daemon.write("7.toml", &format!("[[watch]]\nkey = '/a/{round}'\naction = 'true'\n"));
        let began = Instant::now();
        let report = daemon.say(&["reload", "--json"]);
        samples.push(began.elapsed().as_secs_f64() * 1000.0);
        assert!(report.contains("\"unchanged\":999"), "{report}");
        std::thread::sleep(Duration::from_millis(400));
    }
    table.value("reload of 1,000 files, one changed, p50", percentile(&mut samples, 0.5), "ms", 100.0);
}

/// The binary, and its start with one watch.
pub fn small(table: &mut Table) {
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_twitcher")).unwrap().len() as f64;
    table.value("release binary", size / 1e6, "MB", 15.0);
    let mut samples = Vec::new();
    for _ in 0..10 {
        let mut daemon = Daemon::prepare("");
        daemon.put("/a", "x");
        let out = daemon.path("out");
        daemon.write(
            "a.toml",
            &format!("[[watch]]\nkey = '/a'\naction = ['/usr/bin/touch', '{}']\n", out.display()),
        );
        let began = Instant::now();
        let file = out.clone();
        let armed = std::thread::spawn(move || {
            until("the first action", || file.exists().then(|| began.elapsed().as_secs_f64() * 1000.0))
        });
        daemon.run();
        samples.push(armed.join().unwrap());
    }
    table.value("start → armed and first action done, p50", percentile(&mut samples, 0.5), "ms", 100.0);
}
