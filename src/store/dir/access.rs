//! Single requests to a directory.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::content::{NOTHING, read_file, size, value_version};
use super::place::{KeyPath, join, key_name};
use super::resolve::{FileId, Found, FoundDirectory, ResolveError, look, refused};
use super::root_of;
use super::single::is_key;
use super::target::open_root;
use super::threads::Threads;
use super::write::{Locked, admit, admit_root, delete, lock, put, require};
use crate::store::access::{Change, Condition, Entry, Listing, Reached};
use crate::store::error::time;
use crate::store::{StoreError, StoreSpec, TreeLimits};
use crate::watch::{Key, Spelling, Version};

/// Requests at once; further requests wait. Requests that the kernel never finishes occupy at most this many threads.
const AT_ONCE: usize = 4;

/// Tells a thread when its time is over.
const SAYING_SO: Duration = Duration::from_millis(500);

/// A directory for reading and writing. No descriptor stays open; each request is answered within the time limit, which
/// also limits the wait for the writers' lock.
#[derive(Debug, Clone)]
pub struct Access {
    root: PathBuf,
    limit: Duration,
    tree_limits: TreeLimits,
    threads: Threads,
}

impl Access {
    /// Accepts a `dir` store. Its root may be missing: then there are no keys, and a write creates it.
    #[expect(clippy::unused_async, reason = "every kind of store is opened in the same way")]
    pub async fn open(spec: &StoreSpec, limit: Duration) -> Result<Self, StoreError> {
        Ok(Self {
            root: root_of(spec)?,
            limit,
            tree_limits: spec.tree_limits,
            threads: Threads::new(AT_ONCE),
        })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path, Instant) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (root, deadline) = (self.root.clone(), Instant::now() + self.limit);
        let answer = self.threads.run(&self.root, self.limit, move || work(&root, deadline));
        // The wait for the lock has the same limit and its own error.
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

    /// Does a write under the writers' lock. A timeout while the lock is held means that the write may have been done.
    async fn locked<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Locked) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let written = self.blocking(move |root, deadline| {
            let lock = lock(root, deadline)?;
            begins.store(true, Ordering::Relaxed);
            write(&lock)
        });
        let written = written.await;
        if begun.load(Ordering::Relaxed) { written.map_err(StoreError::after_sending) } else { written }
    }

    /// Whether the root is a directory, or can be created by a write.
    pub async fn has_root(&self, writing: bool) -> Result<(), StoreError> {
        self.blocking(move |root, _| admit_root(root, writing)).await
    }

    /// Reads many keys, one after the other.
    pub async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        let places = keys.iter().map(KeyPath::of).collect::<Result<Vec<_>, _>>()?;
        self.blocking(move |root, _| {
            let Some(root) = open_root(root)? else { return Ok(vec![None; places.len()]) };
            places.iter().map(|place| entry(look(&root, place.steps())?)).collect()
        })
        .await
    }

    /// Reads one key; `None` if it does not exist.
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let place = KeyPath::of(key)?;
        self.blocking(move |root, _| match open_root(root)? {
            Some(root) => entry(look(&root, place.steps())?),
            None => Ok(None),
        })
        .await
    }

    /// Sets a value, creating the directories above it.
    pub async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        let key = key.clone();
        self.locked(move |lock| put(lock, &key, &value, condition)).await
    }

    /// Deletes a file or an empty directory; returns whether it existed.
    pub async fn delete(&self, key: &Key, condition: Condition) -> Result<bool, StoreError> {
        let key = key.clone();
        self.locked(move |lock| delete(lock, &key, condition)).await
    }

    /// The names directly below a key, sorted; `None` if it does not exist, empty for a file.
    pub async fn children(&self, key: &Key) -> Result<Option<Vec<String>>, StoreError> {
        let place = KeyPath::of(key)?;
        self.blocking(move |root, _| {
            let Some(root) = open_root(root)? else { return Ok(None) };
            let directory = match look(&root, place.steps())? {
                Found::Directory(directory) => directory,
                Found::File(_) => return Ok(Some(Vec::new())),
                // A device or the like is not a key.
                Found::Missing | Found::Special(_) => return Ok(None),
            };
            let mut names = Vec::new();
            for (name, kind) in directory.list()? {
                let Some(key) = key_name(&name) else { continue };
                if is_key(&directory, &name, kind, &mut |_, _| Ok(true))? {
                    names.push(key.to_owned());
                }
            }
            Ok(Some(names))
        })
        .await
    }

    /// Reads a key and everything below it, one entry after the other.
    pub async fn tree(&self, key: &Key) -> Result<Listing, StoreError> {
        let (place, limits) = (KeyPath::of(key)?, self.tree_limits);
        self.blocking(move |root, _| match open_root(root)? {
            Some(root) => Gathering::new(limits).gather(look(&root, place.steps())?),
            None => Ok(Listing::default()),
        })
        .await
    }

    /// Makes one write under one lock while requirements hold. A directory has no transactions: more than one write is
    /// refused. A tenure has no effect, because a directory has a single member, whose keys stay.
    pub async fn transact(&self, changes: &[Change]) -> Result<Vec<Version>, StoreError> {
        let (required, writes): (Vec<Change>, Vec<Change>) =
            changes.iter().cloned().partition(|change| matches!(change, Change::Require { .. }));
        if writes.len() > 1 {
            return Err(StoreError::Refused {
                what: format!("make {} changes in one transaction", changes.len()),
                why: "a directory has no transactions: only one key can be written at once".to_owned(),
            });
        }
        self.locked(move |lock| {
            for change in required {
                require(lock, change.key(), change.condition())?;
            }
            match writes.into_iter().next() {
                Some(Change::Put { key, value, condition, options: _ }) => {
                    put(lock, &key, &value, condition).map(|version| vec![version])
                }
                Some(Change::Delete { key, condition }) => {
                    delete(lock, &key, condition).map(|_existed| Vec::new())
                }
                Some(Change::Require { .. }) | None => Ok(Vec::new()),
            }
        })
        .await
    }

    /// Writes in order under one lock and reports progress before and after each write. A directory has no transactions: an
    /// error leaves the earlier writes in place, but changes that a directory cannot hold are refused before the first one.
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
        let admitted = lock.clone();
        let implied = self.blocking(move |_, _| admit(admitted.root(), &all)).await?;
        for (done, (change, implied)) in changes.iter().zip(implied).enumerate() {
            let (change, lock) = (change.clone(), lock.clone());
            progress(Reached::Sent(done + 1));
            self.blocking(move |_, _| match change {
                Change::Delete { .. } if implied => Ok(()),
                Change::Put { key, value, condition, options: _ } => {
                    put(&lock, &key, &value, condition).map(drop)
                }
                Change::Require { key, condition } => require(&lock, &key, condition),
                Change::Delete { key, condition } => delete(&lock, &key, condition).map(drop),
            })
            .await?;
            progress(Reached::Made(done + 1));
        }
        Ok(())
    }
}

