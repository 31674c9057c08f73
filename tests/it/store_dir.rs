//! The `dir` store's session and single requests, on real files.

mod deep;
mod links;
mod mesh;
mod mounts;
mod polled;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;
use tempfile::TempDir;
use twitcher::internals::store::dir::{self, Threads};
use twitcher::internals::store::session::{Command, Proof, TargetId};
use twitcher::store::{Change, Condition, Reached};
use twitcher::store::{StoreError, StoreSpec, StoreUrl};
use twitcher::watch::WatchType::{Children, Data, Tree};
use twitcher::watch::{Content, Key, Version};

use crate::fixture::conversation::{Conversation, arm, children, spec, tree, value};

fn store(root: &Path) -> StoreSpec {
    spec(StoreUrl::Dir { root: root.to_path_buf() })
}

fn open(root: &Path) -> Conversation {
    Conversation::new(dir::session(&store(root), &Threads::new(1)))
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Written beside the target and renamed, as editors and `put` do.
fn replace(path: &Path, text: &str) {
    let beside = path.with_file_name(".beside");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

#[tokio::test]
async fn every_change_of_a_file_is_seen() {
    let folder = folder();
    let path = folder.path().join("a");
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/a", Data)]);
    seen.until_is(1, &Content::Absent).await;
    fs::write(&path, "one").unwrap();
    seen.until_is(1, &value("one")).await;
    fs::write(&path, "two").unwrap();
    seen.until_is(1, &value("two")).await;
    replace(&path, "three");
    seen.until_is(1, &value("three")).await;
    assert_eq!(seen.proofs[&TargetId(1)], Proof::Event);
    fs::remove_file(&path).unwrap();
    seen.until_is(1, &Content::Absent).await;
    fs::write(&path, "four").unwrap();
    seen.until_is(1, &value("four")).await;
    seen.ask(Command::Verify(vec![TargetId(1)]));
    let before = seen.count(1);
    seen.until("a verified state", |seen| seen.count(1) > before).await;
    assert_eq!(seen.proofs[&TargetId(1)], Proof::Read);
    assert_eq!(seen.content(1), Some(&value("four")));
}

#[tokio::test]
async fn a_file_is_read_when_its_writer_closes_it() {
    use std::io::Write;
    let folder = folder();
    let path = folder.path().join("a");
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/a", Data), arm(2, "/", Tree), arm(3, "/other", Data)]);
    seen.until("all armed", |seen| seen.states.len() == 3).await;
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"first half, ").unwrap();
    // A later event proves that all earlier ones were taken.
    fs::write(folder.path().join("other"), "x").unwrap();
    seen.until_is(3, &value("x")).await;
    assert_eq!(seen.content(1), Some(&Content::Absent));
    file.write_all(b"second half").unwrap();
    drop(file);
    seen.until_is(1, &value("first half, second half")).await;
    seen.until_is(2, &tree(&[("", None), ("a", Some("first half, second half")), ("other", Some("x"))]))
        .await;
    assert_eq!(seen.count(1), 2, "no half of it was reported");
}

/// A file without a name that gets one when it is complete.
fn link_unnamed(path: &Path, text: &str) {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open(path.parent().unwrap())
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(AT_FDCWD, unnamed.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW).unwrap();
}

#[tokio::test]
async fn a_file_linked_into_place_is_seen_without_a_close() {
    let folder = folder();
    let outside = tempfile::tempdir_in(folder.path().parent().unwrap()).unwrap();
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/a", Data), arm(2, "/", Tree), arm(3, "/b", Data), arm(4, "/", Children)]);
    seen.until("all armed", |seen| seen.states.len() == 4).await;
    let unfinished = outside.path().join("unfinished");
    fs::write(&unfinished, "1").unwrap();
    fs::hard_link(&unfinished, folder.path().join("a")).unwrap();
    fs::remove_file(&unfinished).unwrap();
    link_unnamed(&folder.path().join("b"), "2");
    seen.until_is(1, &value("1")).await;
    seen.until_is(3, &value("2")).await;
    seen.until_is(2, &tree(&[("", None), ("a", Some("1")), ("b", Some("2"))])).await;
    seen.until_is(4, &children(&["a", "b"])).await;
    // Again, replacing the existing file.
    fs::remove_file(folder.path().join("b")).unwrap();
    link_unnamed(&folder.path().join("b"), "3");
    seen.until_is(3, &value("3")).await;
    assert!(seen.proofs.values().all(|proof| *proof == Proof::Event), "{:?}", seen.proofs);
}

#[tokio::test]
async fn children_and_trees_follow_a_removed_and_recreated_directory() {
    let folder = folder();
    let top = folder.path().join("app");
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/app", Children), arm(2, "/app", Tree), arm(3, "/app/x/deep", Data)]);
    seen.until_is(1, &Content::Absent).await;
    seen.until_is(2, &Content::Absent).await;
    for _ in 0..3 {
        fs::create_dir_all(top.join("x")).unwrap();
        fs::write(top.join("x/deep"), "d").unwrap();
        fs::write(top.join("b"), "b").unwrap();
        fs::write(top.join(".hidden"), "no key").unwrap();
        seen.until_is(1, &children(&["b", "x"])).await;
        let whole = tree(&[("", None), ("b", Some("b")), ("x", None), ("x/deep", Some("d"))]);
        seen.until_is(2, &whole).await;
        seen.until_is(3, &value("d")).await;
        fs::rename(top.join("x"), top.join("y")).unwrap();
        seen.until_is(3, &Content::Absent).await;
        let moved = tree(&[("", None), ("b", Some("b")), ("y", None), ("y/deep", Some("d"))]);
        seen.until_is(2, &moved).await;
        fs::write(top.join("y/deep"), "e").unwrap();
        let changed = tree(&[("", None), ("b", Some("b")), ("y", None), ("y/deep", Some("e"))]);
        seen.until_is(2, &changed).await;
        fs::remove_dir_all(&top).unwrap();
        for id in 1..=3 {
            seen.until_is(id, &Content::Absent).await;
        }
    }
}

#[tokio::test]
async fn a_missing_root_is_waited_for_and_may_be_a_link() {
    let folder = folder();
    let root = folder.path().join("not/yet/there");
    let mut seen = open(&root);
    seen.arm(vec![arm(1, "/a", Data), arm(2, "/", Children)]);
    seen.until_is(1, &Content::Absent).await;
    seen.until_is(2, &Content::Absent).await;
    fs::create_dir_all(folder.path().join("real")).unwrap();
    fs::write(folder.path().join("real/a"), "found").unwrap();
    fs::create_dir_all(folder.path().join("not/yet")).unwrap();
    symlink("../../real", &root).unwrap();
    seen.until_is(1, &value("found")).await;
    seen.until_is(2, &children(&["a"])).await;
    // The directory that the link points to is exchanged.
    fs::rename(folder.path().join("real"), folder.path().join("old")).unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    fs::write(folder.path().join("real/a"), "exchanged").unwrap();
    seen.until_is(1, &value("exchanged")).await;
}

/// What the kubelet does with a mounted config map.
fn swap(root: &Path, generation: u32, text: &str) {
    let directory = format!("..2026_{generation}");
    fs::create_dir(root.join(&directory)).unwrap();
    for key in ["one", "two"] {
        fs::write(root.join(&directory).join(key), format!("{key} {text}")).unwrap();
    }
    let old = fs::read_link(root.join("..data")).ok();
    symlink(&directory, root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    if let Some(old) = old {
        fs::remove_dir_all(root.join(old)).unwrap();
    }
}

#[tokio::test]
async fn a_swapped_config_map_is_one_change() {
    let folder = folder();
    let root = folder.path();
    swap(root, 0, "0");
    for key in ["one", "two"] {
        symlink(format!("..data/{key}"), root.join(key)).unwrap();
    }
    let mut seen = open(root);
    seen.arm(vec![arm(1, "/one", Data), arm(2, "/", Tree), arm(3, "/", Children)]);
    for (expected, generation) in (1..).zip(1..=20) {
        let text = (generation - 1).to_string();
        seen.until_is(1, &value(format!("one {text}"))).await;
        let (one, two) = (format!("one {text}"), format!("two {text}"));
        seen.until_is(2, &tree(&[("", None), ("one", Some(&one)), ("two", Some(&two))])).await;
        seen.until_is(3, &children(&["one", "two"])).await;
        assert_eq!(seen.count(1), expected, "one report for each swap, and never a state between");
        assert_eq!(seen.count(2), expected, "one report for each swap, and never half a tree");
        assert_eq!(seen.count(3), 1, "the names did not change");
        swap(root, generation, &generation.to_string());
    }
}

#[tokio::test]
async fn reads_follow_links_out_of_the_root_and_over_several_hops() {
    let (folder, outside) = (folder(), folder());
    fs::create_dir(outside.path().join("deep")).unwrap();
    fs::write(outside.path().join("deep/file"), "1").unwrap();
    symlink(outside.path().join("deep"), outside.path().join("hop")).unwrap();
    symlink(outside.path().join("hop/file"), folder.path().join("a")).unwrap();
    symlink(outside.path().join("hop"), folder.path().join("d")).unwrap();
    symlink("/nowhere/at/all", folder.path().join("dangling")).unwrap();
    symlink("..", outside.path().join("deep/circle")).unwrap();
    symlink("loop", folder.path().join("loop")).unwrap();
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/a", Data), arm(2, "/d", Tree), arm(3, "/loop", Data), arm(4, "/dangling", Data)]);
    seen.until_is(1, &value("1")).await;
    seen.until_is(4, &Content::Absent).await;
    seen.until("a loop is refused", |seen| seen.refused.contains_key(&TargetId(3))).await;
    assert!(seen.refused[&TargetId(3)].to_string().contains("circle"), "{:?}", seen.refused);
    seen.until("the tree with its circle", |seen| match seen.content(2) {
        Some(Content::Tree(entries)) => entries.get("file").is_some() && entries.len() < 50,
        _ => false,
    })
    .await;
    replace(&outside.path().join("deep/file"), "2");
    seen.until_is(1, &value("2")).await;
    seen.until("the tree sees it too", |seen| match seen.content(2) {
        Some(Content::Tree(entries)) => entries.get("file") == Some(Some(b"2")),
        _ => false,
    })
    .await;
    // One hop now points to another directory.
    fs::create_dir(outside.path().join("new")).unwrap();
    fs::write(outside.path().join("new/file"), "3").unwrap();
    symlink(outside.path().join("new"), outside.path().join("hop_tmp")).unwrap();
    fs::rename(outside.path().join("hop_tmp"), outside.path().join("hop")).unwrap();
    seen.until_is(1, &value("3")).await;
    seen.until_is(2, &tree(&[("", None), ("file", Some("3"))])).await;
}

#[tokio::test]
async fn invalid_keys_are_refused_and_non_values_are_absent() {
    let folder = folder();
    fs::create_dir(folder.path().join("directory")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    nix::unistd::mkfifo(&folder.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut seen = open(folder.path());
    seen.arm(vec![
        arm(1, "/directory", Data),
        arm(2, "/file", Children),
        arm(3, "/../etc/passwd", Data),
        arm(4, "/fifo", Data),
        arm(5, "/file", Data),
        arm(6, "/", Tree),
        arm(7, "/file/below", Data),
        arm(8, "/file", Tree),
    ]);
    seen.until_is(1, &Content::Absent).await;
    seen.until_is(2, &children(&[])).await;
    seen.until_is(5, &value("")).await;
    seen.until_is(6, &tree(&[("", None), ("directory", None), ("file", Some(""))])).await;
    seen.until_is(7, &Content::Absent).await;
    seen.until_is(8, &tree(&[("", Some(""))])).await;
    seen.until("both are refused", |seen| seen.refused.len() == 2).await;
    assert!(seen.refused.contains_key(&TargetId(3)) && seen.refused.contains_key(&TargetId(4)));
}

#[tokio::test]
async fn ten_thousand_keys_in_one_directory_are_followed() {
    let folder = folder();
    for n in 0..10_000 {
        fs::write(folder.path().join(format!("k{n}")), "0").unwrap();
    }
    let mut seen = open(folder.path());
    seen.arm((0..10_000).map(|n| arm(n, &format!("/k{n}"), Data)).collect());
    seen.until("all are armed", |seen| seen.states.len() == 10_000).await;
    for n in 0..10_000 {
        fs::write(folder.path().join(format!("k{n}")), format!("{n}!")).unwrap();
    }
    let newest = |seen: &Conversation| {
        (0..10_000_u64).filter(|n| seen.content(*n) == Some(&value(format!("{n}!")))).count() == 10_000
    };
    let last = value("9999!");
    seen.until_is(9_999, &last).await;
    while !newest(&seen) {
        let before: usize = seen.reports.values().sum();
        seen.until("more", |seen| seen.reports.values().sum::<usize>() > before).await;
    }
}

#[tokio::test]
async fn a_tree_of_fifty_thousand_files_follows_single_changes() {
    let folder = folder();
    for d in 0..100 {
        let directory = folder.path().join(format!("d{d}"));
        fs::create_dir(&directory).unwrap();
        for n in 0..500 {
            fs::write(directory.join(format!("n{n}")), "0").unwrap();
        }
    }
    let mut seen = open(folder.path());
    let began = std::time::Instant::now();
    seen.arm(vec![arm(1, "/", Tree)]);
    let sized = |seen: &Conversation, size: usize| match seen.content(1) {
        Some(Content::Tree(entries)) => entries.len() == size,
        _ => false,
    };
    seen.until("the whole tree", |seen| sized(seen, 50_101)).await;
    let whole = began.elapsed();
    let began = std::time::Instant::now();
    for n in 0..200 {
        fs::write(folder.path().join(format!("d{}/n{n}", n % 100)), "1").unwrap();
        seen.until("one change", |seen| match seen.content(1) {
            Some(Content::Tree(entries)) => entries.get(&format!("d{}/n{n}", n % 100)) == Some(Some(b"1")),
            _ => false,
        })
        .await;
    }
    assert!(began.elapsed() < whole * 100, "everything is read again for each change: {:?}", began.elapsed());
    fs::remove_dir_all(folder.path().join("d7")).unwrap();
    seen.until("a part is gone", |seen| sized(seen, 50_101 - 501)).await;
}

#[tokio::test]
async fn the_last_state_of_a_fast_writer_arrives() {
    let folder = folder();
    let path = folder.path().join("a");
    replace(&path, "0");
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/a", Data)]);
    seen.until_is(1, &value("0")).await;
    let writer = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            for n in 1..=20_000 {
                replace(&path, &n.to_string());
            }
        })
    };
    let number = |seen: &Conversation| match seen.content(1) {
        Some(Content::Value(bytes)) => std::str::from_utf8(bytes).unwrap().parse::<u32>().unwrap(),
        other => panic!("a file that is renamed into place is never {other:?}"),
    };
    let mut last = 0;
    while last < 20_000 {
        let before = seen.count(1);
        seen.until("a newer value", |seen| seen.count(1) > before).await;
        assert!(number(&seen) > last, "{} after {last}", number(&seen));
        last = number(&seen);
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn disarmed_targets_are_silent_and_others_still_report() {
    let folder = folder();
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/a", Data), arm(2, "/a", Data), arm(3, "/", Tree)]);
    seen.until("all armed", |seen| seen.states.len() == 3).await;
    seen.ask(Command::Disarm(vec![TargetId(1), TargetId(3)]));
    seen.ask(Command::Verify(vec![TargetId(2)]));
    seen.until("the disarming was taken", |seen| seen.count(2) == 2).await;
    fs::write(folder.path().join("a"), "x").unwrap();
    seen.until_is(2, &value("x")).await;
    assert_eq!((seen.count(1), seen.count(3)), (1, 1));
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[tokio::test]
async fn single_requests_write_whole_values_under_conditions() {
    let folder = folder();
    let root = folder.path().join("made-by-put");
    let access = dir::Access::open(&store(&root), Duration::from_secs(30)).await.unwrap();
    assert_eq!(access.get(&key("/a/b")).await.unwrap(), None);
    let first = access.put(&key("/a/b"), "1".into(), Condition::Absent).await.unwrap();
    assert_eq!(fs::read(root.join("a/b")).unwrap(), b"1");
    let conflict = access.put(&key("/a/b"), "2".into(), Condition::Absent).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
    let conflict = access
        .put(
            &key("/a/b"),
            "2".into(),
            Condition::Version(Version::Hash(twitcher::watch::ContentHash::new(1))),
        )
        .await;
    assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
    let second = access.put(&key("/a/b"), "2".into(), Condition::Version(first)).await.unwrap();
    let entry = access.get(&key("/a/b")).await.unwrap().unwrap();
    assert_eq!((entry.value, entry.version), (Some("2".into()), second));
    for (wrong, why) in [("/a", "directory"), ("/a/b/c", "above it is a file")] {
        let refused = access.put(&key(wrong), "x".into(), Condition::Any).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    let names = access.children(&key("/")).await.unwrap();
    assert_eq!(names, Some(vec!["a".to_owned()]), "neither the lock nor a temporary file is a key");
    let listing = access.tree(&key("/")).await.unwrap();
    assert_eq!(listing.entries.keys().collect::<Vec<_>>(), ["", "a", "a/b"]);
    let refused = access.delete(&key("/a"), Condition::Any).await.unwrap_err();
    assert!(refused.to_string().contains("not empty"), "{refused}");
    let changes = [
        Change::Delete { key: key("/a/b"), condition: Condition::Version(second) },
        Change::Delete { key: key("/a"), condition: Condition::Any },
        Change::put(key("/a"), "now a file", Condition::Absent),
    ];
    let mut told = Vec::new();
    access.apply(&changes, &mut |reached| told.push(reached)).await.unwrap();
    assert_eq!(told, [1, 2, 3].map(|done| [Reached::Sent(done), Reached::Made(done)]).concat());
    assert_eq!(fs::read(root.join("a")).unwrap(), b"now a file");
    assert!(!access.delete(&key("/a/b"), Condition::Any).await.unwrap());
    assert!(access.delete(&key("/a"), Condition::Any).await.unwrap());
    assert!(!access.delete(&key("/a"), Condition::Any).await.unwrap());
}

#[tokio::test]
async fn irregular_files_are_never_read_replaced_or_waited_for() {
    let folder = folder();
    let rights = nix::sys::stat::Mode::S_IRWXU;
    let at = |name: &str| folder.path().join(name);
    nix::unistd::mkfifo(&at("fifo"), rights).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    nix::unistd::mkfifo(&outside.path().join("fifo"), rights).unwrap();
    symlink(outside.path().join("fifo"), at("link")).unwrap();
    let access = dir::Access::open(&store(folder.path()), Duration::from_secs(30)).await.unwrap();
    for name in ["fifo", "socket", "link"] {
        let key = key(&format!("/{name}"));
        assert_eq!(access.get(&key).await.unwrap(), None, "{name}");
        assert_eq!(access.children(&key).await.unwrap(), None, "{name}");
        assert!(!access.delete(&key, Condition::Any).await.unwrap(), "{name}");
        let refused = access.put(&key, "x".into(), Condition::Any).await.unwrap_err();
        let why =
            if name == "link" { "leads out of the store" } else { "neither a regular file nor a directory" };
        assert!(refused.to_string().contains(why), "{refused}");
        assert!(at(name).symlink_metadata().is_ok(), "{name} is still there");
    }
    assert_eq!(access.tree(&key("/")).await.unwrap().entries.len(), 1);
    fs::remove_file(at(".twitcher.lock")).unwrap();
    nix::unistd::mkfifo(&at(".twitcher.lock"), rights).unwrap();
    access.put(&key("/a"), "x".into(), Condition::Any).await.unwrap_err();
}

#[tokio::test]
async fn concurrent_compare_and_set_writes_lose_none() {
    let folder = folder();
    let access = dir::Access::open(&store(folder.path()), Duration::from_mins(1)).await.unwrap();
    access.put(&key("/n"), "0".into(), Condition::Absent).await.unwrap();
    let writers = (0..8).map(|_| {
        let access = access.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                loop {
                    let entry = access.get(&key("/n")).await.unwrap().unwrap();
                    let number: u32 = std::str::from_utf8(&entry.value.unwrap()).unwrap().parse().unwrap();
                    let next = (number + 1).to_string();
                    match access.put(&key("/n"), next.into(), Condition::Version(entry.version)).await {
                        Ok(_) => break,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(fs::read(folder.path().join("n")).unwrap(), b"80");
}
