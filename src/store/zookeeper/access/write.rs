//! Writes: transactions whose operations fail if the nodes have changed since they were read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use zookeeper_client::{Acl, Acls, AuthId, CreateMode, Error, MultiWriteError, Permission, Stat};

use super::Access;
use super::steps::{Step, set_last_created, steps};
use crate::store::StoreError;
use crate::store::access::{Change, Condition, NodeAcl, PutOptions, Reached};
use crate::store::zookeeper::condition::{NodeVersion, Present};
use crate::store::zookeeper::connect::failed;
use crate::store::zookeeper::path::ancestors;
use crate::store::zookeeper::size::{fits, fitting, too_large};
use crate::watch::{Key, Version};

/// Reads of node versions in flight.
const IN_FLIGHT: usize = 500;

/// Attempts at a write whose nodes others change between reading and writing.
const MOST_TRIES: u32 = 16;

/// Why an attempt at a write failed.
enum Stopped {
    /// Somebody changed the same nodes meanwhile; read them and try again.
    Raced,
    /// It cannot be made.
    Failed(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Access {
    /// Sets a value. Creates the node and those above it if they are missing.
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
        // Requirements come first: that of an absence creates and deletes the node, which another change may create.
        changes.sort_by_key(|change| !matches!(change, Change::Require { .. }));
        let stats = self.write(&changes, true).await?;
        let puts = changes.iter().filter(|change| matches!(change, Change::Put { .. })).count();
        if puts == 0 {
            return Ok(Vec::new());
        }
        let version = zxid_of(&stats, || format!("make {} changes in one transaction", changes.len()))?;
        Ok(vec![version; puts])
    }

    /// Deletes a node without children. Returns whether it existed.
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

    /// Makes changes in order, as many as fit into a transaction at once: either all of those are made or none.
    /// `progress` is told of each transaction before and after it.
    pub async fn apply(
        &self,
        changes: &[Change],
        progress: &mut (dyn FnMut(Reached) + Send),
    ) -> Result<(), StoreError> {
        // Find invalid paths before anything is written.
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

    /// Makes changes in one transaction. Returns the stats of the nodes that were set; with `tell_zxid`, of at least one.
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
            set_last_created(&mut steps);
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

    /// Reads the nodes, checks the conditions against them, and plans operations that fail if the nodes have changed meanwhile.
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
                there.insert(path, Present::Node(NodeVersion { czxid, mzxid, version }));
            }
        }
        steps(changes, paths, there)
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
    let version = |expected: &Option<NodeVersion>| expected.map(|identity| identity.version);
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
