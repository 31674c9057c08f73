//! Changes that the events of a directory do not show: files written under another name, and mounts over files and
//! directories. The mounts are real, in the mount namespace of the tests.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use twitcher::watch::Content;
use twitcher::watch::WatchType::{Children, Data, Tree};

use super::{folder, key, open, store};
use crate::fixture::conversation::{arm, children, tree, value};
use crate::fixture::daemon::Daemon;

/// A bind mount that is removed at the end of the test.
struct Mounted(PathBuf);

impl Mounted {
    fn bind(source: &Path, target: &Path) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests mount files and directories: run them as root"
        );
        mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .expect("a bind mount; the tests need CAP_SYS_ADMIN in their mount namespace");
        Self(target.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn a_file_written_through_another_hard_link_is_seen() {
    let (folder, outside) = (folder(), folder());
    fs::create_dir(folder.path().join("t")).unwrap();
    for name in ["a", "t/b"] {
        fs::write(folder.path().join(name), "1").unwrap();
    }
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/a", Data), arm(2, "/t", Tree)]);
    seen.until_is(1, &value("1")).await;
    seen.until_is(2, &tree(&[("", None), ("b", Some("1"))])).await;
    // The links are made after the files were read, when each had one name.
    for name in ["a", "b"] {
        let below = if name == "a" { "a" } else { "t/b" };
        fs::hard_link(folder.path().join(below), outside.path().join(name)).unwrap();
    }
    fs::write(outside.path().join("a"), "2").unwrap();
    fs::write(outside.path().join("b"), "2").unwrap();
    seen.until_is(1, &value("2")).await;
    seen.until_is(2, &tree(&[("", None), ("b", Some("2"))])).await;
    // The name leads to another file now.
    super::replace(&folder.path().join("a"), "3");
    seen.until_is(1, &value("3")).await;
    fs::write(outside.path().join("a"), "old").unwrap();
    fs::write(folder.path().join("a"), "4").unwrap();
    seen.until_is(1, &value("4")).await;
}

#[tokio::test]
async fn a_file_mount_over_a_key_is_seen_and_so_are_writes_to_its_source_and_its_removal() {
    let (folder, outside) = (folder(), folder());
    fs::create_dir(folder.path().join("t")).unwrap();
    let source = outside.path().join("source");
    fs::write(&source, "mounted").unwrap();
    for name in ["a", "t/b"] {
        fs::write(folder.path().join(name), "below").unwrap();
    }
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/a", Data), arm(2, "/t", Tree)]);
    seen.until_is(1, &value("below")).await;
    seen.until_is(2, &tree(&[("", None), ("b", Some("below"))])).await;
    let mounts = [
        Mounted::bind(&source, &folder.path().join("a")),
        Mounted::bind(&source, &folder.path().join("t/b")),
    ];
    seen.until_is(1, &value("mounted")).await;
    seen.until_is(2, &tree(&[("", None), ("b", Some("mounted"))])).await;
    // In place, as `echo > file` does: on the host the source is another path.
    fs::write(&source, "written").unwrap();
    seen.until_is(1, &value("written")).await;
    seen.until_is(2, &tree(&[("", None), ("b", Some("written"))])).await;
    drop(mounts);
    seen.until_is(1, &value("below")).await;
    seen.until_is(2, &tree(&[("", None), ("b", Some("below"))])).await;
}

#[tokio::test]
async fn a_mount_over_a_directory_of_keys_or_above_it_is_seen() {
    let (folder, outside) = (folder(), folder());
    let keys = folder.path().join("above/keys");
    for (place, text) in
        [(keys.join("d"), "1"), (outside.path().join("d"), "2"), (outside.path().join("keys/d"), "3")]
    {
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("a"), text).unwrap();
    }
    let mut seen = open(&keys);
    seen.arm(vec![arm(1, "/d/a", Data), arm(2, "/d", Tree), arm(3, "/", Children)]);
    let all = |text: &str| tree(&[("", None), ("a", Some(text))]);
    seen.until_is(1, &value("1")).await;
    seen.until_is(2, &all("1")).await;
    let mounted = Mounted::bind(&outside.path().join("d"), &keys.join("d"));
    seen.until_is(1, &value("2")).await;
    seen.until_is(2, &all("2")).await;
    fs::write(outside.path().join("d/a"), "2b").unwrap();
    seen.until_is(2, &all("2b")).await;
    drop(mounted);
    seen.until_is(1, &value("1")).await;
    let mounted = Mounted::bind(outside.path(), &folder.path().join("above"));
    seen.until_is(1, &value("3")).await;
    seen.until_is(2, &all("3")).await;
    drop(mounted);
    seen.until_is(2, &all("1")).await;
    seen.until_is(3, &children(&["d"])).await;
}

