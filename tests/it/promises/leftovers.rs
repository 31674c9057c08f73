//! P5: many runs, lost connections and killed groups leave nothing behind.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::witness::{Scene, zombies_of};
use super::writer::Writer;
use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;
use crate::fixture::proxy::Proxy;

fn descriptors(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

fn resident_kilobytes(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

fn runs(daemon: &Daemon, name: &str) -> u64 {
    daemon.watch(name)["runs"].as_u64().unwrap()
}

/// Puts values until each of these watches has run this many times more.
fn run_often(daemon: &Daemon, names: &[&str], times: u64) {
    let goals: Vec<(&str, u64)> = names.iter().map(|name| (*name, runs(daemon, name) + times)).collect();
    let mut number = 0_u64;
    until("many runs", || {
        for _ in 0..10 {
            number += 1;
            daemon.put("/a", number.to_string());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        goals.iter().all(|(name, goal)| runs(daemon, name) >= *goal).then_some(())
    });
    for (name, _) in goals {
        daemon.until_watch(name, |watch| watch["running"].as_array().is_some_and(Vec::is_empty));
    }
}

#[test]
fn hundreds_of_runs_leak_no_descriptor_zombie_or_memory() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "0");
    daemon.write(
        "a.toml",
        "[[watch]]\nname = 'queue'\nkey = '/a'\naction = ['/bin/true']\n\
         [[watch]]\nname = 'talks'\nkey = '/a'\naction = 'cat; echo more >&2'\n\
         [[watch]]\nname = 'fails'\nkey = '/a'\naction = ['/bin/false']\nretries = 0\n\
         [[watch]]\nname = 'missing'\nkey = '/a'\naction = ['/no/such/program']\nretries = 0\n\
         [[watch]]\nname = 'restart'\nkey = '/a'\nrun_mode = 'restart'\naction = 'sleep 0.01 & wait'\n\
         [[watch]]\nname = 'parallel'\nkey = '/a'\nrun_mode = 'parallel'\naction = 'cat > /dev/null'\n",
    );
    daemon.run();
    let names = ["queue", "talks", "fails", "missing", "restart", "parallel"];
    run_often(&daemon, &names, 50);
    let (descriptors_before, memory_before) = (descriptors(&daemon), resident_kilobytes(&daemon));
    run_often(&daemon, &names, 150);
    until("no zombie", || zombies_of(&daemon).is_empty().then_some(()));
    until("as many descriptors as before", || (descriptors(&daemon) <= descriptors_before).then_some(()));
    let memory = resident_kilobytes(&daemon);
    assert!(memory < memory_before + (6 << 10), "{memory_before} kB before, {memory} kB after");
}

#[test]
fn lost_connections_leak_no_descriptor() {
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port());
    let url = format!("etcd://127.0.0.1:{}", proxy.port());
    let mut scene = Scene::start(&url, "", "", Writer::etcd(&[etcd.port()]));
    let before = descriptors(&scene.daemon);
    for _ in 0..20 {
        let reconnects = scene.store()["reconnects"].as_u64();
        proxy.reset_all();
        until("another connection", || (scene.store()["reconnects"].as_u64() > reconnects).then_some(()));
    }
    scene.prove();
    until("as many descriptors as before", || (descriptors(&scene.daemon) <= before).then_some(()));
}

#[test]
fn no_member_of_a_killed_group_survives() {
    let mut daemon = Daemon::prepare("shutdown_grace = '100ms'");
    daemon.put("/a", "0");
    let pids = daemon.path("pids").display().to_string();
    // Grandchildren that ignore TERM, one of which keeps forking.
    let action = format!(
        "trap \"\" TERM; for n in 1 2 3; do (echo $n >> {pids}; while :; do sleep 0.1; done) & done; cat >> {pids}.seen; wait"
    );
    let text = format!(
        "[[watch]]\nkey = '/a'\nrun_mode = 'restart'\nkill_after = '100ms'\nenv = {{ SCENE = '{}' }}\naction = '{action}'\n",
        daemon.config().display()
    );
    daemon.write("a.toml", &text);
    daemon.run();
    for round in 1..=5 {
        daemon.until_file("pids", |text| text.lines().count() >= round * 3);
        daemon.put("/a", round.to_string());
    }
    daemon.until_file("pids", |text| text.lines().count() == 18);
    // The shell, three loops with a sleep each, and the `cat` that may not have ended.
    until("only the last group to live", || (super::witness::processes_of(&daemon).len() <= 8).then_some(()));
    assert!(daemon.stop().success());
    assert_eq!(super::witness::processes_of(&daemon), [0; 0], "nothing is left after a stop");
}

/// A daemon whose action, run for the value "first", started a service and ended; and the service's pid.
fn with_a_service() -> (Daemon, Pid) {
    let mut daemon = Daemon::prepare("");
    let pid = daemon.path("pid").display().to_string();
    daemon.put("/a", "first");
    let action = format!(
        "test $(cat) = first || exit 0; setsid sh -c \"echo \\$\\$ > {pid}; exec sleep 1000\" > /dev/null 2>&1 &"
    );
    daemon.write("a.toml", &format!("[[watch]]\nkey = '/a'\naction = '{action}'\n"));
    daemon.run();
    let service = daemon.until_file("pid", |text| text.ends_with('\n'));
    daemon.until_converged("a");
    (daemon, Pid::from_raw(service.trim().parse().unwrap()))
}

/// A new daemon runs the next value, and leaves the service alone.
fn nobody_waits_for(daemon: &mut Daemon, service: Pid) {
    daemon.put("/a", "last");
    daemon.run();
    daemon.until_converged("a");
    assert_eq!(daemon.watch("a")["running"].as_array().map(Vec::len), Some(0));
    kill(service, None).expect("the service is left alone");
    kill(service, Signal::SIGKILL).unwrap();
}

/// A service that an action restarted is not a run: a daemon that starts after a killed one must not wait for it, even if
/// the run that started it is long forgotten.
#[test]
fn a_service_left_running_on_purpose_is_not_adopted() {
    let (mut daemon, service) = with_a_service();
    for number in 1..=15 {
        daemon.put("/a", number.to_string());
        daemon.until_runs("a", number + 1);
    }
    daemon.kill();
    nobody_waits_for(&mut daemon, service);
}

#[test]
fn a_service_left_running_on_purpose_is_not_adopted_if_the_ledger_was_lost() {
    let (mut daemon, service) = with_a_service();
    daemon.kill();
    std::fs::remove_file(daemon.path("state/ledger")).unwrap();
    nobody_waits_for(&mut daemon, service);
}
