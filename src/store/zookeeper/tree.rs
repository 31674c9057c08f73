//! A subtree of znodes as it was last seen, node by node. Pure: says what to look at, is told what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zookeeper_client::Stat;

use super::path::join;
use crate::watch::{Content, Subtree};

/// What is known of one node.
#[derive(Debug, Default)]
struct Node {
    names: BTreeSet<Arc<str>>,
    mzxid: i64,
    /// Whether it is there, and has no bytes as value: nothing, where it has children.
    empty: bool,
}

/// The nodes that are watched, and what is shown of them.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<Arc<str>, Node>,
    entries: Subtree,
    highest: i64,
}

/// What a look changed in what has to be watched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    /// Places of nodes that came.
    pub(super) came: Vec<Arc<str>>,
    /// Places of nodes that went.
    pub(super) went: Vec<Arc<str>>,
    /// Whether the tree that is shown is another one.
    pub(super) changed: bool,
}

impl Tree {
    /// A tree of which only the top is known to be worth a look.
    pub(super) fn new() -> Self {
        Self { nodes: BTreeMap::from([("".into(), Node::default())]), entries: Subtree::new(), highest: 0 }
    }

    /// The highest zxid seen. Never falls: an older one says nothing about the rest of the tree.
    pub(super) fn highest(&self) -> i64 {
        self.highest
    }

    /// The tree as it is known now.
    pub(super) fn content(&self) -> Content {
        if self.entries.contains("") { Content::Tree(self.entries.clone()) } else { Content::Absent }
    }

    /// A node's value was looked at; `None`: it is not there.
    ///
    /// A node that is gone stays watched until its parent's children say so too: only one of the two may decide
    /// which nodes there are, or a node that is deleted and made again falls between them.
    pub(super) fn value(&mut self, at: &Arc<str>, seen: Option<(&Stat, Vec<u8>)>) -> Moves {
        let Some(node) = self.nodes.get_mut(at) else { return Moves::default() };
        let before = self.entries.get(at);
        let changed = match seen {
            None => {
                node.empty = false;
                self.entries.remove(at)
            }
            Some((stat, value)) => {
                self.highest = self.highest.max(stat.mzxid);
                node.empty = value.is_empty();
                let value = (!value.is_empty() || node.names.is_empty()).then_some(&*value);
                let rewritten = std::mem::replace(&mut node.mzxid, stat.mzxid) != stat.mzxid;
                let changed = before != Some(value);
                if changed {
                    self.entries.insert(at, value);
                }
                changed || rewritten
            }
        };
        Moves { changed, ..Moves::default() }
    }

    /// A node's children were looked at; `None`: it is not there.
    pub(super) fn children(&mut self, at: &Arc<str>, seen: Option<(&Stat, Vec<String>)>) -> Moves {
        let Some(node) = self.nodes.get_mut(at) else { return Moves::default() };
        let mut moves = Moves::default();
        let names: BTreeSet<Arc<str>> = match seen {
            None => BTreeSet::new(),
            Some((stat, names)) => {
                self.highest = self.highest.max(stat.pzxid);
                names.into_iter().map(Arc::from).collect()
            }
        };
        let old = std::mem::replace(&mut node.names, names);
        let came: Vec<Arc<str>> = node.names.difference(&old).map(|name| join(at, name).into()).collect();
        let lost: Vec<Arc<str>> = old.difference(&node.names).map(|name| join(at, name).into()).collect();
        // Without a value, a node is shown as empty while it has no children, and as none when it has.
        if node.empty && node.names.is_empty() != old.is_empty() {
            let shown = node.names.is_empty().then_some(b"".as_slice());
            self.entries.insert(at, shown);
            moves.changed = true;
        }
        for place in came {
            self.nodes.insert(place.clone(), Node::default());
            moves.came.push(place);
        }
        for place in lost {
            self.forget(&place, &mut moves);
        }
        moves
    }

    fn forget(&mut self, at: &Arc<str>, moves: &mut Moves) {
        let mut due = vec![at.clone()];
        while let Some(place) = due.pop() {
            let Some(node) = self.nodes.remove(&place) else { continue };
            moves.changed |= self.entries.remove(&place);
            due.extend(node.names.iter().map(|name| Arc::from(join(&place, name))));
            moves.went.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(mzxid: i64, pzxid: i64) -> Stat {
        Stat {
            czxid: 1,
            mzxid,
            pzxid,
            ctime: 0,
            mtime: 0,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: 0,
            data_length: 0,
            num_children: 0,
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn shown(tree: &Tree) -> Vec<(String, Option<String>)> {
        match tree.content() {
            Content::Tree(entries) => entries
                .iter()
                .map(|(at, value)| (at.to_owned(), value.map(|v| String::from_utf8(v.to_vec()).unwrap())))
                .collect(),
            Content::Absent => Vec::new(),
            other @ (Content::Unread | Content::Value(_) | Content::Children(_)) => panic!("{other:?}"),
        }
    }

    fn entry(at: &str, value: Option<&str>) -> (String, Option<String>) {
        (at.to_owned(), value.map(str::to_owned))
    }

    #[test]
    fn nodes_come_and_go_with_their_parents_list() {
        let mut tree = Tree::new();
        let top: Arc<str> = "".into();
        assert!(tree.value(&top, Some((&stat(3, 5), Vec::new()))).changed);
        assert_eq!(shown(&tree), [entry("", Some(""))]);
        let moves = tree.children(&top, Some((&stat(3, 5), names(&["b", "a"]))));
        assert_eq!(moves.came, ["a".into(), "b".into()]);
        assert!(moves.changed, "the top has children now, and no value");
        let a: Arc<str> = "a".into();
        tree.value(&a, Some((&stat(4, 4), b"x".to_vec())));
        assert_eq!(shown(&tree), [entry("", None), entry("a", Some("x"))]);
        assert_eq!(tree.children(&a, Some((&stat(4, 6), names(&["c"])))).came, ["a/c".into()]);
        assert_eq!(tree.highest(), 6);
        tree.value(&"a/c".into(), Some((&stat(6, 6), b"y".to_vec())));
        // The node is gone, its parent's list does not know yet.
        assert!(tree.value(&a, None).changed);
        let moves = tree.children(&top, Some((&stat(3, 9), names(&["b"]))));
        assert_eq!(moves.went, ["a".into(), "a/c".into()]);
        assert_eq!(shown(&tree), [entry("", None)]);
        assert_eq!(tree.highest(), 9);
        // What was asked before is answered late.
        assert_eq!(tree.value(&a, Some((&stat(4, 4), b"x".to_vec()))), Moves::default());
    }

    #[test]
    fn a_tree_without_its_top_is_absent_and_comes_back() {
        let mut tree = Tree::new();
        let top: Arc<str> = "".into();
        assert_eq!(tree.content(), Content::Absent);
        tree.value(&top, Some((&stat(3, 3), b"v".to_vec())));
        assert_eq!(shown(&tree), [entry("", Some("v"))]);
        assert!(tree.value(&top, None).changed);
        assert_eq!(tree.content(), Content::Absent);
        tree.value(&top, Some((&stat(8, 8), b"w".to_vec())));
        assert_eq!(shown(&tree), [entry("", Some("w"))]);
    }

    #[test]
    fn the_same_value_written_again_is_a_change() {
        let mut tree = Tree::new();
        let top: Arc<str> = "".into();
        tree.value(&top, Some((&stat(3, 3), b"v".to_vec())));
        assert!(tree.value(&top, Some((&stat(4, 3), b"v".to_vec()))).changed);
    }
}
