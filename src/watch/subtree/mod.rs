//! The values of a whole subtree, in little memory: a persistent map from boundaries to packed pages.

mod origin;
mod page;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::Spelling;
pub use origin::Origin;
use page::{Entry, Page};

/// The values of a subtree by path relative to its root: `""` for the root itself, `"a/b"` below it. `None` is a node
/// without a value: a ZooKeeper node or a directory that only has children.
///
/// Cloning is cheap, so that every state of a large tree can be handed out: states share the pages that are equal.
#[derive(Clone, Default)]
pub struct Subtree {
    /// A page holds the paths from its boundary up to the next one. The first boundary is `""`.
    pages: OrdMap<Arc<str>, Arc<Page>>,
    len: usize,
}

/// A node of a subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node<'a> {
    /// Its value; `None` if it has none.
    pub value: Option<&'a [u8]>,
    /// Its spelling and revision.
    pub origin: Origin,
}

/// A path that was written, even if with the same value, or that was created or deleted: old and new node.
pub type Written<'a> = (&'a str, Option<Node<'a>>, Option<Node<'a>>);

/// A path whose value or key changed: the path, the old and the new value. `Some(None)` is a node without a value, `None`
/// no node.
pub type Different<'a> = (&'a str, Option<Option<&'a [u8]>>, Option<Option<&'a [u8]>>);

impl Subtree {
    /// An empty subtree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of paths.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no path.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value at a path: `Some(None)` for a node without a value, `None` for no node.
    pub fn get(&self, path: &str) -> Option<Option<&[u8]>> {
        self.entry(path).map(|entry| entry.value)
    }

    /// The spelling of the key of a path; `None` for no node.
    pub fn spelling(&self, path: &str) -> Option<Spelling> {
        self.origin(path).map(|origin| origin.spelling)
    }

    /// Spelling and revision of the node at a path; `None` for no node.
    pub fn origin(&self, path: &str) -> Option<Origin> {
        self.entry(path).map(|entry| entry.origin)
    }

