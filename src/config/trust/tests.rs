//! Real files with real modes. The required owner is the user who runs the tests.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn here() -> Trust {
    Trust::Owner(nix::unistd::geteuid().as_raw())
}

/// A private directory, whose parents belong to root.
fn private() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    mode(top.path(), 0o755);
    top
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Why a file is refused; empty if it is accepted.
fn why(trust: Trust, path: &Path) -> String {
    match TrustedOpen::new(trust).file(path) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

fn file(path: PathBuf) -> PathBuf {
    fs::write(&path, "").unwrap();
    mode(&path, 0o644);
    path
}

#[test]
fn a_file_that_only_its_owner_can_write_is_accepted() {
    let top = private();
    let path = file(top.path().join("a"));
    assert_eq!(why(here(), &path), "");
    mode(&path, 0o600);
    assert_eq!(why(here(), &path), "");
}

#[test]
fn a_file_that_others_can_write_is_refused_with_the_reason() {
    let top = private();
    let path = file(top.path().join("a"));
    mode(&path, 0o646);
    assert_eq!(
        why(here(), &path),
        format!("refused: {} is writable by everyone (mode 0646)", path.display())
    );
    assert_eq!(why(Trust::Anyone, &path), "");
    mode(&path, 0o664);
    assert!(why(here(), &path).contains("is writable by group "));
}

#[test]
fn a_path_through_a_directory_that_others_can_write_is_refused() {
    let top = private();
    let inner = top.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let path = file(inner.join("a"));
    for (bad, reason) in [(0o777, "everyone (mode 0777)"), (0o775, "group ")] {
        mode(&inner, bad);
        let why = why(here(), &path);
        assert!(why.starts_with(&format!("refused: {} is writable by {reason}", inner.display())), "{why}");
        assert!(TrustedOpen::new(here()).directory(&inner).is_err());
    }
    mode(&inner, 0o755);
    mode(top.path(), 0o777);
    assert!(why(here(), &path).contains("everyone"));
    mode(top.path(), 0o1777);
    assert_eq!(why(here(), &path), "", "a sticky directory does not count against what the owner owns in it");
}

#[test]
fn what_belongs_to_another_user_is_refused() {
    // User 1 is never the user who runs the tests, and only root can create files of others.
    let top = private();
    let path = file(top.path().join("a"));
    if nix::unistd::geteuid().is_root() {
        let stranger = Some(nix::unistd::Uid::from_raw(1));
        nix::unistd::chown(&path, stranger, None).unwrap();
        let because = why(here(), &path);
        assert!(because.ends_with("belongs to user 1, and only root may own it"), "{because}");
        nix::unistd::chown(&path, Some(nix::unistd::Uid::from_raw(0)), None).unwrap();
        nix::unistd::chown(top.path(), stranger, None).unwrap();
        assert!(why(here(), &path).contains(&format!("{} belongs to user 1", top.path().display())));
        mode(top.path(), 0o1777);
        assert!(
            why(here(), &path).contains("belongs to user 1"),
            "the owner of a sticky directory may remove what is in it"
        );
    } else {
        assert!(why(Trust::Owner(0), &path).contains("belongs to user"));
    }
}

#[test]
fn every_directory_that_a_link_leads_through_counts() {
    let top = private();
    for directory in ["real", "links"] {
        fs::create_dir(top.path().join(directory)).unwrap();
    }
    file(top.path().join("real/a"));
    symlink("../real", top.path().join("links/middle")).unwrap();
    symlink("links/middle", top.path().join("begin")).unwrap();
    let path = top.path().join("begin/a");
    assert_eq!(why(here(), &path), "");
    mode(&top.path().join("links"), 0o777);
    assert!(why(here(), &path).contains("links is writable by everyone"));
}

#[test]
fn a_loop_of_links_ends() {
    let top = private();
    symlink("b", top.path().join("a")).unwrap();
    symlink("a", top.path().join("b")).unwrap();
    assert!(!why(here(), &top.path().join("a")).is_empty());
    assert!(TrustedOpen::new(here()).directory(&top.path().join("a")).is_err());
}

#[test]
fn a_pipe_is_opened_without_waiting() {
    let top = private();
    let path = top.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let (_, found) = TrustedOpen::new(here()).file(&path).unwrap();
    assert!(!found.is_file());
}

#[test]
fn in_a_sticky_directory_each_file_is_judged_by_its_owner() {
    let top = private();
    let shared = top.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let path = file(shared.join("a"));
    mode(&shared, 0o3777);
    assert_eq!(why(here(), &path), "");
    assert!(TrustedOpen::new(here()).directory(&shared).is_ok());
    if nix::unistd::geteuid().is_root() {
        nix::unistd::chown(&path, Some(nix::unistd::Uid::from_raw(1)), None).unwrap();
        assert!(why(here(), &path).contains("belongs to user 1"), "{}", why(here(), &path));
    }
}

/// Needs root to mount; an ordinary user tests the two other cases.
#[test]
fn a_mode_on_a_read_only_mount_does_not_count() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let top = private();
    let path = file(top.path().join("a"));
    mode(&path, 0o777);
    assert!(why(here(), &path).contains("everyone"));
    let none = None::<&str>;
    mount(Some(top.path()), top.path(), none, MsFlags::MS_BIND, none).unwrap();
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let remounted = mount(none, top.path(), none, flags, none);
    let told = why(here(), &path);
    umount2(top.path(), MntFlags::MNT_DETACH).unwrap();
    assert_eq!((remounted, told), (Ok(()), String::new()));
}
