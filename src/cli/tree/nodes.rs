//! The keys of a subtree as nodes with names, in an arena: each name is stored once, a change costs its depth, and deep keys
//! cannot exhaust the stack. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Values;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::watch::Spelling;

/// A node of one [`Nodes`]; invalid after it was pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(usize);

/// The content of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// No key of its own, only the beginning of others.
    Prefix,
    /// A key without a value, for example a directory.
    NoValue,
    /// A key with a value.
    Value(Bytes),
    /// A key that was deleted recently.
    Gone,
}

/// How a key changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Altered,
    Removed,
}

/// A node and its direct children.
#[derive(Debug)]
pub(super) struct Node {
    above: Option<NodeId>,
    name: Arc<str>,
    below: BTreeMap<Arc<str>, NodeId>,
    /// The spelling of its key.
    pub(super) spelling: Spelling,
    pub(super) holds: Holds,
    /// Whether its children are shown.
    pub(super) open: bool,
    /// Its last change, and when that was seen.
    pub(super) changed: Option<(Change, Duration)>,
    /// When something below it was last seen to change.
    pub(super) stirred: Option<Duration>,
}

impl Node {
    fn new(above: Option<NodeId>, name: Arc<str>) -> Self {
        Self {
            above,
            name,
            below: BTreeMap::new(),
            spelling: Spelling::Slashed,
            holds: Holds::Prefix,
            open: false,
            changed: None,
            stirred: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How many nodes are directly below it.
    pub(super) fn children(&self) -> usize {
        self.below.len()
    }
}

/// All nodes below one at the top.
#[derive(Debug)]
pub(super) struct Nodes {
    slots: Vec<Node>,
    free: Vec<NodeId>,
}

/// The root.
pub(super) const TOP: NodeId = NodeId(0);

impl Nodes {
    /// Only the root.
    pub(super) fn new() -> Self {
        Self { slots: vec![Node::new(None, Arc::from(""))], free: Vec::new() }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.slots[id.0]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.slots[id.0]
    }

    pub(super) fn above(&self, id: NodeId) -> Option<NodeId> {
        self.node(id).above
    }

    /// The nodes directly below one, in order.
    pub(super) fn below(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        self.node(id).below.values().copied()
    }

    /// The node of a path, created with its parents if missing. Also returns whether any was created.
    pub(super) fn reach(&mut self, path: &str) -> (NodeId, bool) {
        let (mut id, mut made) = (TOP, false);
        for name in names(path) {
            id = if let Some(below) = self.node(id).below.get(name) {
                *below
            } else {
                made = true;
                self.add(id, name)
            };
        }
        (id, made)
    }

    fn add(&mut self, above: NodeId, name: &str) -> NodeId {
        let name: Arc<str> = Arc::from(name);
        let node = Node::new(Some(above), Arc::clone(&name));
        let id = if let Some(id) = self.free.pop() {
            self.slots[id.0] = node;
            id
        } else {
            self.slots.push(node);
            NodeId(self.slots.len() - 1)
        };
        self.slots[above.0].below.insert(name, id);
        id
    }

    /// Removes an empty node, and its parents that have no other children. Returns the lowest remaining node.
    pub(super) fn prune(&mut self, mut id: NodeId) -> NodeId {
        while let (Holds::Prefix, 0, Some(above)) =
            (&self.node(id).holds, self.node(id).children(), self.above(id))
        {
            let name = Arc::clone(&self.node(id).name);
            self.slots[above.0].below.remove(&name);
            self.slots[id.0] = Node::new(None, Arc::from(""));
            self.free.push(id);
            id = above;
        }
        id
    }

    /// Whether a node was not pruned, provided that no other was created since.
    pub(super) fn is_there(&self, id: NodeId) -> bool {
        id == TOP || self.above(id).is_some()
    }

    /// The suffix of a node's key after that of the top: `""` for the top, else each name after a slash.
    pub(super) fn suffix(&self, id: NodeId) -> String {
        let mut names = Vec::new();
        let mut at = id;
        while let Some(above) = self.above(at) {
            names.push(self.node(at).name());
            at = above;
        }
        names.iter().rev().flat_map(|name| ["/", name]).collect()
    }

    /// The spelling of a node's key, or if it has none, of the first key below it.
    pub(super) fn spelling(&self, mut id: NodeId) -> Spelling {
        while let (Holds::Prefix, Some(below)) = (&self.node(id).holds, self.below(id).next()) {
            id = below;
        }
        self.node(id).spelling
    }

    /// The nodes in order, parents before children, with their depths; only the visible ones, or all.
    pub(super) fn walk(&self, all: bool) -> Walk<'_> {
        Walk { nodes: self, all, top: true, stack: Vec::new() }
    }
}

/// See [`Nodes::walk`].
pub(super) struct Walk<'a> {
    nodes: &'a Nodes,
    all: bool,
    top: bool,
    stack: Vec<Values<'a, Arc<str>, NodeId>>,
}

