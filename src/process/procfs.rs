//! Reads `/proc`: start times, the boot id, and which process groups live.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use crate::watch::ProcessIdentity;

/// The fields used of `/proc/PID/stat`, proc(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// Process id.
    pub(super) pid: i32,
    /// Parent, which learns its exit status.
    pub(super) parent: i32,
    /// Process group.
    pub(super) group: i32,
    /// Session.
    pub(super) session: i32,
    /// Number of threads.
    pub(super) threads: i64,
    /// Start in clock ticks since boot.
    pub(super) start_ticks: u64,
    /// Not a zombie: at least one of its threads can still run.
    pub(super) alive: bool,
}

/// Parses the one line of `/proc/PID/stat`.
pub(super) fn parse_stat(text: &str) -> Option<Stat> {
    // The name in parentheses may contain anything, including spaces and parentheses.
    let (before, after) = text.rsplit_once(')')?;
    let (pid, _) = before.split_once(" (")?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    // `fields[0]` is field 3 of the manual page.
    let field = |number: usize| fields.get(number - 3).copied();
    // A zombie with more than one thread is a live process whose first thread has exited.
    let threads: i64 = field(20)?.parse().ok()?;
    let dead = matches!(field(3)?, "Z" | "X" | "x") && threads <= 1;
    Some(Stat {
        pid: pid.parse().ok()?,
        parent: field(4)?.parse().ok()?,
        group: field(5)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        threads,
        start_ticks: field(22)?.parse().ok()?,
        alive: !dead,
    })
}

/// Reads `/proc/PID/stat`. Every start does: one read, because the line is short and the kernel writes it at once.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    let mut line = [0u8; 2048];
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut line).ok()?;
    // The name may not be UTF-8.
    parse_stat(&String::from_utf8_lossy(line.get(..length)?))
}

/// The account of a process by its `/proc/PID/status`, if its real, effective, saved and file system ids are equal. They
/// differ in a set-uid program, whose environment comes from its caller, while `/proc/PID` has another owner.
pub(super) fn only_uid(status: &[u8]) -> Option<u32> {
    let status = String::from_utf8_lossy(status);
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let ids: Vec<u32> = ids.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    match ids[..] {
        [real, effective, saved, file_system] if [effective, saved, file_system] == [real; 3] => Some(real),
        [..] => None,
    }
}

/// [`only_uid`] of a process.
pub(super) fn uid(pid: i32) -> Option<u32> {
    only_uid(&std::fs::read(format!("/proc/{pid}/status")).ok()?)
}

/// Whether a process executes the same program as this one, or another version of it at the same path.
pub(super) fn is_our_program(pid: i32) -> bool {
    let place = |process: &str| {
        let link = format!("/proc/{process}/exe");
        let found = std::fs::metadata(&link).ok()?;
        let shown = std::fs::read_link(&link).ok()?.into_os_string().into_encoded_bytes();
        let name = shown.strip_suffix(b" (deleted)").unwrap_or(&shown).to_vec();
        Some(((found.dev(), found.ino()), name))
    };
    match (place("self"), place(&pid.to_string())) {
        (Some(own), Some(other)) => own.0 == other.0 || own.1 == other.1,
        (_, _) => false,
    }
}

/// Whether the process of a pidfd is stopped or traced.
pub(super) fn is_stopped(pidfd: i32) -> bool {
    let pid = || {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{pidfd}")).ok()?;
        info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse::<i32>().ok()
    };
    let state = |pid: i32| {
        let bytes = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.rsplit_once(") ")?.1.chars().next()
    };
    pid().and_then(state).is_some_and(|state| matches!(state, 'T' | 't'))
}

/// Every process.
pub(super) fn every_stat() -> impl Iterator<Item = Stat> {
    std::fs::read_dir(Path::new("/proc"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat)
}

/// When a process began that started this many clock ticks after the boot, by the clock that counted them: the wall
/// clock can be set. If that is unknown, now.
pub(super) fn began(start_ticks: u64) -> Instant {
    let now = Instant::now();
    let Some(since_boot) = ticks(start_ticks) else { return now };
    let Ok(uptime) = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from) else { return now };
    now.checked_sub(uptime.saturating_sub(since_boot)).unwrap_or(now)
}

fn ticks(number: u64) -> Option<Duration> {
    let a_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok().filter(|ticks| *ticks > 0)?;
    let rest = Duration::from_secs(number % a_second);
    Some(Duration::from_secs(number / a_second) + rest / u32::try_from(a_second).ok()?)
}

