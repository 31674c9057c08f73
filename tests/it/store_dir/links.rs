//! Symbolic links: a deletion unlinks them, a write stays below the root, and root follows another user's link only to that
//! user's files.

use std::fs;
use std::os::unix::fs::{chown, lchown, symlink};
use std::path::Path;

use tempfile::TempDir;
use twitcher::internals::store::session::TargetId;
use twitcher::watch::WatchType::{Children, Data, Tree};

use super::{folder, open};
use crate::fixture::conversation::{arm, children, tree, value};
use crate::fixture::program::{good, run};

const STRANGER: u32 = 4321;

/// A store in a directory beside one that does not belong to it.
struct Place {
    top: TempDir,
    url: String,
}

impl Place {
    fn new() -> Self {
        let top = folder();
        fs::create_dir_all(top.path().join("keys/app")).unwrap();
        fs::create_dir(top.path().join("outside")).unwrap();
        fs::write(top.path().join("outside/file"), "precious").unwrap();
        let url = format!("dir://{}/keys", top.path().display());
        Self { top, url }
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.top.path().join(path)
    }

    /// A link in the store, relative or absolute.
    fn link(&self, target: &str, name: &str) {
        symlink(target, self.at("keys").join(name)).unwrap();
    }

    #[track_caller]
    fn refused(&self, args: &[&str], why: &str) {
        let output = run(&self.url, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    }

    fn is_untouched(&self) {
        assert_eq!(fs::read_to_string(self.at("outside/file")).unwrap(), "precious");
        assert_eq!(fs::read_dir(self.at("outside")).unwrap().count(), 1);
    }
}

#[test]
fn deleting_a_tree_unlinks_links_and_keeps_their_targets() {
    for target in ["../../outside", "../inside", "ABSOLUTE"] {
        let place = Place::new();
        fs::create_dir(place.at("keys/inside")).unwrap();
        fs::write(place.at("keys/inside/file"), "kept").unwrap();
        fs::write(place.at("keys/app/plain"), "x").unwrap();
        let absolute = place.at("outside");
        place.link(if target == "ABSOLUTE" { absolute.to_str().unwrap() } else { target }, "app/link");
        place.link("../../outside/file", "app/file-link");
        good(&place.url, &["del", "/app", "--tree", "--yes"]);
        assert!(fs::symlink_metadata(place.at("keys/app")).is_err(), "{target}");
        assert_eq!(fs::read_to_string(place.at("keys/inside/file")).unwrap(), "kept", "{target}");
        place.is_untouched();
    }
}

#[test]
fn loading_with_replace_unlinks_links_and_keeps_their_targets() {
    let place = Place::new();
    let document = place.at("document.yaml");
    fs::write(&document, "kept: 1\n").unwrap();
    place.link("../../outside", "app/link");
    good(&place.url, &["load", document.to_str().unwrap(), "--at", "/app", "--replace"]);
    assert!(fs::symlink_metadata(place.at("keys/app/link")).is_err());
    assert_eq!(fs::read_to_string(place.at("keys/app/kept")).unwrap(), "1");
    place.is_untouched();
    // The document keeps a part of the link's target, so that the link stays and nothing behind it may be deleted.
    fs::write(place.at("outside/other"), "also precious").unwrap();
    place.link("../../outside", "app/link");
    fs::write(&document, "link: {file: precious}\n").unwrap();
    let load = ["load", document.to_str().unwrap(), "--at", "/app", "--replace"];
    place.refused(&load, "a deletion follows no link");
    assert_eq!(fs::read_to_string(place.at("outside/other")).unwrap(), "also precious");
    assert!(place.at("keys/app/kept").exists(), "an impossible load changes nothing");
}

#[test]
fn a_deletion_removes_the_link_and_never_its_target() {
    let place = Place::new();
    place.link("../../outside", "app/link");
    place.link("../../outside/file", "app/file-link");
    place.refused(&["del", "/app/link/file"], "a deletion follows no link");
    good(&place.url, &["del", "/app/file-link"]);
    good(&place.url, &["del", "/app/link"]);
    assert_eq!(fs::read_dir(place.at("keys/app")).unwrap().count(), 0);
    place.is_untouched();
}

#[test]
fn a_write_follows_only_links_that_stay_in_the_store() {
    let place = Place::new();
    fs::create_dir(place.at("keys/inside")).unwrap();
    fs::write(place.at("keys/inside/file"), "old").unwrap();
    let inside = place.at("keys/inside");
    for (name, target) in [("relative", "../inside"), ("absolute", inside.to_str().unwrap())] {
        place.link(target, &format!("app/{name}"));
        good(&place.url, &["put", &format!("/app/{name}/file"), name]);
        assert_eq!(fs::read_to_string(place.at("keys/inside/file")).unwrap(), name);
        good(&place.url, &["put", &format!("/app/{name}/made/new"), name]);
        assert_eq!(fs::read_to_string(place.at("keys/inside/made/new")).unwrap(), name);
    }
    place.link("../inside/file", "app/file-link");
    good(&place.url, &["put", "/app/file-link", "through"]);
    assert_eq!(fs::read_to_string(place.at("keys/inside/file")).unwrap(), "through");
    assert!(place.at("keys/app/file-link").is_symlink(), "a link stays one");

    let outside = place.at("outside");
    place.link("../../outside", "app/out");
    place.link(outside.to_str().unwrap(), "app/out-absolute");
    place.link("../../outside/file", "app/out-file");
    place.link("app/out", "out-by-two");
    for key in ["/app/out/file", "/app/out/new", "/app/out-absolute/file", "/app/out-file", "/out-by-two/x/y"]
    {
        place.refused(&["put", key, "x"], "leads out of the store");
        place.refused(&["put", key, "x", "--if-absent"], "");
    }
    place.link("nowhere", "app/dangling");
    place.link("nowhere/deep", "app/dangling-deep");
    for key in ["/app/dangling", "/app/dangling/x", "/app/dangling-deep", "/app/dangling-deep/x"] {
        place.refused(&["put", key, "x"], "leads to nothing");
    }
    assert!(!place.at("keys/app/nowhere").exists());
    place.link("round", "app/round");
    place.refused(&["put", "/app/round", "x"], "circle");
    place.is_untouched();
}

/// Gives a path, not the target of a link, to the other user.
fn give_away(path: &Path) {
    assert!(nix::unistd::geteuid().is_root(), "these tests change owners: run them as root");
    lchown(path, Some(STRANGER), Some(STRANGER)).unwrap();
}

#[tokio::test]
async fn root_follows_another_users_link_only_to_that_users_files() {
    let place = Place::new();
    fs::write(place.at("secret"), "root's own").unwrap();
    fs::create_dir(place.at("secrets")).unwrap();
    fs::write(place.at("secrets/file"), "root's own").unwrap();
    fs::create_dir(place.at("theirs")).unwrap();
    fs::write(place.at("theirs/file"), "the stranger's").unwrap();
    for path in ["keys/app", "theirs", "theirs/file"] {
        chown(place.at(path), Some(STRANGER), Some(STRANGER)).unwrap();
    }
    let links = [
        ("file", "../../secret"),
        ("directory", "../../secrets"),
        // Two hops, the second of which root made.
        ("hop", "../root-link"),
        ("own-file", "../../theirs/file"),
        ("own-directory", "../../theirs"),
    ];
    place.link("../secret", "root-link");
    for (name, target) in links {
        place.link(target, &format!("app/{name}"));
        give_away(&place.at("keys/app").join(name));
    }
    // Root's own link may point anywhere, whoever owns the directory.
    place.link("../../secret", "app/by-root");

    let mut seen = open(&place.at("keys"));
    seen.arm(vec![
        arm(1, "/app/file", Data),
        arm(2, "/app/directory/file", Data),
        arm(3, "/app/hop", Data),
        arm(4, "/app/own-file", Data),
        arm(5, "/app/own-directory/file", Data),
        arm(6, "/app/by-root", Data),
        arm(7, "/app", Tree),
        arm(8, "/app", Children),
        arm(9, "/app/directory", Tree),
    ]);
    let theirs = "the stranger's";
    seen.until_is(4, &value(theirs)).await;
    seen.until_is(5, &value(theirs)).await;
    seen.until_is(6, &value("root's own")).await;
    let whole = [
        ("", None),
        ("by-root", Some("root's own")),
        ("own-directory", None),
        ("own-directory/file", Some(theirs)),
        ("own-file", Some(theirs)),
    ];
    seen.until_is(7, &tree(&whole)).await;
    let names = ["by-root", "own-directory", "own-file"];
    seen.until_is(8, &children(&names)).await;
    seen.until("four are refused", |seen| seen.refused.len() == 4).await;
    for id in [1, 2, 3, 9] {
        let why = seen.refused[&TargetId(id)].to_string();
        assert!(why.contains("belongs to user 4321 and leads to what belongs to user 0"), "{id}: {why}");
    }

    assert_eq!(good(&place.url, &["ls", "/app"]), format!("{}\n", names.join("\n")));
    for key in ["/app/file", "/app/directory/file", "/app/hop"] {
        for args in [vec!["get", key], vec!["put", key, "overwritten"]] {
            let output = run(&place.url, &args);
            assert_eq!(output.status.code(), Some(1), "{args:?}");
            assert!(output.stdout.is_empty(), "{args:?}");
        }
    }
    // Inside the store, so that only the owner is a reason to refuse.
    fs::write(place.at("keys/roots"), "root's own").unwrap();
    place.link("../roots", "app/inner");
    give_away(&place.at("keys/app/inner"));
    place.refused(&["put", "/app/inner", "overwritten"], "belongs to user 4321");
    assert_eq!(fs::read_to_string(place.at("keys/roots")).unwrap(), "root's own");
    assert_eq!(fs::read_to_string(place.at("secret")).unwrap(), "root's own");
    // The link itself may be deleted.
    good(&place.url, &["del", "/app/file"]);
    assert!(fs::symlink_metadata(place.at("keys/app/file")).is_err() && place.at("secret").exists());
}

/// Another user swaps a file for a link to a secret, and back, as fast as possible.
#[tokio::test]
async fn a_file_swapped_between_check_and_open_is_never_read() {
    let place = Place::new();
    fs::write(place.at("secret"), "root's own").unwrap();
    fs::create_dir(place.at("secrets")).unwrap();
    fs::write(place.at("secrets/key"), "root's own").unwrap();
    let app = place.at("keys/app");
    fs::create_dir(app.join("dir")).unwrap();
    fs::write(app.join("dir/key"), "theirs").unwrap();
    fs::write(app.join("file"), "theirs").unwrap();
    symlink(place.at("secret"), app.join(".file-link")).unwrap();
    symlink(place.at("secrets"), app.join(".dir-link")).unwrap();
    for name in [".file-link", ".dir-link", "dir", "dir/key", "file"] {
        give_away(&app.join(name));
    }
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let swaps = std::thread::spawn(move || {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        let exchange = |one: &str, other: &str| {
            let (one, other) = (app.join(one), app.join(other));
            renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
        };
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            exchange("file", ".file-link");
            exchange("dir", ".dir-link");
        }
    });
    let store = super::store(&place.at("keys"));
    let access = super::dir::Access::open(&store, std::time::Duration::from_secs(30)).await.unwrap();
    for _ in 0..1_500 {
        for name in ["/app/file", "/app/dir/key"] {
            if let Ok(Some(entry)) = access.get(&super::key(name)).await {
                assert_ne!(entry.value.as_deref(), Some(b"root's own".as_slice()), "{name}");
            }
        }
        if let Ok(listing) = access.tree(&super::key("/app")).await {
            assert!(listing.entries.values().all(|entry| entry.value.as_deref() != Some(b"root's own")));
        }
    }
    stop.send(()).unwrap();
    swaps.join().unwrap();
}
