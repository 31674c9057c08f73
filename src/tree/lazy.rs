//! A large tree of which only the subtrees in use are mirrored.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::mirror::Tree;
use super::place::key_at;
use crate::store::{Store, StoreError};
use crate::watch::{InvalidKey, Key};

/// Subtrees of a key, mirrored from their first use until they are closed.
///
/// Each holds the keys below its path and a slash. In an etcd without a prefix, keys below `foo` rather than `/foo` are in
/// no subtree of `/`, but in one of `foo`.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use twitcher::store::{Condition, Store};
/// use twitcher::tree::LazyTree;
/// use twitcher::watch::Key;
///
/// # let dir = tempfile::tempdir()?;
/// # let url = format!("dir://{}", dir.path().display());
/// let store = Store::connect(&url).await?;
/// store.put(&Key::new("/sites/a/port")?, "80", Condition::Any).await?;
/// let sites = LazyTree::new(&store, Key::new("/sites")?);
/// assert_eq!(sites.children("").await?, Some(vec!["a".to_owned()]));
/// assert!(sites.opened().is_empty());
///
/// let site = sites.subtree("a")?;
/// site.loaded().await;
/// assert_eq!(site.get::<u16>("port")?, Some(80));
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug)]
pub struct LazyTree {
    store: Store,
    key: Key,
    open: Mutex<BTreeMap<String, Arc<Tree>>>,
}

impl LazyTree {
    /// Starts without any mirror.
    pub fn new(store: &Store, key: Key) -> Self {
        Self { store: store.clone(), key, open: Mutex::default() }
    }

    /// Reads the names directly below a path; `None` if there is nothing at it.
    pub async fn children(&self, path: &str) -> Result<Option<Vec<String>>, StoreError> {
        let key = key_at(&self.key, path).map_err(|error| StoreError::Refused {
            what: format!("list {path} of {}", self.key),
            why: error.to_string(),
        })?;
        self.store.children(&key).await
    }

    /// The mirror of a path and everything below it, shared by all callers until it is closed.
    pub fn subtree(&self, path: &str) -> Result<Arc<Tree>, InvalidKey> {
        let key = key_at(&self.key, path)?;
        let mut open = self.open();
        let tree = open.entry(path.to_owned()).or_insert_with(|| Arc::new(Tree::open(&self.store, key)));
        Ok(Arc::clone(tree))
    }

    /// Closes a mirror; it ends when its last holder drops it. Returns whether there was one.
    pub fn close(&self, path: &str) -> bool {
        self.open().remove(path).is_some()
    }

    /// The paths that are mirrored now.
    pub fn opened(&self) -> Vec<String> {
        self.open().keys().cloned().collect()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Tree>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
