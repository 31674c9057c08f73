//! A missing or invalid store directory is reported; and only keys in it are listed.

use std::os::unix::fs::symlink;

use crate::fixture::program::{good, run};

const QUESTIONS: [&[&str]; 7] = [
    &["ls", "/"],
    &["get", "/k"],
    &["dump", "/"],
    &["del", "/k"],
    &["del", "/", "--tree", "--yes"],
    &["tree", "/", "--once"],
    &["ls", "/", "--tree"],
];

#[test]
fn a_missing_or_invalid_store_directory_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let missing = dir.path().join("no/such/keys");
    for (root, why) in [(&file, "is not a directory"), (&missing, "does not exist")] {
        let url = format!("dir://{}", root.display());
        for args in QUESTIONS.iter().chain([&["put", "/k", "x"].as_slice()]) {
            let output = run(&url, args);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
            assert!(output.stdout.is_empty(), "{args:?}");
            assert!(said.contains(why) && said.contains(root.to_str().unwrap()), "{args:?}: {said}");
        }
        assert!(!dir.path().join("no").exists());
    }
}

#[test]
fn a_put_creates_only_the_last_directory_of_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("dir://{}", dir.path().join(name).display());
    for args in QUESTIONS {
        assert_eq!(run(&url("keys"), args).status.code(), Some(1), "{args:?}");
    }
    good(&url("keys"), &["put", "/k", "x"]);
    assert_eq!(good(&url("keys"), &["ls"]), "k\n");
    let document = dir.path().join("document.yaml");
    std::fs::write(&document, "a: 1\n").unwrap();
    let document = document.to_str().unwrap();
    good(&url("loaded"), &["load", document, "--dry-run"]);
    assert!(!dir.path().join("loaded").exists());
    good(&url("loaded"), &["load", document]);
    assert_eq!(good(&url("loaded"), &["ls"]), "a\n");
    assert_eq!(run(&url("no/such"), &["load", document]).status.code(), Some(1));
    assert!(!dir.path().join("no").exists());
}

#[test]
fn only_keys_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let url = format!("dir://{}", dir.path().display());
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::write(at("file"), "x").unwrap();
    symlink("file", at("link")).unwrap();
    symlink("folder", at("link-to-folder")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let expected = "file\nfolder\nlink\nlink-to-folder\n";
    assert_eq!(good(&url, &["ls", "/"]), expected);
    let long = good(&url, &["ls", "/", "--long"]);
    assert!(!long.contains("fifo") && !long.contains("loop") && !long.contains("dangling"), "{long}");
    for name in expected.lines() {
        assert!(run(&url, &["ls", &format!("/{name}")]).status.success(), "{name}");
    }
}
