//! Changes of a mirror, delivered once they have settled.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::seen::Seen;
use super::snapshot::{Difference, Scope, Snapshot};

/// The longest that a change may be held back; a longer time could overflow the clock.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// A stream of changes of a [`Tree`](super::Tree). Ends with the tree. Rewriting the same value is not a change.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use twitcher::store::Store;
/// use twitcher::tree::{Scope, Tree};
/// use twitcher::watch::Key;
///
/// # let dir = tempfile::tempdir()?;
/// # let url = format!("dir://{}", dir.path().display());
/// let tree = Tree::open(&Store::connect(&url).await?, Key::new("/nginx")?);
/// tree.loaded().await;
///
/// // When nothing has changed for 10 ms, but after 100 ms at the latest.
/// let (settle, longest) = (Duration::from_millis(10), Duration::from_millis(100));
/// let mut changes = tree.changes("servers", Scope::Below, settle, longest);
/// tree.at("servers/a").set("10.0.0.1").await?;
/// let changed = changes.next().await.ok_or("the tree is gone")?;
/// assert!(changed.differences.iter().any(|difference| &*difference.path == "servers/a"));
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Debug)]
pub struct Changes {
    seen: watch::Receiver<Seen>,
    path: String,
    scope: Scope,
    settle: Duration,
    longest: Duration,
    /// The last delivered snapshot; `None` before the tree is loaded.
    told: Option<Snapshot>,
}

/// The differences since the last delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The whole tree as of now.
    pub snapshot: Snapshot,
    /// The differences in the requested scope, ordered by path. Never empty.
    pub differences: Vec<Difference>,
}

impl Changes {
    pub(super) fn new(
        mut seen: watch::Receiver<Seen>,
        path: &str,
        scope: Scope,
        settle: Duration,
        longest: Duration,
    ) -> Self {
        let now = seen.borrow_and_update().clone();
        let told = now.loaded.then_some(now.snapshot);
        let (settle, longest) = (settle.min(LONGEST), longest.min(LONGEST));
        Self { seen, path: path.to_owned(), scope, settle, longest, told }
    }

    /// Waits for the next change; `None` when the tree is gone. Cancel-safe.
    ///
    /// A value that changes and changes back before it settles is not a change.
    pub async fn next(&mut self) -> Option<Changed> {
        loop {
            self.different().await?;
            let last_moment = Instant::now() + self.longest;
            let mut quiet_at = Instant::now() + self.settle;
            while Instant::now() < quiet_at.min(last_moment) {
                let before = self.differences();
                match timeout_at(quiet_at.min(last_moment), self.seen.changed()).await {
                    Ok(Ok(())) if self.differences() != before => quiet_at = Instant::now() + self.settle,
                    Ok(Ok(())) => {}
                    // Settled, or the tree is gone.
                    Ok(Err(_)) | Err(_) => break,
                }
                self.seen.mark_unchanged();
            }
            let snapshot = self.seen.borrow_and_update().snapshot.clone();
            let Some(told) = self.told.replace(snapshot.clone()) else { continue };
            let differences = told.differences(&snapshot, &self.path, self.scope);
            if !differences.is_empty() {
                return Some(Changed { snapshot, differences });
            }
        }
    }

    /// The same as a [`Stream`](futures::Stream).
    pub fn into_stream(self) -> impl futures::Stream<Item = Changed> {
        futures::stream::unfold(self, async |mut changes| Some((changes.next().await?, changes)))
    }

    /// Waits until there is a change to deliver.
    async fn different(&mut self) -> Option<()> {
        loop {
            let now = self.seen.borrow_and_update().clone();
            if self.told.is_none() && now.loaded {
                self.told = Some(now.snapshot);
            }
            if !self.differences().is_empty() {
                return Some(());
            }
            self.seen.changed().await.ok()?;
        }
    }

    fn differences(&self) -> Vec<Difference> {
        let now = self.seen.borrow();
        let told = self.told.as_ref();
        told.map(|told| told.differences(&now.snapshot, &self.path, self.scope)).unwrap_or_default()
    }
}
