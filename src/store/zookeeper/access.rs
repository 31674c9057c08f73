//! Single requests to `ZooKeeper`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::time::timeout;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, MultiWriteError, Stat};

use super::condition::{Identity, Present, check};
use super::connect::{Entrance, failed};
use super::nodes::{MOST_NODES, Node, read_many, read_nodes, read_values, walk};
use super::path::{ancestors, path_of};
use super::size::{fitting, too_large};
use crate::store::access::{Change, Condition, Entry, Listing, Reached};
use crate::store::error::time;
use crate::store::{StoreError, StoreFiles, StoreSpec};
use crate::watch::{Key, Spelling, Version};

/// Looks at nodes that are on their way at once.
const IN_FLIGHT: usize = 500;

/// How often a change is tried whose node is changed by others between its reading and its writing.
const MOST_TRIES: u32 = 16;

/// A session with `ZooKeeper` to read and write in. Each request fails or is answered within its limit.
#[derive(Debug, Clone)]
pub struct Access {
    client: Client,
    /// Put before each path here, so that a chroot that does not exist yet can be made.
    chroot: String,
    servers: String,
    limit: Duration,
    acls: Acls<'static>,
}

/// What stops an attempt.
enum Stopped {
    /// Somebody changed the same nodes meanwhile; what was read is read again.
    Raced,
    /// For good.
    Failed(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// One operation of a transaction.
enum Step {
    Create { path: String, value: Bytes },
    Set { path: String, value: Bytes, expected: Option<Identity> },
    Delete { path: String, expected: Option<Identity> },
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
        Ok(Self { client, chroot, servers, limit, acls: Acls::anyone_all() })
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

    /// Lets the server catch up with the leader, so that nothing older is read than others have written.
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
            self.within(format!("read {} nodes", paths.len()), read_values(&self.client, paths)).await
        };
        let nodes = read_many(&paths, request).await?;
        Ok(nodes.into_iter().map(|node| node.map(|node| entry(node.value, &node.stat))).collect())
    }

