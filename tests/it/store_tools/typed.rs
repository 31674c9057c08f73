//! Arguments mean what they say: unknown options, values of any bytes, and the source of a value.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

use crate::fixture::etcd::Etcd;
use crate::fixture::program::{good, program, run};
use crate::fixture::zookeeper::ZooKeeper;

fn directory() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("dir://{}", dir.path().display());
    (dir, url)
}

/// Standard error of a command that must exit with this status and leave standard output empty.
#[track_caller]
fn bad(status: i32, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    said
}

#[test]
fn an_unknown_option_is_not_taken_as_a_value() {
    let (_dir, url) = directory();
    for option in ["--if-absnt", "-x", "--5"] {
        let said = bad(2, &run(&url, &["put", "/k", option]));
        assert!(said.contains(option), "{said}");
        assert_eq!(run(&url, &["get", "/k"]).status.code(), Some(1), "{option} was written");
    }
    for (args, value) in [
        (["put", "/k", "-5"].as_slice(), "-5"),
        (&["put", "/k", "-1.5e3"], "-1.5e3"),
        (&["put", "/k", "--", "--if-absnt"], "--if-absnt"),
        (&["put", "--", "/k", "-x"], "-x"),
        (&["put", "/k", ""], ""),
    ] {
        good(&url, args);
        assert_eq!(good(&url, &["get", "/k"]), value);
    }
}

#[test]
fn a_value_may_be_any_bytes() {
    let (dir, url) = directory();
    let mut command = Command::new(program());
    command.env("TWITCHER_STORE", &url).args(["put", "/k"]).arg(OsStr::from_bytes(b"\xff\xfe x"));
    assert!(command.status().unwrap().success());
    assert_eq!(std::fs::read(dir.path().join("k")).unwrap(), b"\xff\xfe x");
}

/// Runs a line of the shell, where `$0` is the program.
fn shell(url: &str, line: &str, input: Stdio) -> Output {
    let mut command = Command::new("/bin/sh");
    command.env("TWITCHER_STORE", url).args(["-c", line]).arg(program()).stdin(input).output().unwrap()
}

#[test]
fn a_missing_value_is_not_an_empty_value() {
    let (dir, url) = directory();
    let key = dir.path().join("k");
    let is = |value: &str| assert_eq!(std::fs::read_to_string(&key).unwrap(), value);
    good(&url, &["put", "/k", "kept"]);
    for input in ["</dev/null", "<&-", "</dev/zero"] {
        let said = bad(2, &shell(&url, &format!(r#""$0" put /k {input}"#), Stdio::null()));
        assert!(said.contains("VALUE") && said.contains("`-`") && said.contains("--file"), "{said}");
        is("kept");
    }
    let said = bad(1, &shell(&url, r#""$0" put /k - <&-"#, Stdio::null()));
    assert!(said.contains("standard input is closed"), "{said}");
    is("kept");
    for (line, value) in [
        (r#"printf piped | "$0" put /k"#, "piped"),
        (r#"printf 'piped again' | "$0" put /k -"#, "piped again"),
        (r#""$0" put /k - </dev/null"#, ""),
    ] {
        let output = shell(&url, line, Stdio::null());
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        is(value);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from a file").unwrap();
    let input = Stdio::from(std::fs::File::open(file.path()).unwrap());
    assert!(shell(&url, r#""$0" put /k"#, input).status.success());
    is("from a file");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut &ours, b"from a socket").unwrap();
    drop(ours);
    assert!(shell(&url, r#""$0" put /k"#, Stdio::from(std::os::fd::OwnedFd::from(theirs))).status.success());
    is("from a socket");
}

#[test]
fn a_configuration_directory_that_is_named_must_exist() {
    let (dir, url) = directory();
    std::fs::write(dir.path().join("file"), "").unwrap();
    for name in ["nowhere", "file"] {
        let path = dir.path().join(name);
        let path = path.to_str().unwrap();
        for args in [["-c", path, "ls"].as_slice(), &["get", "/k", "-c", path], &["status", "-c", path]] {
            let mut command = Command::new(program());
            let output = command.env_remove("TWITCHER_STORE").args(args).output().unwrap();
            let said = bad(1, &output);
            assert!(said.contains(path) && said.contains("-c"), "{said}");
        }
    }
    // One that is not named may be missing.
    good(&url, &["ls"]);
}

/// The form of a version differs between kinds of stores, and a key that does not exist has none.
fn versions_are_of_their_kind(url: &str, good_version: &str, wrong: &str, kind: &str) {
    for args in [["put", "/k", "x"].as_slice(), &["del", "/k"]] {
        let with = |version: &str| run(url, &[args, &["--if-version", version]].concat());
        let said = bad(2, &with(wrong));
        assert!(said.contains(kind) && said.contains(wrong), "{said}");
        let said = bad(2, &with("0"));
        assert!(said.contains("--if-absent"), "{said}");
        bad(1, &with(good_version));
    }
}

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223";

#[test]
fn versions_of_another_kind_are_refused_in_etcd() {
    let etcd = Etcd::start();
    versions_are_of_their_kind(&etcd.url(), "7", HASH, "numbers such as 1042");
}

#[test]
fn versions_of_another_kind_are_refused_in_zookeeper() {
    let server = ZooKeeper::start();
    versions_are_of_their_kind(&server.url(), "7", HASH, "numbers such as 1042");
}

#[test]
fn versions_of_another_kind_are_refused_in_a_directory() {
    let (_dir, url) = directory();
    versions_are_of_their_kind(&url, HASH, "1042", "32 hexadecimal digits");
}

#[test]
fn commands_that_need_a_terminal_are_wrong_usage_without_one() {
    let (_dir, url) = directory();
    let said = bad(2, &run(&url, &["tree", "/"]));
    assert!(said.contains("--once"), "{said}");
    bad(2, &run(&url, &["del", "/", "--tree"]));
    let said = bad(2, &run(&url, &["get", "/k", "--timeout", "0s"]));
    assert!(said.contains("--timeout"), "{said}");
    let said = bad(2, &run(&url, &["monitor", "/", "--from", "x"]));
    assert!(said.contains("a number such as 1042"), "{said}");
}
