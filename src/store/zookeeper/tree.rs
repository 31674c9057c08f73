//! A subtree of znodes as last read. Pure: takes results of reads and says whether the state changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zookeeper_client::Stat;

use crate::watch::{Content, Node, Origin, Spelling, Subtree};

/// The displayed tree of nodes.
///
/// A node with an empty value is shown as empty if it has no children, and as having no value otherwise.
#[derive(Debug, Default)]
pub(super) struct Tree {
    entries: Subtree,
    /// The highest zxid seen.
    highest: i64,
    /// The zxid up to which it is complete.
    whole: i64,
    /// ACL versions of the nodes whose ACL was changed since they were created, which are few.
    acls: BTreeMap<Arc<str>, i32>,
}

/// The result of a full walk. Its nodes were read at different moments.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// With their mzxid.
    values: BTreeMap<String, (Vec<u8>, i64)>,
    acls: BTreeMap<Arc<str>, i32>,
    highest: i64,
    /// The highest zxid of the first node read: the walk includes everything up to it.
    first: i64,
}

/// What a poll says about a node of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// It is as it was read.
    Same,
    /// It was written, created or deleted, or its ACL changed.
    Node,
    /// It has more or fewer children.
    Children,
}

impl Found {
    /// Adds a node.
    pub(super) fn add(&mut self, at: String, stat: &Stat, value: Vec<u8>) {
        self.highest = self.highest.max(stat.mzxid).max(stat.pzxid);
        if self.values.is_empty() {
            self.first = self.highest;
        }
        if stat.aversion != 0 {
            self.acls.insert(at.as_str().into(), stat.aversion);
        }
        self.values.insert(at, (value, stat.mzxid));
    }

    fn entries(&self) -> Subtree {
        let parents: BTreeSet<&str> = self.values.keys().filter_map(|at| parent(at)).collect();
        Subtree::from_sorted(self.values.iter().map(|(at, (value, mzxid))| {
            let value = shown(value, parents.contains(&**at));
            (&**at, Node { value, origin: written(*mzxid) })
        }))
    }
}

impl Tree {
    /// The zxid up to which it is complete. Never falls.
    pub(super) fn whole(&self) -> i64 {
        self.whole
    }

    /// All nodes with events have been read.
    pub(super) fn rest(&mut self) {
        self.whole = self.highest;
    }

    /// The current tree.
    pub(super) fn content(&self) -> Content {
        if self.entries.contains("") { Content::Tree(self.entries.clone()) } else { Content::Absent }
    }

    /// Records the result of reading a node; `None`: it does not exist. Returns whether the state changed; rewriting the
    /// same value is a change.
    pub(super) fn see(&mut self, at: &str, seen: Option<(&Stat, &[u8])>) -> bool {
        self.acls.remove(at);
        match seen {
            None => self.remove(at),
            Some((stat, value)) => {
                if stat.aversion != 0 {
                    self.acls.insert(at.into(), stat.aversion);
                }
                self.highest = self.highest.max(stat.mzxid).max(stat.pzxid);
                self.put(at, value, written(stat.mzxid))
            }
        }
    }

    /// Replaces the tree by a walk's result, except for these nodes, whose own reads are newer. Returns whether the
    /// state changed.
    pub(super) fn take(&mut self, found: &Found, but_for: &BTreeSet<Arc<str>>) -> bool {
        let mut changed = found.highest > self.highest;
        self.highest = self.highest.max(found.highest);
        self.whole = self.whole.max(found.first);
        self.acls.retain(|at, _| but_for.contains(at));
        let acls = found.acls.iter().filter(|(at, _)| !but_for.contains(*at));
        self.acls.extend(acls.map(|(at, acl)| (Arc::clone(at), *acl)));
        let found = found.entries();
        if self.entries.is_empty() && but_for.is_empty() {
            changed |= !found.is_empty();
            self.entries = found;
            return changed;
        }
        let known = self.entries.clone();
        for (at, _, now) in known.written(&found).filter(|(at, ..)| !but_for.contains(*at)) {
            changed |= match now {
                Some(node) => self.put(at, node.value.unwrap_or_default(), node.origin),
                None => self.remove(at),
            };
        }
        changed
    }

