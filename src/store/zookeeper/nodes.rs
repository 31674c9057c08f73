//! Reads nodes, several per request, and whole subtrees.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use zookeeper_client::{Client, Error, MultiReadResult, Stat};

use super::connect::{Meaning, failed, meaning};
use super::path::{below, join};
use crate::store::StoreError;

/// Nodes per request: the server builds each answer in one piece.
pub(super) const MOST_NODES: usize = 64;
/// Target size of an answer, in bytes. A node holds up to 1 MiB.
const ANSWER_BYTES: usize = 1 << 20;
/// Requests in flight per walk.
const REQUESTS_IN_FLIGHT: usize = 8;

/// A node as it was read: first its value, then the names below it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) names: Vec<String>,
}

/// Why nodes could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The server denies reading this node.
    Denied {
        /// Its path.
        path: Arc<str>,
        /// As the store's error.
        error: StoreError,
    },
    /// The read failed for another reason.
    Failed(StoreError),
}

impl Unread {
    fn of(what: &str, path: &Arc<str>, error: &Error) -> Self {
        let failed = failed(format!("{what} {path}"), error);
        match meaning(error) {
            Meaning::Denied => Self::Denied { path: Arc::clone(path), error: failed },
            Meaning::Broken | Meaning::Over | Meaning::Refused => Self::Failed(failed),
        }
    }
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unread> for StoreError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Denied { error, .. } | Unread::Failed(error) => error,
        }
    }
}

/// Adapts the number of nodes per request to the sizes seen so far.
#[derive(Debug, Default)]
struct Sizes {
    nodes: usize,
    bytes: usize,
}

impl Sizes {
    fn add(&mut self, node: &Node) {
        self.nodes += 1;
        self.bytes += node.value.len();
    }

    fn fitting(&self, most: usize) -> usize {
        let average = self.bytes / self.nodes.max(1);
        (ANSWER_BYTES / average.max(1)).clamp(1, most)
    }
}

/// Reads a node and everything below it, with at most this many nodes per request. Calls `found` for every node with its
/// relative path, parents first. Nodes created or deleted meanwhile may be missing.
pub(super) async fn walk<R, E>(
    top: &Arc<str>,
    most: usize,
    request: impl Fn(Vec<Arc<str>>) -> R,
    mut found: impl FnMut(String, Node),
) -> Result<(), E>
where
    R: Future<Output = Result<Vec<Option<Node>>, E>>,
{
    let mut sizes = Sizes::default();
    let mut places = VecDeque::from([String::new()]);
    let mut requests = FuturesUnordered::new();
    loop {
        while requests.len() < REQUESTS_IN_FLIGHT && !places.is_empty() {
            let batch: Vec<String> = places.drain(..sizes.fitting(most).min(places.len())).collect();
            let answer = request(batch.iter().map(|at| below(top, at)).collect());
            requests.push(async { (batch, answer.await) });
        }
        let Some((batch, answer)) = requests.next().await else { return Ok(()) };
        for (at, node) in batch.into_iter().zip(answer?) {
            let Some(node) = node else { continue };
            sizes.add(&node);
            places.extend(node.names.iter().map(|name| join(&at, name)));
            found(at, node);
        }
    }
}

/// Reads these nodes, as many per request as fit into an answer.
pub(super) async fn read_many(
    paths: &[Arc<str>],
    request: impl AsyncFn(&[Arc<str>]) -> Result<Vec<Option<Node>>, StoreError>,
) -> Result<Vec<Option<Node>>, StoreError> {
    let mut sizes = Sizes::default();
    let mut nodes: Vec<Option<Node>> = Vec::with_capacity(paths.len());
    while nodes.len() < paths.len() {
        let left = &paths[nodes.len()..];
        let answer = request(&left[..sizes.fitting(MOST_NODES).min(left.len())]).await?;
        answer.iter().flatten().for_each(|node| sizes.add(node));
        nodes.extend(answer);
    }
    Ok(nodes)
}

