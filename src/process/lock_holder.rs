//! Who holds the exclusive lock on a state directory, which version 0.1.0 takes: a daemon, or another account that could
//! open the directory.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use super::procfs::{self, Stat};
use super::spawn;
use crate::ledger::Holder;

/// A process with the exclusive lock.
struct Process {
    stat: Stat,
    uid: Option<u32>,
}

/// Looks through `/proc` for who holds the exclusive flock(2) on this directory. A child of a dead daemon of version
/// 0.1.0 that has not executed its action yet holds it too: it is killed.
pub fn lock_holder(directory: &File) -> Holder {
    let Ok(found) = directory.metadata() else { return Holder::Unknown };
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let place = (found.dev(), found.ino());
    let holders: Vec<Process> = procfs::every_stat()
        .filter(|stat| stat.alive && stat.pid != own && holds(stat.pid, place))
        .map(|stat| Process { stat, uid: procfs::uid(stat.pid) })
        .collect();
    let trusted = [0, nix::unistd::geteuid().as_raw()];
    let mut holder = Holder::Unknown;
    for process in &holders {
        if is_abandoned(process.stat, &holders) {
            kill(process.stat);
        } else if process.uid.is_none_or(|uid| trusted.contains(&uid)) {
            return Holder::Own;
        } else {
            holder = Holder::Stranger;
        }
    }
    holder
}

/// Whether a holder is a child that a dead daemon left before its exec. It has one thread, and a daemon has more.
fn is_abandoned(stat: Stat, holders: &[Process]) -> bool {
    let parent_holds = holders.iter().any(|other| other.stat.pid == stat.parent);
    stat.threads == 1 && !parent_holds && procfs::is_our_program(stat.pid)
}

fn kill(stat: Stat) {
    let Ok(process) = spawn::open_process(stat.pid) else { return };
    if procfs::stat(stat.pid).is_some_and(|now| now.start_ticks == stat.start_ticks) {
        tracing::warn!("process {} of a former daemon has not executed its action yet; killing it", stat.pid);
        let _ = spawn::signal_process(process.as_fd(), libc::SIGKILL);
    }
}

/// Whether a process holds the exclusive lock on the directory with this device and inode.
fn holds(pid: i32, place: (u64, u64)) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let is_it = |found: fs::Metadata| (found.dev(), found.ino()) == place;
        let name = descriptor.file_name();
        fs::metadata(descriptor.path()).is_ok_and(is_it)
            && fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", name.display()))
                .is_ok_and(|info| info.lines().any(is_exclusive))
    })
}

/// proc(5), `/proc/PID/fdinfo`: `lock: 1: FLOCK  ADVISORY  WRITE 4711 08:02:123 0 EOF`.
fn is_exclusive(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    words.next() == Some("lock:") && words.any(|word| word == "FLOCK") && words.any(|word| word == "WRITE")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that holds a lock on the directory until it is killed.
    fn locked(directory: &std::path::Path, uid: u32, how: &str) -> Child {
        let mut command = Command::new("flock");
        command.args([how, "-n"]).arg(directory).args(["-c", "echo locked; exec sleep 1000"]);
        let mut child = command.uid(uid).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line, "locked\n");
        child
    }

    fn end(mut child: Child) {
        spawn::signal_group(i32::try_from(child.id()).unwrap(), libc::SIGKILL).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_daemon_is_distinguished_from_another_account() {
        assert!(nix::unistd::geteuid().is_root(), "this test changes users: run it as root");
        let place = tempfile::tempdir().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(place.path(), mode).unwrap();
        let directory = File::open(place.path()).unwrap();
        assert_eq!(lock_holder(&directory), Holder::Unknown);
        for (uid, how, expected) in [
            (65534, "-x", Holder::Stranger),
            (65534, "-s", Holder::Unknown),
            (0, "-x", Holder::Own),
            (0, "-s", Holder::Unknown),
        ] {
            let child = locked(place.path(), uid, how);
            assert_eq!(lock_holder(&directory), expected, "{uid} {how}");
            end(child);
        }
    }
}
