//! A hanging file system in the configuration directory affects only the files on it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use crate::fixture::daemon::{Daemon, until};

const WATCH: &str = "[[watch]]\nkey = '/a'\naction = 'true'\n";

/// A FUSE mount whose server never answers: system calls on it block, as on an NFS mount whose server is gone. Needs root.
struct DeadMount {
    path: PathBuf,
    server: Option<File>,
}

impl DeadMount {
    fn at(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let server = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", server.as_raw_fd());
        mount(Some("dead"), &path, Some("fuse"), MsFlags::empty(), Some(options.as_str()))
            .expect("mount a FUSE file system; run the tests as root");
        Self { path, server: Some(server) }
    }

    /// Unmounts: blocked system calls fail.
    fn end(&mut self) {
        if self.server.take().is_some() {
            umount2(&self.path, MntFlags::MNT_DETACH).unwrap();
        }
    }
}

impl Drop for DeadMount {
    fn drop(&mut self) {
        self.end();
    }
}

fn problems(daemon: &Daemon) -> String {
    daemon.status()["files"].to_string()
}

#[test]
fn a_daemon_starts_and_reloads_beside_a_hanging_directory() {
    let mut daemon = Daemon::prepare("");
    daemon.put("/a", "1");
    daemon.write("a.toml", WATCH);
    let mut dead = DeadMount::at(daemon.path("config/dead"));
    daemon.run();
    daemon.until_converged("a");
    assert!(problems(&daemon).contains("the file system does not answer"), "{}", problems(&daemon));
    daemon.write("b.toml", WATCH);
    daemon.say(&["trigger", "a"]);
    daemon.until_converged("b");
    let complaints = || daemon.status()["daemon"]["complaints"].to_string();
    until("the complaint", || complaints().contains("does not answer").then_some(()));
    dead.end();
    daemon.write("dead/c.toml", WATCH);
    daemon.until_converged("c");
    until("no complaint", || (complaints() == "[]").then_some(()));
}

#[test]
fn watches_of_a_hanging_directory_stay_and_others_are_reloaded() {
    let daemon = Daemon::start("", &[("sub/a.toml", WATCH), ("b.toml", WATCH)]);
    daemon.put("/a", "1");
    daemon.until_converged("a");
    let _dead = DeadMount::at(daemon.path("config/sub"));
    let reload = daemon.ask(&["reload"]);
    assert!(
        String::from_utf8_lossy(&reload.stderr).contains("the file system does not answer"),
        "{reload:?}"
    );
    daemon.remove("b.toml");
    daemon.until_watch("b", serde_json::Value::is_null);
    daemon.put("/a", "2");
    daemon.until_runs("a", 2);
}

#[test]
fn named_pipes_instead_of_files_are_refused_at_once() {
    let mut daemon = Daemon::start("", &[("a.toml", WATCH)]);
    daemon.put("/a", "1");
    let pipe = |name: &str| {
        let path = daemon.path("config").join(name);
        let _ = std::fs::remove_file(&path);
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
    };
    pipe("pipe.toml");
    pipe("directory");
    let reload = daemon.ask(&["reload"]);
    let told = String::from_utf8_lossy(&reload.stderr).into_owned();
    assert!(told.contains("pipe.toml: error: cannot be read: it is not a regular file"), "{told}");
    daemon.write("b.toml", WATCH);
    daemon.until_converged("b");
    // Commands find the control socket in this file, so the log must report it.
    pipe("twitcher.conf");
    daemon.signal(Signal::SIGHUP);
    let refused = "twitcher.conf: error: cannot be read: it is not a regular file";
    until("the refusal", || daemon.log().contains(refused).then_some(()));
    daemon.write("c.toml", &WATCH.replace("true", &format!("echo ran > {}", daemon.path("out").display())));
    daemon.until_file("out", |text| text == "ran\n");
    assert!(daemon.runs());
}