/// A result of a walk, as an entry.
fn entry(found: Found) -> Result<Option<Entry>, StoreError> {
    let spelling = Spelling::Slashed;
    match found {
        Found::Missing | Found::Special(_) => Ok(None),
        Found::Directory(directory) => {
            let metadata = directory.metadata()?;
            Ok(Some(Entry { value: None, version: NOTHING, spelling, metadata: told(&metadata) }))
        }
        Found::File(file) => {
            let metadata = file.file.metadata().map_err(|error| refused(&file.path, &error))?;
            let value = read_file(&file)?;
            let version = value_version(&value);
            Ok(Some(Entry { value: Some(value), version, spelling, metadata: told(&metadata) }))
        }
    }
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

/// A directory that is still to be read: its path and identity, and its ancestors, to detect a circle.
struct Ahead {
    at: String,
    path: PathBuf,
    identity: FileId,
    above: Option<Arc<Above>>,
}

/// A directory on the way to another.
struct Above {
    identity: FileId,
    above: Option<Arc<Above>>,
}

impl Above {
    /// Whether a directory is this one or an ancestor: a symbolic link that leads back up.
    fn is_circle(above: Option<&Arc<Self>>, identity: FileId) -> bool {
        let above = std::iter::successors(above, |at| at.above.as_ref());
        above.into_iter().any(|at| at.identity == identity)
    }
}

/// A tree that is being read.
struct Gathering {
    limits: TreeLimits,
    listing: Listing,
    /// Bytes of the values in the listing.
    bytes: u64,
    /// Directories that are still to be read. A list and no recursion: their depth is the store's.
    ahead: Vec<Ahead>,
}

impl Gathering {
    fn new(limits: TreeLimits) -> Self {
        Self { limits, listing: Listing::default(), bytes: 0, ahead: Vec::new() }
    }

    /// Reads a tree from what its key stands for.
    fn gather(mut self, found: Found) -> Result<Listing, StoreError> {
        self.add("", found, None)?;
        while let Some(next) = self.ahead.pop() {
            let read = self.directory(&next);
            self.or_left_out(&next.at, read)?;
        }
        Ok(self.listing)
    }

    fn directory(&mut self, next: &Ahead) -> Result<(), ResolveError> {
        let Some(directory) = FoundDirectory::again(&next.path, next.identity)? else { return Ok(()) };
        let above = Some(Arc::new(Above { identity: next.identity, above: next.above.clone() }));
        for (name, _) in directory.list()? {
            let Some(key) = key_name(&name) else { continue };
            let at = join(&next.at, key);
            let added = look(&directory, [name.as_os_str()]);
            let added = added.and_then(|found| self.add(&at, found, above.clone()));
            self.or_left_out(&at, added).map_err(ResolveError::Failed)?;
        }
        Ok(())
    }

    fn add(&mut self, at: &str, found: Found, above: Option<Arc<Above>>) -> Result<(), ResolveError> {
        if let Found::Directory(directory) = &found {
            let (path, identity) = (directory.path.clone(), directory.identity()?);
            if !Above::is_circle(above.as_ref(), identity) {
                self.ahead.push(Ahead { at: at.to_owned(), path, identity, above });
            }
        }
        if let Found::File(file) = &found {
            self.bytes = self.bytes.saturating_add(size(file).map_err(ResolveError::Failed)?);
        }
        // Before a byte of it is read.
        self.limits.admit(self.bytes, self.listing.entries.len() + 1).map_err(ResolveError::Failed)?;
        if let Some(entry) = entry(found).map_err(ResolveError::Failed)? {
            self.listing.entries.insert(at.to_owned(), Entry { metadata: Vec::new(), ..entry });
        }
        Ok(())
    }

    /// What stands in the way of one entry costs that entry, as in a watch of the tree.
    fn or_left_out(&mut self, at: &str, read: Result<(), ResolveError>) -> Result<(), StoreError> {
        match read {
            Ok(()) => Ok(()),
            Err(ResolveError::Blocked(error)) if !at.is_empty() => {
                self.listing.unreadable.push(error.to_string());
                Ok(())
            }
            Err(ResolveError::Blocked(error) | ResolveError::Failed(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hanging_directory_is_an_error_within_the_limit_and_holds_few_threads() {
        let threads = Threads::new(1);
        let access = Access {
            root: "/nowhere".into(),
            limit: Duration::from_secs(5),
            tree_limits: TreeLimits::default(),
            threads,
        };
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
