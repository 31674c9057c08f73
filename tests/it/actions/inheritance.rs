//! What an action inherits from the daemon, and what it must not inherit.

use std::os::unix::fs::PermissionsExt as _;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{SigSet, Signal};
use twitcher::internals::process::{Scripts, Step};

use super::*;

/// The field `name` of a printed `/proc/self/status`.
fn status<'a>(lines: &'a [String], name: &str) -> &'a str {
    let value = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.expect("a line of /proc/self/status").trim()
}

fn user(uid: u32, gid: u32, groups: &[u32]) -> Account {
    Account {
        uid,
        gid,
        groups: Some(groups.to_vec()),
        user: format!("user{uid}"),
        home: "/nonexistent".into(),
        shell: "/bin/sh".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_groups_are_those_of_the_account_and_not_roots() {
    // `uid` and `gid` by name, by number, alone and together, as they are resolved.
    for account in
        [user(33, 33, &[33]), user(12345, 54321, &[4, 33, 54321]), user(0, 33, &[0, 33]), user(33, 0, &[])]
    {
        let mut spec = program(&["/bin/cat", "/proc/self/status"]);
        around(&mut spec).account = account.clone();
        let (ended, lines) = run(&spec, None).await;
        assert_eq!(ended.outcome, Outcome::Exited(0));
        let four = |id: u32| [id.to_string(), id.to_string(), id.to_string(), id.to_string()].join("\t");
        assert_eq!(status(&lines, "Uid"), four(account.uid));
        assert_eq!(status(&lines, "Gid"), four(account.gid));
        let groups: Vec<String> = account.groups.unwrap().iter().map(u32::to_string).collect();
        assert_eq!(status(&lines, "Groups"), groups.join(" "));
        if account.uid != 0 {
            assert_eq!(status(&lines, "CapEff"), "0000000000000000");
            assert_eq!(status(&lines, "CapAmb"), "0000000000000000");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemons_own_account_keeps_its_groups() {
    let (_, lines) = run(&program(&["/bin/cat", "/proc/self/status"]), None).await;
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own: Vec<String> = own.lines().map(str::to_owned).collect();
    assert_eq!(status(&lines, "Groups"), status(&own, "Groups"));
}

// A single thread, so that the signals blocked here are blocked in the thread that clones.
#[tokio::test(flavor = "current_thread")]
async fn no_signal_is_blocked_or_ignored() {
    // SIGPIPE is ignored in every Rust program, this test included.
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own: Vec<String> = own.lines().map(str::to_owned).collect();
    let ignored = u64::from_str_radix(status(&own, "SigIgn"), 16).unwrap();
    assert_ne!(ignored & 1 << (Signal::SIGPIPE as i32 - 1), 0, "{ignored:x}");
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGTERM);
    blocked.add(Signal::SIGUSR2);
    blocked.thread_block().unwrap();
    let (ended, lines) = run(&program(&["/bin/cat", "/proc/self/status"]), None).await;
    let after = SigSet::thread_get_mask().unwrap();
    blocked.thread_unblock().unwrap();
    assert_eq!(ended.outcome, Outcome::Exited(0));
    for mask in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(status(&lines, mask), "0000000000000000", "{mask}");
    }
    assert!(after.contains(Signal::SIGTERM), "the daemon's own mask is restored");
    assert!(!after.contains(Signal::SIGHUP), "the daemon's own mask is restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_inherits_only_three_descriptors() {
    let leak = std::fs::File::open("/dev/null").unwrap();
    fcntl(&leak, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let (_, lines) = run(&program(&["/bin/ls", "/proc/self/fd"]), Some(Bytes::from_static(b"x"))).await;
    // 3 is the directory that ls reads.
    assert_eq!(lines, ["0", "1", "2", "3"]);
    drop(leak);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_gets_exactly_the_documented_environment() {
    let mut spec = program(&["env"]);
    around(&mut spec).env.insert("COLOUR".into(), "a b\tc".into());
    let vars = BTreeMap::from([("db-host".into(), "db 1".into())]);
    spec.machine = Arc::new(Machine { host: "web-17".into(), vars });
    let (_, mut lines) = run(&spec, None).await;
    lines.sort();
    let lang = std::env::var("LANG").ok().filter(|lang| !lang.is_empty()).unwrap_or("C.UTF-8".into());
    let expected = [
        "COLOUR=a b\tc",
        "HOME=/root",
        &format!("LANG={lang}"),
        "LOGNAME=root",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SHELL=/bin/sh",
        "TWITCHER_ATTEMPT=1",
        "TWITCHER_COALESCED=1",
        "TWITCHER_HOST=web-17",
        "TWITCHER_KEY=/git/head",
        "TWITCHER_REASON=change",
        "TWITCHER_RUN=ledger-1-1",
        "TWITCHER_STORE=main",
        "TWITCHER_VAR_DB_HOST=db 1",
        "TWITCHER_VERSION=1042",
        "TWITCHER_WATCH=git",
        "USER=root",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_umask_niceness_and_limits_are_set_as_configured() {
    let mut spec = shell("pwd; umask; cat /proc/self/limits; exec cat /proc/self/stat");
    around(&mut spec).account = user(33, 33, &[33]);
    around(&mut spec).cwd = "/usr/lib".into();
    around(&mut spec).umask = 0o027;
    around(&mut spec).nice = Some(-3);
    around(&mut spec).limits = BTreeMap::from([
        (Limit::Nofile, Some(77)),
        (Limit::Core, Some(0)),
        (Limit::Memlock, Some(65536)),
        (Limit::Cpu, None),
    ]);
    let (ended, lines) = run(&spec, None).await;
    assert_eq!(ended.outcome, Outcome::Exited(0), "{lines:?}");
    assert_eq!(lines[..2], ["/usr/lib", "0027"]);
    let limit = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max open files"), ["77", "77"]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max locked memory"), ["65536", "65536"]);
    assert_eq!(limit("Max cpu time"), ["unlimited", "unlimited"]);
    let stat = lines.last().unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let pid = stat.split(' ').next().unwrap();
    assert_eq!([fields[2], fields[3]], [pid, pid], "leader of its own group and session");
    assert_eq!(fields[16], "-3", "niceness");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_entered_as_the_actions_user() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut spec = shell("true");
    around(&mut spec).cwd = directory.path().to_owned();
    assert_eq!(run(&spec, None).await.0.outcome, Outcome::Exited(0), "root may");
    around(&mut spec).account = user(33, 33, &[33]);
    let error = start(&spec, None).err().unwrap();
    assert_eq!(error.step(), Some(Step::Directory));
    let expected = format!(
        "enter directory {}: permission denied; the action's user has no permission to enter it",
        directory.path().display()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_names_the_step_and_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cases = [
        (
            program(&["/nonexistent/tool"]),
            Step::Execute,
            "execute /nonexistent/tool: no such file or directory",
        ),
        (program(&["no-such-tool"]), Step::Execute, "execute no-such-tool: no such file or directory"),
        (
            program(&[&file("a", "#!/bin/sh\n", 0o644)]),
            Step::Execute,
            "permission denied; it must be executable",
        ),
        (program(&[&file("b", "#!/nonexistent\n", 0o755)]), Step::Execute, "interpreter"),
        (program(&[&file("c", "echo\n", 0o755)]), Step::Execute, "exec format error; a script needs"),
        (program(&["/"]), Step::Execute, "execute /: permission denied"),
        (
            WatchSpec {
                surroundings: Arc::new(Surroundings {
                    cwd: "/nonexistent".into(),
                    ..Surroundings::clone(&shell("").surroundings)
                }),
                ..shell("true")
            },
            Step::Directory,
            "enter directory /nonexistent: no such file or directory; create it",
        ),
        (
            WatchSpec {
                surroundings: Arc::new(Surroundings {
                    limits: BTreeMap::from([(Limit::Nofile, None)]),
                    ..Surroundings::clone(&shell("").surroundings)
                }),
                ..shell("true")
            },
            Step::Limit,
            "set the limit `nofile` to unlimited: operation not permitted",
        ),
    ];
    for (spec, step, words) in cases {
        let error = start(&spec, None).err().unwrap();
        assert_eq!(error.step(), Some(step), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_is_looked_up_as_the_actions_user() {
    let (closed, open) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (directory, mode, says) in [(&closed, 0o700, "closed"), (&open, 0o755, "open")] {
        let tool = directory.path().join("tool");
        crate::fixture::executable::write(&tool, &format!("#!/bin/sh\necho {says}\n"));
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut spec = program(&["tool"]);
    let path = format!("{}:{}", closed.path().display(), open.path().display());
    around(&mut spec).env.insert("PATH".into(), path);
    assert_eq!(run(&spec, None).await.1, ["closed"]);
    around(&mut spec).account = user(33, 33, &[33]);
    assert_eq!(run(&spec, None).await.1, ["open"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_streams_can_be_reopened_by_any_user() {
    let mut spec = shell("cat /dev/stdin; echo err > /dev/stderr; echo out > /dev/stdout");
    around(&mut spec).account = user(33, 33, &[33]);
    let (ended, mut lines) = run(&spec, Some(Bytes::from_static(b"in\n"))).await;
    // The order between the two streams is not kept.
    lines.sort_unstable();
    assert_eq!((ended.outcome, lines), (Outcome::Exited(0), vec!["err".into(), "in".into(), "out".into()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_belongs_to_its_user_and_runs_by_its_interpreter_line() {
    let state = tempfile::tempdir().unwrap();
    std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let scripts = Scripts::new(state.path());
    let text = "#!/bin/cat\nthe whole text\n";
    let mut spec = spec(Action::Script(text.into()));
    around(&mut spec).account = user(33, 33, &[33]);
    let account = &spec.surroundings.account;
    let script = scripts.ensure(text, account).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(script.path()), mode(&state.path().join("scripts"))), (0o500, 0o711));

    let launch = Launch::new(&spec, &details("r"), None, Some(script.path())).unwrap();
    let lines = Lines::default();
    let running = Spawner::new().start(&launch, lines.sink(&Leftovers::default())).unwrap();
    assert_eq!(end(running).await.outcome, Outcome::Exited(0));
    assert_eq!(lines.all().join("\n") + "\n", text);

    // Its owner may make it writable and change it; it is restored before the next run.
    std::fs::write(script.path(), "#!/bin/sh\nexit 9\n").unwrap();
    assert_eq!(scripts.ensure(text, account).unwrap().path(), script.path());
    assert_eq!(std::fs::read_to_string(script.path()).unwrap(), text);

    let other = scripts.ensure("#!/bin/true\n", account).unwrap().path().to_owned();
    assert_ne!(other, script.path());
    scripts.retain(&[script.path().to_owned()].into());
    assert!(script.path().exists() && !other.exists());
    assert_eq!(std::fs::read_dir(state.path().join("scripts")).unwrap().count(), 1, "nothing unfinished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_script_written_during_other_starts_is_never_busy() {
    let state = tempfile::tempdir().unwrap();
    let scripts = Scripts::new(state.path());
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let scripts = scripts.clone();
            tokio::spawn(async move {
                for number in 0..50 {
                    let text = format!("#!/bin/true\n{worker}-{number}\n");
                    let spec = spec(Action::Script(text.clone()));
                    let file = scripts.ensure(&text, &spec.surroundings.account).unwrap();
                    let launch = Launch::new(&spec, &details("r"), None, Some(file.path())).unwrap();
                    let sink = Lines::default().sink(&Leftovers::default());
                    let running = Spawner::new().start(&launch, sink).unwrap();
                    assert_eq!(end(running).await.outcome, Outcome::Exited(0));
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}
