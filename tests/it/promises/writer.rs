//! The test's own client of a store: repeats puts and deletes until the store confirms them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zookeeper_client::Error as ZooKeeperError;

use crate::fixture::server::LONG;
use crate::fixture::zookeeper::OPEN;

/// Time limit of one attempt before it is repeated in a new connection.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Writes to one store, bypassing any proxy.
pub(super) struct Writer {
    runtime: Runtime,
    store: Hand,
}

enum Hand {
    Etcd { endpoints: Vec<String>, client: Option<Box<etcd_client::Client>> },
    ZooKeeper { servers: String, client: Option<zookeeper_client::Client> },
    Dir { root: PathBuf },
}

impl Writer {
    pub(super) fn etcd(ports: &[u16]) -> Self {
        let endpoints = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        Self::new(Hand::Etcd { endpoints, client: None })
    }

    pub(super) fn zookeeper(servers: &[String]) -> Self {
        Self::new(Hand::ZooKeeper { servers: servers.join(","), client: None })
    }

    pub(super) fn dir(root: PathBuf) -> Self {
        Self::new(Hand::Dir { root })
    }

    fn new(store: Hand) -> Self {
        // A separate thread keeps sessions alive between two requests.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { runtime: runtime.unwrap(), store }
    }

    /// Sets a key, creating it if it is missing.
    pub(super) fn put(&mut self, key: &str, value: &str) {
        self.insist(key, Some(value));
    }

    /// Deletes a key, if it exists.
    pub(super) fn delete(&mut self, key: &str) {
        self.insist(key, None);
    }

    fn insist(&mut self, key: &str, value: Option<&str>) {
        let deadline = Instant::now() + LONG;
        let store = &mut self.store;
        loop {
            let attempt = async { timeout(ATTEMPT, store.write(key, value)).await };
            let why = match self.runtime.block_on(attempt) {
                Ok(Ok(())) => return,
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {ATTEMPT:?}"),
            };
            assert!(Instant::now() < deadline, "cannot write {key}: {why}");
            store.disconnect();
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Hand {
    fn disconnect(&mut self) {
        match self {
            Self::Etcd { endpoints, client } => {
                *client = None;
                endpoints.rotate_left(1);
            }
            Self::ZooKeeper { client, .. } => *client = None,
            Self::Dir { .. } => {}
        }
    }

    async fn write(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        match self {
            Self::Etcd { endpoints, client } => {
                if client.is_none() {
                    let connected = etcd_client::Client::connect(&endpoints[..1], None).await;
                    *client = Some(Box::new(connected.map_err(|error| error.to_string())?));
                }
                let client = client.as_mut().unwrap();
                replace(client, key, value).await
            }
            Self::ZooKeeper { servers, client } => {
                if client.is_none() {
                    let connector = zookeeper_client::Client::connector().with_session_timeout(ATTEMPT * 6);
                    *client = Some(connector.connect(servers).await.map_err(|error| error.to_string())?);
                }
                let client = client.as_ref().unwrap();
                let written = match value {
                    Some(value) => set(client, key, value.as_bytes()).await,
                    None => client.delete(key, None).await,
                };
                match written {
                    Ok(()) | Err(ZooKeeperError::NoNode) => Ok(()),
                    Err(error) => Err(error.to_string()),
                }
            }
            Self::Dir { root } => {
                let path = root.join(key.trim_start_matches('/'));
                let Some(value) = value else {
                    let _ = std::fs::remove_file(path);
                    return Ok(());
                };
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let beside = path.with_file_name(format!(".{}.new", path.file_name().unwrap().display()));
                std::fs::write(&beside, value).unwrap();
                std::fs::rename(beside, path).unwrap();
                Ok(())
            }
        }
    }
}

/// Replaces exactly the current value: a lost attempt that reaches the server late must not undo a later one.
async fn set(client: &zookeeper_client::Client, path: &str, value: &[u8]) -> Result<(), ZooKeeperError> {
    if let Some(stat) = client.check_stat(path).await? {
        return client.set_data(path, value, Some(stat.version)).await.map(drop);
    }
    for (end, _) in path.match_indices('/').skip(1) {
        match client.create(&path[..end], b"", &OPEN).await {
            Ok(_) | Err(ZooKeeperError::NodeExists) => {}
            Err(error) => return Err(error),
        }
    }
    client.create(path, value, &OPEN).await.map(drop)
}

/// The same in etcd.
async fn replace(client: &mut etcd_client::Client, key: &str, value: Option<&str>) -> Result<(), String> {
    let read = client.get(key, None).await.map_err(|error| error.to_string())?;
    let revision = read.kvs().first().map_or(0, etcd_client::KeyValue::mod_revision);
    let write = match value {
        Some(value) => TxnOp::put(key, value, None),
        None => TxnOp::delete(key, None),
    };
    let unchanged = Compare::mod_revision(key, CompareOp::Equal, revision);
    let txn = client.txn(Txn::new().when([unchanged]).and_then([write])).await;
    let done = txn.map_err(|error| error.to_string())?.succeeded();
    done.then_some(()).ok_or_else(|| "an earlier attempt came between".to_owned())
}
