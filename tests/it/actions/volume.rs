//! Many runs and much output: bounded memory, no leftovers, and a full process table.

use std::fs;

use super::*;

/// Own resident memory in bytes.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn children() -> String {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default()).collect()
}

#[test]
fn a_flood_of_output_costs_bounded_memory_and_log() {
    isolated("actions::volume::a_flood_of_output_costs_bounded_memory_and_log", || {
        block_on(async {
            run(&shell("echo warm"), None).await;
            let before = resident();
            let (ended, lines) = run(&shell("head -c 200000000 /dev/zero | tr '\\0' x"), None).await;
            assert_eq!(ended.outcome, Outcome::Exited(0));
            assert_eq!(lines.len(), 1);
            assert!(lines[0].ends_with(&format!("… ({} bytes cut)", 200_000_000 - 4096)));
            assert!(lines[0].len() < 5000 && ended.output_tail.len() < 66_000);

            let (ended, lines) = run(&shell("seq 3000000"), None).await;
            assert_eq!(ended.outcome, Outcome::Exited(0));
            let plain = lines.iter().filter(|line| line.parse::<u64>().is_ok()).count();
            let counts = lines
                .iter()
                .filter_map(|line| line.strip_prefix('(')?.split(' ').next()?.parse::<usize>().ok());
            let left_out: usize = counts.sum();
            assert_eq!(plain + left_out, 3_000_000, "each is logged or counted");
            assert!(lines.len() < 2500, "{}", lines.len());
            assert!(ended.output_tail.ends_with("\n3000000"), "{}", ended.output_tail);
            let grown = resident().saturating_sub(before);
            assert!(grown < 16 * 1024 * 1024, "grew by {grown} bytes");
        });
    });
}

#[test]
fn many_runs_leave_no_child_and_no_memory() {
    isolated("actions::volume::many_runs_leave_no_child_and_no_memory", || {
        let runs: usize = match std::env::var("TWITCHER_SOAK_RUNS") {
            Ok(runs) => runs.parse().expect("TWITCHER_SOAK_RUNS is a number of runs"),
            Err(_) => 2000,
        };
        block_on(async {
            let spawner = Spawner::new();
            soak(&spawner, 400).await;
            let (memory, open) = (resident(), descriptors());
            soak(&spawner, runs).await;
            assert_eq!(children(), "", "no child, not even a zombie");
            assert_eq!(descriptors(), open);
            let grown = resident().saturating_sub(memory);
            assert!(grown < 4 * 1024 * 1024, "grew by {grown} bytes over {runs} runs");
        });
    });
}

async fn soak(spawner: &Spawner, runs: usize) {
    let leftovers = Leftovers::default();
    let launches: Vec<Launch> = [
        (program(&["/bin/true"]), None),
        (shell("cat"), Some(Bytes::from_static(b"value\n"))),
        (shell("exit 3"), Some(Bytes::from(vec![b'x'; 100_000]))),
        // Not by a shell, which blocks TERM just before it forks: a process forked then would never receive it.
        (program(&["sleep", "1000"]), None),
    ]
    .map(|(spec, input)| Launch::new(&spec, &details("r"), input, None).unwrap())
    .into();
    let impossible = Launch::new(&program(&["/nonexistent"]), &details("r"), None, None).unwrap();
    let runs_of_each = runs / launches.len();
    for _ in 0..runs_of_each {
        let live: Vec<Running> = launches
            .iter()
            .map(|launch| spawner.start(launch, Lines::default().sink(&leftovers)).unwrap())
            .collect();
        assert!(spawner.start(&impossible, Lines::default().sink(&leftovers)).is_err());
        live.last().unwrap().commands.send(term(true));
        for running in live {
            end(running).await;
        }
    }
    // A run prepares the pipes of the next one, which a start that fails uses up.
    end(spawner.start(&launches[0], Lines::default().sink(&leftovers)).unwrap()).await;
}

#[test]
fn a_full_process_table_fails_the_run_only() {
    isolated("actions::volume::a_full_process_table_fails_the_run_only", || {
        block_on(async {
            let (_, _) = run(&program(&["/bin/true"]), None).await;
            let mut spec = program(&["/bin/true"]);
            // A separate user, whose limit the threads of this process have already used up.
            let nobody_else = 2_000_000 + std::process::id();
            let account = &mut around(&mut spec).account;
            (account.uid, account.gid) = (nobody_else, nobody_else);
            let launch = Launch::new(&spec, &details("r"), None, None).unwrap();
            let nproc = nix::sys::resource::Resource::RLIMIT_NPROC;
            let (_, hard) = nix::sys::resource::getrlimit(nproc).unwrap();
            nix::unistd::setgroups(&[]).unwrap();
            nix::unistd::setgid(nobody_else.into()).unwrap();
            nix::unistd::setuid(nobody_else.into()).unwrap();

            let spawner = Spawner::new();
            let leftovers = Leftovers::default();
            nix::sys::resource::setrlimit(nproc, 1, hard).unwrap();
            let open = descriptors();
            for _ in 0..100 {
                let error = spawner.start(&launch, Lines::default().sink(&leftovers)).unwrap_err();
                assert_eq!(error.step(), Some(twitcher::internals::process::Step::Clone));
                assert!(error.is_prevented(), "this is no failure of the action");
                assert_eq!(
                    error.to_string(),
                    "create a process for /bin/true: resource temporarily unavailable; a limit of processes is \
                     reached: raise TasksMax in the daemon's unit (pids cgroup), ulimit -u or the sysctl \
                     kernel.pid_max"
                );
            }
            assert_eq!(descriptors(), open, "unused pipes are closed");
            nix::sys::resource::setrlimit(nproc, hard, hard).unwrap();
            let running = spawner.start(&launch, Lines::default().sink(&leftovers)).unwrap();
            assert_eq!(
                end(running).await.outcome,
                Outcome::Exited(0),
                "a start works again when there is room"
            );
        });
    });
}
