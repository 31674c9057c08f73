//! Problems at start: a control socket that is stale or in use, and a wrong password.

use super::witness::Scene;
use super::writer::Writer;
use crate::fixture::daemon::{Daemon, until};
use crate::fixture::etcd::Etcd;

#[test]
fn a_control_socket_left_by_a_killed_daemon_is_replaced() {
    let mut daemon = Daemon::start("", &[]);
    daemon.kill();
    assert!(daemon.path("control.sock").exists(), "a killed daemon leaves its socket");
    daemon.run();
    daemon.status();
    assert!(daemon.stop().success());
    assert!(!daemon.path("control.sock").exists(), "a stopped daemon removes its socket");
}

#[test]
fn a_control_socket_in_use_is_not_taken_away() {
    let first = Daemon::start("", &[]);
    let second = Daemon::prepare("");
    let conf = second.path("config/twitcher.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    let text = text.replace(
        &second.path("control.sock").display().to_string(),
        &first.path("control.sock").display().to_string(),
    );
    std::fs::write(&conf, text).unwrap();
    let refused = second.ask(&["run"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("another twitcher daemon answers on"), "{error}");
    assert_eq!(first.status()["daemon"]["pid"], first.pid());
}

#[test]
fn a_wrong_password_is_reported_and_a_corrected_one_needs_no_reload() {
    let etcd = Etcd::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = etcd.client().await;
        client.put("/n", "1", None).await.unwrap();
        client.user_add("root", "right", None).await.unwrap();
        client.role_add("root").await.unwrap();
        client.user_grant_role("root", "root").await.unwrap();
        client.auth_enable().await.unwrap();
    });
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), "wrong\n").unwrap();
    let login = format!("username = 'root'\npassword_file = '{}'", password.path().display());
    let mut scene = Scene::prepare(&etcd.url(), &login, "", Writer::etcd(&[etcd.port()]));
    scene.daemon.run();
    let why = scene.until_down();
    assert!(why.contains("authentication failed") && !why.contains("wrong\n"), "{why}");
    assert!(scene.daemon.say(&["explain", "main-queue"]).contains("authentication failed"));
    std::fs::remove_file(password.path()).unwrap();
    until("another reason", || {
        let why = scene.store()["error"].as_str().unwrap_or_default().to_owned();
        why.contains(&password.path().display().to_string()).then_some(())
    });
    std::fs::write(password.path(), "right\n").unwrap();
    scene.daemon.until_converged("main-queue");
    scene.witnesses.until_last(&scene.daemon, "main-queue", 1);
    let everything = scene.daemon.say(&["status", "--json"]) + &scene.daemon.log();
    assert!(
        !everything.contains("right") && !everything.contains("wrong"),
        "a secret is shown: {everything}"
    );
}