    /// Sets a value, making the node and those above it where they are missing.
    pub async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        let change = Change::Put { key: key.clone(), value, condition };
        let stats = self.write(&[change]).await?;
        stats.last().map(|stat| Version::Revision(stat.mzxid)).ok_or_else(|| StoreError::Unavailable {
            what: format!("write {key}"),
            why: "the answer says nothing of the node".to_owned(),
        })
    }

    /// Deletes a node without children; whether it was there.
    pub async fn delete(&self, key: &Key, condition: Condition) -> Result<bool, StoreError> {
        let path = self.path(key)?;
        let looking = async {
            self.sync().await?;
            self.stat(&path).await
        };
        let existed = self.within(format!("delete {path}"), looking).await?.is_some();
        self.write(&[Change::Delete { key: key.clone(), condition }]).await?;
        Ok(existed)
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
            self.within(what, read_nodes(&self.client, &paths)).await
        };
        walk(&top, MOST_NODES, request, |at, Node { value, stat, .. }| {
            listing.entries.insert(at, listed(value, &stat));
        })
        .await?;
        Ok(listing)
    }

    /// Makes changes in order, as many as fit into a transaction at once: either all of those are made or none.
    /// `progress` is told of each transaction before and after it.
    pub async fn apply(
        &self,
        changes: &[Change],
        progress: &mut (dyn FnMut(Reached) + Send),
    ) -> Result<(), StoreError> {
        // What is no path is found before anything is written.
        for change in changes {
            self.path(change.key())?;
        }
        if changes.len() > 1 {
            for change in changes {
                self.admit(change).await?;
            }
        }
        let mut done = 0;
        while done < changes.len() {
            let chunk = &changes[done..done + fitting(&changes[done..])];
            progress(Reached::Sent(done + chunk.len()));
            self.write(chunk).await?;
            done += chunk.len();
            progress(Reached::Made(done));
        }
        Ok(())
    }

    /// Finds a value that is over the server's limit before anything is written: in a transaction whose condition never
    /// holds, on which the server hangs up all the same.
    async fn admit(&self, change: &Change) -> Result<(), StoreError> {
        let Change::Put { key, value, .. } = change else { return Ok(()) };
        let Some(refused) = too_large(std::slice::from_ref(change)) else { return Ok(()) };
        let options = CreateMode::Persistent.with_acls(self.acls);
        let what = format!("write {key}");
        let mut writer = self.client.new_multi_writer();
        let path = self.path(key)?;
        let check = writer.add_check_version("/", i32::MAX);
        let asked = check.and_then(|()| writer.add_create(&path, value, &options));
        asked.map_err(|error| failed(&what, &error))?;
        self.within(what, async {
            match writer.commit().await {
                Ok(_) | Err(MultiWriteError::OperationFailed { .. }) => Ok(()),
                Err(MultiWriteError::RequestFailed { .. }) => Err(refused),
            }
        })
        .await
    }

    /// Makes changes in one transaction; what is known of the nodes that were set.
    async fn write(&self, changes: &[Change]) -> Result<Vec<Stat>, StoreError> {
        let what = match changes {
            [Change::Put { key, .. }] => format!("write {key}"),
            [Change::Delete { key, .. }] => format!("delete {key}"),
            many => format!("write {} keys", many.len()),
        };
        let sent = AtomicBool::new(false);
        let written = self.within(what.clone(), async {
            for number in 0..MOST_TRIES {
                match self.attempt(changes, &what, number == 0, &sent).await {
                    Ok(stats) => return Ok(stats),
                    Err(Stopped::Raced) => sent.store(false, Ordering::Relaxed),
                    Err(Stopped::Failed(error)) => return Err(too_large(changes).unwrap_or(error)),
                }
            }
            Err(StoreError::Unavailable {
                what: what.clone(),
                why: format!("{MOST_TRIES} times somebody else changed it meanwhile"),
            })
        });
        let written = written.await;
        if sent.into_inner() { written.map_err(StoreError::after_sending) } else { written }
    }

    /// `trusting`: what is to be absent is not looked for, since the transaction fails if it is there; only then it
    /// is found out what is. `sent`: whether anything was asked to be written.
    async fn attempt(
        &self,
        changes: &[Change],
        what: &str,
        trusting: bool,
        sent: &AtomicBool,
    ) -> Result<Vec<Stat>, Stopped> {
        self.sync().await?;
        let steps = self.plan(changes, trusting).await?;
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        sent.store(true, Ordering::Relaxed);
        let options = CreateMode::Persistent.with_acls(self.acls);
        if changes.len() == 1 && steps.iter().all(|step| matches!(step, Step::Create { .. })) {
            return self.create(&steps, what, &options).await.map(|stat| vec![stat]);
        }
        let mut writer = self.client.new_multi_writer();
        for step in &steps {
            add(&mut writer, step, &options).map_err(|error| failed(what, &error))?;
        }
        match writer.commit().await {
            Ok(results) => {
                let stats: Vec<Option<Stat>> = results.iter().map(stat_of).collect();
                if let Some(path) = mistaken(&steps, &stats) {
                    let why = format!(
                        "somebody deleted {path} and made it again in the same moment, and ZooKeeper cannot tell the \
                         new node from the one that was asked for: the new node was written to; look at it"
                    );
                    return Err(StoreError::Refused { what: what.to_owned(), why }.into());
                }
                Ok(stats.into_iter().flatten().collect())
            }
            Err(MultiWriteError::RequestFailed { source }) => Err(failed(what, &source).into()),
            Err(MultiWriteError::OperationFailed { index, source }) => {
                Err(stopped(what, &steps, index, &source))
            }
        }
    }

    /// Makes a node and those above it one by one: of a node that a transaction makes, the answer does not tell
    /// the version. Nodes above that are left over by a failure do no harm.
    async fn create(&self, steps: &[Step], what: &str, options: &CreateOptions<'_>) -> Result<Stat, Stopped> {
        let mut made = Err(Stopped::Raced);
        for step in steps {
            let Step::Create { path, value } = step else { continue };
            made = match self.client.create(path, value, options).await {
                Ok((stat, _)) => Ok(stat),
                // By somebody else: fine for a node above, and for the last one a reason to look again.
                Err(Error::NodeExists | Error::NoNode) => Err(Stopped::Raced),
                Err(error) => return Err(failed(what, &error).into()),
            };
        }
        made
    }

    /// Reads what is there, checks the conditions against it, and writes down operations that only succeed while
    /// it still is.
    async fn plan(&self, changes: &[Change], trusting: bool) -> Result<Vec<Step>, StoreError> {
        let paths: Vec<String> =
            changes.iter().map(|change| self.path(change.key())).collect::<Result<_, _>>()?;
        let looked_for = |change: &Change| match change {
            Change::Put { condition, .. } => !trusting || *condition != Condition::Absent,
            Change::Delete { .. } => true,
        };
        let looked_for = changes.iter().zip(&paths).filter(|(change, _)| looked_for(change));
        let mut asked: BTreeSet<String> = looked_for.map(|(_, path)| path.clone()).collect();
        asked.extend(paths.iter().flat_map(|path| ancestors(path)).map(str::to_owned));
        let mut there = BTreeMap::new();
        let mut stats = futures::stream::iter(asked)
            .map(|path| async {
                let stat = self.stat(&path).await;
                stat.map(|stat| (path, stat))
            })
            .buffer_unordered(IN_FLIGHT);
        while let Some(stat) = stats.next().await {
            if let (path, Some(stat)) = stat? {
                let Stat { czxid, mzxid, version, .. } = stat;
                there.insert(path, Present::Node(Identity { czxid, mzxid, version }));
            }
        }
        let mut steps = Vec::new();
        for (change, path) in changes.iter().zip(paths) {
            let present = there.get(&path).copied().unwrap_or(Present::Nothing);
            match change {
                Change::Put { key, value, condition } => {
                    check(key, present, *condition)?;
                    let value = value.clone();
                    if present == Present::Nothing {
                        for above in ancestors(&path) {
                            if !there.contains_key(above) {
                                steps.push(Step::Create { path: above.to_owned(), value: Bytes::new() });
                                there.insert(above.to_owned(), Present::Written);
                            }
                        }
                        steps.push(Step::Create { path: path.clone(), value });
                    } else {
                        let expected = present.expected(*condition);
                        steps.push(Step::Set { path: path.clone(), value, expected });
                    }
                    there.insert(path, Present::Written);
                }
                Change::Delete { key, condition } => {
                    check(key, present, *condition)?;
                    if there.remove(&path).is_some() {
                        steps.push(Step::Delete { path, expected: present.expected(*condition) });
                    }
                }
            }
        }
        Ok(steps)
    }
}

