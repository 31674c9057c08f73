//! `docs/git-pull.md`: twenty machines follow a repository, canaries first, on etcd and on `ZooKeeper`.

use std::path::Path;
use std::process::{Output, Stdio};

use super::super::fixture::daemon::{Daemon, until};
use super::super::fixture::etcd::Etcd;
use super::super::fixture::zookeeper::ZooKeeper;
use super::{Machine, TWITCHER, blocks, fenced};

const PAGE: &str = include_str!("../../../docs/git-pull.md");
const EXAMPLE: &str = include_str!("../../../etc/examples/git-pull.toml");
const SERVER: &str = "## 1. On the git server";
const EVERY_MACHINE: &str = "## 2. On every machine";
const PUSH: &str = "## 3. Push";
const PIPELINE: &str = "## 4. In the pipeline";
const BAD: &str = "## 5. A bad commit";
const MACHINES: usize = 20;
const CANARY: usize = 0;

/// A machine of the page: its shell, and its daemon.
struct Host {
    machine: Machine,
    daemon: Daemon,
}

/// The watched store, which can be away.
trait Server {
    fn url(&self) -> String;
    fn kill(&mut self);
    fn start_again(&mut self);
}

impl Server for Etcd {
    fn url(&self) -> String {
        self.url()
    }
    fn kill(&mut self) {
        self.kill();
    }
    fn start_again(&mut self) {
        self.start_again();
    }
}

impl Server for ZooKeeper {
    fn url(&self) -> String {
        self.url()
    }
    fn kill(&mut self) {
        self.kill();
    }
    fn start_again(&mut self) {
        self.start_again();
    }
}

impl Host {
    /// With the package installed, as far as a test can: the daemon runs on the packaged configuration.
    fn start(name: &str, everywhere: impl Fn(Machine) -> Machine) -> Self {
        let mut daemon = Daemon::prepare(&format!("host = \"{name}\"\nshutdown_grace = \"5s\""));
        daemon.run();
        let top = daemon.place.path();
        let config = std::fs::read_to_string(top.join("config/twitcher.conf")).unwrap();
        let (own, _stores) = config.split_once("[store.").unwrap();
        let machine = everywhere(Machine::new(top))
            .with("/etc/twitcher", top.join("config").display())
            .with("/srv/site", top.join("site").display())
            .with("/usr/share/twitcher/examples", top.display())
            .with("action = \"twitcher", format!("action = \"{}/twitcher", top.join("programs").display()))
            // Nothing happens in these two minutes.
            .with("soak = \"2m\"", "soak = \"1s\"")
            // The daemon's own state directory and socket stay unchanged.
            .with("default_store = \"main\"\n", format!("default_store = \"main\"\n{own}"));
        install(&machine, &top.join("config"));
        // The example as a file of this machine: it contains paths, too.
        std::fs::write(top.join("git-pull.toml"), machine.here(EXAMPLE)).unwrap();
        Self { machine, daemon }
    }

    fn commit(&self) -> String {
        // Fails until the first commit.
        let output = self.machine.shell("git -C /srv/site rev-parse HEAD").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[track_caller]
    fn until_at(&self, commit: &str) {
        until(format!("{commit}; {}", self.daemon.watch("git-pull")), || {
            (self.commit() == commit).then_some(())
        });
        self.daemon.until_converged("git-pull");
    }
}

#[track_caller]
fn until_all_at(hosts: &[Host], commit: &str) {
    for host in hosts {
        host.until_at(commit);
    }
}

/// Stubs for programs of the page that must not touch this machine.
fn install(machine: &Machine, config: &Path) {
    // There is one user here, who may do everything; the daemon of the page answers only root.
    let rooted = "case $1 in put|get|fleet) ;; *) [ -n \"${ROOT:-}\" ] || { echo \"$1: not root\" >&2; exit 1; } ;; esac";
    machine.program("twitcher", &format!("{rooted}\nexec '{TWITCHER}' -c '{}' \"$@\"", config.display()));
    machine.program("sudo", "[ \"$1\" != -u ] || shift 2\nROOT=yes exec \"$@\"");
    let package = concat!("./twitcher_", env!("CARGO_PKG_VERSION"), "-1_amd64.deb");
    machine.program("apt-get", &format!("[ \"$*\" = 'install {package}' ]"));
    machine.program("systemctl", "[ \"$*\" = 'reload twitcher' ] && exec twitcher reload");
}

/// Who writes commits: a clone on a machine of their own, with the package and without a daemon.
struct Author(Machine);

impl Author {
    fn commit(&self, text: &str) -> String {
        self.0
            .types(&format!("cd work; echo {text} >index.html; git add index.html; git commit -q -m {text}"));
        self.head()
    }