/// The id of this boot; empty if there is none, and then equal to no recorded id.
pub(crate) fn boot_id() -> Arc<str> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().into()
}

/// Which process groups live. Shared by all runs, because reading all of `/proc` takes some milliseconds and at shutdown
/// every run asks at once: one reading answers every request made before it began.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups(Arc<Mutex<Option<Reading>>>);

#[derive(Debug)]
struct Reading {
    begun: Instant,
    /// Process group to the start time of its leader, if the leader lives.
    live: BTreeMap<i32, Option<u64>>,
}

impl Groups {
    /// Whether the group of this leader has a live member. Blocks during the reading.
    pub(super) fn live(&self, leader: &ProcessIdentity) -> bool {
        let asked = Instant::now();
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match reading.take() {
            Some(current) if current.begun >= asked => current,
            Some(_) | None => read(),
        };
        let live = match current.live.get(&leader.pid) {
            // Another process has the leader's pid now, so the leader's own group is empty.
            Some(Some(start)) => *start == leader.start_ticks,
            Some(None) => true,
            None => false,
        };
        *reading = Some(current);
        live
    }
}

fn read() -> Reading {
    let begun = Instant::now();
    let mut live: BTreeMap<i32, Option<u64>> = BTreeMap::new();
    for stat in every_stat().filter(|stat| stat.alive) {
        let leader = live.entry(stat.group).or_default();
        if stat.pid == stat.group {
            *leader = Some(stat.start_ticks);
        }
    }
    Reading { begun, live }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_uid_program_has_no_single_account() {
        let uid = |ids: &str| only_uid(format!("Name:\tx\nUid:\t{ids}\nGid:\t0\t0\t0\t0\n").as_bytes());
        assert_eq!(uid("33\t33\t33\t33"), Some(33));
        for ids in
            ["1000\t0\t0\t0", "0\t0\t1000\t0", "0\t1000\t0\t0", "0\t0\t0\t7", "0\t0\t0", "x\tx\tx\tx", ""]
        {
            assert_eq!(uid(ids), None, "{ids}");
        }
        assert_eq!(only_uid(b"no such line"), None);
    }

    #[test]
    fn a_stat_line_with_any_process_name_is_parsed() {
        let line = |name: &str, state: &str, threads: u32| {
            format!("42 ({name}) {state} 1 40 39 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 98765 1 1")
        };
        let expected =
            Stat { pid: 42, parent: 1, group: 40, session: 39, threads: 1, start_ticks: 98765, alive: true };
        for name in ["sh", "a b", "x) S 1 2 3", "((", ""] {
            assert_eq!(parse_stat(&line(name, "S", 1)), Some(expected), "{name}");
        }
        assert_eq!(parse_stat(&line("sh", "Z", 1)), Some(Stat { alive: false, ..expected }));
        let headless = Stat { threads: 3, ..expected };
        assert_eq!(parse_stat(&line("sh", "Z", 3)), Some(headless), "only its first thread has ended");
        for bad in ["", "42", "42 (sh)", "x (sh) S 1 2 3", "42 (sh) S 1"] {
            assert_eq!(parse_stat(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_process_began_between_the_boot_and_now() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let start_ticks = stat(i32::try_from(child.id()).unwrap()).unwrap().start_ticks;
        let spawned = Instant::now();
        child.kill().unwrap();
        child.wait().unwrap();
        // Ticks are coarse.
        let tick = ticks(1).unwrap();
        let began = began(start_ticks);
        assert!(began <= spawned + tick && began + Duration::from_mins(1) > spawned, "{began:?}");
        assert!(super::began(u64::MAX) <= Instant::now());
        assert_eq!(ticks(3).unwrap(), tick * 3);
    }

    #[test]
    fn this_process_is_alive_and_this_boot_has_an_id() {
        let own = i32::try_from(std::process::id()).unwrap();
        let stat = stat(own).unwrap();
        assert!(stat.alive && stat.pid == own && stat.start_ticks > 0);
        assert_eq!(boot_id().len(), 36);
        let leader = ProcessIdentity {
            pid: stat.group,
            start_ticks: 1,
            boot_id: boot_id(),
            output_pipe: None,
            errors_pipe: None,
        };
        let group_leader_lives = super::stat(stat.group).is_some_and(|leader| leader.alive);
        assert_eq!(Groups::default().live(&leader), !group_leader_lives, "a reused pid is another process");
    }
}
