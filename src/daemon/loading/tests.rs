//! The loader's thread with a name service that does not answer.

use std::io;
use std::sync::{Arc, Mutex};

use super::*;
use crate::config::Trust;
use crate::config::accounts::{Accounts, DaemonIdentity, SystemAccounts, UserEntry};

/// This machine's accounts, but a look-up of a user by name blocks until the other end of the channel is dropped.
struct Gated(Arc<Mutex<Receiver<()>>>);

impl Accounts for Gated {
    fn daemon(&self) -> DaemonIdentity {
        SystemAccounts::as_root().daemon()
    }
    fn user_by_name(&self, name: &str) -> io::Result<Option<UserEntry>> {
        let _ = self.0.lock().unwrap().recv();
        SystemAccounts::as_root().user_by_name(name)
    }
    fn user_by_uid(&self, uid: u32) -> io::Result<Option<UserEntry>> {
        SystemAccounts::as_root().user_by_uid(uid)
    }
    fn group_by_name(&self, name: &str) -> io::Result<Option<u32>> {
        SystemAccounts::as_root().group_by_name(name)
    }
    fn groups_of(&self, user: &str, gid: u32) -> io::Result<Vec<u32>> {
        SystemAccounts::as_root().groups_of(user, gid)
    }
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.reload.watches.keys().map(crate::watch::WatchName::as_str).collect()
}

#[tokio::test]
async fn a_look_up_that_blocks_delays_its_own_file_and_is_tried_again_unasked() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
    write("plain.toml", "[[watch]]\nkey = '/a'\naction = 'true'\n");
    write("named.toml", "[[watch]]\nkey = '/a'\naction = 'true'\nuid = 'root'\n");
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let accounts = Gated(Arc::new(Mutex::new(gate)));
    let reader = Loader::with(place.path(), Trust::Anyone, Box::new(accounts), "host");
    let mut loading = Loading::start_with(reader, Duration::from_millis(50)).unwrap();
    let (answer, _answered) = oneshot::channel();
    loading.ask(Extent::Everything, Some(answer));
    let first = loading.next().await.unwrap();
    assert_eq!((names(&first), first.answers.len()), (vec!["plain"], 1));
    let problem = first.reload.files.iter().flat_map(|file| &file.problems).next().unwrap().to_string();
    assert!(
        problem.contains("the user root cannot be looked up: the name service does not answer"),
        "{problem}"
    );
    drop(open);
    let complete = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            let later = loading.next().await.unwrap();
            if names(&later) == ["named", "plain"] {
                return later;
            }
        }
    });
    assert!(!complete.await.unwrap().reload.is_partial);
}
