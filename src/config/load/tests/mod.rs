//! The loader on real directories.

mod broken_settings;
mod machines;
mod settings;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::watch_files::specs;
use super::*;
use crate::config::accounts::SystemAccounts;
use crate::config::accounts::tests::FakeAccounts;
use crate::config::{Diff, Problem, Trust};
use crate::watch::{RunMode, WatchName};

/// A configuration directory of the tests' own.
struct Site {
    top: tempfile::TempDir,
    loader: Loader,
}

impl Site {
    fn new() -> Self {
        Self::with(Trust::Anyone)
    }

    fn with(trust: Trust) -> Self {
        let top = tempfile::tempdir().unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let loader = Loader::with(top.path(), trust, Box::new(FakeAccounts(0)), "host");
        Self { top, loader }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Reloads, and says what changed and what is not in order: `+added *changed -removed file: problem`.
    fn reload(&mut self) -> String {
        let before = specs(&self.loader.watches);
        let reload = self.loader.reload();
        let mut after = before.clone();
        reload.diff.apply(&mut after);
        let now = specs(&self.loader.watches);
        assert!(after.keys().eq(now.keys()), "{:?}", reload.diff);
        assert!(
            after.values().zip(now.values()).all(|(one, other)| one.is_defined_as(other)),
            "{:?}",
            reload.diff
        );
        told(&reload)
    }

    fn names(&self) -> String {
        self.loader.watches().keys().map(WatchName::as_str).collect::<Vec<_>>().join(" ")
    }
}

fn told(reload: &Reload) -> String {
    let Diff { added, changed, removed, unchanged: _ } = &reload.diff;
    let mut told: Vec<String> = Vec::new();
    told.extend(added.keys().map(|name| format!("+{name}")));
    told.extend(changed.keys().map(|name| format!("*{name}")));
    told.extend(removed.iter().map(|name| format!("-{name}")));
    for report in reload.files.iter().filter(|report| report.state != LoadState::Loaded) {
        told.push(format!("[{}]", report.state.word()));
        told.extend(report.problems.iter().map(Problem::one_line));
    }
    told.join(" ")
}

fn watch(retries: u32) -> String {
    format!("[[watch]]\nkey = '/a'\naction = 'true'\nretries = {retries}\n")
}

#[test]
fn files_come_change_and_go() {
    let mut site = Site::new();
    site.write("git.toml", watch(1));
    assert_eq!(site.reload(), "+git");
    assert_eq!(site.reload(), "");
    site.write("git.toml", watch(2));
    assert_eq!(site.reload(), "*git");
    site.write("git.toml", format!("# the same\n{}timeout = '1m'\n", watch(2)));
    assert_eq!(site.reload(), "*git");
    site.write("git.toml", format!("# spelt otherwise\n{}timeout = 60\n", watch(2)));
    assert_eq!(site.reload(), "");
    site.write("sub/deeper/nginx.toml", watch(1).repeat(2));
    assert_eq!(site.reload(), "+nginx +nginx-2");
    site.remove("git.toml");
    assert_eq!(site.reload(), "-git");
    fs::remove_dir_all(site.path("sub")).unwrap();
    assert_eq!(site.reload(), "-nginx -nginx-2");
}

#[test]
fn a_broken_file_changes_nothing_of_what_runs() {
    let mut site = Site::new();
    site.write("git.toml", watch(1).repeat(2));
    site.write("other.toml", watch(1));
    site.reload();
    site.write("git.toml", format!("{}{}actoin = 1\n", watch(5), watch(6)));
    site.write("other.toml", watch(2));
    assert_eq!(site.reload(), "*other [broken] git.toml:9:1: unknown field `actoin`");
    site.write("git.toml", &watch(5)[..17]);
    assert!(site.reload().starts_with("[broken] git.toml:2:"));
    assert_eq!(site.names(), "git git-2 other");
    site.write("git.toml", watch(5));
    assert_eq!(site.reload(), "*git -git-2");
    site.write("git.toml", "");
    assert_eq!(site.reload(), "-git");
}

#[test]
fn a_watch_that_takes_part_in_a_fleet_is_another_definition() {
    let mut site = Site::new();
    let plain = format!("{}timeout = 1\n", watch(1));
    site.write("git.toml", &plain);
    site.reload();
    site.write("git.toml", format!("{plain}[watch.fleet]\n"));
    assert_eq!(site.reload(), "*git");
    site.write("git.toml", format!("{plain}fleet = false\n"));
    assert_eq!(site.reload(), "*git");
}

#[test]
fn a_warning_keeps_no_file_out() {
    let mut site = Site::new();
    site.write("git.toml", format!("{}max_parallel = 3\n", watch(1)));
    assert_eq!(site.reload(), "+git");
    let reload = site.loader.reload();
    assert!(
        reload.files[0].problems[0]
            .to_string()
            .contains("git.toml:5:16: warning: `max_parallel` has no effect")
    );
}

#[test]
fn bad_files_are_refused_each_with_its_reason_and_the_rest_is_loaded() {
    let mut site = Site::new();
    site.write("good.toml", watch(1));
    site.write("large.toml", vec![b'#'; 10 << 20]);
    site.write("latin.toml", b"# fine\n# \xe4\n");
    site.write("zeros.toml", vec![0; 4096]);
    site.write("deep.toml", "[".repeat(100_000));
    fs::create_dir(site.path("directory.toml")).unwrap();
    symlink("nowhere", site.path("lost.toml")).unwrap();
    nix::unistd::mkfifo(&site.path("pipe.toml"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let told = site.reload().replace(" [", "\n[");
    insta::assert_snapshot!(told, @r"
    +good
    [broken] deep.toml:1:3: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`
    [refused] large.toml: cannot be read: it has 10485760 bytes, and a configuration file has at most 1048576
    [broken] latin.toml:2:3: not UTF-8 from here on
    [broken] lost.toml: cannot be read: there is no such file
    [refused] pipe.toml: cannot be read: it is not a regular file
    [broken] zeros.toml:1:1: invalid unquoted key, expected letters, numbers, `-`, `_` zeros.toml:1:4097: key with no value, expected `=`
    ");
}

#[test]
fn names_that_two_files_want_are_reported_with_both_places() {
    let mut site = Site::new();
    site.write("b.toml", format!("{}name = 'x'\n", watch(1)));
    assert_eq!(site.reload(), "+x");
    site.write("a.toml", format!("\n{}name = 'x'\n", watch(2)));
    let there = site.path("b.toml");
    let broken = format!("[broken] a.toml:6:8: the watch `x` is defined in {}:5:8 already", there.display());
    assert_eq!(site.reload(), broken);
    assert_eq!(site.reload(), broken);
    site.remove("b.toml");
    assert_eq!(site.reload(), "*x");
}

#[test]
fn a_renamed_file_keeps_its_named_watches() {
    let mut site = Site::new();
    site.write("a.toml", format!("{}name = 'x'\n", watch(1)));
    site.reload();
    fs::rename(site.path("a.toml"), site.path("b.toml")).unwrap();
    assert_eq!(site.reload(), "");
    assert_eq!(*site.loader.watches()["x"].file, *site.path("b.toml"));
}

#[test]
fn a_directory_that_cannot_be_read_removes_no_watch() {
    // A file in the place of the directory is unreadable as a directory, also for root.
    let mut site = Site::new();
    let root = site.path("root");
    fs::create_dir(&root).unwrap();
    site.loader = Loader::with(&root, Trust::Anyone, Box::new(FakeAccounts(0)), "host");
    site.write("root/a.toml", watch(1));
    assert_eq!(site.reload(), "+a");
    fs::rename(&root, site.path("aside")).unwrap();
    fs::write(&root, "").unwrap();
    assert!(site.reload().contains("[refused] root: this directory is not read: Not a directory"));
    assert_eq!(site.names(), "a");
    fs::remove_file(&root).unwrap();
    assert_eq!(site.reload(), "-a [broken] root: there is no such directory");
    fs::rename(site.path("aside"), &root).unwrap();
    assert_eq!(site.reload(), "+a");
}

#[test]
fn the_layout_of_a_kubernetes_config_map_works_and_its_swap_is_one_change() {
    let mut site = Site::new();
    for (version, retries) in [("..2024_1", 1), ("..2024_2", 2)] {
        site.write(&format!("{version}/git.toml"), watch(retries));
    }
    symlink("..2024_1", site.path("..data")).unwrap();
    symlink("..data/git.toml", site.path("git.toml")).unwrap();
    assert_eq!(site.reload(), "+git");
    symlink("..2024_2", site.path("..data_tmp")).unwrap();
    fs::rename(site.path("..data_tmp"), site.path("..data")).unwrap();
    assert_eq!(site.reload(), "*git");
}

#[test]
fn who_could_change_a_file_could_run_anything_so_it_is_refused() {
    let mut site = Site::with(Trust::Owner(nix::unistd::geteuid().as_raw()));
    let mode = |path: PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    site.write("a.toml", watch(1));
    site.write("sub/b.toml", watch(1));
    mode(site.path("a.toml"), 0o644);
    mode(site.path("sub"), 0o755);
    mode(site.path("sub/b.toml"), 0o644);
    assert_eq!(site.reload(), "+a +b");
    mode(site.path("a.toml"), 0o666);
    let told = site.reload();
    assert!(told.starts_with("[refused] a.toml: refused: "), "{told}");
    assert!(told.ends_with("a.toml is writable by everyone (mode 0666)"), "{told}");
    assert_eq!(site.names(), "a b", "what was loaded while it was believed stays");
    mode(site.path("a.toml"), 0o644);
    mode(site.path("sub"), 0o777);
    let told = site.reload();
    assert!(told.starts_with("[refused] sub: this directory is not read: "), "{told}");
    assert_eq!(site.names(), "a b");
    site.write("twitcher.conf", "");
    mode(site.path("twitcher.conf"), 0o622);
    assert!(site.reload().contains("twitcher.conf: refused"));
}

#[test]
fn single_files_are_checked_without_loading_them() {
    let mut site = Site::new();
    site.write("a.toml", "[[watch]]\n");
    site.write("b.toml", watch(1));
    let paths = ["a.toml", "b.toml", "none.toml"].map(|name| site.path(name));
    let reports = site.loader.check_files(&paths);
    let states: Vec<&str> = reports.iter().map(|report| report.state.word()).collect();
    assert_eq!(states, ["broken", "loaded", "broken"]);
    assert!(site.names().is_empty());
}

#[test]
fn the_samples_are_correct() {
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    let copy = tempfile::tempdir().unwrap();
    let mut samples = 0;
    for entry in fs::read_dir(etc.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        samples += usize::from(path.extension() == Some(OsStr::new("toml")));
    }
    let mut loader = Loader::with(copy.path(), Trust::Anyone, Box::new(SystemAccounts::as_root()), "host");
    assert_eq!(
        told(&loader.reload()).replace('+', ""),
        loader.watches().keys().map(WatchName::as_str).collect::<Vec<_>>().join(" ")
    );
    assert_eq!(loader.reload().files.len(), samples + 1);
    assert!(
        samples >= 5 && loader.watches().values().any(|watch| watch.spec.policy.run_mode == RunMode::Restart)
    );
}

#[test]
fn a_thousand_files_are_reloaded_in_no_time_when_one_changed() {
    let mut site = Site::with(Trust::Owner(nix::unistd::geteuid().as_raw()));
    for number in 0..1000 {
        site.write(&format!("w{number}.toml"), watch(1));
        let path = site.path(&format!("w{number}.toml"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let begin = Instant::now();
    assert_eq!(site.loader.reload().diff.added.len(), 1000);
    let first = begin.elapsed();
    site.write("w500.toml", watch(2));
    let begin = Instant::now();
    let reload = site.loader.reload_watches();
    let again = begin.elapsed();
    assert_eq!((reload.diff.changed.len(), reload.diff.unchanged.len()), (1, 999));
    println!("first {first:?}, again {again:?}");
    assert!(again < Duration::from_secs(5), "{again:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        let mut site = Site::new();
        site.write("a.toml", &bytes);
        site.write("twitcher.conf", &bytes);
        site.write("good.toml", watch(1));
        site.reload();
    }
}

#[test]
fn carriage_returns_of_an_editor_are_line_ends_and_no_part_of_a_script() {
    let mut site = Site::new();
    let text = "[[watch]]\r\nkey = '/a'\r\nscript = '''\r\n#!/bin/sh\r\necho \"a\\r\"\r\n'''\r\n\
                [[watch]]\r\nkey = '/a'\r\naction = \"\"\"one\r\ntwo \\r\\n three\"\"\"\r\n";
    site.write("w.toml", text);
    assert_eq!(site.reload(), "+w +w-2");
    let action = |name: &str| format!("{:?}", site.loader.watches()[name].spec.action);
    assert!(action("w").contains(r#"#!/bin/sh\necho \"a\\r\"\n"#), "{}", action("w"));
    assert!(action("w-2").contains(r"one\ntwo \r\n three"), "{}", action("w-2"));
    // Places are those of the file.
    site.write("w.toml", "[[watch]]\r\nkey = '/a'\r\n  actoin = 'true'\r\n");
    let told = site.reload();
    assert!(told.contains("w.toml:3:3: "), "{told}");
}

#[test]
fn a_file_that_lost_its_watches_is_a_warning_until_it_has_some_or_is_gone() {
    let mut site = Site::new();
    let warnings = |site: &mut Site| -> Vec<String> {
        let files = site.loader.reload().files;
        files.iter().flat_map(|report| report.problems.iter().map(Problem::one_line)).collect()
    };
    site.write("never.toml", "# Nothing yet.\n");
    site.write("w.toml", watch(1));
    assert_eq!(warnings(&mut site), Vec::<String>::new());
    site.write("w.toml", "");
    for _ in 0..2 {
        let told = warnings(&mut site);
        assert!(told.len() == 1 && told[0].contains("had watches, and has none any more"), "{told:?}");
        assert_eq!(site.names(), "");
    }
    site.write("w.toml", watch(2));
    assert_eq!(warnings(&mut site), Vec::<String>::new());
    site.write("w.toml", "# gone\n");
    assert_eq!(warnings(&mut site).len(), 1);
    site.remove("w.toml");
    assert_eq!(warnings(&mut site), Vec::<String>::new());
}
