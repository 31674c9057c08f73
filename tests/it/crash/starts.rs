//! A daemon is killed while one of its children is stopped between clone and exec, as the action's account can do: the next
//! daemon starts at once, kills that child, and repeats its run.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture::daemon::{Daemon, until};
use crate::fixture::port::Port;

/// A directory whose look-up takes long: a chain of forty links, each with a path of thousands of parts. A `PATH` of
/// thousands of such directories keeps a child between clone and exec for many seconds.
fn slow_directory(daemon: &Daemon) -> String {
    let place = daemon.path("slow");
    std::fs::create_dir(&place).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(place.join("0")).unwrap();
    for link in 1..=38 {
        let target = format!("{}{}", "./".repeat(1900), link - 1);
        symlink(target, place.join(link.to_string())).unwrap();
    }
    place.join("38").display().to_string()
}

fn children(parent: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let of_task = |task: std::fs::DirEntry| {
        let listed = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        listed.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>()
    };
    tasks.filter_map(Result::ok).flat_map(of_task).collect()
}

fn exe(pid: i32) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

fn uid(pid: i32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_child_stopped_before_its_exec_does_not_delay_the_next_start_and_its_run_is_repeated() {
    assert!(nix::unistd::geteuid().is_root(), "these tests change users: run them as root");
    let port = Port::claim();
    let mut daemon = Daemon::prepare(&format!("http_listen = '127.0.0.1:{}'", port.number()));
    std::fs::set_permissions(daemon.config(), std::fs::Permissions::from_mode(0o755)).unwrap();
    daemon.put("/a", "1");
    let slow = slow_directory(&daemon);
    let path = format!("{}/usr/bin:/bin", format!("{slow}:").repeat(2000));
    let out = daemon.path("out");
    std::fs::write(&out, "").unwrap();
    std::fs::set_permissions(&out, std::fs::Permissions::from_mode(0o666)).unwrap();
    daemon.write(
        "a.toml",
        &format!(
            "[[watch]]\nkey = '/a'\nuid = 'nobody'\nrun_on_load = false\n\
             action = ['sh', '-c', 'echo $TWITCHER_REASON $(cat) >> {}']\nenv.PATH = '{path}'\n",
            out.display()
        ),
    );
    daemon.run();
    daemon.until_watch("a", |watch| watch["version"].is_string());
    daemon.put("/a", "2");
    let program = exe(daemon.pid()).unwrap();
    // The action's account stops the child. The daemon is stopped first, so that it cannot react before it is killed.
    let child = until("a child of the action's account", || {
        children(daemon.pid()).into_iter().find(|pid| uid(*pid) == Some(65534))
    });
    daemon.signal(Signal::SIGSTOP);
    kill(Pid::from_raw(child), Signal::SIGSTOP).unwrap();
    assert_eq!(exe(child).as_ref(), Some(&program), "it has executed its action already");
    daemon.kill();
    assert_eq!(exe(child).as_ref(), Some(&program), "it was killed with its daemon");
    let open: Vec<_> = std::fs::read_dir(format!("/proc/{child}/fd")).unwrap().map(Result::unwrap).collect();
    assert_eq!(open.len(), 4, "what it holds: {open:?}");

    std::fs::remove_dir_all(Path::new(&slow).parent().unwrap()).unwrap();
    let before = Instant::now();
    daemon.run();
    assert!(before.elapsed() < Duration::from_secs(5), "the start waited for it: {:?}", before.elapsed());
    daemon.until_file("out", |text| text == "recovery 2\n");
    daemon.until_converged("a");
    assert_eq!(daemon.read("out"), "recovery 2\n", "once");
    assert!(exe(child).is_none(), "it still lives");
    assert!(daemon.log().contains(&format!("killed process {child}, which a former daemon made")));
    assert!(!daemon.log().contains("ERROR"), "nothing holds the port: {}", daemon.log());
}
