//! `twitcher check` where it is not run by the daemon's own user.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

const NOBODY: u32 = 65534;

/// Checks a watch file as nobody, who cannot reach the place that this binary was built in.
fn check_as_nobody(watch: &str) -> Output {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let binary = place.path().join("twitcher");
    std::fs::copy(env!("CARGO_BIN_EXE_twitcher"), &binary).unwrap();
    let config = place.path().join("config");
    std::fs::create_dir(&config).unwrap();
    std::fs::write(config.join("a.toml"), watch).unwrap();
    Command::new(binary).args(["check", "-c"]).arg(config).uid(NOBODY).gid(NOBODY).output().unwrap()
}

#[test]
fn files_for_a_root_daemon_pass_for_everybody() {
    let checked = check_as_nobody("[[watch]]\nkey='/a'\naction='true'\nuid='daemon'\ngid='daemon'\n");
    let (out, note) = (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success(), "{out}{note}");
    assert!(note.contains("as for a daemon that runs as root"), "{note}");
}

#[test]
fn a_user_that_is_not_there_is_a_problem_for_everybody() {
    let checked = check_as_nobody("[[watch]]\nkey='/a'\naction='true'\nuid='no-such-user'\n");
    assert_eq!(checked.status.code(), Some(1));
    let out = String::from_utf8_lossy(&checked.stdout);
    assert!(out.contains("there is no user `no-such-user`"), "{out}");
}

#[test]
fn nothing_is_noted_where_no_account_is_named() {
    let checked = check_as_nobody("[[watch]]\nkey='/a'\naction='true'\n");
    assert!(checked.status.success());
    assert_eq!(String::from_utf8_lossy(&checked.stderr), "");
}
