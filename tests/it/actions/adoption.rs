//! Actions that survive the daemon that started them.

use std::io::BufRead as _;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

const TEST: &str = "actions::adoption::an_action_of_a_killed_daemon_is_found_and_waited_for";
const INNER: &str = "TWITCHER_TEST_ADOPTION";

#[test]
fn an_action_of_a_killed_daemon_is_found_and_waited_for() {
    if let Some(prefix) = std::env::var_os(INNER) {
        block_on(be_the_first_daemon(prefix.to_str().unwrap()));
        return;
    }
    block_on(async {
        for end_it in [By::Itself, By::Term, By::Kill] {
            let prefix = format!("adoption{}{end_it:?}", std::process::id());
            let first = spawn_the_first_daemon(&prefix);
            let spawner = Spawner::new();
            let found = spawner.find_runs(&prefix);
            assert_eq!(found.len(), 1, "the leader, and not its children: {found:?}");
            let found = &found[0];
            assert_eq!((&found.identity, found.uid), (&first, 33));
            assert_eq!((&*found.run.0, found.watch.as_str()), (format!("{prefix}-1-1").as_str(), "git"));
            assert_eq!(found.version, "1042");

            let mut running = spawner.adopt(&first, Lines::default().sink(&Leftovers::default())).unwrap();
            let early = tokio::time::timeout(Duration::from_millis(200), &mut running.ended).await;
            assert!(early.is_err(), "{early:?}");
            let expected = match end_it {
                By::Itself => {
                    kill(Pid::from_raw(first.pid), Signal::SIGUSR1).unwrap();
                    Outcome::Unknown
                }
                By::Term => {
                    running.commands.send(term(true));
                    // A child of it ignores TERM, and init collects the leader.
                    until(|| (!lives(first.pid)).then_some(())).await;
                    running.commands.send(RunCommand::Kill);
                    Outcome::TimedOut { exit_code: None, signal: None }
                }
                By::Kill => {
                    running.commands.send(RunCommand::Kill);
                    Outcome::Unknown
                }
            };
            assert_eq!(end(running).await.outcome, expected, "{end_it:?}");
            assert!(
                spawner.adopt(&first, Lines::default().sink(&Leftovers::default())).is_none(),
                "it has ended"
            );
            assert!(spawner.find_runs(&prefix).is_empty());
            if end_it != By::Itself {
                let left = group_members(first.pid);
                assert!(left.is_empty(), "{left:?}");
            }
        }
    });
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Itself,
    Term,
    Kill,
}

async fn be_the_first_daemon(prefix: &str) {
    let command = "trap 'kill -9 $!; exit 0' USR1; (trap '' TERM; while :; do sleep 0.05; done) & \
                   echo ready; while :; do sleep 0.02; done";
    let mut spec = shell(command);
    let account = &mut around(&mut spec).account;
    (account.uid, account.gid, account.groups) = (33, 33, Some(vec![33]));
    let launch = Launch::new(&spec, &details(&format!("{prefix}-1-1")), None, None).unwrap();
    let lines = Lines::default();
    let running = Spawner::new().start(&launch, lines.sink(&Leftovers::default())).unwrap();
    lines.find(|line| line == "ready").await;
    let id = &running.identity;
    println!("identity {} {} {}", id.pid, id.start_ticks, id.boot_id);
    std::future::pending::<()>().await;
}

/// Starts a daemon, waits until its action runs, and kills the daemon with SIGKILL.
fn spawn_the_first_daemon(prefix: &str) -> ProcessIdentity {
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(INNER, prefix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(daemon.stdout.take().unwrap()).lines();
    let identity = said.find_map(|line| line.unwrap().split_once("identity ").map(|(_, id)| id.to_owned()));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let identity = identity.unwrap();
    let [pid, start_ticks, boot_id] = identity.split(' ').collect::<Vec<_>>().try_into().unwrap();
    ProcessIdentity {
        pid: pid.parse().unwrap(),
        start_ticks: start_ticks.parse().unwrap(),
        boot_id: boot_id.into(),
        output_pipe: None,
        errors_pipe: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_a_reused_pid_is_not_adopted() {
    let spawner = Spawner::new();
    let (running, _) = start(&shell("sleep 1000"), None).unwrap();
    let identity = running.identity.clone();
    let other_start = ProcessIdentity { start_ticks: identity.start_ticks + 1, ..identity.clone() };
    let other_boot = ProcessIdentity { boot_id: "another".into(), ..identity.clone() };
    let no_boot = ProcessIdentity { boot_id: "".into(), ..identity.clone() };
    for stranger in [other_start, other_boot, no_boot] {
        assert!(
            spawner.adopt(&stranger, Lines::default().sink(&Leftovers::default())).is_none(),
            "{stranger:?}"
        );
    }
    assert!(spawner.adopt(&identity, Lines::default().sink(&Leftovers::default())).is_some());
    running.commands.send(RunCommand::Kill);
    end(running).await;
    assert!(spawner.adopt(&identity, Lines::default().sink(&Leftovers::default())).is_none());
}
