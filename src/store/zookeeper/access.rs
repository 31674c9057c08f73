//! Single requests to `ZooKeeper`: the session for them, and reads.

mod steps;
mod write;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use zookeeper_client::{Client, Error, Stat};

use super::connect::{Entrance, Meaning, failed, meaning};
use super::nodes::{MOST_NODES, Node, read_many, read_nodes, read_values, walk};
use super::path::path_of;
use crate::store::access::{Entry, Listing};
use crate::store::error::time;
use crate::store::{StoreError, StoreFiles, StoreSpec, TenureId};
use crate::watch::{Key, Spelling, Version};

/// How long a request waits for the session's next connection before it is sent again.
const RECONNECTING: Duration = Duration::from_millis(100);

/// A session with `ZooKeeper` to read and write in. Each request fails or is answered within its limit.
#[derive(Debug, Clone)]
pub struct Access {
    client: Client,
    /// Prepended to each path here rather than by the library, so that a missing chroot can be created.
    chroot: String,
    servers: String,
    limit: Duration,
}

impl Access {
    /// Connects, within `limit`.
    pub async fn open(spec: &StoreSpec, limit: Duration) -> Result<Self, StoreError> {
        Self::open_with(spec, limit, &StoreFiles::default()).await
    }

    /// The same with the threads that read the store's files given.
    pub(in crate::store) async fn open_with(
        spec: &StoreSpec,
        limit: Duration,
        files: &StoreFiles,
    ) -> Result<Self, StoreError> {
        let (entrance, chroot) = Entrance::of(spec, files).await?.without_chroot();
        let servers = entrance.servers();
        let client = entrance.open(Some(limit)).await?;
        Ok(Self { client, chroot, servers, limit })
    }

    /// Opens a session whose keys end with it, and that is to be kept for as long as they are to stay. It is not closed
    /// when this is dropped: then it ends after its time-out, so that a successor of this process has as long to
    /// take its keys over.
    pub(in crate::store) async fn open_tenure(
        spec: &StoreSpec,
        ttl: Duration,
        limit: Duration,
        files: &StoreFiles,
    ) -> Result<Self, StoreError> {
        let spec = StoreSpec { session_timeout: ttl, ..spec.clone() };
        let (entrance, chroot) = Entrance::of(&spec, files).await?.without_chroot();
        let servers = entrance.servers();
        let client = entrance.kept_when_dropped().open(Some(limit)).await?;
        Ok(Self { client, chroot, servers, limit })
    }

    /// Ends the session, so that the server need not wait for its time-out.
    pub async fn close(self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let mut states = self.client.state_watcher();
        drop(self);
        let closed = async {
            let mut state = states.state();
            while !state.is_terminated() {
                state = states.changed().await;
            }
        };
        // A server that does not answer ends the session by itself.
        let _ = timeout(PATIENCE, closed).await;
    }

    /// The session as a tenure, and the time-out that the server has granted.
    pub(in crate::store) fn tenure(&self) -> (TenureId, Duration) {
        (TenureId(self.client.session_id().0), self.client.session_timeout())
    }

    /// Waits until the session is over.
    pub(in crate::store) async fn over(&self) {
        let mut states = self.client.state_watcher();
        let mut state = states.state();
        while !state.is_terminated() {
            state = states.changed().await;
        }
    }

    /// Deletes all keys that end with this session, on another connection if this one is lost meanwhile.
    pub(in crate::store) async fn end_tenure(&self) -> Result<(), StoreError> {
        self.within("end the tenure", async {
            loop {
                match self.delete_ephemerals().await {
                    // An expired session has taken its keys with it.
                    Ok(()) | Err((_, Error::SessionExpired)) => return Ok(()),
                    Err((_, error)) if meaning(&error) == Meaning::Broken => {
                        tokio::time::sleep(RECONNECTING).await;
                    }
                    Err((what, error)) => return Err(failed(what, &error)),
                }
            }
        })
        .await
    }

    /// Fails with the request that failed.
    async fn delete_ephemerals(&self) -> Result<(), (String, Error)> {
        let listed = self.client.list_ephemerals("/").await;
        let paths = listed.map_err(|error| ("list the keys of the tenure".to_owned(), error))?;
        for path in paths {
            match self.client.delete(&path, None).await {
                Ok(()) | Err(Error::NoNode) => {}
                Err(error) => return Err((format!("delete {path}"), error)),
            }
        }
        Ok(())
    }

