//! The three roles of `twitcher-fleet(7)`: what each may do, and what a member may not.

use std::path::Path;
use std::process::{Command, Stdio};

use super::hosts::{Fleet, Setup};
use crate::fixture::daemon::Daemon;
use crate::fixture::etcd::Etcd;
use crate::fixture::zookeeper::ZooKeeper;

const ETCD: &str = include_str!("../../../src/cli/generate/roles/etcd.sh");
const ZOOKEEPER: &str = include_str!("../../../src/cli/generate/roles/zookeeper.txt");

/// Runs each line of the recipe that is a command of etcdctl.
fn etcd_roles(etcd: &Etcd) {
    let script =
        format!("etcdctl() {{ command etcdctl --endpoints=127.0.0.1:{} \"$@\"; }}\n{ETCD}", etcd.port());
    let output = Command::new("sh").args(["-e", "-c", &script]).env("ETCDCTL_API", "3").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A configuration directory for commands under a role.
fn role(url: &str, credentials: &str) -> Daemon {
    Daemon::prepare(&format!(
        "default_store = 'main'\n[fleet]\nttl = '10s'\nacl = 'creator'\n[store.main]\nurl = '{url}'\n{credentials}\n"
    ))
}

/// One daemon that may conduct and two that may not, under their roles; and what each role is allowed.
fn roles_hold(fleet: &mut Fleet, credentials: impl Fn(&str) -> String) {
    let url = fleet.url.clone();
    let operator = role(&url, &credentials("operator"));
    let member = role(&url, &credentials("member"));
    operator.say(&["put", "/git/head", "first"]);
    for host in 0..3 {
        let (name, conduct) = if host == 0 { ("conductor", true) } else { ("member", false) };
        let settings = format!(
            "host = 'h{host}'\n[fleet]\nttl = '10s'\nacl = 'creator'\nconduct = {conduct}\n[store.main]\nurl = '{url}'\n{}\n",
            credentials(name)
        );
        fleet.daemons.push(Daemon::start(&settings, &[("git.toml", &fleet.watch(Setup::default()))]));
    }
    let all_have = |fleet: &Fleet, runs: u64| {
        for daemon in &fleet.daemons {
            daemon.until_watch("git", |watch| {
                watch["runs"].as_u64() >= Some(runs) && watch["fleet"]["state"] == "converged"
            });
        }
    };
    all_have(fleet, 1);
    operator.say(&["fleet", "pause", "git"]);
    operator.say(&["put", "/git/head", "second"]);
    fleet.daemons[1].until_watch("git", |watch| watch["fleet"]["permit"] == "asked");

    // A member can neither grant itself a permit, nor undo the pause, nor take the conductor's place.
    for (key, value) in [
        ("permits/h1", "{\"format\":1,\"id\":\"9-1\"}"),
        ("control", "{\"format\":1}"),
        ("rollout", "{\"format\":1}"),
        ("summary", "{\"format\":1}"),
        ("conductor", "{\"format\":1}"),
    ] {
        let key = format!("/twitcher/fleet/git/{key}");
        for args in [&["put", key.as_str(), value][..], &["del", key.as_str()]] {
            let output = member.ask(args);
            assert!(!output.status.success(), "a member may {args:?}");
        }
    }
    assert!(!member.ask(&["fleet", "resume", "git"]).status.success());
    member.say(&["fleet", "status", "git"]);
    crate::fixture::daemon::stays_silent_for(
        std::time::Duration::from_secs(3),
        "an action started though the group is paused",
        || fleet.daemons.iter().all(|daemon| daemon.watch("git")["runs"] == 1),
    );
    operator.say(&["fleet", "resume", "git"]);
    all_have(fleet, 2);
    operator.say(&["fleet", "wait", "git", "--timeout", "1m"]);
    let mut gone = fleet.daemons.pop().unwrap();
    gone.stop();
    operator.say(&["fleet", "forget", "git", "h2"]);
}

fn secret(place: &Path, role: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let file = place.join(role);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file.display().to_string()
}

#[test]
fn on_etcd() {
    let etcd = Etcd::start();
    let mut fleet = Fleet::without_daemons(&etcd.url());
    etcd_roles(&etcd);
    let place = tempfile::tempdir().unwrap();
    for role in ["member", "conductor", "operator"] {
        etcd.ctl(&["user", "add", &format!("{role}:secret")]);
        etcd.ctl(&["user", "grant-role", role, role]);
    }
    etcd.ctl(&["user", "grant-role", "conductor", "member"]);
    etcd.ctl(&["user", "add", "root:secret"]);
    etcd.ctl(&["user", "grant-role", "root", "root"]);
    etcd.ctl(&["auth", "enable"]);
    let file = secret(place.path(), "password", "secret\n");
    roles_hold(&mut fleet, |role| format!("username = '{role}'\npassword_file = '{file}'"));
}

/// `user:base64(sha1(user:password))`, by the tool of `ZooKeeper`.
fn digest(role: &str) -> String {
    let output = Command::new("/usr/bin/java")
        .args(["-cp", &crate::fixture::zookeeper::class_path()])
        .args(["org.apache.zookeeper.server.auth.DigestAuthenticationProvider", &format!("{role}:secret")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().rsplit("->").next().unwrap().to_owned()
}

#[test]
fn on_zookeeper() {
    use std::io::Write as _;
    let server = ZooKeeper::start();
    let mut fleet = Fleet::without_daemons(&server.url());
    let place = tempfile::tempdir().unwrap();
    let mut recipe = ZOOKEEPER.to_owned();
    for (word, role) in [("MEMBER", "member"), ("CONDUCTOR", "conductor"), ("OPERATOR", "operator")] {
        recipe = recipe.replace(word, &digest(role));
    }
    let mut shell = Command::new("/usr/bin/java")
        .args(["-cp", &crate::fixture::zookeeper::class_path(), "org.apache.zookeeper.ZooKeeperMain"])
        .args(["-server", &server.address()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = shell.stdin.take().unwrap();
    write!(input, "addauth digest root:secret\n{recipe}quit\n").unwrap();
    drop(input);
    let output = shell.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(fleet.key("control").is_some(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let file = |role: &str| secret(place.path(), role, &format!("{role}:secret\n"));
    roles_hold(&mut fleet, |role| format!("digest_file = '{}'", file(role)));
}
