//! Reads several nodes with one request.

use std::sync::Arc;

use zookeeper_client::{Client, Error, MultiReadResult, Stat};

use super::connect::failed;
use crate::store::StoreError;

/// A node as it was read: first its value, then the names below it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) names: Vec<String>,
}

/// What is at each of these paths; `None` where nothing is.
pub(super) async fn read_nodes(client: &Client, paths: &[Arc<str>]) -> Result<Vec<Option<Node>>, StoreError> {
    let mut reader = client.new_multi_reader();
    for path in paths {
        reader.add_get_data(path).map_err(|error| failed(format!("read {path}"), &error))?;
    }
    let answers = read(reader.commit().await, paths)?;
    let mut nodes: Vec<Option<Node>> = Vec::with_capacity(paths.len());
    for (path, answer) in paths.iter().zip(answers) {
        nodes.push(match answer {
            MultiReadResult::Data { data, stat } => Some(Node { value: data, stat, names: Vec::new() }),
            MultiReadResult::Error { err: Error::NoNode } => None,
            MultiReadResult::Error { err } => return Err(failed(format!("read {path}"), &err)),
            MultiReadResult::Children { .. } | _ => return Err(unexpected(path)),
        });
    }
    let mut reader = client.new_multi_reader();
    let mut parents = Vec::new();
    for (place, path) in paths.iter().enumerate() {
        if nodes[place].as_ref().is_some_and(|node| node.stat.num_children > 0) {
            reader.add_get_children(path).map_err(|error| failed(format!("list {path}"), &error))?;
            parents.push(place);
        }
    }
    let answers = read(reader.commit().await, paths)?;
    for (place, answer) in parents.into_iter().zip(answers) {
        match (answer, &mut nodes[place]) {
            (MultiReadResult::Children { children }, Some(node)) => node.names = children,
            // It went meanwhile.
            (MultiReadResult::Error { err: Error::NoNode }, node) => *node = None,
            (MultiReadResult::Error { err }, _) => {
                return Err(failed(format!("list {}", paths[place]), &err));
            }
            _ => return Err(unexpected(&paths[place])),
        }
    }
    Ok(nodes)
}

fn read(
    answer: Result<Vec<MultiReadResult>, Error>,
    paths: &[Arc<str>],
) -> Result<Vec<MultiReadResult>, StoreError> {
    answer.map_err(|error| failed(format!("read {} nodes", paths.len()), &error))
}

fn unexpected(path: &str) -> StoreError {
    StoreError::Unavailable {
        what: format!("read {path}"),
        why: "the server answered something else than what it was asked".to_owned(),
    }
}