    fn path(&self, key: &Key) -> Result<String, StoreError> {
        let path = path_of(key)?;
        Ok(if &*path == "/" && !self.chroot.is_empty() {
            self.chroot.clone()
        } else {
            format!("{}{path}", self.chroot)
        })
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>, StoreError> {
        self.client.check_stat(path).await.map_err(|error| failed(format!("read {path}"), &error))
    }

    async fn within<T>(
        &self,
        what: impl Into<String>,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match timeout(self.limit, work).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::Unavailable {
                what: what.into(),
                why: format!("{} did not answer within {}", self.servers, time(self.limit)),
            }),
        }
    }

    /// Lets the server catch up with the leader, so that reads include what others have written.
    async fn sync(&self) -> Result<(), StoreError> {
        self.client.sync("/").await.map_err(|error| failed(format!("sync with {}", self.servers), &error))
    }

    /// One key; `None` where it does not exist.
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let path = self.path(key)?;
        self.within(format!("read {path}"), async {
            self.sync().await?;
            match self.client.get_data(&path).await {
                Ok((value, stat)) => Ok(Some(entry(value, &stat))),
                Err(Error::NoNode) => Ok(None),
                Err(error) => Err(failed(format!("read {path}"), &error)),
            }
        })
        .await
    }

    /// Reads many nodes, several with one request. The time limit holds for each.
    pub async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        let paths: Vec<Arc<str>> =
            keys.iter().map(|key| self.path(key).map(Arc::from)).collect::<Result<_, _>>()?;
        let Some(first) = paths.first() else { return Ok(Vec::new()) };
        self.within(format!("read {first}"), self.sync()).await?;
        let request = async |paths: &[Arc<str>]| {
            let read = async { Ok(read_values(&self.client, paths).await?) };
            self.within(format!("read {} nodes", paths.len()), read).await
        };
        let nodes = read_many(&paths, request).await?;
        Ok(nodes.into_iter().map(|node| node.map(|node| entry(node.value, &node.stat))).collect())
    }

    /// The names directly below a key, sorted; `None` where it does not exist.
    pub async fn children(&self, key: &Key) -> Result<Option<Vec<String>>, StoreError> {
        let path = self.path(key)?;
        self.within(format!("list {path}"), async {
            self.sync().await?;
            match self.client.get_children(&path).await {
                Ok((mut names, _)) => {
                    names.sort_unstable();
                    Ok(Some(names))
                }
                Err(Error::NoNode) => Ok(None),
                Err(error) => Err(failed(format!("list {path}"), &error)),
            }
        })
        .await
    }

    /// A key and all below it, read a few nodes at a time. The time limit holds for each request.
    pub async fn tree(&self, key: &Key) -> Result<Listing, StoreError> {
        let top: Arc<str> = self.path(key)?.into();
        self.within(format!("read {top}"), self.sync()).await?;
        let mut listing = Listing::default();
        let request = |paths: Vec<Arc<str>>| async move {
            let what = format!("read {} nodes at and below {}", paths.len(), paths[0]);
            self.within(what, async { Ok(read_nodes(&self.client, &paths).await?) }).await
        };
        walk(&top, MOST_NODES, request, |at, Node { value, stat, .. }| {
            listing.entries.insert(at, listed(value, &stat));
        })
        .await?;
        Ok(listing)
    }
}

/// An entry of a listing, without metadata.
fn listed(value: Vec<u8>, stat: &Stat) -> Entry {
    Entry {
        value: (!value.is_empty() || stat.num_children == 0).then(|| value.into()),
        version: Version::Revision(stat.mzxid),
        spelling: Spelling::Slashed,
        metadata: Vec::new(),
    }
}

/// A node read by itself: it always has a value, which may be empty.
fn entry(value: Vec<u8>, stat: &Stat) -> Entry {
    let time = |milliseconds: i64| {
        jiff::Timestamp::from_millisecond(milliseconds)
            .map_or_else(|_| milliseconds.to_string(), |time| time.to_string())
    };
    Entry {
        value: Some(value.into()),
        version: Version::Revision(stat.mzxid),
        spelling: Spelling::Slashed,
        metadata: vec![
            ("cZxid", format!("{:#x}", stat.czxid)),
            ("ctime", time(stat.ctime)),
            ("mZxid", format!("{:#x}", stat.mzxid)),
            ("mtime", time(stat.mtime)),
            ("pZxid", format!("{:#x}", stat.pzxid)),
            ("cversion", stat.cversion.to_string()),
            ("dataVersion", stat.version.to_string()),
            ("aclVersion", stat.aversion.to_string()),
            ("ephemeralOwner", format!("{:#x}", stat.ephemeral_owner)),
            ("dataLength", stat.data_length.to_string()),
            ("numChildren", stat.num_children.to_string()),
        ],
    }
}