    fn entry(&self, path: &str) -> Option<Entry<'_>> {
        let (_, page) = self.pages.get_prev(path)?;
        page.entry(page.find(path).ok()?)
    }

    /// Whether there is a node at a path.
    pub fn contains(&self, path: &str) -> bool {
        self.get(path).is_some()
    }

    /// Inserts or replaces a node.
    pub fn insert(&mut self, path: &str, value: Option<&[u8]>) {
        self.insert_from(path, value, Origin::default());
    }

    /// A subtree of these nodes, whose paths are distinct and in order. Packs each page once; inserting the nodes one by one
    /// would pack a page again for each of its nodes.
    pub(crate) fn from_sorted<'a>(nodes: impl Iterator<Item = (&'a str, Node<'a>)>) -> Self {
        let entries = nodes.map(|(path, Node { value, origin })| Entry { path, value, origin });
        let mut subtree = Self::new();
        for page in Page::pack_all(entries) {
            subtree.len += page.len();
            let boundary = if subtree.pages.is_empty() { "" } else { page.first().unwrap_or_default() };
            subtree.pages.insert(boundary.into(), Arc::new(page));
        }
        subtree
    }

    /// The same with spelling and revision.
    pub fn insert_from(&mut self, path: &str, value: Option<&[u8]>, origin: Origin) {
        let entry = Entry { path, value, origin };
        let (boundary, page) = match self.pages.get_prev(path) {
            Some((boundary, page)) => (Arc::clone(boundary), page.with(entry)),
            None => ("".into(), Page::pack(iter::once(entry))),
        };
        let before = self.pages.get(&*boundary).map_or(0, |page| page.len());
        self.len = self.len - before + page.len();
        self.put(boundary, page);
    }

    /// Removes one node; returns whether it existed.
    pub fn remove(&mut self, path: &str) -> bool {
        let Some((boundary, page)) = self.pages.get_prev(path) else { return false };
        let Ok(index) = page.find(path) else { return false };
        let (boundary, page) = (Arc::clone(boundary), page.without(index));
        self.len -= 1;
        let mut range = self.pages.range::<_, str>((Bound::Unbounded, Bound::Excluded(&*boundary)));
        let joined = range.next_back().and_then(|(before, other)| Some((before.clone(), other.join(&page)?)));
        match joined {
            Some((before, joined)) => {
                self.pages.remove(&boundary);
                self.put(before, joined);
            }
            None if page.len() == 0 && !boundary.is_empty() => drop(self.pages.remove(&boundary)),
            None => self.put(boundary, page),
        }
        true
    }

    fn put(&mut self, boundary: Arc<str>, page: Page) {
        match page.split() {
            Some((low, high)) => {
                let next: Arc<str> = high.first().unwrap_or_default().into();
                self.put(boundary, low);
                self.put(next, high);
            }
            None => {
                self.pages.insert(boundary, Arc::new(page));
            }
        }
    }

    /// Every path and value in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.pages.values().flat_map(|page| page.from(0)).map(|entry| (entry.path, entry.value))
    }

    /// Every path in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(path, _)| path)
    }

    /// Every path in order, with spelling and revision of its node.
    pub fn origins(&self) -> impl Iterator<Item = (&str, Origin)> {
        self.pages.values().flat_map(|page| page.from(0)).map(|entry| (entry.path, entry.origin))
    }

    /// Every path and value from a path on.
    pub fn from(&self, path: &str) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let first = self.pages.get_prev(path);
        let begin = first.map_or(0, |(_, page)| page.find(path).unwrap_or_else(|index| index));
        let later = self.pages.range::<_, str>((Bound::Excluded(path), Bound::Unbounded));
        let first = first.into_iter().flat_map(move |(_, page)| page.from(begin));
        let entries = first.chain(later.flat_map(|(_, page)| page.from(0)));
        entries.map(|entry| (entry.path, entry.value))
    }

    /// Bytes of all values. Costs a step for each page.
    pub(crate) fn value_bytes(&self) -> usize {
        self.pages.values().map(|page| page.value_bytes()).sum()
    }

    /// Bytes of the pages of this one that a later one does not share. Costs as much as there is different.
    pub fn bytes_beside(&self, later: &Self) -> usize {
        let pages = self.pages.diff(&later.pages).map(|item| match item {
            DiffItem::Add(..) => 0,
            DiffItem::Remove(boundary, page) => boundary.len() + page.size(),
            DiffItem::Update { old: (_, page), .. } => page.size(),
        });
        pages.sum()
    }

    /// The differences to a later subtree, in order. The cost is proportional to the difference.
    pub fn differences<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = Different<'a>> {
        let shown = |node: Option<Node<'a>>| node.map(|node| (node.value, node.origin.spelling));
        let written = self.written(later).filter(move |(_, before, after)| shown(*before) != shown(*after));
        written
            .map(|(path, before, after)| (path, before.map(|node| node.value), after.map(|node| node.value)))
    }

    /// The writes up to a later subtree, in order, including those of the same value. The cost is proportional to the size.
    pub fn written<'a>(&'a self, later: &'a Self) -> impl Iterator<Item = Written<'a>> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for item in self.pages.diff(&later.pages) {
            match item {
                DiffItem::Add(_, page) => new.push(page),
                DiffItem::Remove(_, page) => old.push(page),
                DiffItem::Update { old: (_, before), new: (_, after) } => {
                    old.push(before);
                    new.push(after);
                }
            }
        }
        let mut old = old.into_iter().flat_map(|page| page.from(0)).peekable();
        let mut new = new.into_iter().flat_map(|page| page.from(0)).peekable();
        iter::from_fn(move || {
            loop {
                let order = match (old.peek(), new.peek()) {
                    (None, None) => return None,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some(before), Some(after)) => before.path.cmp(after.path),
                };
                match order {
                    Ordering::Less => return old.next().map(|entry| (entry.path, Some(entry.node()), None)),
                    Ordering::Greater => {
                        return new.next().map(|entry| (entry.path, None, Some(entry.node())));
                    }
                    Ordering::Equal => {
                        let (before, after) = (old.next()?, new.next()?);
                        if before != after {
                            return Some((before.path, Some(before.node()), Some(after.node())));
                        }
                    }
                }
            }
        })
    }
}

impl<'a> Entry<'a> {
    fn node(&self) -> Node<'a> {
        Node { value: self.value, origin: self.origin }
    }
}

/// Revisions do not count: rewriting the same values gives an equal subtree.
impl PartialEq for Subtree {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.differences(other).next().is_none()
    }
}

impl Eq for Subtree {}

impl Hash for Subtree {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        self.iter().for_each(|entry| entry.hash(state));
    }
}

impl fmt::Debug for Subtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &[u8]| Bytes::copy_from_slice(value);
        f.debug_map().entries(self.iter().map(|(path, value)| (path, value.map(shown)))).finish()
    }
}

impl<P: AsRef<str>, V: AsRef<[u8]>> FromIterator<(P, Option<V>)> for Subtree {
    fn from_iter<I: IntoIterator<Item = (P, Option<V>)>>(entries: I) -> Self {
        let mut subtree = Self::new();
        for (path, value) in entries {
            subtree.insert(path.as_ref(), value.as_ref().map(AsRef::as_ref));
        }
        subtree
    }
}

#[cfg(test)]
mod tests;
