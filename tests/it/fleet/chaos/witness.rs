//! The witness: each action counts, at its start and under a lock, how many actions there are.
//!
//! Each holds a lock of its own for as long as it lives, which the kernel takes away whatever ends it.

use std::path::Path;

use crate::fixture::executable;

/// `sh -c` of the watch. Until the flag `calm` is set, runs differ in length, some outlive a tenure, and some fail.
const ACTION: &str = r#"
exec 8>DIR/run-$TWITCHER_HOST-$$ 9>>DIR/lock
flock 8
flock 9
count=0
for run in DIR/run-*; do flock -n "$run" true 8>&- 9>&- || count=$((count + 1)); done
echo "$TWITCHER_HOST $TWITCHER_VERSION $count" >>DIR/starts
flock -u 9
while test -e DIR/hold; do sleep 0.05 8>&- 9>&-; done
test -e DIR/calm && exit 0
case $(($$ % 24)) in
    0) sleep 12 8>&- 9>&- ;;
    8 | 16) sleep 3 8>&- 9>&- ;;
    1) exit 1 ;;
    *) sleep 0.$(($$ % 7 + 2)) 8>&- 9>&- ;;
esac
"#;

pub struct Witness {
    place: tempfile::TempDir,
}

/// What the starts say.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    pub starts: usize,
    /// At once.
    pub most: usize,
}

/// The greatest overlap is the limit: neither more, nor less.
pub fn check(starts: &str, limit: usize) -> Result<Report, String> {
    let mut report = Report { starts: 0, most: 0 };
    for line in starts.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_host, _version, count] = words[..] else { return Err(format!("no line of a start: {line:?}")) };
        let count: usize = count.parse().map_err(|_| format!("no count: {line:?}"))?;
        if count == 0 || count > limit {
            return Err(format!("{count} at once, and the limit is {limit}: {line:?}\n{starts}"));
        }
        report.starts += 1;
        report.most = report.most.max(count);
    }
    if report.most < limit {
        return Err(format!("{report:?}: the limit of {limit} was never reached, so this proves nothing"));
    }
    Ok(report)
}

impl Witness {
    pub fn new() -> Self {
        let place = tempfile::Builder::new().prefix("twitcher-witness.").tempdir().unwrap();
        let witness = Self { place };
        executable::write(&witness.path().join("action"), &format!("#!/bin/sh{}", witness.action()));
        witness
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    pub fn action(&self) -> String {
        ACTION.replace("DIR", &self.path().display().to_string())
    }

    pub fn flag(&self, name: &str) {
        std::fs::write(self.path().join(name), "").unwrap();
    }

    pub fn unflag(&self, name: &str) {
        let _ = std::fs::remove_file(self.path().join(name));
    }

    pub fn read(&self) -> String {
        std::fs::read_to_string(self.path().join("starts")).unwrap_or_default()
    }

    /// Host and process of each action that lives.
    pub fn acting(&self) -> Vec<(usize, i32)> {
        let mut acting = Vec::new();
        for entry in std::fs::read_dir(self.path()).unwrap().flatten() {
            let Some((host, pid)) = owner(&entry.path()) else { continue };
            if lives(pid) {
                acting.push((host, pid));
            } else {
                // Nobody can open it any more.
                let _ = std::fs::remove_file(entry.path());
            }
        }
        acting
    }

    pub fn acts(&self, host: usize) -> bool {
        self.acting().iter().any(|(acting, _)| *acting == host)
    }
}

fn owner(path: &Path) -> Option<(usize, i32)> {
    let (host, pid) = path.file_name()?.to_str()?.strip_prefix("run-h")?.split_once('-')?;
    Some((host.parse().ok()?, pid.parse().ok()?))
}

fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

#[test]
fn too_many_too_few_and_garbage_are_found() {
    assert_eq!(check("h1 7 1\nh2 7 2\nh3 7 2\n", 2), Ok(Report { starts: 3, most: 2 }));
    for (starts, expected) in [
        ("h1 7 1\nh2 7 2\nh3 7 3\n", "3 at once, and the limit is 2"),
        ("h1 7 1\nh2 7 1\n", "never reached"),
        ("", "never reached"),
        ("h1 7 1\nh2 7 2\nh3 7\n", "no line of a start"),
        ("h1 7 0\nh2 7 2\n", "0 at once"),
        ("h1 7 1\nh2 7 two\n", "no count"),
    ] {
        let found = check(starts, 2).unwrap_err();
        assert!(found.contains(expected), "{starts:?}: {found}");
    }
}

/// Real processes: one that is killed counts no more, and one that is stopped does.
#[test]
fn the_kernel_says_which_actions_live() {
    use nix::sys::signal::{Signal, kill};

    use crate::fixture::daemon::until;

    let witness = Witness::new();
    witness.flag("hold");
    let mut started = 0;
    let mut start = |host: &str| {
        let mut action = std::process::Command::new(witness.path().join("action"));
        action.env("TWITCHER_HOST", host).env("TWITCHER_VERSION", "7");
        let child = action.spawn().unwrap();
        started += 1;
        until("a line", || (witness.read().lines().count() == started).then_some(()));
        child
    };
    let pid = |child: &std::process::Child| nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (one, mut two) = (start("h1"), start("h2"));
    two.kill().unwrap();
    two.wait().unwrap();
    kill(pid(&one), Signal::SIGSTOP).unwrap();
    let three = start("h3");
    assert_eq!(witness.read(), "h1 7 1\nh2 7 2\nh3 7 2\n");
    assert_eq!(
        check(&witness.read(), 1).unwrap_err().lines().next(),
        Some("2 at once, and the limit is 1: \"h2 7 2\"")
    );
    assert!(witness.acts(1) && !witness.acts(2) && witness.acts(3));
    kill(pid(&one), Signal::SIGCONT).unwrap();
    witness.flag("calm");
    witness.unflag("hold");
    for mut child in [one, three] {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(witness.acting(), []);
}
