//! Shared by the tests of this room, and tests that need its private parts.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::RunDetails;
use super::guard::StartGuard;
use super::spawn::{self, Plan};
use crate::watch::*;

/// A watch with this action, run as root.
pub(super) fn spec(action: Action) -> WatchSpec {
    WatchSpec { action, ..fixture::minimal() }
}

/// The details of some run.
pub(super) fn details() -> RunDetails {
    RunDetails {
        run: RunId("ledger-1-1".into()),
        reason: Reason::Retry,
        version: Version::Revision(1042),
        attempt: 2,
        coalesced: 3,
        permit: None,
    }
}

/// `sleep`, started by a shell that first starts another one and prints its pid.
fn sleepers(nice: Option<i32>) -> (Plan, File) {
    let text = |text: &str| CString::new(text).unwrap();
    let output = tempfile::tempfile().unwrap();
    let null: OwnedFd = File::open("/dev/null").unwrap().into();
    let own = nix::unistd::geteuid().as_raw();
    let plan = Plan {
        terminal: false,
        record: None,
        stdio: [null, output.try_clone().unwrap().into(), output.try_clone().unwrap().into()],
        nice,
        limits: Vec::new(),
        groups: None,
        gid: nix::unistd::getegid().as_raw(),
        uid: own,
        cwd: text("/"),
        umask: 0o022,
        programs: vec![text("/bin/sh")],
        argv: vec![text("sh"), text("-c"), text("setsid sleep 1000 & echo $!; exec sleep 1000")],
        env: vec![text("PATH=/usr/bin:/bin")],
        close_range: true,
        clear_handlers: true,
    };
    (plan, output)
}

#[test]
fn only_the_leader_of_a_run_has_the_mark() {
    for nice in [None, Some(5), Some(-5)] {
        if nice.is_some_and(|nice| nice < 0) && !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root may lower a niceness");
            continue;
        }
        let (plan, output) = sleepers(nice);
        let child = StartGuard::default().spawn(&plan, Duration::from_hours(1)).unwrap();
        let mut printed = vec![0; 64];
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        let other: i32 = loop {
            assert!(std::time::Instant::now() < deadline);
            let length = std::os::unix::fs::FileExt::read_at(&output, &mut printed, 0).unwrap();
            if let Some(line) = std::str::from_utf8(&printed[..length]).unwrap().strip_suffix('\n') {
                break line.parse().unwrap();
            }
        };
        // No mark where it would change the children's niceness.
        assert_eq!(spawn::is_marked_leader(child.pid), nice != Some(-5), "{nice:?}");
        assert!(!spawn::is_marked_leader(other), "{nice:?}");
        let niceness = |pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().to_owned()
        };
        assert_eq!(niceness(other), niceness(child.pid), "a child inherits it as usual");
        spawn::signal_group(child.pid, libc::SIGKILL).unwrap();
        let _gone =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(other), nix::sys::signal::Signal::SIGKILL);
        while spawn::reap(std::os::fd::AsFd::as_fd(&child.pidfd)).unwrap().is_none() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn descriptors_are_closed_on_kernels_without_close_range() {
    let leak = File::open("/dev/null").unwrap();
    let inherited = |fd: &File| fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let many: Vec<File> = (0..200).map(|_| leak.try_clone().unwrap()).collect();
    for fd in &many {
        inherited(fd);
    }
    let text = |text: &str| CString::new(text).unwrap();
    for close_range in [true, false] {
        let output = tempfile::tempfile().unwrap();
        let stdio: [OwnedFd; 3] = [
            leak.try_clone().unwrap().into(),
            output.try_clone().unwrap().into(),
            output.try_clone().unwrap().into(),
        ];
        let plan = Plan {
            terminal: false,
            record: None,
            stdio,
            nice: None,
            limits: Vec::new(),
            groups: None,
            gid: nix::unistd::getegid().as_raw(),
            uid: nix::unistd::geteuid().as_raw(),
            cwd: text("/"),
            umask: 0o022,
            programs: vec![text("/bin/ls")],
            argv: vec![text("ls"), text("/proc/self/fd")],
            env: vec![],
            close_range,
            clear_handlers: true,
        };
        let child = StartGuard::default().spawn(&plan, Duration::from_hours(1)).unwrap();
        while spawn::reap(std::os::fd::AsFd::as_fd(&child.pidfd)).unwrap().is_none() {
            std::thread::yield_now();
        }
        let mut listed = vec![0; 4096];
        let length = std::os::unix::fs::FileExt::read_at(&output, &mut listed, 0).unwrap();
        assert_eq!(String::from_utf8_lossy(&listed[..length]), "0\n1\n2\n3\n", "{close_range}");
    }
}

#[test]
fn an_action_starts_with_the_default_of_every_signal_and_blocks_none() {
    // The runtime of Rust ignores PIPE.
    for clear_handlers in [true, false] {
        let (mut plan, output) = sleepers(None);
        plan.programs = vec![c"/bin/cat".to_owned()];
        plan.argv = vec![c"cat".to_owned(), c"/proc/self/status".to_owned()];
        plan.clear_handlers = clear_handlers;
        let child = StartGuard::default().spawn(&plan, Duration::from_hours(1)).unwrap();
        while spawn::reap(std::os::fd::AsFd::as_fd(&child.pidfd)).unwrap().is_none() {
            std::thread::yield_now();
        }
        let mut shown = vec![0; 8192];
        let length = std::os::unix::fs::FileExt::read_at(&output, &mut shown, 0).unwrap();
        let shown = String::from_utf8_lossy(&shown[..length]).into_owned();
        for set in ["SigBlk:", "SigIgn:", "SigCgt:"] {
            let line = shown.lines().find_map(|line| line.strip_prefix(set)).unwrap();
            assert_eq!(line.trim(), "0000000000000000", "{set} {clear_handlers}");
        }
    }
}

/// Between the end of the mask and the exec, a handler would run in the memory of the daemon.
#[test]
fn no_handler_of_the_daemon_runs_in_a_child() {
    let handled = Arc::new(std::sync::atomic::AtomicBool::new(false));
    signal_hook::flag::register(libc::SIGUSR2, Arc::clone(&handled)).unwrap();
    for clear_handlers in [true, false] {
        let (mut plan, _output) = sleepers(None);
        // To try them all takes the child seconds: the signal comes before its exec.
        plan.programs = vec![c"/nonexistent/program".to_owned(); 3_000_000];
        plan.clear_handlers = clear_handlers;
        let stored = std::sync::atomic::AtomicI32::new(-1);
        let child = std::thread::scope(|scope| {
            let start = scope.spawn(|| spawn::spawn(&plan, &stored, || false).unwrap());
            // The kernel stores the number of the descriptor before it can be used (copy_process in kernel/fork.c).
            let signalled = || {
                let child = stored.load(std::sync::atomic::Ordering::Acquire);
                child >= 0 && spawn::signal_start(child, libc::SIGUSR2).is_ok()
            };
            while !signalled() {
                std::thread::yield_now();
            }
            start.join().unwrap()
        });
        let end = spawn::reap(std::os::fd::AsFd::as_fd(&child.pidfd)).unwrap();
        assert_eq!(end, Some(spawn::Status::Signaled(libc::SIGUSR2)), "{clear_handlers}");
        assert!(!handled.load(std::sync::atomic::Ordering::Relaxed), "{clear_handlers}");
    }
}
