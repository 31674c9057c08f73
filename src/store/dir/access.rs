//! Single requests to a directory.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::content::{NOTHING, list, read_file, refused, value_version, vanished};
use super::place::{KeyPath, join, key_name};
use super::root_of;
use super::threads::Threads;
use super::write::{Locked, admit, admit_root, delete, lock, put, require};
use crate::store::access::{Change, Condition, Entry, Listing, Reached};
use crate::store::error::time;
use crate::store::{StoreError, StoreSpec};
use crate::watch::{Key, Spelling, Version};

/// Requests at once; more wait, and those that the system holds for ever cost no more threads than this.
const AT_ONCE: usize = 4;

/// What a thread needs to say that the time is over.
const SAYING_SO: Duration = Duration::from_millis(500);

/// A directory to read and write. Nothing is held open; each request is answered within the time limit, and waits
/// as long for the lock that writers share.
#[derive(Debug, Clone)]
pub struct Access {
    root: PathBuf,
    limit: Duration,
    threads: Threads,
}

impl Access {
    /// Accepts a `dir` store. Its root may be missing: then there are no keys, and a write makes it.
    #[expect(clippy::unused_async, reason = "every kind of store is opened in the same way")]
    pub async fn open(spec: &StoreSpec, limit: Duration) -> Result<Self, StoreError> {
        Ok(Self { root: root_of(spec)?, limit, threads: Threads::new(AT_ONCE) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path, Instant) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (root, deadline) = (self.root.clone(), Instant::now() + self.limit);
        let answer = self.threads.run(&self.root, self.limit, move || work(&root, deadline));
        // The lock is waited for as long, and says so by itself.
        match timeout(self.limit + SAYING_SO, answer).await {
            Ok(answer) => answer?,
            Err(_) => Err(StoreError::Unavailable {
                what: format!("use directory {}", self.root.display()),
                why: format!(
                    "no answer within {}; if it lies on a network file system, is its server there?",
                    time(self.limit)
                ),
            }),
        }
    }

    /// Does a write under the lock that writers share. What is late once that is held may have been done.
    async fn locked<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Path, &Locked) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let written = self.blocking(move |root, deadline| {
            let lock = lock(root, deadline)?;
            begins.store(true, Ordering::Relaxed);
            write(root, &lock)
        });
        let written = written.await;
        if begun.load(Ordering::Relaxed) { written.map_err(StoreError::after_sending) } else { written }
    }

    /// Whether the root is a directory, or one that a write makes.
    pub async fn has_root(&self, writing: bool) -> Result<(), StoreError> {
        self.blocking(move |root, _| admit_root(root, writing)).await
    }

    /// Many keys, one after the other.
    pub async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        let places = keys.iter().map(KeyPath::of).collect::<Result<Vec<_>, _>>()?;
        self.blocking(move |root, _| places.iter().map(|place| entry(&place.below(root))).collect()).await
    }

    /// One key; `None` where it does not exist.
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let place = KeyPath::of(key)?;
        self.blocking(move |root, _| entry(&place.below(root))).await
    }

    /// Sets a value, making the directories above it.
    pub async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        let key = key.clone();
        self.locked(move |root, lock| put(root, lock, &key, &value, condition)).await
    }

    /// Deletes a file or an empty directory; whether it was there.
    pub async fn delete(&self, key: &Key, condition: Condition) -> Result<bool, StoreError> {
        let key = key.clone();
        self.locked(move |root, lock| delete(root, lock, &key, condition)).await
    }

    /// The names directly below a key, sorted; `None` where it does not exist, none below a file.
    pub async fn children(&self, key: &Key) -> Result<Option<Vec<String>>, StoreError> {
        let place = KeyPath::of(key)?;
        self.blocking(move |root, _| {
            let path = place.below(root);
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {
                    let names = list(&path)?;
                    Ok(names.map(|names| {
                        let names = names.iter().filter_map(|name| key_name(name));
                        names.filter(|name| is_key(&path.join(name))).map(String::from).collect()
                    }))
                }
                Ok(metadata) if metadata.is_file() => Ok(Some(Vec::new())),
                // A device or the like is no key.
                Ok(_) => Ok(None),
                Err(error) if vanished(&error) => Ok(None),
                Err(error) => Err(refused(&path, &error)),
            }
        })
        .await
    }

    /// A key and all below it, read one after the other.
    pub async fn tree(&self, key: &Key) -> Result<Listing, StoreError> {
        let place = KeyPath::of(key)?;
        self.blocking(move |root, _| {
            let mut listing = Listing::default();
            gather(&place.below(root), "", &mut Vec::new(), &mut listing)?;
            Ok(listing)
        })
        .await
    }

    /// Makes one write while requirements hold, under one lock. A directory has no transactions: more than one write is
    /// refused. A tenure changes nothing, because a directory has one member, whose keys stay.
    pub async fn transact(&self, changes: &[Change]) -> Result<Vec<Version>, StoreError> {
        let (required, writes): (Vec<Change>, Vec<Change>) =
            changes.iter().cloned().partition(|change| matches!(change, Change::Require { .. }));
        if writes.len() > 1 {
            return Err(StoreError::Refused {
                what: format!("make {} changes in one transaction", changes.len()),
                why: "a directory has no transactions: one of them writes one key".to_owned(),
            });
        }
        self.locked(move |root, lock| {
            for change in required {
                require(root, lock, change.key(), change.condition())?;
            }
            match writes.into_iter().next() {
                Some(Change::Put { key, value, condition, options: _ }) => {
                    put(root, lock, &key, &value, condition).map(|version| vec![version])
                }
                Some(Change::Delete { key, condition }) => {
                    delete(root, lock, &key, condition).map(|_existed| Vec::new())
                }
                Some(Change::Require { .. }) | None => Ok(Vec::new()),
            }
        })
        .await
    }

    /// Writes in order under one lock, telling before and after each how many there are. A directory has no
    /// transactions: an error leaves what was done before it, but what a directory cannot hold is found before.
    pub async fn apply(
        &self,
        changes: &[Change],
        progress: &mut (dyn FnMut(Reached) + Send),
    ) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let lock = self.blocking(lock).await.map(Arc::new)?;
        let all = changes.to_vec();
        self.blocking(move |root, _| admit(root, &all)).await?;
        for (done, change) in changes.iter().enumerate() {
            let (change, lock) = (change.clone(), lock.clone());
            progress(Reached::Sent(done + 1));
            self.blocking(move |root, _| match change {
                Change::Put { key, value, condition, options: _ } => {
                    put(root, &lock, &key, &value, condition).map(drop)
                }
                Change::Delete { key, condition } => delete(root, &lock, &key, condition).map(drop),
                Change::Require { key, condition } => require(root, &lock, &key, condition),
            })
            .await?;
            progress(Reached::Made(done + 1));
        }
        Ok(())
    }
}