    fn head(&self) -> String {
        self.0.types("git -C work rev-parse HEAD").trim().to_owned()
    }

    fn types(&self, block: &str) -> String {
        self.0.types(&format!("cd work\n{block}"))
    }

    fn push(&self, text: &str) -> String {
        let commit = self.commit(text);
        self.types(&blocks(PAGE, PUSH, "sh")[0]);
        commit
    }

    /// The job of the pipeline.
    fn job(&self) -> Output {
        self.0.shell(&format!("cd work\n{}", blocks(PAGE, PIPELINE, "sh")[0])).output().unwrap()
    }

    #[track_caller]
    fn job_succeeds(&self) {
        let job = self.job();
        assert!(job.status.success(), "{job:?}");
    }
}

#[test]
fn the_packaged_example_equals_the_watch_file_of_the_page() {
    assert!(fenced(PAGE, "toml").contains(&EXAMPLE.to_owned()));
}

#[test]
fn only_a_commit_is_an_argument_of_git() {
    let place = tempfile::tempdir().unwrap();
    let machine = Machine::new(place.path());
    machine.program("git", "echo \"$@\" >>calls");
    machine.program("check", "true");
    let example: toml::Table = EXAMPLE.parse().unwrap();
    let action = example["watch"][0]["action"].as_str().unwrap().replace("./check", "check");
    let run = |value: &str| {
        let _ = std::fs::remove_file(place.path().join("calls"));
        let mut shell = machine.shell(&action);
        let mut child = shell.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), value.as_bytes()).unwrap();
        let status = child.wait().unwrap();
        (status.code().unwrap(), std::fs::read_to_string(place.path().join("calls")).unwrap_or_default())
    };
    for length in [40, 64] {
        let commit = "0a".repeat(length / 2);
        let calls = format!("fetch --quiet origin\nreset --quiet --hard {commit}\n");
        assert_eq!(run(&commit), (0, calls.clone()));
        assert_eq!(run(&format!("{commit}\n")), (0, calls));
    }
    let commit = "0a".repeat(20);
    for value in [
        "",
        "main",
        "--upload-pack=touch${IFS}x",
        &commit[1..],
        &format!("{commit}0"),
        &format!("-{}", &commit[1..]),
        &format!("{} ", &commit[1..]),
        &format!("{commit}\n{commit}"),
        &format!("{}\n0", &commit[2..]),
        &commit.to_uppercase(),
        &"é".repeat(20),
        &"é".repeat(40),
    ] {
        assert_eq!(run(value), (65, String::new()), "{value:?}");
    }
}

#[test]
fn a_hook_that_runs_late_publishes_the_newest_commit_under_a_lock() {
    let place = tempfile::tempdir().unwrap();
    let machine = Machine::new(place.path()).with("/srv/git", place.path().join("git").display());
    install(&machine, place.path());
    let published = "[ \"$1 $4\" = 'put /main' ] && echo \"$5\" >>../published && ! flock --nonblock . true";
    machine.program("twitcher", published);
    for block in &blocks(PAGE, SERVER, "sh")[..2] {
        machine.types(block);
    }
    machine.types("git init -q -b main work; git -C work remote add origin /srv/git/site.git");
    let push = |text: &str| {
        machine.types(&format!(
            "cd work; git commit -q --allow-empty -m {text}; git push -q origin main; git rev-parse HEAD"
        ))
    };
    let (first, second) = (push("first"), push("second"));
    // The hook of the first push, as git runs it, after that of the second one.
    let late = "cd /srv/git/site.git; echo \"$(printf %040d 0) $(git rev-parse main~1) refs/heads/main\" | \
                GIT_DIR=. hooks/post-receive";
    machine.types(late);
    let published = || std::fs::read_to_string(place.path().join("git/published")).unwrap();
    assert_eq!(published(), format!("{first}{second}{second}"));
    // Without the branch there is nothing to publish.
    machine.types("cd /srv/git/site.git; git update-ref -d refs/heads/main; GIT_DIR=. hooks/post-receive");
    assert_eq!(published(), format!("{first}{second}{second}"));
}

