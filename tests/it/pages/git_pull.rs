//! `docs/git-pull.md`: ten machines follow a repository, despite a failing git server and a daemon that was down.

use std::path::Path;

use super::super::fixture::daemon::{Daemon, until};
use super::super::fixture::etcd::Etcd;
use super::{Machine, TWITCHER, blocks, fenced};

const PAGE: &str = include_str!("../../../docs/git-pull.md");
const EXAMPLE: &str = include_str!("../../../etc/examples/git-pull.toml");
const SERVER: &str = "## 1. On the git server";
const EVERY_MACHINE: &str = "## 2. On every machine";
const PUSH: &str = "## 3. Push";
const MACHINES: usize = 10;

/// One of the machines: its shell, and its daemon.
struct Web {
    machine: Machine,
    daemon: Daemon,
}

impl Web {
    /// With the package installed, as far as a test can: the daemon runs on the packaged configuration.
    fn start(number: usize, everywhere: impl Fn(Machine) -> Machine) -> Self {
        let mut daemon = Daemon::prepare(&format!("host = \"web-{number}\"\nshutdown_grace = \"5s\""));
        daemon.run();
        let top = daemon.place.path();
        let config = std::fs::read_to_string(top.join("config/twitcher.conf")).unwrap();
        let (own, _stores) = config.split_once("[store.").unwrap();
        let machine = everywhere(Machine::new(top))
            .with("/etc/twitcher", top.join("config").display())
            .with("/srv/site", top.join("site").display())
            .with("/usr/share/twitcher/examples", top.display())
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

    fn until_at(&self, commit: &str) {
        until(format!("{commit}; {}", self.daemon.watch("git-pull")), || {
            (self.commit() == commit).then_some(())
        });
        self.daemon.until_converged("git-pull");
    }
}

/// Stubs for programs of the page that must not touch this machine.
fn install(machine: &Machine, config: &Path) {
    // There is one user here, who may do everything; the daemon of the page answers only root.
    let rooted =
        "case $1 in put) ;; *) [ -n \"${ROOT:-}\" ] || { echo \"$1: not root\" >&2; exit 1; } ;; esac";
    machine.program("twitcher", &format!("{rooted}\nexec '{TWITCHER}' -c '{}' \"$@\"", config.display()));
    machine.program("sudo", "[ \"$1\" != -u ] || shift 2\nROOT=yes exec \"$@\"");
    let package = concat!("./twitcher_", env!("CARGO_PKG_VERSION"), "-1_amd64.deb");
    machine.program("apt-get", &format!("[ \"$*\" = 'install {package}' ]"));
    machine.program("systemctl", "[ \"$*\" = 'reload twitcher' ] && exec twitcher reload");
}

fn commit_and_push(author: &Machine, text: &str) -> String {
    author.types(&format!("cd work; echo {text} >index.html; git add index.html; git commit -q -m {text}"));
    author.types(&format!("cd work\n{}", blocks(PAGE, PUSH, "sh")[0]));
    author.types("git -C work rev-parse HEAD").trim().to_owned()
}

#[test]
fn the_packaged_example_equals_the_watch_file_of_the_page() {
    assert_eq!(fenced(PAGE, "toml"), [EXAMPLE]);
}

#[test]
fn ten_machines_follow_a_repository() {
    let etcd = Etcd::start();
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
            .with("etcd.example:2379", format!("127.0.0.1:{}", etcd.port()))
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
    let server = everywhere(Machine::new(top));
    let settings = top.join("none");
    std::fs::create_dir(&settings).unwrap();
    install(&server, &settings);
    for block in page_of(SERVER) {
        server.types(&block);
    }

    let mut webs: Vec<Web> = (0..MACHINES).map(|number| Web::start(number, everywhere)).collect();
    let page = page_of(EVERY_MACHINE);
    for (web, block) in webs.iter().flat_map(|web| page.iter().map(move |block| (web, block))) {
        web.machine.types(block);
    }
    server.types("git init -q -b main work; git -C work remote add origin /srv/git/site.git");

    // All machines have it.
    let first = commit_and_push(&server, "first");
    for web in &webs {
        web.until_at(&first);
    }
    let push = page_of(PUSH);
    let shown = push[1..].iter().map(|block| webs[3].machine.types(block)).collect::<String>();
    assert!(shown.contains("yes: the newest state was applied"), "{shown}");
    assert!(shown.contains(&first[..7]) && shown.contains("succeeded"), "{shown}");
    assert_eq!(typed, fenced(PAGE, "sh").len(), "a block of the page is under a heading that is not run");

    // The git server fails twice, and still all machines get the commit.
    std::fs::remove_file(&reachable).unwrap();
    let second = commit_and_push(&server, "second");
    for web in &webs {
        web.daemon.until_watch("git-pull", |watch| watch["failures"].as_u64() >= Some(2));
        assert_eq!(web.commit(), first);
    }
    reach();
    for web in &webs {
        web.until_at(&second);
        let last = web.daemon.until_watch("git-pull", |watch| watch["last"]["outcome"] == "succeeded");
        assert_eq!(last["last"]["reason"], "retry", "{last:#}");
        assert!(last["last"]["attempt"].as_u64() >= Some(3), "{last:#}");
    }

    // One daemon is down during a push, and catches up.
    assert!(webs[0].daemon.stop().success());
    let third = commit_and_push(&server, "third");
    for web in &webs[1..] {
        web.until_at(&third);
    }
    assert_eq!(webs[0].commit(), second);
    webs[0].daemon.run();
    webs[0].until_at(&third);
}