    /// The next places to poll, at most `most`: those after `last`, or from the first one if `None`. For an empty tree, the top.
    pub(super) fn places_after(&self, last: Option<&str>, most: usize) -> Vec<Arc<str>> {
        if self.entries.is_empty() {
            return vec!["".into()];
        }
        let places = self.entries.from(last.unwrap_or_default()).map(|(at, _)| at);
        places.filter(|at| last != Some(at)).take(most).map(Arc::from).collect()
    }

    /// The number of nodes, at least the top.
    pub(super) fn len(&self) -> usize {
        self.entries.len().max(1)
    }

    pub(super) fn contains(&self, at: &str) -> bool {
        self.entries.contains(at)
    }

    /// Compares a node with what was read of it.
    pub(super) fn compare(&self, at: &str, stat: Option<&Stat>) -> Compared {
        let known = self.entries.origin(at);
        let (Some(stat), Some(known)) = (stat, known) else {
            return if stat.is_none() == known.is_none() { Compared::Same } else { Compared::Node };
        };
        let acl = self.acls.get(at).copied().unwrap_or_default();
        if (stat.mzxid, stat.aversion) != (known.revision, acl) {
            return Compared::Node;
        }
        if self.knows_children(at, stat) { Compared::Same } else { Compared::Children }
    }

    /// Whether a node has as many children as are known.
    pub(super) fn knows_children(&self, at: &str, stat: &Stat) -> bool {
        usize::try_from(stat.num_children).unwrap_or_default() == self.children(at)
    }

    fn children(&self, at: &str) -> usize {
        let below = if at.is_empty() { String::new() } else { format!("{at}/") };
        let places = self.entries.from(&below).map(|(place, _)| place);
        let names = places.map_while(|place| place.strip_prefix(&below)).filter(|name| !name.is_empty());
        names.filter(|name| !name.contains('/')).count()
    }

    fn put(&mut self, at: &str, value: &[u8], origin: Origin) -> bool {
        let shown = shown(value, value.is_empty() && self.has_below(at));
        let before = self.entries.origin(at);
        if before == Some(origin) && self.entries.get(at) == Some(shown) {
            return false;
        }
        self.entries.insert_from(at, shown, origin);
        if before.is_none() {
            self.show_above(at);
        }
        true
    }

    fn remove(&mut self, at: &str) -> bool {
        let removed = self.entries.remove(at);
        if removed {
            self.show_above(at);
        }
        removed
    }

    /// Updates the nearest ancestor's value after a node below it appeared or disappeared.
    fn show_above(&mut self, at: &str) {
        let mut above = std::iter::successors(parent(at), |above| parent(above));
        let Some(above) = above.find(|above| self.entries.contains(above)) else { return };
        let (value, has_below) = (self.entries.get(above).flatten(), self.has_below(above));
        let shown = match (value, has_below) {
            (Some([]), true) => None,
            (None, false) => Some(b"".as_slice()),
            (Some(_), true | false) | (None, true) => return,
        };
        self.entries.insert_from(above, shown, self.entries.origin(above).unwrap_or_default());
    }

    fn has_below(&self, at: &str) -> bool {
        let below = if at.is_empty() { String::new() } else { format!("{at}/") };
        self.entries
            .from(&below)
            .find(|(path, _)| !path.is_empty())
            .is_some_and(|(path, _)| path.starts_with(&below))
    }
}

fn written(mzxid: i64) -> Origin {
    Origin { spelling: Spelling::Slashed, revision: mzxid }
}

fn shown(value: &[u8], has_below: bool) -> Option<&[u8]> {
    (!(value.is_empty() && has_below)).then_some(value)
}

