//! Depth and chains of links cost the entry that has them, and neither the program nor the other watches.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use twitcher::internals::store::dir::Threads;
use twitcher::internals::store::session::TargetId;
use twitcher::watch::Content;
use twitcher::watch::WatchType::{Data, Tree};

use super::{folder, key, open, replace, store};
use crate::fixture::conversation::{Conversation, arm, value};
use crate::fixture::daemon::Daemon;

const LEVELS: usize = 1_900;

/// Directories in one another, with a file in the last; their path below the root.
fn nest(root: &std::path::Path) -> PathBuf {
    let names = vec!["d"; LEVELS].join("/");
    fs::create_dir_all(root.join(&names)).unwrap();
    fs::write(root.join(&names).join("bottom"), "deep").unwrap();
    names.into()
}

#[tokio::test]
async fn a_tree_of_two_thousand_levels_is_read_and_followed() {
    let folder = folder();
    let names = nest(folder.path());
    fs::write(folder.path().join("beside"), "1").unwrap();
    let at = format!("{}/bottom", names.display());
    let mut seen = open(folder.path());
    seen.arm(vec![arm(1, "/", Tree), arm(2, "/beside", Data)]);
    seen.until_is(2, &value("1")).await;
    let holds = |content: Option<&Content>, text: &str| match content {
        Some(Content::Tree(entries)) => entries.get(&at) == Some(Some(text.as_bytes())),
        _ => false,
    };
    seen.until("the bottom", |seen| holds(seen.content(1), "deep")).await;
    replace(&folder.path().join(&at), "deeper");
    seen.until("a change at the bottom", |seen| holds(seen.content(1), "deeper")).await;
    let access = super::dir::Access::open(&store(folder.path()), std::time::Duration::from_secs(30)).await;
    let listing = access.unwrap().tree(&key("/")).await.unwrap();
    assert_eq!(listing.entries.len(), LEVELS + 3);
}

/// Each link leads to a directory that holds the next.
fn chain(root: &std::path::Path, links: usize) {
    for number in 0..links {
        let directory = root.join(format!("c{number}"));
        fs::create_dir(&directory).unwrap();
        symlink(format!("../c{}", number + 1), directory.join("next")).unwrap();
    }
    fs::create_dir(root.join(format!("c{links}"))).unwrap();
}

#[test]
fn a_daemon_lives_with_a_deep_tree_and_a_long_chain_of_links() {
    let mut daemon = Daemon::prepare("");
    let keys = daemon.path("keys");
    nest(&keys.join("deep"));
    // Every one of them can be entered from every one before it, down to where a path has an end.
    fs::create_dir(keys.join("chained")).unwrap();
    chain(&keys.join("chained"), 60);
    for number in 0..1_500 {
        symlink(format!("l{}", number + 1), keys.join(format!("l{number}"))).unwrap();
    }
    fs::write(keys.join("l1500"), "end").unwrap();
    daemon.put("/beside", "1");
    for (name, key, kind) in [
        ("deep", "/deep", "tree"),
        ("chained", "/chained", "tree"),
        ("links", "/l0", "data"),
        ("all", "/", "children"),
    ] {
        let text = format!("[[watch]]\nkey = '{key}'\nwatch_type = '{kind}'\naction = 'cat > /dev/null'\n");
        daemon.write(&format!("{name}.toml"), &text);
    }
    daemon.write("beside.toml", "[[watch]]\nkey = '/beside'\naction = 'true'\n");
    daemon.run();
    for name in ["beside", "deep", "chained", "all"] {
        daemon.until_converged(name);
    }
    let links = daemon.until_watch("links", |watch| watch["error"].is_string());
    assert!(links["error"].as_str().unwrap().contains("links follow one another"), "{links}");
    daemon.put("/beside", "2");
    daemon.until_runs("beside", 2);
    assert!(daemon.runs());
}

#[tokio::test]
async fn a_tree_larger_than_the_limits_of_its_store_is_refused_before_it_is_read() {
    let folder = folder();
    fs::create_dir(folder.path().join("sparse")).unwrap();
    for number in 0..3 {
        let file = fs::File::create(folder.path().join(format!("sparse/{number}"))).unwrap();
        file.set_len(600 << 10).unwrap();
    }
    fs::create_dir(folder.path().join("many")).unwrap();
    for number in 0..20 {
        fs::write(folder.path().join(format!("many/{number}")), "").unwrap();
    }
    fs::write(folder.path().join("beside"), "1").unwrap();
    let mut spec = store(folder.path());
    (spec.tree_limits.bytes, spec.tree_limits.entries) = (1 << 20, 20);
    let mut seen = Conversation::new(super::dir::session(&spec, &Threads::new(1)));
    seen.arm(vec![arm(1, "/sparse", Tree), arm(2, "/many", Tree), arm(3, "/beside", Data)]);
    seen.until_is(3, &value("1")).await;
    let access = super::dir::Access::open(&spec, std::time::Duration::from_secs(30)).await.unwrap();
    for (id, at, said) in [
        (1, "/sparse", "more than 1048576 bytes; watch a smaller part of it, or raise `max_tree_bytes`"),
        (2, "/many", "more than 20 entries; watch a smaller part of it, or raise `max_tree_entries`"),
    ] {
        seen.until("the tree is refused", |seen| seen.refused.contains_key(&TargetId(id))).await;
        assert!(seen.refused[&TargetId(id)].to_string().contains(said), "{:?}", seen.refused);
        let refused = access.tree(&key(at)).await.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    replace(&folder.path().join("beside"), "2");
    seen.until_is(3, &value("2")).await;
}

#[test]
fn a_daemon_names_the_setting_that_a_tree_exceeds_and_takes_it_on_reload() {
    let mut daemon = Daemon::prepare("");
    for number in 0..5 {
        daemon.put(&format!("/tree/{number}"), "12345");
    }
    // Its last table is that of the store.
    let settings = fs::read_to_string(daemon.path("config/twitcher.conf")).unwrap();
    daemon.write("twitcher.conf", &format!("{settings}max_tree_bytes = 24\n"));
    daemon.write("tree.toml", "[[watch]]\nkey = '/tree'\nwatch_type = 'tree'\naction = 'true'\n");
    daemon.run();
    let tree = daemon.until_watch("tree", |watch| watch["error"].is_string());
    assert!(tree["error"].as_str().unwrap().contains("raise `max_tree_bytes` of the store"), "{tree}");
    assert_eq!((&tree["state"], &tree["converged"]), (&"unreachable".into(), &false.into()));
    daemon.write("twitcher.conf", &format!("{settings}max_tree_bytes = 25\n"));
    daemon.say(&["reload"]);
    daemon.until_converged("tree");
}