/// As containers do it: `-v watch.toml:/etc/twitcher/watch.toml -v value:/keys/a`, and the host writes the files in place.
#[test]
fn a_daemon_follows_files_that_are_mounted_over_a_key_and_a_watch_file() {
    let mut daemon = Daemon::prepare("");
    let (out, more) = (daemon.path("out"), daemon.path("more"));
    let watch = |out: &Path| format!("[[watch]]\nkey = '/a'\naction = 'cat >> {}'\n", out.display());
    let (file, source) = (daemon.path("host.toml"), daemon.path("host.value"));
    fs::write(&file, watch(&out)).unwrap();
    fs::write(&source, "1\n").unwrap();
    daemon.write("a.toml", "");
    daemon.put("/a", "below\n");
    let _mounts =
        [Mounted::bind(&file, &daemon.path("config/a.toml")), Mounted::bind(&source, &daemon.path("keys/a"))];
    daemon.run();
    daemon.until_file("out", |text| text == "1\n");
    fs::write(&source, "2\n").unwrap();
    daemon.until_file("out", |text| text == "1\n2\n");
    fs::write(&file, watch(&more)).unwrap();
    daemon.until_file("more", |text| text == "2\n");
    fs::write(&source, "3\n").unwrap();
    daemon.until_file("more", |text| text == "2\n3\n");
}

/// A circle, a link to nothing, a path longer than one system call takes, and a directory that may not be read.
#[tokio::test]
async fn a_watch_and_ls_agree_on_what_the_children_are() {
    let folder = folder();
    fs::create_dir(folder.path().join("d")).unwrap();
    fs::write(folder.path().join("d/a"), "1").unwrap();
    for (target, name) in [("loop", "loop"), (".", "d/up"), ("nothing", "d/dangling"), ("d", "again")] {
        std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
    }
    // Made step by step: no path may be longer than 4096 bytes.
    let long = "n".repeat(250);
    let mut at =
        nix::fcntl::open(folder.path(), nix::fcntl::OFlag::O_PATH, nix::sys::stat::Mode::empty()).unwrap();
    for _ in 0..20 {
        nix::sys::stat::mkdirat(&at, long.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        at = nix::fcntl::openat(&at, long.as_str(), nix::fcntl::OFlag::O_PATH, nix::sys::stat::Mode::empty())
            .unwrap();
    }
    let bottom = format!("/proc/self/fd/{}/bottom", std::os::fd::AsRawFd::as_raw_fd(&at));
    fs::write(&bottom, "deep").unwrap();
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/", Tree), arm(2, "/", Children), arm(3, "/d", Children)]);
    seen.until("all are read", |seen| seen.states.len() == 3).await;
    let access =
        super::dir::Access::open(&store(folder.path()), std::time::Duration::from_secs(30)).await.unwrap();
    let listed = access.tree(&key("/")).await.unwrap();
    let paths: Vec<String> = listed.entries.keys().cloned().collect();
    assert!(paths.iter().any(|path| path.ends_with("n/bottom") && path.len() > 4096), "{paths:?}");
    assert!(!paths.iter().any(|path| path == "loop"), "{paths:?}");
    let Some(Content::Tree(entries)) = seen.content(1) else { panic!("{:?}", seen.content(1)) };
    assert_eq!(entries.iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>(), paths);
    for (id, at) in [(2, "/"), (3, "/d")] {
        let names = access.children(&key(at)).await.unwrap().unwrap();
        assert_eq!(seen.content(id), Some(&children(&names.iter().map(String::as_str).collect::<Vec<_>>())));
    }
    // The deepest directory is followed like any other.
    fs::write(&bottom, "deeper").unwrap();
    seen.until("a change at the bottom", |seen| match seen.content(1) {
        Some(Content::Tree(entries)) => entries.iter().any(|(_, value)| value == Some(b"deeper".as_slice())),
        _ => false,
    })
    .await;
}