#[test]
fn the_job_ends_at_the_first_command_that_fails() {
    let place = tempfile::tempdir().unwrap();
    let machine = Machine::new(place.path());
    std::fs::write(place.path().join("job"), &blocks(PAGE, PIPELINE, "sh")[0]).unwrap();
    machine.program("git", "echo \"git $1\" >>calls; case \"$1 $4\" in $FAILS) exit 1 ;; esac");
    let timeout = "echo \"timeout $1\" >>calls; [ \"$FAILS\" != timeout ] || exit 124; shift; exec \"$@\"";
    machine.program("timeout", timeout);
    // The fleet is rolled back during the wait.
    let twitcher = "case $1 in get) cat key ;; *) echo wait >>calls; echo older >key; exit \"$WAIT\" ;; esac";
    machine.program("twitcher", twitcher);
    let job = |fails: &str, wait: &str| {
        let _ = std::fs::remove_file(place.path().join("calls"));
        std::fs::write(place.path().join("key"), "commit").unwrap();
        // A shell without -e, as the user's is.
        let status = machine.shell("exec sh job").env("FAILS", fails).env("WAIT", wait).status().unwrap();
        let calls = std::fs::read_to_string(place.path().join("calls")).unwrap();
        (status.code().unwrap(), calls.lines().last().unwrap().to_owned())
    };
    let ended = |status, last: &str| (status, last.to_owned());
    assert_eq!(job("nothing", "0"), ended(0, "git merge-base"));
    assert_eq!(job("push main", "0"), ended(1, "git push"));
    assert_eq!(job("timeout", "0"), ended(124, "timeout 10m"));
    assert_eq!(job("nothing", "3"), ended(3, "wait"));
    assert_eq!(job("merge-base older", "0"), ended(1, "git merge-base"));
}

#[test]
fn twenty_machines_follow_a_repository_on_etcd() {
    twenty_machines_follow_a_repository(Etcd::start());
}

#[test]
fn twenty_machines_follow_a_repository_on_zookeeper() {
    twenty_machines_follow_a_repository(ZooKeeper::for_many_daemons());
}

/// For longer than the retries last, and for two of them. Returns the last commit.
fn the_git_server_is_away(
    author: &Author,
    webs: &[Host],
    resume: &str,
    reachable: &Path,
    reach: &dyn Fn(),
) -> String {
    // The rollout stops until it may go on.
    std::fs::remove_file(reachable).unwrap();
    let fourth = author.push("fourth");
    webs[CANARY].daemon.until_watch("git-pull", |watch| watch["state"] == "failed");
    reach();
    webs[3].machine.types(resume);
    until_all_at(webs, &fourth);

    // It fails twice: nobody has to do anything.
    std::fs::remove_file(reachable).unwrap();
    let before = webs[CANARY].daemon.watch("git-pull")["failures"].as_u64().unwrap();
    let fifth = author.push("fifth");
    webs[CANARY].daemon.until_watch("git-pull", |watch| watch["failures"].as_u64() >= Some(before + 2));
    reach();
    until_all_at(webs, &fifth);
    let last = webs[CANARY].daemon.until_watch("git-pull", |watch| watch["last"]["outcome"] == "succeeded");
    assert_eq!(last["last"]["reason"], "retry", "{last:#}");
    fifth
}

