//! How runs end: by themselves, by commands, with and without other processes in the group.

use twitcher::internals::watch::SignalNumber;

use super::*;

/// A process id that an action printed as `NAME PID`.
async fn printed_pid(lines: &Lines, name: &str) -> i32 {
    let line = lines.find(|line| line.starts_with(name)).await;
    line[name.len()..].trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_exit_is_reported() {
    for (command, outcome) in [
        ("exit 0", Outcome::Exited(0)),
        ("exit 77", Outcome::Exited(77)),
        ("exit 255", Outcome::Exited(255)),
        ("kill -KILL $$", Outcome::Killed(SignalNumber(9))),
        // A real-time signal, which has no name.
        ("kill -40 $$", Outcome::Killed(SignalNumber(40))),
    ] {
        assert_eq!(run(&shell(command), None).await.0.outcome, outcome, "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_and_output_arrive_complete() {
    let big = Bytes::from((0u8..=255).cycle().take(3 * 512 * 1024).collect::<Vec<u8>>());
    let (ended, lines) = run(&program(&["md5sum"]), Some(big.clone())).await;
    assert_eq!(ended.outcome, Outcome::Exited(0));
    let (_, expected) = run(&shell("i=0; cat | md5sum"), Some(big)).await;
    assert_eq!(lines, expected);
    let (ended, lines) =
        run(&shell("cat; echo; echo to stderr >&2"), Some(Bytes::from_static(b"a\nb"))).await;
    assert_eq!(lines, ["a", "b", "to stderr"]);
    assert_eq!(ended.output_tail, "a\nb\nto stderr");
    let (_, lines) = run(&shell("wc -c"), Some(Bytes::new())).await;
    assert_eq!(lines, ["0"]);
    let (_, lines) = run(&shell("readlink /proc/self/fd/0"), None).await;
    assert_eq!(lines, ["/dev/null"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn not_reading_input_is_no_error() {
    let big = Bytes::from(vec![b'x'; 3 * 512 * 1024]);
    for command in ["exit 0", "exec 0<&-; exit 0", "head -c 10 >/dev/null"] {
        assert_eq!(run(&shell(command), Some(big.clone())).await.0.outcome, Outcome::Exited(0), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_null_is_discarded() {
    let mut spec = shell("readlink /proc/self/fd/1 >&2; test \"$(readlink /proc/self/fd/2)\" = /dev/null");
    spec.output = Output::Null;
    let (ended, lines) = run(&spec, None).await;
    assert_eq!((ended.outcome, lines.len(), ended.output_tail.as_str()), (Outcome::Exited(0), 0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_ends_the_whole_group() {
    let (running, lines) = start(&shell("sleep 1000 & echo child $!; sleep 1000"), None).unwrap();
    let child = printed_pid(&lines, "child").await;
    running.commands.send(term(true));
    let leader = running.identity.pid;
    let ended = end(running).await;
    assert_eq!(ended.outcome, Outcome::TimedOut { exit_code: None, signal: Some(SignalNumber(15)) });
    assert!(!lives(child) && !lives(leader));
    assert!(!std::fs::exists(format!("/proc/{leader}")).unwrap(), "collected");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_after_term_is_reported_by_its_code() {
    for (timed_out, outcome) in
        [(true, Outcome::TimedOut { exit_code: Some(3), signal: None }), (false, Outcome::Exited(3))]
    {
        let (running, lines) =
            start(&shell("trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"), None).unwrap();
        lines.find(|line| line == "ready").await;
        running.commands.send(term(timed_out));
        assert_eq!(end(running).await.outcome, outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grandchild_that_ignores_term_keeps_the_run_alive_until_kill() {
    let command = "sh -c 'trap \"\" TERM; echo grandchild $$; while :; do sleep 1; done' & wait";
    let (mut running, lines) = start(&shell(command), None).unwrap();
    let grandchild = printed_pid(&lines, "grandchild").await;
    running.commands.send(term(true));
    let leader = running.identity.pid;
    until(|| (!lives(leader)).then_some(())).await;
    // The leader is gone; the run continues.
    let early = tokio::time::timeout(Duration::from_millis(500), &mut running.ended).await;
    assert!(early.is_err() && lives(grandchild), "{early:?}");
    running.commands.send(RunCommand::Kill);
    let ended = end(running).await;
    assert_eq!(ended.outcome, Outcome::TimedOut { exit_code: None, signal: Some(SignalNumber(15)) });
    assert!(!lives(grandchild));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_receives_term() {
    let (running, lines) = start(&shell("echo ready; kill -STOP $$; sleep 1000"), None).unwrap();
    lines.find(|line| line == "ready").await;
    running.commands.send(term(false));
    assert_eq!(end(running).await.outcome, Outcome::Killed(SignalNumber(15)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_keeps_forking_is_killed() {
    let command = "trap '' TERM; i=0; while [ $i -lt 20 ]; do (while :; do (sleep 0.01 & ); done) & i=$((i+1)); done; echo ready; wait";
    let (running, lines) = start(&shell(command), None).unwrap();
    lines.find(|line| line == "ready").await;
    let group = running.identity.pid;
    running.commands.send(RunCommand::Kill);
    assert_eq!(end(running).await.outcome, Outcome::Killed(SignalNumber(9)));
    let left = group_members(group);
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_signal_goes_to_the_leader_only() {
    let command = "trap 'echo leader noticed' HUP; \
                   sh -c 'trap \"echo child noticed\" HUP; echo ready; while :; do sleep 0.01; done' & \
                   while :; do sleep 0.01; done";
    let (running, lines) = start(&shell(command), None).unwrap();
    lines.find(|line| line == "ready").await;
    running.commands.send(RunCommand::Notify(SignalNumber(1)));
    lines.find(|line| line == "leader noticed").await;
    running.commands.send(RunCommand::Kill);
    end(running).await;
    assert!(!lines.all().iter().any(|line| line == "child noticed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_left_running_survive_and_delay_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let command = format!(
        "(while [ ! -e {go} ]; do sleep 0.01; done; echo still here; echo survived > {go}; sleep 1000) & echo left $!",
        go = go.display()
    );
    let (running, lines) = start(&shell(&command), None).unwrap();
    let commands = running.commands.clone();
    assert_eq!(end(running).await.outcome, Outcome::Exited(0));
    let left = printed_pid(&lines, "left").await;
    // A command after the end has no effect.
    commands.send(RunCommand::Kill);
    std::fs::write(&go, "").unwrap();
    until(|| std::fs::read_to_string(&go).ok().filter(|text| text == "survived\n")).await;
    assert!(lives(left), "it was not ended by SIGPIPE either");
    lines.find(|line| line == "still here").await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(left), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_left_by_several_runs_can_keep_writing() {
    let leftovers = Leftovers::default();
    let spawner = Spawner::new();
    let spec = shell("(while echo tick; do sleep 0.01; done) 2>/dev/null & echo left $!");
    let launch = Launch::new(&spec, &details("r"), None, None).unwrap();
    let mut left = Vec::new();
    for _ in 0..7 {
        let lines = Lines::default();
        let running = spawner.start(&launch, lines.sink(&leftovers)).unwrap();
        end(running).await;
        left.push(printed_pid(&lines, "left").await);
        lines.find(|line| line == "tick").await;
    }
    assert!(left.iter().all(|pid| lives(*pid)), "each is left alone");
    for pid in &left {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_continues_and_is_collected_after_its_handle_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let done = directory.path().join("done");
    let (running, _) = start(&shell(&format!("sleep 0.2; touch {}", done.display())), None).unwrap();
    let pid = running.identity.pid;
    drop(running);
    until(|| done.exists().then_some(())).await;
    until(|| (!std::fs::exists(format!("/proc/{pid}")).unwrap()).then_some(())).await;
}