/// Whether something is at a path that is a key: where links lead to is a file or a directory.
fn is_key(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => metadata.is_file() || metadata.is_dir(),
        // What may not be looked at is there.
        Err(error) => !vanished(&error),
    }
}

/// Reads one key. What vanishes meanwhile does not exist.
fn entry(path: &Path) -> Result<Option<Entry>, StoreError> {
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if vanished(&error) => return Ok(None),
        Err(error) => return Err(refused(path, &error)),
    };
    let metadata = match fs::symlink_metadata(&real) {
        Ok(metadata) => metadata,
        Err(error) if vanished(&error) => return Ok(None),
        Err(error) => return Err(refused(path, &error)),
    };
    if metadata.is_dir() {
        let (version, spelling) = (NOTHING, Spelling::Slashed);
        return Ok(Some(Entry { value: None, version, spelling, metadata: told(&metadata) }));
    }
    Ok(read_file(&real)?.map(|value| Entry {
        version: value_version(&value),
        value: Some(value),
        spelling: Spelling::Slashed,
        metadata: told(&metadata),
    }))
}

fn told(metadata: &Metadata) -> Vec<(&'static str, String)> {
    let seconds = jiff::Timestamp::new(metadata.mtime(), 0);
    vec![
        ("size", metadata.len().to_string()),
        ("mode", format!("{:04o}", metadata.mode() & 0o7777)),
        ("uid", metadata.uid().to_string()),
        ("gid", metadata.gid().to_string()),
        ("mtime", seconds.map_or_else(|_| metadata.mtime().to_string(), |time| time.to_string())),
    ]
}

fn gather(path: &Path, at: &str, above: &mut Vec<PathBuf>, listing: &mut Listing) -> Result<(), StoreError> {
    let Some(entry) = entry(path)? else { return Ok(()) };
    let entry = Entry { metadata: Vec::new(), ..entry };
    let is_directory = entry.value.is_none();
    listing.entries.insert(at.to_owned(), entry);
    if !is_directory {
        return Ok(());
    }
    let Ok(real) = fs::canonicalize(path) else { return Ok(()) };
    if above.contains(&real) {
        // A symbolic link back up.
        return Ok(());
    }
    let Some(names) = list(&real)? else { return Ok(()) };
    above.push(real);
    for name in names.iter().filter_map(|name| key_name(name)) {
        gather(&path.join(name), &join(at, name), above, listing)?;
    }
    above.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_hangs_is_an_error_in_time_and_its_threads_are_few() {
        let threads = Threads::new(1);
        let access = Access { root: "/nowhere".into(), limit: Duration::from_secs(5), threads };
        let (release, held) = std::sync::mpsc::channel::<()>();
        let hung = access.blocking(move |_, _| Ok(held.recv().is_ok())).await.unwrap_err();
        assert!(hung.to_string().contains("no answer within 5 s;"), "{hung}");
        let key = Key::new("/a").unwrap();
        let behind = access.get(&key).await.unwrap_err();
        assert!(behind.to_string().contains("has not answered an earlier request"), "{behind}");
        tokio::time::resume();
        release.send(()).unwrap();
        assert_eq!(access.get(&key).await.unwrap(), None);
    }
}