fn twenty_machines_follow_a_repository(mut store: impl Server) {
    let place = tempfile::Builder::new().prefix("twitcher-git.").tempdir().unwrap();
    let top = place.path();
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    // The git server as the machines see it: a link, so that it can be unreachable for them while it accepts a push.
    let reachable = top.join("site.git");
    let repository = top.join("git/site.git");
    let reach = || std::os::unix::fs::symlink(&repository, &reachable).unwrap();
    reach();
    let everywhere = |machine: Machine| {
        machine
            .with("etcd://etcd.example:2379", store.url())
            .with("https://git.example/site.git", reachable.display())
            .with("/srv/git", top.join("git").display())
            .with("www-data", &user)
    };

    let mut typed = 0;
    let mut page_of = |heading: &str| -> Vec<String> {
        let blocks = blocks(PAGE, heading, "sh");
        typed += blocks.len();
        blocks
    };
    let mut server = Host::start("git", everywhere);
    for block in page_of(SERVER) {
        server.machine.types(&block);
    }
    let name = |number| if number == CANARY { "web-canary-1".to_owned() } else { format!("web-{number}") };
    let mut webs: Vec<Host> = (0..MACHINES).map(|number| Host::start(&name(number), everywhere)).collect();
    let page = page_of(EVERY_MACHINE);
    for (web, block) in webs.iter().flat_map(|web| page.iter().map(move |block| (web, block))) {
        web.machine.types(block);
    }
    let author = Author(everywhere(Machine::new(top)));
    let settings = top.join("none");
    std::fs::create_dir(&settings).unwrap();
    install(&author.0, &settings);
    let (push, pipeline, bad) = (page_of(PUSH), page_of(PIPELINE), page_of(BAD));
    let [failed, log, roll_back, revert, resume, pause] = &bad[..] else { panic!("{bad:?}") };
    assert_eq!((push.len(), pipeline.len()), (3, 1), "blocks that are not run");
    assert_eq!(typed, fenced(PAGE, "sh").len(), "a block of the page is under a heading that is not run");

    // All machines have the first commit, which brings the check.
    author.0.types("git init -q -b main work; git -C work remote add origin /srv/git/site.git");
    author.0.types(
        "cd work; printf '#!/bin/sh\n! grep -q bad index.html\n' >check; chmod +x check; git add check",
    );
    let first = author.push("first");
    until_all_at(&webs, &first);
    let shown = webs[3].machine.types(&push[1]);
    assert!(shown.contains("yes: the newest state was applied") && shown.contains(&first[..7]), "{shown}");
    let shown = webs[3].machine.types(&push[2]);
    assert!(shown.contains("web-canary-1") && shown.contains("web-19"), "{shown}");
    author.types("git branch -q -u origin/main");

    // The pipeline waits until all have the second one. The fleet is paused and resumed meanwhile.
    let second = author.commit("second");
    webs[3].machine.types(pause);
    author.job_succeeds();
    assert!(webs.iter().all(|web| web.commit() == second));

    // A push while the store is away neither waits nor is lost.
    store.kill();
    let third = author.push("third");
    server.daemon.until_watch("publish", |watch| watch["failures"].as_u64() >= Some(1));
    store.start_again();
    until_all_at(&webs, &third);

    // A bad commit stops at the canary, and the job says so.
    author.commit("bad");
    let job = author.job();
    let said = String::from_utf8_lossy(&job.stdout).into_owned();
    assert_eq!(job.status.code(), Some(3), "{job:?}");
    assert!(said.contains("stopped at 0 of 20, 1 failed: web-canary-1"), "{said}");
    assert!(webs[1..].iter().all(|web| web.commit() == third), "another machine has the bad commit");
    let shown = webs[3].machine.types(failed);
    assert!(shown.contains("web-canary-1") && shown.lines().count() == 1, "{shown}");

    // Rolled back by the key, although the branch is ahead; the git server's daemon does not undo that.
    let shown = author.types(log);
    let subjects: Vec<_> = shown.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(subjects, ["bad", "third", "second", "first"]);
    author.types(roll_back);
    assert!(webs.iter().all(|web| web.commit() == third));
    assert!(server.daemon.stop().success());
    server.daemon.run();
    author.types(revert);
    author.job_succeeds();
    let reverted = author.head();
    assert!(webs.iter().all(|web| web.commit() == reverted));

    let fifth = the_git_server_is_away(&author, &webs, resume, &reachable, &reach);

    // One daemon is down during a push, and catches up.
    assert!(webs[7].daemon.stop().success());
    let sixth = author.push("sixth");
    for (number, web) in webs.iter().enumerate() {
        if number != 7 {
            web.until_at(&sixth);
        }
    }
    assert_eq!(webs[7].commit(), fifth);
    webs[7].daemon.run();
    webs[7].until_at(&sixth);
}