impl Walk<'_> {
    fn enter(&mut self, id: NodeId) {
        let node = self.nodes.node(id);
        if (node.open || self.all) && !node.below.is_empty() {
            self.stack.push(node.below.values());
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = (NodeId, usize);

    fn next(&mut self) -> Option<Self::Item> {
        if self.top {
            self.top = false;
            self.enter(TOP);
            return Some((TOP, 0));
        }
        loop {
            let depth = self.stack.len();
            if let Some(id) = self.stack.last_mut()?.next() {
                self.enter(*id);
                return Some((*id, depth));
            }
            self.stack.pop();
        }
    }
}

/// The names of a path as in a subtree: `""` is the top itself, `"/"` the key with a slash at its end.
fn names(path: &str) -> impl Iterator<Item = &str> {
    let path = match path {
        "" => None,
        "/" => Some(""),
        path => Some(path),
    };
    path.into_iter().flat_map(|path| path.split('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suffixes(nodes: &Nodes) -> Vec<(String, usize)> {
        nodes.walk(true).map(|(id, depth)| (nodes.suffix(id), depth)).collect()
    }

    #[test]
    fn what_is_below_stands_together_whatever_the_names() {
        let mut nodes = Nodes::new();
        for path in ["a!", "a/b", "a", "", "/", "/b", "a/", "a//c"] {
            let (id, _) = nodes.reach(path);
            nodes.node_mut(id).holds = Holds::NoValue;
        }
        let expected =
            [("", 0), ("/", 1), ("//b", 2), ("/a", 1), ("/a/", 2), ("/a//c", 3), ("/a/b", 2), ("/a!", 1)];
        assert_eq!(suffixes(&nodes), expected.map(|(suffix, depth)| (suffix.to_owned(), depth)));
    }

    #[test]
    fn pruned_nodes_take_empty_beginnings_along_and_are_used_again() {
        let mut nodes = Nodes::new();
        let (kept, _) = nodes.reach("a");
        nodes.node_mut(kept).holds = Holds::NoValue;
        let (deep, made) = nodes.reach("a/b/c/d");
        assert!(made && !nodes.reach("a/b/c/d").1);
        assert_eq!(nodes.prune(deep), kept);
        assert_eq!(suffixes(&nodes).len(), 2);
        let slots = nodes.slots.len();
        nodes.reach("x/y/z");
        assert_eq!(nodes.slots.len(), slots);
        assert_eq!(nodes.prune(TOP), TOP);
    }

    #[test]
    fn no_depth_is_too_deep() {
        let mut nodes = Nodes::new();
        let (id, _) = nodes.reach(&"a/".repeat(200_000));
        assert_eq!(nodes.walk(true).last(), Some((id, 200_001)));
        assert_eq!(nodes.prune(id), TOP);
    }
}