/// The nodes at these paths with the names of their children; `None` if a node does not exist.
pub(super) async fn read_nodes(client: &Client, paths: &[Arc<str>]) -> Result<Vec<Option<Node>>, Unread> {
    let mut nodes = read_values(client, paths).await?;
    let mut reader = client.new_multi_reader();
    let mut parents = Vec::new();
    for (place, path) in paths.iter().enumerate() {
        if nodes[place].as_ref().is_some_and(|node| node.stat.num_children > 0) {
            reader.add_get_children(path).map_err(|error| failed(format!("list {path}"), &error))?;
            parents.push(place);
        }
    }
    let answers = answers(reader.commit().await, paths)?;
    for (place, answer) in parents.into_iter().zip(answers) {
        match (answer, &mut nodes[place]) {
            (MultiReadResult::Children { children }, Some(node)) => node.names = children,
            // It was deleted meanwhile.
            (MultiReadResult::Error { err: Error::NoNode }, node) => *node = None,
            (MultiReadResult::Error { err }, _) => {
                return Err(Unread::of("list", &paths[place], &err));
            }
            _ => return Err(unexpected(&paths[place]).into()),
        }
    }
    Ok(nodes)
}

/// The nodes at these paths, without names of children; `None` if a node does not exist.
pub(super) async fn read_values(client: &Client, paths: &[Arc<str>]) -> Result<Vec<Option<Node>>, Unread> {
    let mut reader = client.new_multi_reader();
    for path in paths {
        reader.add_get_data(path).map_err(|error| failed(format!("read {path}"), &error))?;
    }
    let answers = answers(reader.commit().await, paths)?;
    let node = |(path, answer): (&Arc<str>, MultiReadResult)| match answer {
        MultiReadResult::Data { data, stat } => Ok(Some(Node { value: data, stat, names: Vec::new() })),
        MultiReadResult::Error { err: Error::NoNode } => Ok(None),
        MultiReadResult::Error { err } => Err(Unread::of("read", path, &err)),
        MultiReadResult::Children { .. } | _ => Err(unexpected(path).into()),
    };
    paths.iter().zip(answers).map(node).collect()
}

fn answers(
    answer: Result<Vec<MultiReadResult>, Error>,
    paths: &[Arc<str>],
) -> Result<Vec<MultiReadResult>, StoreError> {
    let what = || match paths {
        [path] => format!("read {path}"),
        many => format!("read {} nodes", many.len()),
    };
    answer.map_err(|error| failed(what(), &error))
}

fn unexpected(path: &str) -> StoreError {
    StoreError::Refused {
        what: format!("read {path}"),
        why: "the server's answer does not match the request".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use futures::FutureExt;

    use super::*;

    fn node(bytes: usize, names: Vec<String>) -> Node {
        let stat = Stat {
            czxid: 1,
            mzxid: 1,
            pzxid: 1,
            ctime: 0,
            mtime: 0,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: 0,
            data_length: 0,
            num_children: 0,
        };
        Node { value: vec![0; bytes], stat, names }
    }

    /// A walk through a top with a thousand children of this size: what it found, and the size of its requests.
    fn walked(bytes: usize, most: usize) -> (BTreeMap<String, usize>, Vec<usize>) {
        let (batches, mut found) = (RefCell::new(Vec::new()), BTreeMap::new());
        let request = |paths: Vec<Arc<str>>| {
            batches.borrow_mut().push(paths.len());
            let answer = |path: &Arc<str>| match &**path {
                "/top" => Some(node(0, (0..1000).map(|n| n.to_string()).collect())),
                "/top/7" => None,
                _ => Some(node(bytes, Vec::new())),
            };
            std::future::ready(Ok::<_, StoreError>(paths.iter().map(answer).collect()))
        };
        let top = "/top".into();
        let walk = walk(&top, most, request, |at, node| {
            found.insert(at, node.value.len());
        });
        walk.now_or_never().unwrap().unwrap();
        (found, batches.into_inner())
    }

    #[test]
    fn a_walk_finds_every_node_with_requests_of_bounded_size() {
        for (bytes, most, largest, fitting) in
            [(10, 64, 64, 64), (100 << 10, 64, 64, 10), (2 << 20, 64, 64, 1), (10, 1, 1, 1)]
        {
            let (found, batches) = walked(bytes, most);
            assert_eq!(found.len(), 1000, "the top, and all children but the deleted one");
            assert!(found.iter().all(|(at, held)| *held == if at.is_empty() { 0 } else { bytes }));
            assert_eq!(batches.iter().sum::<usize>(), 1001);
            assert_eq!(batches.iter().max(), Some(&largest), "{bytes}");
            assert_eq!(batches[batches.len() - 2], fitting, "{bytes}");
        }
    }
}
