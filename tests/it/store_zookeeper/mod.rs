//! The `zookeeper` store against real servers, healthy and not.
//!
//! Every test ends with the same check: the last state that was seen is the store's last value, and no state was older than
//! one before it.

mod access;
mod basics;
mod entrance;
mod faults;
mod hostile;
mod scale;
mod swallowed;
mod trees;

use twitcher::internals::store::{StoreFiles, StoreSpec, zookeeper};
use zookeeper_client::Client;

use crate::fixture::conversation::Conversation;
use crate::fixture::zookeeper::OPEN;

fn open(spec: &StoreSpec) -> Conversation {
    Conversation::new(zookeeper::session(spec, &StoreFiles::default()))
}

/// Creates nodes of value `0`, in batches.
async fn fill(client: &Client, paths: impl IntoIterator<Item = String>) {
    let paths: Vec<String> = paths.into_iter().collect();
    for chunk in paths.chunks(500) {
        let mut writer = client.new_multi_writer();
        for path in chunk {
            writer.add_create(path, b"0", &OPEN).unwrap();
        }
        writer.commit().await.unwrap();
    }
}

/// Sets nodes, in batches.
async fn set_all(client: &Client, paths: &[String], value: &[u8]) {
    for chunk in paths.chunks(500) {
        let sets = chunk.iter().map(|path| client.set_data(path, value, None));
        futures::future::try_join_all(sets).await.unwrap();
    }
}
