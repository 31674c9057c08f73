//! `twitcher check` run by another user than the daemon's.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use crate::fixture::executable;

const NOBODY: u32 = 65534;

/// Checks a watch file as nobody, who cannot reach the directory of this binary.
fn check_as_nobody(watch: &str) -> Output {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let binary = place.path().join("twitcher");
    executable::copy(env!("CARGO_BIN_EXE_twitcher"), &binary);
    let config = place.path().join("config");
    std::fs::create_dir(&config).unwrap();
    std::fs::write(config.join("a.toml"), watch).unwrap();
    Command::new(binary).args(["check", "-c"]).arg(config).uid(NOBODY).gid(NOBODY).output().unwrap()
}

#[test]
fn files_for_a_root_daemon_pass_for_any_user() {
    let checked = check_as_nobody("[[watch]]\nkey='/a'\naction='true'\nuid='daemon'\ngid='daemon'\n");
    let (out, note) = (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success(), "{out}{note}");
    assert!(note.contains("as for a daemon that runs as root"), "{note}");
}

#[test]
fn an_unknown_user_is_a_problem_for_any_user() {
    let checked = check_as_nobody("[[watch]]\nkey='/a'\naction='true'\nuid='no-such-user'\n");
    assert_eq!(checked.status.code(), Some(1));
    let out = String::from_utf8_lossy(&checked.stdout);
    assert!(out.contains("there is no user `no-such-user`"), "{out}");
}

#[test]
fn there_is_no_note_if_no_account_is_named() {
    let checked = check_as_nobody("[[watch]]\nkey='/a'\naction='true'\n");
    assert!(checked.status.success());
    assert_eq!(String::from_utf8_lossy(&checked.stderr), "");
}

/// The problems of a `twitcher.conf` with a store that names this file, checked as root.
fn check_file(field: &str, prepare: impl FnOnce(&std::path::Path)) -> (bool, String) {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = place.path().join("secret");
    prepare(&file);
    let table = match field {
        "password_file" => "url = 'etcd://a'\nusername = 'u'\n",
        "digest_file" => "url = 'zookeeper://a'\n",
        _ => "url = 'etcd://a'\n[store.main.tls]\n",
    };
    let conf = format!("[store.main]\n{table}{field} = '{}'\n", file.display());
    std::fs::write(place.path().join("twitcher.conf"), conf).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_twitcher"));
    let checked = command.args(["check", "-c"]).arg(place.path()).output().unwrap();
    (checked.status.success(), String::from_utf8_lossy(&checked.stdout).into_owned())
}

fn write(text: &str, mode: u32) -> impl FnOnce(&std::path::Path) {
    move |path| {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn check_reads_the_files_of_stores() {
    let (well, told) = check_file("password_file", write("hunter2\n", 0o600));
    assert!(well && !told.contains("warning"), "{told}");
    let pipe = |path: &std::path::Path| {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    };
    for (field, (well, told), expected) in [
        ("password_file", check_file("password_file", |_| ()), "No such file"),
        ("password_file", check_file("password_file", write("\n", 0o600)), "it is empty"),
        ("password_file", check_file("password_file", pipe), "it is not a regular file"),
        ("digest_file", check_file("digest_file", write("hunter2\n", 0o600)), "`user:password`"),
        ("ca", check_file("ca", write("hunter2\n", 0o644)), "it holds no certificate in PEM"),
    ] {
        assert!(!well && told.contains(expected), "{field}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let (well, told) = check_file("password_file", write("hunter2\n", 0o644));
    assert!(
        well && told.contains("warning") && told.contains("is readable by everyone (mode 0644)"),
        "{told}"
    );
    let theirs = |path: &std::path::Path| {
        write("hunter2\n", 0o600)(path);
        std::os::unix::fs::chown(path, Some(NOBODY), None).unwrap();
    };
    let (well, told) = check_file("password_file", theirs);
    assert!(!well && told.contains("belongs to user 65534"), "{told}");
}

#[test]
fn a_secret_in_the_settings_is_not_shown() {
    let place = tempfile::tempdir().unwrap();
    let conf = "[store.main]\nurl = 'etcd://a'\npassword = 'hunter2'\n";
    std::fs::write(place.path().join("twitcher.conf"), conf).unwrap();
    std::fs::write(place.path().join("key.toml"), "hunter2\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_twitcher"));
    let checked = command.args(["check", "-c"]).arg(place.path()).output().unwrap();
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(
        told.contains("unknown field of a store table `password`") && told.contains("password_file ="),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
}