/// The parent of a place; `""` is the top, which has none.
pub(super) fn parent(at: &str) -> Option<&str> {
    if at.is_empty() { None } else { Some(at.rsplit_once('/').map_or("", |(parent, _)| parent)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_poll_is_compared_with_what_was_read() {
        let mut tree = Tree::default();
        assert_eq!(tree.places_after(None, 9), ["".into()], "its creation may be missed");
        assert_eq!(tree.compare("", None), Compared::Same);
        assert_eq!(tree.compare("", Some(&stat(1, 1))), Compared::Node);
        let of = |mzxid, num_children, aversion| Stat { num_children, aversion, ..stat(mzxid, 1) };
        let mut found = Found::default();
        for (at, node) in [("", of(1, 2, 0)), ("a", of(2, 1, 3)), ("a/x", of(3, 0, 0)), ("ab", of(4, 0, 0))] {
            found.add(at.to_owned(), &node, Vec::new());
        }
        tree.take(&found, &BTreeSet::new());
        for (at, node, expected) in [
            ("", of(1, 2, 0), Compared::Same),
            ("", of(1, 3, 0), Compared::Children),
            ("a", of(2, 1, 3), Compared::Same),
            ("a", of(2, 1, 4), Compared::Node),
            ("a", of(2, 0, 3), Compared::Children),
            ("a/x", of(3, 0, 0), Compared::Same),
            ("a/x", of(9, 0, 0), Compared::Node),
            ("ab", of(4, 0, 1), Compared::Node),
            ("ab", of(4, 1, 0), Compared::Children),
        ] {
            assert_eq!(tree.compare(at, Some(&node)), expected, "{at} {node:?}");
        }
        assert_eq!(tree.compare("ab", None), Compared::Node);
        tree.see("a", Some((&of(2, 1, 0), b"")));
        assert_eq!(tree.compare("a", Some(&of(2, 1, 0))), Compared::Same);
        assert_eq!(tree.places_after(Some("a"), 9), ["a/x".into(), "ab".into()]);
        assert_eq!(tree.places_after(None, 2), ["".into(), "a".into()]);
        assert!(tree.places_after(Some("ab"), 9).is_empty());
    }

    /// The content of a store: the nodes with their values, including all parents.
    type Nodes = BTreeMap<String, Vec<u8>>;

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

    fn found(nodes: &Nodes) -> Found {
        let mut found = Found::default();
        for (at, value) in nodes {
            found.add(at.clone(), &stat(1, 1), value.clone());
        }
        found
    }

    fn shown(tree: &Tree) -> BTreeMap<String, Option<Vec<u8>>> {
        match tree.content() {
            Content::Tree(entries) => {
                entries.iter().map(|(at, value)| (at.to_owned(), value.map(<[u8]>::to_vec))).collect()
            }
            Content::Absent => BTreeMap::new(),
            other @ (Content::Unread | Content::Value(_) | Content::Children(_)) => panic!("{other:?}"),
        }
    }

    /// A naive implementation of the rule.
    fn expected(nodes: &Nodes) -> BTreeMap<String, Option<Vec<u8>>> {
        let has_below = |at: &str| {
            nodes.keys().any(|other| other != at && (at.is_empty() || other.starts_with(&format!("{at}/"))))
        };
        nodes
            .iter()
            .map(|(at, value)| (at.clone(), (!(value.is_empty() && has_below(at))).then(|| value.clone())))
            .collect()
    }

    fn nodes() -> impl Strategy<Value = Nodes> {
        prop::collection::btree_map("[ab!](/[ab!]){0,2}", prop::collection::vec(0..2u8, 0..2), 0..9).prop_map(
            |some| {
                let mut nodes = Nodes::from([(String::new(), Vec::new())]);
                for at in some.keys() {
                    let above = std::iter::successors(parent(at), |above| parent(above));
                    for above in above {
                        nodes.entry(above.to_owned()).or_default();
                    }
                }
                nodes.extend(some);
                nodes
            },
        )
    }

    proptest! {
        #[test]
        fn the_last_state_is_shown_in_any_order_of_reads(
            before in nodes(), after in nodes(), order in any::<u64>(), walked in prop::collection::vec(any::<bool>(), 64),
        ) {
            let mut tree = Tree::default();
            prop_assert!(tree.take(&found(&before), &BTreeSet::new()));
            prop_assert_eq!(shown(&tree), expected(&before));
            prop_assert!(!tree.take(&found(&before), &BTreeSet::new()), "no change");
            // Some of the places are read in any order; a walk that ignores those reads the others.
            let mut places: Vec<&String> = before.keys().chain(after.keys()).collect();
            places.sort();
            places.dedup();
            let mut looked_at = Vec::new();
            let mut found = Found::default();
            for (index, at) in places.into_iter().enumerate() {
                if walked[index % 64] {
                    if let Some(value) = after.get(at) {
                        found.add(at.clone(), &stat(1, 1), value.clone());
                    }
                } else {
                    looked_at.push(at.as_str());
                }
            }
            fastrand::Rng::with_seed(order).shuffle(&mut looked_at);
            let (early, late) = looked_at.split_at(looked_at.len() / 2);
            let once = stat(1, 1);
            let look = |tree: &mut Tree, at: &str| tree.see(at, after.get(at).map(|value| (&once, &**value)));
            for at in early {
                look(&mut tree, at);
            }
            let blind: BTreeSet<Arc<str>> = looked_at.iter().map(|at| Arc::from(*at)).collect();
            tree.take(&found, &blind);
            for at in late {
                look(&mut tree, at);
            }
            prop_assert_eq!(shown(&tree), expected(&after));
        }
    }

    #[test]
    fn a_tree_without_its_top_is_absent_and_comes_back() {
        let mut tree = Tree::default();
        assert_eq!(tree.content(), Content::Absent);
        assert!(tree.see("", Some((&stat(3, 3), b"v"))));
        assert_eq!(shown(&tree), BTreeMap::from([(String::new(), Some(b"v".to_vec()))]));
        assert!(tree.see("", None));
        assert_eq!(tree.content(), Content::Absent);
        assert!(!tree.see("", None));
        assert!(tree.see("", Some((&stat(8, 8), b"w"))));
    }

    #[test]
    fn the_same_value_written_again_is_a_change() {
        let mut tree = Tree::default();
        tree.see("", Some((&stat(3, 3), b"v")));
        assert!(tree.see("", Some((&stat(4, 3), b"v"))));
        assert!(!tree.see("", Some((&stat(4, 3), b"v"))));
        let mut found = Found::default();
        found.add(String::new(), &stat(5, 3), b"v".to_vec());
        assert!(tree.take(&found, &BTreeSet::new()), "a change without an event");
        assert_eq!(tree.highest, 5);
        let Content::Tree(entries) = tree.content() else { panic!("a tree") };
        assert_eq!(entries.origin(""), Some(written(5)));
    }

    #[test]
    fn its_version_is_the_zxid_up_to_which_it_is_complete() {
        let mut tree = Tree::default();
        let mut found = Found::default();
        for (at, mzxid, pzxid) in [("", 3, 5), ("a", 9, 9), ("b", 4, 4)] {
            found.add(at.to_owned(), &stat(mzxid, pzxid), b"v".to_vec());
        }
        tree.take(&found, &BTreeSet::new());
        assert_eq!(tree.whole(), 5, "b may have been read before the write at 7");
        tree.rest();
        assert_eq!(tree.whole(), 9);
        // Only the parent shows a deletion.
        tree.see("b", None);
        tree.see("", Some((&stat(3, 11), b"v")));
        assert_eq!(tree.whole(), 9);
        tree.rest();
        assert_eq!(tree.whole(), 11);
        tree.see("", Some((&stat(3, 2), b"v")));
        tree.rest();
        assert_eq!(tree.whole(), 11, "never falls");
    }
}
