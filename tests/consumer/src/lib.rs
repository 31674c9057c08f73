//! A program that uses the library: `Store`, `Tree` and `Subscribers`, with public items only.

use std::time::Duration;

use twitcher::store::{Condition, Store, StoreError, StoreSpec, StoreUrl, Subscribe};
use twitcher::tree::{Scope, Subscribers, Topic, Tree};
use twitcher::watch::{Content, Key, StoreName, WatchType};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Writes a key if it does not exist, and otherwise returns its value.
pub async fn claim(store: &Store, key: &Key, value: &'static str) -> Result<String> {
    match store.put(key, value, Condition::Absent).await {
        Ok(_) => Ok(value.to_owned()),
        Err(StoreError::Conflict { .. }) => {
            let entry = store.get(key).await?.and_then(|entry| entry.value);
            Ok(String::from_utf8(entry.unwrap_or_default().to_vec())?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Increments a port in a tree, and returns it once the mirror has it.
pub async fn next_port(tree: &Tree) -> Result<u16> {
    tree.loaded().await;
    let port = tree.get::<u16>("port")?.unwrap_or(8080) + 1;
    let version = tree.at("port").set_json(&port).await?;
    tree.sync(version).await;
    Ok(port)
}

/// Waits until a subscriber gets a value.
pub async fn hear(subscribers: &Subscribers, topic: &Topic, value: &'static str) -> Result<()> {
    let mut heard = subscribers.channel("consumer", topic)?;
    subscribers.publish(&topic.key, value).await?;
    while let Some(state) = heard.next().await {
        if state.content == Content::Value(value.into()) {
            return Ok(());
        }
    }
    Err("unregistered".into())
}

/// A store with settings that a URL cannot contain.
pub fn open(url: &str, session_timeout: Duration) -> Result<Store> {
    let mut spec = StoreSpec::new(StoreName::new("main")?, url.parse::<StoreUrl>()?);
    spec.session_timeout = session_timeout;
    Ok(Store::open(spec))
}

/// The first state of a key, from a subscription with this interval.
pub async fn first_state(store: &Store, key: &Key, verify_interval: Duration) -> Content {
    let mut subscribe = Subscribe::new(key.clone(), WatchType::Data);
    subscribe.verify_interval = verify_interval;
    store.subscribe(subscribe).next().await.state.content
}

/// The number of differences in the next change of a tree.
pub async fn next_change(tree: &Tree, settle: Duration, longest: Duration) -> Option<usize> {
    let mut changes = tree.changes("", Scope::Below, settle, longest);
    changes.next().await.map(|changed| changed.differences.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("dir://{}", directory.path().display());
        (directory, url)
    }

    #[tokio::test]
    async fn a_program_can_be_written_with_public_items_only() {
        let (_directory, url) = directory();
        let store = Store::connect(&url).await.unwrap();
        let owner = Key::new("/nginx/owner").unwrap();
        assert_eq!(claim(&store, &owner, "a").await.unwrap(), "a");
        assert_eq!(claim(&store, &owner, "b").await.unwrap(), "a");
        let tree = Tree::open(&store, Key::new("/nginx").unwrap());
        assert_eq!(next_port(&tree).await.unwrap(), 8081);
        assert_eq!(next_port(&tree).await.unwrap(), 8082);
        let topic = Topic { key: Key::new("/motd").unwrap(), watch_type: WatchType::Data };
        hear(&Subscribers::new(&store), &topic, "hello").await.unwrap();
    }

    #[tokio::test]
    async fn durations_of_any_length_are_clamped() {
        let (_directory, url) = directory();
        let key = Key::new("/a").unwrap();
        for any in [Duration::ZERO, Duration::MAX] {
            let store = open(&url, any).unwrap();
            store.put(&key, "1", Condition::Any).await.unwrap();
            assert_eq!(first_state(&store, &key, any).await, Content::Value("1".into()));
            let tree = Tree::open(&store, Key::new("/").unwrap());
            tree.loaded().await;
            // `longest` ends the wait, and then `settle`; the other duration is out of range.
            for (key, settle, longest) in [("b", any, Duration::ZERO), ("c", Duration::ZERO, any)] {
                let told = next_change(&tree, settle, longest);
                // Joined in this order, so that the changes are watched before the write.
                let write = async {
                    tree.at(key).set(format!("{any:?}")).await.unwrap();
                };
                assert_eq!(tokio::join!(told, write).0, Some(1));
            }
        }
    }
}
