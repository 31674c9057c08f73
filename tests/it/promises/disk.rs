//! A state directory on a full disk, and on one that became read-only: the daemon continues and reports it.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::fixture::daemon::{Daemon, until};

/// A file system of its own under a daemon's state directory. Needs root, as the daemon's other tests do.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn under(daemon: &Daemon) -> Self {
        let path = daemon.path("state");
        std::fs::create_dir(&path).unwrap();
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some("size=128k,mode=711"))
            .expect("mount a tmpfs; run the tests as root");
        Self { path }
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    fn fill(&self) {
        let _full = std::fs::write(self.filler(), vec![1; 256 << 10]);
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    /// Refused briefly while a file is being written.
    fn make_read_only(&self, read_only: bool) {
        let flags = if read_only { MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY } else { MsFlags::MS_REMOUNT };
        until("the file system to be remounted", || {
            mount(None::<&str>, &self.path, None::<&str>, flags, None::<&str>).ok()
        });
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

fn complaints(daemon: &Daemon) -> String {
    daemon.status()["daemon"]["complaints"].to_string()
}

fn note(out: &Path) -> String {
    format!("[[watch]]\nkey = '/a'\naction = 'echo $TWITCHER_REASON $(cat) >> {}'\n", out.display())
}

/// Puts values until the ledger cannot be written; each one still runs.
fn until_complaint(daemon: &Daemon, words: &str) {
    for number in 0..2000 {
        let value = format!("{words} {number}").replace(' ', "-");
        daemon.put("/a", &value);
        daemon.until_file("out", |text| text.ends_with(&format!("{value}\n")));
        daemon.until_converged("a");
        if complaints(daemon).contains(words) {
            return;
        }
    }
    panic!("no complaint contains {words:?}");
}

#[test]
fn a_full_and_a_read_only_disk_are_reported_and_survived() {
    let mut daemon = Daemon::prepare("");
    let disk = Disk::under(&daemon);
    daemon.put("/a", "first");
    daemon.write("a.toml", &note(&daemon.path("out")));
    daemon.run();
    daemon.until_converged("a");
    assert_eq!(complaints(&daemon), "[]");
    disk.fill();
    until_complaint(&daemon, "No space left");
    assert!(daemon.log().contains("cannot write the ledger"), "{}", daemon.log());
    assert!(daemon.say(&["status"]).contains("No space left"), "a person is told, too");
    // A daemon that starts on it.
    daemon.kill();
    daemon.run();
    until_complaint(&daemon, "No space left");
    // A daemon that had files open when it became read-only.
    disk.make_read_only(true);
    until_complaint(&daemon, "Read-only file system");
    daemon.kill();
    daemon.run();
    until_complaint(&daemon, "Read-only file system");
    let runs = daemon.until_converged("a")["runs"].as_u64().unwrap();

    disk.make_read_only(false);
    disk.free();
    until("the complaint to be withdrawn", || (complaints(&daemon) == "[]").then_some(()));
    assert!(daemon.log().contains("is written again"), "{}", daemon.log());
    // Changes kept in memory are on the disk now.
    daemon.kill();
    daemon.run();
    let watch = daemon.until_watch("a", |watch| watch["runs"].as_u64() > Some(runs));
    assert_eq!(watch["runs"].as_u64(), Some(runs + 1), "one more, because of run_on_load");
}

#[test]
fn an_action_is_adopted_even_if_the_ledger_was_never_writable() {
    let mut daemon = Daemon::prepare("");
    let disk = Disk::under(&daemon);
    disk.make_read_only(true);
    daemon.put("/a", "1");
    let (out, gate) = (daemon.path("out"), daemon.path("gate"));
    let action = format!(
        "mkdir {out}.lock || echo TWO >> {out}; echo $(cat) >> {out}; while test -d {top} -a ! -e {gate}; do sleep 0.05; done; rmdir {out}.lock",
        out = out.display(),
        gate = gate.display(),
        top = daemon.config().display()
    );
    daemon.write("a.toml", &format!("[[watch]]\nkey = '/a'\naction = '{action}'\n"));
    daemon.run();
    daemon.until_file("out", |text| text == "1\n");
    until("a complaint", || complaints(&daemon).contains("Read-only").then_some(()));
    let pid = daemon.watch("a")["running"][0]["pid"].clone();
    daemon.kill();
    daemon.put("/a", "2");
    daemon.run();
    let watch = daemon.until_watch("a", |watch| watch["state"] == "running" && watch["version"].is_string());
    assert_eq!(watch["running"][0]["pid"], pid, "the same process must be adopted");
    assert_eq!(watch["running"].as_array().map(Vec::len), Some(1), "nothing runs beside it");
    std::fs::write(&gate, "").unwrap();
    daemon.until_file("out", |text| text == "1\n2\n");
    daemon.until_converged("a");
}

/// A disk that hangs, such as an NFS server that went away; here a pipe that nobody reads.
#[test]
fn a_hanging_disk_delays_neither_actions_nor_shutdown() {
    let mut daemon = Daemon::prepare("");
    std::fs::create_dir(daemon.path("state")).unwrap();
    nix::unistd::mkfifo(&daemon.path("state/ledger.new"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    daemon.put("/a", "1");
    daemon.write("a.toml", &note(&daemon.path("out")));
    daemon.run();
    daemon.until_file("out", |text| text == "load 1\n");
    daemon.put("/a", "2");
    daemon.until_file("out", |text| text == "load 1\nchange 2\n");
    daemon.until_converged("a");
    assert!(daemon.stop().success());
    let log = daemon.log();
    assert!(log.contains("the latest state of 1 watch (a) is not in the ledger"), "{log}");
}
