//! Single requests to `ZooKeeper`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::time::timeout;
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Error, MultiWriteError, Permission, Stat};

use super::condition::{Identity, Present, check};
use super::connect::{Entrance, Meaning, failed, meaning};
use super::nodes::{MOST_NODES, Node, read_many, read_nodes, read_values, walk};
use super::path::{ancestors, path_of};
use super::size::{fits, fitting, too_large};
use crate::store::access::{Change, Condition, Entry, Listing, NodeAcl, PutOptions, Reached};
use crate::store::error::time;
use crate::store::{StoreError, StoreFiles, StoreSpec, TenureId};
use crate::watch::{Key, Spelling, Version};

/// Reads of node versions in flight.
const IN_FLIGHT: usize = 500;

/// Attempts at a write whose nodes others change between reading and writing.
const MOST_TRIES: u32 = 16;

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

/// What stops an attempt.
enum Stopped {
    /// Somebody changed the same nodes meanwhile; read them and try again.
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
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Create {
        path: String,
        value: Bytes,
        options: PutOptions,
    },
    Set {
        path: String,
        value: Bytes,
        expected: Option<Identity>,
    },
    Delete {
        path: String,
        expected: Option<Identity>,
    },
    /// Only that the node is still this one.
    Check {
        path: String,
        expected: Identity,
    },
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
            self.within(format!("read {} nodes", paths.len()), read_values(&self.client, paths)).await
        };
        let nodes = read_many(&paths, request).await?;
        Ok(nodes.into_iter().map(|node| node.map(|node| entry(node.value, &node.stat))).collect())
    }

    /// Sets a value, making the node and those above it where they are missing.
    pub async fn put(&self, key: &Key, value: Bytes, condition: Condition) -> Result<Version, StoreError> {
        let change = Change::put(key.clone(), value, condition);
        let stats = self.write(&[change], false).await?;
        zxid_of(&stats, || format!("write {key}"))
    }

    /// Makes all changes or none. Returns the version of each key that was put: the zxid of the transaction.
    pub async fn transact(&self, changes: &[Change]) -> Result<Vec<Version>, StoreError> {
        if !fits(changes) {
            return Err(StoreError::Refused {
                what: format!("make {} changes in one transaction", changes.len()),
                why: "they are more than a request may hold, 1 MiB (jute.maxbuffer)".to_owned(),
            });
        }
        let mut changes = changes.to_vec();
        // Nothing of one node is deleted before something is put in its place.
        changes.sort_by_key(|change| !matches!(change, Change::Require { .. }));
        let stats = self.write(&changes, true).await?;
        let puts = changes.iter().filter(|change| matches!(change, Change::Put { .. })).count();
        if puts == 0 {
            return Ok(Vec::new());
        }
        let version = zxid_of(&stats, || format!("make {} changes in one transaction", changes.len()))?;
        Ok(vec![version; puts])
    }

    /// Deletes a node without children; whether it was there.
    pub async fn delete(&self, key: &Key, condition: Condition) -> Result<bool, StoreError> {
        let path = self.path(key)?;
        let looking = async {
            self.sync().await?;
            self.stat(&path).await
        };
        let existed = self.within(format!("delete {path}"), looking).await?.is_some();
        self.write(&[Change::Delete { key: key.clone(), condition }], false).await?;
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
            self.write(chunk, false).await?;
            done += chunk.len();
            progress(Reached::Made(done));
        }
        Ok(())
    }

    /// Detects a value over the server's limit before anything is written, with a transaction whose condition never holds:
    /// the server drops the connection all the same.
    async fn admit(&self, change: &Change) -> Result<(), StoreError> {
        let Change::Put { key, value, .. } = change else { return Ok(()) };
        let Some(refused) = too_large(std::slice::from_ref(change)) else { return Ok(()) };
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
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

    /// Makes changes in one transaction; what is known of the nodes that were set. `tell_zxid`: at least of one.
    async fn write(&self, changes: &[Change], tell_zxid: bool) -> Result<Vec<Stat>, StoreError> {
        let what = match changes {
            [Change::Put { key, .. }] => format!("write {key}"),
            [Change::Delete { key, .. }] => format!("delete {key}"),
            [Change::Require { key, .. }] => format!("require {key}"),
            changes => format!("write {} keys", changes.len()),
        };
        let sent = AtomicBool::new(false);
        let written = self.within(what.clone(), async {
            for number in 0..MOST_TRIES {
                match self.attempt(changes, tell_zxid, &what, number == 0, &sent).await {
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

    /// `trusting`: keys required to be absent are not read first, because the transaction fails if one exists; only
    /// then are they read. `sent`: set once the write was sent.
    async fn attempt(
        &self,
        changes: &[Change],
        tell_zxid: bool,
        what: &str,
        trusting: bool,
        sent: &AtomicBool,
    ) -> Result<Vec<Stat>, Stopped> {
        self.sync().await?;
        let mut steps = self.plan(changes, trusting).await?;
        if tell_zxid {
            set_what_is_made_last(&mut steps);
        }
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let creator = creator_acls();
        let parent = self.acls_of_parent(&steps).await?;
        let acls = |acl| match acl {
            NodeAcl::Open => Acls::anyone_all(),
            NodeAcl::Creator => Acls::new(&creator),
            NodeAcl::Parent => Acls::new(&parent),
        };
        sent.store(true, Ordering::Relaxed);
        let plain = matches!(changes, [Change::Put { options, .. }] if *options == PutOptions::default());
        if plain && steps.iter().all(|step| matches!(step, Step::Create { .. })) {
            return self.create(&steps, what).await.map(|stat| vec![stat]);
        }
        let mut writer = self.client.new_multi_writer();
        for step in &steps {
            add(&mut writer, step, acls).map_err(|error| failed(what, &error))?;
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

    /// Creates a node and its missing parents one by one, because the answer to a transaction does not tell the version
    /// of a created node. Parents left over by a failure do no harm.
    async fn create(&self, steps: &[Step], what: &str) -> Result<Stat, Stopped> {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let mut made = Err(Stopped::Raced);
        for step in steps {
            let Step::Create { path, value, .. } = step else { continue };
            made = match self.client.create(path, value, &options).await {
                Ok((stat, _)) => Ok(stat),
                // Created by somebody else: fine for a parent; for the node itself, read it again.
                Err(Error::NodeExists | Error::NoNode) => Err(Stopped::Raced),
                Err(error) => return Err(failed(what, &error).into()),
            };
        }
        made
    }

    /// The access list that new nodes share with the node above them.
    async fn acls_of_parent(&self, steps: &[Step]) -> Result<Vec<Acl>, StoreError> {
        let wanted = steps.iter().find_map(|step| match step {
            Step::Create { path, options: PutOptions { acl: NodeAcl::Parent, .. }, .. } => {
                Some(ancestors(path).last().unwrap_or("/"))
            }
            Step::Create { .. } | Step::Set { .. } | Step::Delete { .. } | Step::Check { .. } => None,
        });
        let Some(parent) = wanted else { return Ok(Vec::new()) };
        match self.client.get_acl(parent).await {
            Ok((acls, _)) => Ok(acls),
            // The same transaction makes it, open.
            Err(Error::NoNode) => Ok(Acls::anyone_all().to_vec()),
            Err(error) => Err(failed(format!("read the access list of {parent}"), &error)),
        }
    }

    /// Reads what is there, checks the conditions against it, and plans operations that only succeed while it still
    /// is.
    async fn plan(&self, changes: &[Change], trusting: bool) -> Result<Vec<Step>, StoreError> {
        let paths: Vec<String> =
            changes.iter().map(|change| self.path(change.key())).collect::<Result<_, _>>()?;
        let looked_for = |change: &Change| match change {
            Change::Put { condition, options, .. } => {
                !trusting || *condition != Condition::Absent || options.tenure.is_some()
            }
            Change::Delete { .. } | Change::Require { .. } => true,
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
        steps(changes, paths, there)
    }
}

/// The operations that make changes of nodes out of what is there now, and fail if that has changed meanwhile.
fn steps(
    changes: &[Change],
    paths: Vec<String>,
    mut there: BTreeMap<String, Present>,
) -> Result<Vec<Step>, StoreError> {
    let mut steps = Vec::new();
    let mut passing = Vec::new();
    for (change, path) in changes.iter().zip(paths) {
        let present = there.get(&path).copied().unwrap_or(Present::Nothing);
        match change {
            Change::Put { key, value, condition, options } => {
                check(key, present, *condition)?;
                let replaced = options.tenure.is_some() && present != Present::Nothing;
                if replaced {
                    // Setting its value would leave it to the session that it belongs to.
                    steps.push(Step::Delete { path: path.clone(), expected: present.expected(*condition) });
                }
                let value = value.clone();
                if replaced || present == Present::Nothing {
                    make_ancestors(&path, &mut there, &mut steps);
                    steps.push(Step::Create { path: path.clone(), value, options: *options });
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
            Change::Require { key, condition } => {
                check(key, present, *condition)?;
                match (present, condition) {
                    (Present::Node(expected), Condition::Version(_)) => {
                        steps.push(Step::Check { path, expected });
                    }
                    // ZooKeeper has no check for an absence: a node is made, which fails if there is one, and deleted
                    // again in the same transaction.
                    (Present::Nothing, Condition::Absent) => {
                        let value = Bytes::new();
                        make_ancestors(&path, &mut there, &mut steps);
                        steps.push(Step::Create {
                            path: path.clone(),
                            value,
                            options: PutOptions::default(),
                        });
                        passing.push(Step::Delete { path, expected: None });
                    }
                    (Present::Nothing | Present::Written | Present::Node(_), _) => {}
                }
            }
        }
        // Before a write of the same key.
        steps.append(&mut passing);
    }
    Ok(steps)
}

/// The answer to a transaction tells the zxid only of nodes that it sets. If it makes nodes alone, the last one gets its
/// value in a step of its own.
fn set_what_is_made_last(steps: &mut Vec<Step>) {
    let sets = steps.iter().any(|step| matches!(step, Step::Set { .. }));
    let stays = |made: &usize| match steps.get(*made) {
        Some(Step::Create { path, .. }) => !steps
            .iter()
            .skip(*made)
            .any(|step| matches!(step, Step::Delete { path: deleted, .. } if deleted == path)),
        Some(Step::Set { .. } | Step::Delete { .. } | Step::Check { .. }) | None => false,
    };
    let made = (0..steps.len()).rev().find(stays);
    if let (false, Some(Step::Create { path, value, .. })) = (sets, made.and_then(|made| steps.get_mut(made)))
    {
        let set = Step::Set { path: path.clone(), value: std::mem::take(value), expected: None };
        steps.push(set);
    }
}

/// Makes the nodes above a path that are missing.
fn make_ancestors(path: &str, there: &mut BTreeMap<String, Present>, steps: &mut Vec<Step>) {
    for above in ancestors(path) {
        if !there.contains_key(above) {
            let (path, options) = (above.to_owned(), PutOptions::default());
            steps.push(Step::Create { path, value: Bytes::new(), options });
            there.insert(above.to_owned(), Present::Written);
        }
    }
}

/// The identities of the connection may do everything, everybody else may read.
fn creator_acls() -> [Acl; 2] {
    [Acl::new(Permission::ALL, AuthId::authed()), Acl::new(Permission::READ, AuthId::anyone())]
}

/// The zxid of a transaction, which is that of each node that it wrote.
fn zxid_of(stats: &[Stat], what: impl FnOnce() -> String) -> Result<Version, StoreError> {
    let zxid = stats.iter().map(|stat| stat.mzxid).max();
    zxid.map(Version::Revision).ok_or_else(|| StoreError::Unanswered {
        what: what(),
        why: "it was written, but the answer does not tell the version; read it".to_owned(),
    })
}

fn add<'a>(
    writer: &mut zookeeper_client::MultiWriter<'_>,
    step: &Step,
    acls: impl Fn(NodeAcl) -> Acls<'a>,
) -> Result<(), Error> {
    let version = |expected: &Option<Identity>| expected.map(|identity| identity.version);
    match step {
        Step::Create { path, value, options } => {
            let mode = if options.tenure.is_some() { CreateMode::Ephemeral } else { CreateMode::Persistent };
            writer.add_create(path, value, &mode.with_acls(acls(options.acl)))
        }
        Step::Check { path, expected } => writer.add_check_version(path, expected.version),
        Step::Set { path, value, expected } => writer.add_set_data(path, value, version(expected)),
        Step::Delete { path, expected } => writer.add_delete(path, version(expected)),
    }
}

/// Why a transaction failed: its first failed operation.
fn stopped(what: &str, steps: &[Step], index: usize, error: &Error) -> Stopped {
    // Changed since it was read.
    if matches!(error, Error::BadVersion | Error::NoNode | Error::NodeExists) {
        return Stopped::Raced;
    }
    let path = match steps.get(index) {
        Some(
            Step::Create { path, .. }
            | Step::Set { path, .. }
            | Step::Delete { path, .. }
            | Step::Check { path, .. },
        ) => path,
        None => "a node",
    };
    if *error == Error::NotEmpty {
        let why = format!("{path} has children; delete those first");
        return StoreError::Refused { what: what.to_owned(), why }.into();
    }
    if *error == Error::InvalidAcl {
        let why = "its creator has no identity that could own it; set `digest_file` or a client certificate for this store";
        return StoreError::Refused { what: what.to_owned(), why: why.to_owned() }.into();
    }
    // One change names its node already.
    let place = if what.ends_with(path) { String::new() } else { format!(" ({path})") };
    failed(format!("{what}{place}"), error).into()
}

/// The first node that was set although it is not the expected one.
fn mistaken<'a>(steps: &'a [Step], stats: &[Option<Stat>]) -> Option<&'a str> {
    steps.iter().zip(stats).find_map(|(step, stat)| match (step, stat) {
        (Step::Set { path, expected: Some(expected), .. }, Some(stat)) => {
            (stat.czxid != expected.czxid).then_some(path.as_str())
        }
        (Step::Set { .. } | Step::Create { .. } | Step::Delete { .. } | Step::Check { .. }, _) => None,
    })
}

fn stat_of(result: &zookeeper_client::MultiWriteResult) -> Option<Stat> {
    use zookeeper_client::MultiWriteResult::{Create, SetData};
    let (Create { stat, .. } | SetData { stat }) = result else { return None };
    (!stat.is_invalid()).then_some(*stat)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    fn node(mzxid: i64, version: i32) -> Present {
        Present::Node(Identity { czxid: 1, mzxid, version })
    }

    /// What is sent for changes where these nodes are.
    fn planned(changes: &[Change], nodes: &[(&str, Present)]) -> Result<Vec<Step>, StoreError> {
        let paths = changes.iter().map(|change| change.key().to_string()).collect();
        let there = nodes.iter().map(|&(path, node)| (path.to_owned(), node)).collect();
        let mut steps = steps(changes, paths, there)?;
        set_what_is_made_last(&mut steps);
        Ok(steps)
    }

    #[test]
    fn a_requirement_is_sent_and_not_only_compared_here() {
        let require = |condition| Change::Require { key: key("/fence"), condition };
        let at = |zxid| Condition::Version(Version::Revision(zxid));
        let put = Change::put(key("/a"), "x", Condition::Any);
        let nodes = [("/fence", node(7, 3)), ("/a", node(5, 0))];
        let steps = planned(&[require(at(7)), put.clone()], &nodes).unwrap();
        let Present::Node(expected) = node(7, 3) else { panic!() };
        assert_eq!(steps[0], Step::Check { path: "/fence".to_owned(), expected });
        assert!(matches!(&steps[1..], [Step::Set { .. }]), "{steps:?}");
        assert!(matches!(planned(&[require(at(6))], &nodes), Err(StoreError::Conflict { .. })));
        assert!(matches!(planned(&[require(Condition::Absent)], &nodes), Err(StoreError::Conflict { .. })));

        let steps = planned(&[require(Condition::Absent), put], &nodes[1..]).unwrap();
        assert!(
            matches!(&steps[..], [Step::Create { path, .. }, Step::Delete { path: again, .. }, Step::Set { .. }]
                if path == "/fence" && again == "/fence"),
            "{steps:?}"
        );
    }

    #[test]
    fn a_key_of_a_tenure_takes_the_place_of_a_node_that_is_there() {
        let options = PutOptions { tenure: Some(TenureId(9)), acl: NodeAcl::Creator };
        let condition = Condition::Version(Version::Revision(7));
        let change = Change::Put { key: key("/alive"), value: "me".into(), condition, options };
        let steps = planned(&[change], &[("/alive", node(7, 3))]).unwrap();
        let [
            Step::Delete { expected: Some(expected), .. },
            Step::Create { options: made, .. },
            Step::Set { .. },
        ] = &steps[..]
        else {
            panic!("{steps:?}")
        };
        assert_eq!((expected.version, *made), (3, options));
    }

    #[test]
    fn the_answer_to_a_transaction_tells_its_zxid() {
        let changes = ["/x/a", "/x/b"].map(|name| Change::put(key(name), "v", Condition::Absent));
        let steps = planned(&changes, &[]).unwrap();
        let [
            Step::Create { .. },
            Step::Create { value: first, .. },
            Step::Create { value: second, .. },
            last,
        ] = &steps[..]
        else {
            panic!("{steps:?}")
        };
        assert_eq!((&first[..], &second[..]), (b"v".as_slice(), b"".as_slice()));
        assert_eq!(*last, Step::Set { path: "/x/b".to_owned(), value: "v".into(), expected: None });
        let deletes = [Change::Delete { key: key("/x"), condition: Condition::Any }];
        assert_eq!(planned(&deletes, &[("/x", node(1, 0))]).unwrap().len(), 1);
    }
}
