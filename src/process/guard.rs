//! The start guard: kills a process that hangs or is stopped between its clone and its exec.
//!
//! Between setresuid(2) and execve(2) the child belongs to the action's account, which may stop it (SIGSTOP) or
//! trace it. The thread that cloned it sleeps until the exec, so only another thread can end such a start.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::procfs;
use super::spawn::{self, Child, Failure, Plan};

/// How often starts in progress are checked.
const LOOKS: Duration = Duration::from_millis(250);

/// Guards every start of a daemon. Costs two short locks for each start, and no wake-up while nothing starts.
#[derive(Debug, Clone, Default)]
pub(super) struct StartGuard(Arc<Mutex<Starts>>);

#[derive(Debug, Default)]
struct Starts {
    under_way: BTreeMap<u64, Start>,
    next: u64,
    /// Ticks while starts are in progress. Created with the guard's thread, at the first start.
    timer: Option<Arc<TimerFd>>,
    ticking: bool,
}

#[derive(Debug)]
struct Start {
    pidfd: Arc<AtomicI32>,
    /// When the process is killed, whatever delays it.
    deadline: Instant,
    killed: bool,
}

impl StartGuard {
    /// Starts a process, and kills it if it does not execute its program within `limit` or is stopped on the way.
    pub(super) fn spawn(&self, plan: &Plan, limit: Duration) -> Result<Child, Failure> {
        let (id, pidfd) = self.begin(limit);
        spawn::spawn(plan, &pidfd, || self.lock().under_way.remove(&id).is_some_and(|start| start.killed))
    }

    /// Registers a start; the kernel stores the pidfd of its process at the returned address, which holds -1 until then.
    fn begin(&self, limit: Duration) -> (u64, Arc<AtomicI32>) {
        let pidfd = Arc::new(AtomicI32::new(-1));
        let mut starts = self.lock();
        let id = starts.next;
        starts.next += 1;
        let now = Instant::now();
        let deadline = now.checked_add(limit).unwrap_or(now + Duration::from_hours(24));
        starts.under_way.insert(id, Start { pidfd: Arc::clone(&pidfd), deadline, killed: false });
        if !starts.ticking {
            // Without a timer (no descriptor left) this start is unguarded; the next one tries again.
            starts.ticking = self.tick(&mut starts).is_ok();
        }
        (id, pidfd)
    }

    fn tick(&self, starts: &mut Starts) -> io::Result<()> {
        let timer = if let Some(timer) = &starts.timer {
            Arc::clone(timer)
        } else {
            let timer = Arc::new(TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?);
            let (waited, guarded) = (Arc::clone(&timer), Arc::downgrade(&self.0));
            std::thread::Builder::new()
                .name("start-guard".to_owned())
                .spawn(move || serve(&waited, &guarded))?;
            starts.timer.insert(timer).clone()
        };
        timer.set(Expiration::Interval(LOOKS.into()), TimerSetTimeFlags::empty())?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Starts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Starts {
    fn drop(&mut self) {
        // Wakes the thread, which then sees that the guard is gone.
        if let Some(timer) = &self.timer {
            let _ =
                timer.set(Expiration::OneShot(Duration::from_nanos(1).into()), TimerSetTimeFlags::empty());
        }
    }
}

fn serve(timer: &TimerFd, starts: &Weak<Mutex<Starts>>) {
    loop {
        if timer.wait().is_err() {
            std::thread::sleep(LOOKS);
        }
        let Some(starts) = starts.upgrade() else { return };
        let mut starts = starts.lock().unwrap_or_else(PoisonError::into_inner);
        if starts.under_way.is_empty() {
            let _ = timer.unset();
            starts.ticking = false;
        }
        let now = Instant::now();
        // Under the lock, so that no descriptor is closed and reused meanwhile.
        for start in starts.under_way.values_mut() {
            let pidfd = start.pidfd.load(Ordering::Acquire);
            if pidfd >= 0 && (now >= start.deadline || procfs::is_stopped(pidfd)) {
                start.killed |= spawn::kill_start(pidfd).is_ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::thread;

    use super::super::step::Step;
    use super::*;

    /// So many that trying them all takes the child seconds.
    const MANY: usize = 3_000_000;

    /// The program comes after so many missing files that a stop hits the child before its exec.
    fn plan(missing: usize) -> Plan {
        let null = || OwnedFd::from(File::options().read(true).write(true).open("/dev/null").unwrap());
        let programs = std::iter::repeat_n(c"/nonexistent/program".to_owned(), missing);
        Plan {
            stdio: [null(), null(), null()],
            record: None,
            terminal: false,
            nice: None,
            limits: Vec::new(),
            groups: None,
            gid: nix::unistd::getegid().as_raw(),
            uid: nix::unistd::geteuid().as_raw(),
            cwd: c"/".to_owned(),
            umask: 0o022,
            programs: programs.chain([c"/bin/true".to_owned()]).collect(),
            argv: vec![c"true".to_owned()],
            env: Vec::new(),
            close_range: true,
            clear_handlers: true,
        }
    }

    /// Stops the child of every start in progress; returns how many there are.
    fn stop_all(guard: &StartGuard) -> usize {
        let starts = guard.lock();
        let pidfds = starts.under_way.values().map(|start| start.pidfd.load(Ordering::Acquire));
        pidfds.filter(|pidfd| *pidfd >= 0 && spawn::signal_start(*pidfd, libc::SIGSTOP).is_ok()).count()
    }

    fn held_start(guard: &StartGuard, plan: &Arc<Plan>) -> thread::JoinHandle<Result<(), Failure>> {
        let (guard, plan) = (guard.clone(), Arc::clone(plan));
        thread::spawn(move || guard.spawn(&plan, Duration::from_hours(1)).map(drop))
    }

    #[test]
    fn twenty_stopped_starts_fail_and_delay_no_other() {
        let guard = StartGuard::default();
        let plan = Arc::new(plan(MANY));
        let held: Vec<_> = (0..20).map(|_| held_start(&guard, &plan)).collect();
        // A start that was stopped early is killed and removed from the list before the last ones begin.
        while held.iter().any(|start| !start.is_finished()) {
            stop_all(&guard);
            thread::yield_now();
        }
        for start in held {
            let failure = start.join().unwrap().unwrap_err();
            assert_eq!(failure.step, Step::Held);
        }
        assert!(guard.lock().under_way.is_empty());
    }

    #[test]
    fn another_start_does_not_wait_for_one_that_is_stopped() {
        let guard = StartGuard::default();
        let held = held_start(&guard, &Arc::new(plan(MANY)));
        while stop_all(&guard) == 0 {
            thread::yield_now();
        }
        let other = guard.spawn(&plan(0), Duration::from_hours(1));
        assert!(other.is_ok(), "{other:?}");
        assert_eq!(held.join().unwrap().unwrap_err().step, Step::Held);
    }

    #[test]
    fn a_start_ends_at_its_limit_and_a_normal_one_is_left_alone() {
        let guard = StartGuard::default();
        let endless = guard.spawn(&plan(MANY), Duration::ZERO);
        assert_eq!(endless.unwrap_err().step, Step::Held);
        assert!(guard.spawn(&plan(3), Duration::from_hours(1)).is_ok());
    }
}
