//! Hot reload on real directories with real inotify: every way in which files appear, change and disappear.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::config::accounts::SystemAccounts;
use crate::config::{Loader, Trust};

const QUICK: Timing = Timing {
    quiet: Duration::from_millis(20),
    longest: Duration::from_millis(200),
    // A poll must not find what an event should have announced.
    degraded: Duration::from_hours(1),
    beside: Duration::from_millis(20),
};
/// The machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A watched directory, and the loader that reads it at every hint, as the daemon does.
struct Site {
    top: tempfile::TempDir,
    loader: Loader,
    hints: mpsc::Receiver<Hint>,
    _watch: DirectoryWatch,
}

impl Site {
    /// Watches `conf` in a new directory, which `prepare` fills first.
    async fn new(prepare: impl FnOnce(&Path)) -> Self {
        let top = tempfile::tempdir().unwrap();
        prepare(top.path());
        let root = top.path().join("conf");
        let (watch, hints) = DirectoryWatch::start_with(&root, QUICK);
        let loader = Loader::with(root, Trust::Anyone, Box::new(SystemAccounts::of_process()), "host");
        let mut site = Self { top, loader, hints, _watch: watch };
        let first = site.hints.recv().await.unwrap();
        assert_eq!(first, Hint::default());
        let _ = site.loader.reload();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Follows the hints until the watches and their `retries` are these.
    async fn until(&mut self, expected: &str) {
        let followed = tokio::time::timeout(PATIENCE, async {
            while self.shown() != expected {
                self.hints.recv().await.unwrap();
                let _ = self.loader.reload_watches();
            }
        });
        let followed = followed.await;
        assert!(followed.is_ok(), "expected {expected:?}, and there is {:?}", self.shown());
    }

    fn shown(&self) -> String {
        let shown = |(name, watch): (_, &crate::config::LoadedWatch)| match watch.spec.policy.retries {
            crate::watch::Retries::AtMost(retries) => format!("{name}={retries}"),
            crate::watch::Retries::Unlimited => format!("{name}=unlimited"),
        };
        self.loader.watches().iter().map(shown).collect::<Vec<_>>().join(" ")
    }
}

fn watch(retries: u32) -> String {
    format!("[[watch]]\nkey = '/a'\naction = 'true'\nretries = {retries}\n")
}

fn conf(top: &Path) {
    fs::create_dir(top.join("conf")).unwrap();
}

#[tokio::test]
async fn a_file_is_dropped_edited_completed_renamed_and_removed() {
    let mut site = Site::new(conf).await;
    site.write("conf/a.toml", &watch(1));
    site.until("a=1").await;
    site.write("conf/a.toml", &watch(2));
    site.until("a=2").await;
    site.write("conf/half.toml", &watch(3)[..17]);
    site.write("conf/b.toml", &watch(1));
    site.until("a=2 b=1").await;
    site.write("conf/half.toml", &watch(3));
    site.until("a=2 b=1 half=3").await;
    site.write("conf/.half.tmp", &watch(4));
    fs::rename(site.path("conf/.half.tmp"), site.path("conf/half.toml")).unwrap();
    site.until("a=2 b=1 half=4").await;
    site.write("elsewhere", &watch(5));
    fs::rename(site.path("elsewhere"), site.path("conf/c.toml")).unwrap();
    site.until("a=2 b=1 c=5 half=4").await;
    fs::remove_file(site.path("conf/a.toml")).unwrap();
    fs::rename(site.path("conf/b.toml"), site.path("conf/b.toml.dpkg-old")).unwrap();
    fs::rename(site.path("conf/c.toml"), site.path("elsewhere")).unwrap();
    site.until("half=4").await;
}

#[tokio::test]
async fn a_new_subdirectory_is_seen_with_what_is_in_it_and_what_comes_later() {
    let mut site = Site::new(conf).await;
    fs::create_dir_all(site.path("conf/x/y")).unwrap();
    site.write("conf/x/y/a.toml", &watch(1));
    site.until("a=1").await;
    site.write("conf/x/y/a.toml", &watch(2));
    site.until("a=2").await;
    fs::create_dir(site.path("aside")).unwrap();
    site.write("aside/b.toml", &watch(1));
    fs::rename(site.path("aside"), site.path("conf/z")).unwrap();
    site.until("a=2 b=1").await;
    site.write("conf/z/b.toml", &watch(2));
    site.until("a=2 b=2").await;
    fs::remove_dir_all(site.path("conf/x")).unwrap();
    fs::rename(site.path("conf/z"), site.path("aside")).unwrap();
    site.until("").await;
    site.write("aside/b.toml", &watch(3));
    fs::create_dir(site.path("conf/x")).unwrap();
    site.write("conf/x/c.toml", &watch(1));
    site.until("c=1").await;
}

#[tokio::test]
async fn a_directory_that_is_removed_and_made_again_is_watched_again() {
    let mut site = Site::new(conf).await;
    site.write("conf/a.toml", &watch(1));
    site.until("a=1").await;
    for again in 2..5 {
        fs::remove_dir_all(site.path("conf")).unwrap();
        if again == 3 {
            site.until("").await;
        }
        fs::create_dir(site.path("conf")).unwrap();
        site.write("conf/a.toml", &watch(again));
        site.until(&format!("a={again}")).await;
        site.write("conf/a.toml", &watch(10 + again));
        site.until(&format!("a={}", 10 + again)).await;
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_yet_is_waited_for_with_those_above_it() {
    let mut site = Site::new(|top| symlink("no/such/thing", top.join("conf")).unwrap()).await;
    fs::create_dir_all(site.path("no/such/thing")).unwrap();
    fs::remove_file(site.path("conf")).unwrap();
    symlink("no/such/thing", site.path("conf")).unwrap();
    site.write("conf/a.toml", &watch(1));
    site.until("a=1").await;
    site.write("no/such/thing/a.toml", &watch(2));
    site.until("a=2").await;
}

#[tokio::test]
async fn a_directory_appears_far_below_what_exists() {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("a/b/c");
    let (_watch, mut hints) = DirectoryWatch::start_with(&root, QUICK);
    hints.recv().await.unwrap();
    let mut loader = Loader::with(&root, Trust::Anyone, Box::new(SystemAccounts::of_process()), "host");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("x.toml"), watch(1)).unwrap();
    let found = tokio::time::timeout(PATIENCE, async {
        while loader.watches().is_empty() {
            hints.recv().await.unwrap();
            let _ = loader.reload();
        }
    });
    found.await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_a_link_is_followed_when_it_is_swapped() {
    let mut site = Site::new(|top| {
        for (version, retries) in [("v1", 1), ("v2", 2)] {
            fs::create_dir_all(top.join(version).join("sub")).unwrap();
            fs::write(top.join(version).join("sub/a.toml"), watch(retries)).unwrap();
        }
        symlink("v1", top.join("conf")).unwrap();
    })
    .await;
    site.until("a=1").await;
    symlink("v2", site.path("next")).unwrap();
    fs::rename(site.path("next"), site.path("conf")).unwrap();
    site.until("a=2").await;
    site.write("v2/sub/a.toml", &watch(3));
    site.until("a=3").await;
    // Not atomically, as `ln -sfn` does it.
    fs::remove_file(site.path("conf")).unwrap();
    symlink("v1", site.path("conf")).unwrap();
    site.until("a=1").await;
    site.write("v1/sub/a.toml", &watch(4));
    site.until("a=4").await;
}

#[tokio::test]
async fn a_config_map_is_swapped_as_kubernetes_does_it() {
    let version = |top: &Path, name: &str, retries| {
        fs::create_dir_all(top.join(name)).unwrap();
        fs::write(top.join(name).join("a.toml"), watch(retries)).unwrap();
    };
    let mut site = Site::new(|top| {
        version(top, "conf/..2024_1", 1);
        symlink("..2024_1", top.join("conf/..data")).unwrap();
        symlink("..data/a.toml", top.join("conf/a.toml")).unwrap();
    })
    .await;
    site.until("a=1").await;
    for (number, old) in [(2, 1), (3, 2)] {
        let name = format!("..2024_{number}");
        version(site.top.path(), &format!("conf/{name}"), number);
        symlink(&name, site.path("conf/..data_tmp")).unwrap();
        fs::rename(site.path("conf/..data_tmp"), site.path("conf/..data")).unwrap();
        fs::remove_dir_all(site.path(&format!("conf/..2024_{old}"))).unwrap();
        site.until(&format!("a={number}")).await;
    }
}

#[tokio::test]
async fn links_lead_to_files_and_directories_elsewhere_and_these_are_watched_too() {
    let mut site = Site::new(|top| {
        for directory in ["conf", "shared", "files"] {
            fs::create_dir(top.join(directory)).unwrap();
        }
        fs::write(top.join("shared/a.toml"), watch(1)).unwrap();
        fs::write(top.join("files/real"), watch(1)).unwrap();
        symlink("../shared", top.join("conf/shared")).unwrap();
        symlink("..", top.join("conf/shared/loop")).unwrap();
        symlink("../files/real", top.join("conf/b.toml")).unwrap();
    })
    .await;
    fs::remove_file(site.path("shared/loop")).unwrap();
    site.until("a=1 b=1").await;
    site.write("shared/a.toml", &watch(2));
    site.until("a=2 b=1").await;
    site.write("files/real", &watch(2));
    site.until("a=2 b=2").await;
}

#[tokio::test]
async fn thousands_of_files_at_once_are_all_found() {
    let mut site = Site::new(conf).await;
    for number in 0..3000 {
        site.write(&format!("conf/w{number}.toml"), &watch(1));
    }
    let found = tokio::time::timeout(PATIENCE * 2, async {
        while site.loader.watches().len() < 3000 {
            site.hints.recv().await.unwrap();
            let _ = site.loader.reload_watches();
        }
    });
    found.await.unwrap();
}

#[tokio::test]
async fn reading_makes_no_hint_and_neither_does_what_is_beside_the_directory() {
    let mut site = Site::new(conf).await;
    site.write("conf/a.toml", &watch(1));
    site.until("a=1").await;
    // Pending events come first; after them, silence.
    while tokio::time::timeout(Duration::from_millis(500), site.hints.recv()).await.is_ok() {}
    for _ in 0..3 {
        let _ = site.loader.reload();
        site.write("beside.toml", "");
    }
    assert!(tokio::time::timeout(Duration::from_millis(500), site.hints.recv()).await.is_err());
    site.write("conf/a.toml", &watch(2));
    site.until("a=2").await;
}
