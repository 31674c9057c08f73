//! A mesh of links below a tree, where few files have many paths: it is read once, and delays no other watch of the store.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fixture::daemon::{Daemon, until};

/// Makes levels of directories, each with `links` links to the next one: more than `links`^`levels` paths.
fn mesh(root: &Path, levels: usize, links: usize) {
    for level in 0..=levels {
        let directory = root.join(format!("d{level}"));
        fs::create_dir_all(&directory).unwrap();
        for link in 0..links {
            if level < levels {
                symlink(format!("../d{}", level + 1), directory.join(format!("l{link}"))).unwrap();
            } else {
                fs::write(directory.join(format!("f{link}")), "x").unwrap();
            }
        }
    }
}

/// The share of one processor that the daemon uses while nothing changes.
fn idle_share(daemon: &Daemon) -> f64 {
    let (began, before) = (Instant::now(), daemon.cpu_time());
    std::thread::sleep(Duration::from_secs(4));
    daemon.cpu_time().saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64()
}

/// A daemon with the mesh as one watch and a key beside it as another.
fn watching(levels: usize, links: usize, more: &str) -> Daemon {
    let mut daemon = Daemon::prepare("");
    mesh(&daemon.path("keys/mesh"), levels, links);
    daemon.put("/beside", "1");
    let settings = daemon.read("config/twitcher.conf");
    // Its last table is that of the store.
    daemon.write("twitcher.conf", &format!("{settings}{more}"));
    daemon.write(
        "mesh.toml",
        "[[watch]]\nkey = '/mesh/d0'\nwatch_type = 'tree'\nformat = 'lines'\naction = 'wc -l'\n",
    );
    let out = daemon.path("out");
    daemon
        .write("beside.toml", &format!("[[watch]]\nkey = '/beside'\naction = 'cat >> {}'\n", out.display()));
    daemon.run();
    daemon
}

#[test]
fn a_mesh_costs_one_reading_while_another_watch_is_served() {
    let daemon = watching(6, 4, "");
    daemon.until_file("out", |text| text == "1");
    // Unless the other watch is served while the mesh is being read, this test shows nothing.
    let is_read = |daemon: &Daemon| daemon.watch("mesh")["version"].is_string();
    let mut served = 0;
    let mut expected = "1".to_owned();
    until("the mesh to be read", || {
        let value = format!(" {served}");
        daemon.put("/beside", &value);
        expected.push_str(&value);
        daemon.until_file("out", |text| text == expected);
        let done = is_read(&daemon);
        served += usize::from(!done);
        done.then_some(())
    });
    assert!(served > 0, "it was read before the other watch could be served");
    daemon.until_converged("mesh");
    let output = daemon.watch("mesh")["last"]["output"].to_string();
    assert!(output.contains("21845"), "every path: {output}");
    let share = idle_share(&daemon);
    assert!(share < 0.02, "{share} of a processor while nothing changes");
}

#[test]
fn a_mesh_above_the_limit_is_not_read_again_and_again() {
    let daemon = watching(12, 12, "max_tree_entries = 3000\n");
    let mesh = daemon.until_watch("mesh", |watch| watch["error"].is_string());
    assert!(mesh["error"].as_str().unwrap().contains("max_tree_entries"), "{mesh}");
    daemon.until_file("out", |text| text == "1");
    let share = idle_share(&daemon);
    assert!(share < 0.05, "{share} of a processor for a tree that is refused");
    daemon.put("/beside", " 2");
    daemon.until_file("out", |text| text == "1 2");
}