fn add(
    writer: &mut zookeeper_client::MultiWriter<'_>,
    step: &Step,
    options: &CreateOptions<'_>,
) -> Result<(), Error> {
    let version = |expected: &Option<Identity>| expected.map(|identity| identity.version);
    match step {
        Step::Create { path, value } => writer.add_create(path, value, options),
        Step::Set { path, value, expected } => writer.add_set_data(path, value, version(expected)),
        Step::Delete { path, expected } => writer.add_delete(path, version(expected)),
    }
}

/// Why a transaction was not made: the first of its operations that could not be.
fn stopped(what: &str, steps: &[Step], index: usize, error: &Error) -> Stopped {
    // Not as it was read a moment ago.
    if matches!(error, Error::BadVersion | Error::NoNode | Error::NodeExists) {
        return Stopped::Raced;
    }
    let path = match steps.get(index) {
        Some(Step::Create { path, .. } | Step::Set { path, .. } | Step::Delete { path, .. }) => path,
        None => "a node",
    };
    if *error == Error::NotEmpty {
        let why = format!("{path} has children; delete those first");
        return StoreError::Refused { what: what.to_owned(), why }.into();
    }
    // One change names its node already.
    let place = if what.ends_with(path) { String::new() } else { format!(" ({path})") };
    failed(format!("{what}{place}"), error).into()
}

/// The first node that was set although it is not the one that was asked for.
fn mistaken<'a>(steps: &'a [Step], stats: &[Option<Stat>]) -> Option<&'a str> {
    steps.iter().zip(stats).find_map(|(step, stat)| match (step, stat) {
        (Step::Set { path, expected: Some(expected), .. }, Some(stat)) => {
            (stat.czxid != expected.czxid).then_some(path.as_str())
        }
        (Step::Set { .. } | Step::Create { .. } | Step::Delete { .. }, _) => None,
    })
}

fn stat_of(result: &zookeeper_client::MultiWriteResult) -> Option<Stat> {
    use zookeeper_client::MultiWriteResult::{Create, SetData};
    if let Create { stat, .. } | SetData { stat } = result { Some(*stat) } else { None }
}

/// A node among many: what nobody asks of those is not put into words.
fn listed(value: Vec<u8>, stat: &Stat) -> Entry {
    Entry {
        value: (!value.is_empty() || stat.num_children == 0).then(|| value.into()),
        version: Version::Revision(stat.mzxid),
        spelling: Spelling::Slashed,
        metadata: Vec::new(),
    }
}

/// A node that was asked for by itself: it always has a value, if only an empty one.
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
