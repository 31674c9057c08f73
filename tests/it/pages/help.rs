//! The examples of `--help` and of the manual pages, run word for word.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::super::fixture::daemon::{Daemon, until};
use super::super::fixture::etcd::Etcd;
use super::super::fixture::executable;
use super::super::fixture::program::good;
use super::super::fixture::zookeeper::ZooKeeper;
use super::{Machine, TWITCHER};

/// The effect of an example.
enum Does {
    /// Succeeds with this output.
    Prints(&'static str),
    /// Succeeds, and then a key has this value.
    Sets(&'static str, &'static str),
    /// Keeps running, and prints this after a key gets the new value.
    Follows(&'static str, &'static str, &'static str),
    /// The same, on a terminal.
    Draws(&'static str),
}
use Does::{Draws, Follows, Prints, Sets};

const EXAMPLES: &[(&str, Does)] = &[
    ("twitcher check", Prints("2 files, 1 watch: no problems")),
    ("twitcher check --online --timeout 10s", Prints("2 files, 1 watch: no problems")),
    ("twitcher check --host web-17 --var role=web", Prints("twitcher.conf: ok")),
    ("twitcher check --strict --output-format github", Prints("2 files, 1 watch: no problems")),
    ("twitcher status", Prints("1 watch: 1 ok")),
    ("twitcher status --failed --follow", Draws("no watch")),
    ("twitcher status 'web-*'", Prints("web-server")),
    ("twitcher status --check || echo not yet", Prints("")),
    ("twitcher status --check=nagios", Prints("TWITCHER OK")),
    ("twitcher status --json | jq '.watches[] | select(.converged | not) | .name'", Prints("")),
    ("twitcher history web-server -n 5", Prints("succeeded")),
    ("twitcher history web-server --since 1h", Prints("version ")),
    ("twitcher history web-server --follow", Draws("attempt 1")),
    ("twitcher history web-server --json | jq '.runs[] | select(.outcome != \"succeeded\")'", Prints("")),
    ("twitcher explain web-server", Prints("nothing runs until /web/server changes.")),
    ("twitcher trigger web-server --dry-run", Prints("directory   /")),
    ("twitcher trigger web-server", Prints("web-server runs")),
    ("twitcher put /web/server on && twitcher wait web-server --timeout 2m", Prints("")),
    ("twitcher fleet status", Prints("no group of a fleet is in store")),
    ("twitcher fleet status --json | jq -r '.groups[].group'", Prints("")),
    ("twitcher pause web-server --for 1h", Prints("is paused until")),
    ("twitcher pause 'web-*'", Prints("is paused until")),
    ("twitcher resume --all", Prints("web-server goes on")),
    ("twitcher reload --dry-run", Prints("unchanged: 1")),
    ("twitcher reload", Prints("unchanged: 1")),
    ("twitcher check --host web-17 --var role=web", Prints("web.toml: ok")),
    ("twitcher version", Prints("twitcher ")),
    ("twitcher generate ~/.local/share", Prints("")),
    ("twitcher watch /git/head -- cat", Follows("/git/head", "77be0d2", "77be0d2")),
    (
        "twitcher watch /nginx --tree -- sh -c 'cat > nginx.json && nginx -s reload'",
        Follows("/nginx/port", "9090", "nginx -s reload"),
    ),
    ("twitcher watch /ready --once -- true", Prints("")),
    ("twitcher watch /jobs --no-settle --from -10 -- cat", Follows("/jobs", "tidy up", "tidy up")),
    ("twitcher get /nginx/port", Prints("8080")),
    ("twitcher get /nginx/port --json | jq -r .version", Prints("1042")),
    ("twitcher get /certs/web > web.pem; cat web.pem", Prints("CERTIFICATE")),
    ("twitcher put /nginx/port 8080", Sets("/nginx/port", "8080")),
    ("twitcher put /certs/web - < web.pem", Sets("/certs/web", "another\n")),
    ("twitcher put /leader me --if-absent", Sets("/leader", "me")),
    ("twitcher put /nginx/port 8081 --if-version 1042", Sets("/nginx/port", "8081")),
    ("twitcher del /nginx/port", Sets("/nginx/port", "")),
    ("twitcher del /nginx --tree --yes", Sets("/nginx/port", "")),
    ("twitcher ls /", Prints("nginx")),
    ("twitcher ls /nginx --tree --long", Prints("/nginx/port")),
    ("twitcher tree /nginx", Draws("8080")),
    ("twitcher tree / --store etcd://localhost:2379", Draws("CERTIFICATE")),
    ("twitcher tree /nginx --once | less", Prints("8080")),
    ("twitcher dump /nginx > nginx.yaml; cat nginx.yaml", Prints("port: ")),
    (
        "twitcher dump / --store etcd://old:2379 | twitcher load - --store zookeeper://new:2181; twitcher get /nginx/port --store zookeeper://new:2181",
        Prints("8080"),
    ),
    ("twitcher load nginx.yaml --at /nginx --dry-run; twitcher get /nginx/port", Prints("8080")),
    ("twitcher load nginx.yaml --at /nginx --replace", Sets("/nginx/port", "1234")),
    ("twitcher monitor /nginx", Follows("/nginx/port", "9090", "9090")),
    ("twitcher monitor / --from -20", Follows("/git/head", "77be0d2", "CERTIFICATE")),
    ("twitcher monitor /orders --json | jq -r .value", Follows("/orders/2", "two apples", "two apples")),
];

/// The examples of a help text.
fn examples(help: &str) -> Vec<String> {
    let lines = help.split("Examples:\n").nth(1).unwrap_or_default().lines();
    lines.take_while(|line| !line.is_empty()).map(|line| line.trim().to_owned()).collect()
}

fn help(words: &[&str]) -> String {
    let output = Command::new(TWITCHER).args(words).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_example_has_a_test() {
    let top = help(&[]);
    let mut found = examples(&top);
    let commands = top.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for command in commands.lines().filter_map(|line| line.split_whitespace().next()) {
        found.extend(examples(&help(&[command])));
    }
    assert!(found.len() >= 20, "{found:?}");
    for example in found {
        // Some continue with a command that shows the effect of the example.
        let known = EXAMPLES.iter().any(|(known, _)| known.split("; ").next() == Some(&*example));
        assert!(known, "no test runs the example `{example}`");
    }
}

/// A shell and everything that it starts.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = killpg(group, Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Starts a block that keeps running, with its output in a file.
fn start(mut shell: Command, output: &Path) -> Group {
    let file = std::fs::File::create(output).unwrap();
    shell.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
    Group(shell.spawn().unwrap())
}

#[test]
fn every_example_works() {
    let (etcd, zookeeper) = (Etcd::start(), ZooKeeper::start());
    let store = etcd.url();
    let watch = "[[watch]]\nname = 'web-server'\nkey = '/web/server'\naction = 'true'\n";
    let daemon = Daemon::start("", &[("web.toml", watch)]);
    daemon.put("/web/server", "on");
    daemon.until_runs("web-server", 1);
    let home = tempfile::Builder::new().prefix("twitcher-help.").tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    for (example, does) in EXAMPLES {
        // Every example starts from the same keys.
        let _ = Command::new(TWITCHER).args(["del", "/leader", "--store", &store]).output();
        for (key, value) in [
            ("/git/head", "4f2a91c"),
            ("/nginx/port", "8080"),
            ("/certs/web", "-----BEGIN CERTIFICATE-----\n"),
            ("/orders/1", "one pear"),
            ("/ready", "yes"),
        ] {
            good(&store, &["put", key, "--", value]);
        }
        std::fs::write(at("nginx.yaml"), "port: '1234'\n").unwrap();
        std::fs::write(at("web.pem"), "another\n").unwrap();
        let version: serde_json::Value =
            serde_json::from_str(&good(&store, &["get", "/nginx/port", "--json"])).unwrap();
        let version = version["version"].to_string().replace('"', "");

        let mut machine = Machine::new(home.path())
            .with("etcd://localhost:2379", &store)
            .with("etcd://old:2379", &store)
            .with("zookeeper://new:2181", zookeeper.url());
        if example.contains("1042") {
            machine = machine.with("1042", &version);
        }
        machine.program(
            "twitcher",
            &format!("exec '{TWITCHER}' -c '{}' \"$@\"", daemon.path("config").display()),
        );
        machine.program("less", "exec cat");
        // Shows each line at once, as on a terminal.
        machine.program("jq", "exec /usr/bin/jq --unbuffered \"$@\"");
        machine.program("nginx", "echo nginx \"$@\"");
        executable::copy(at("programs/less"), &at("regenerate"));
        let shell = |block: &str| {
            let mut shell = machine.shell(block);
            shell.env("TWITCHER_STORE", &store).env("TERM", "xterm").env("SHELL", "/bin/sh");
            shell
        };
        let shown = || std::fs::read_to_string(at("shown")).unwrap_or_default();
        match does {
            Prints(text) | Sets(_, text) => {
                let output = shell(example).stdin(Stdio::null()).output().unwrap();
                let printed = String::from_utf8_lossy(&output.stdout);
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{example}: {printed}{errors}");
                if let Sets(key, _) = does {
                    let got = Command::new(TWITCHER).args(["get", key, "--store", &store]).output().unwrap();
                    assert_eq!(String::from_utf8(got.stdout).unwrap(), *text, "{example}");
                } else {
                    let text = if *text == "1042" { &version } else { *text };
                    assert!(printed.contains(text), "{example}: {printed}{errors}");
                }
            }
            Follows(key, value, text) => {
                let _running = start(shell(example), &at("shown"));
                // Changed again until it is seen: there is no sign that a command listens. Rarely enough to settle.
                let mut changed: Option<Instant> = None;
                until((example, "an answer"), || {
                    if changed.is_none_or(|at| at.elapsed() > Duration::from_secs(3)) {
                        good(&store, &["put", key, value]);
                        changed = Some(Instant::now());
                    }
                    shown().contains(text).then_some(())
                });
            }
            Draws(text) => {
                let _ = std::fs::remove_file(at("shown"));
                let script = format!(
                    "exec script --quiet --flush --command \"stty rows 20 cols 90; {example}\" '{}'",
                    at("shown").display()
                );
                let _running = start(shell(&script), &at("screen"));
                until((example, text), || shown().contains(text).then_some(()));
            }
        }
    }
}
