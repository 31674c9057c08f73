//! Which nodes of a tree to read: one request per node at a time, so that an older answer never arrives last. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Memory that a place takes beside its text.
const OVERHEAD: usize = 64;

/// Memory that a place takes.
fn cost(at: &str) -> usize {
    at.len() + OVERHEAD
}

/// Nodes to re-read, and nodes whose result from a running full walk must be ignored because an event arrived meanwhile.
#[derive(Debug, Default)]
pub(super) struct Due {
    waiting: BTreeSet<Arc<str>>,
    /// Memory that `waiting` takes.
    waiting_bytes: usize,
    /// Requests in flight, and whether an event for the node arrived since.
    looking: BTreeMap<Arc<str>, bool>,
    /// Nodes that were due at any time during the walk: its result for them may be stale.
    walking: Option<BTreeSet<Arc<str>>>,
    /// Memory that the places take that events added to `walking`.
    walking_bytes: usize,
    /// How many more answers per node the last walk's proof depends on.
    proof: BTreeMap<Arc<str>, u8>,
}

impl Due {
    /// An event arrived for a node.
    pub(super) fn add(&mut self, at: &Arc<str>) {
        if let Some(places) = &mut self.walking
            && places.insert(Arc::clone(at))
        {
            self.walking_bytes += cost(at);
        }
        match self.looking.get_mut(at) {
            Some(again) => *again = true,
            None => self.wait(Arc::clone(at)),
        }
    }

    /// Takes the next nodes to read, at most this many.
    pub(super) fn take(&mut self, most: usize) -> Vec<Arc<str>> {
        let places: Vec<Arc<str>> = self.waiting.iter().take(most).cloned().collect();
        for at in &places {
            self.waiting.remove(at);
            self.waiting_bytes -= cost(at);
            self.looking.insert(Arc::clone(at), false);
        }
        places
    }

    /// A node was read.
    pub(super) fn looked(&mut self, at: &Arc<str>) {
        if self.looking.remove(at) == Some(true) {
            self.wait(Arc::clone(at));
        }
        if let Some(left) = self.proof.get_mut(at) {
            *left -= 1;
            if *left == 0 {
                self.proof.remove(at);
            }
        }
    }

    /// A read got no answer. It is repeated, which covers events since then too.
    pub(super) fn failed(&mut self, at: Arc<str>) {
        self.looking.remove(&at);
        self.proof.entry(Arc::clone(&at)).and_modify(|left| *left = 1);
        self.wait(at);
    }

    fn wait(&mut self, at: Arc<str>) {
        let bytes = cost(&at);
        if self.waiting.insert(at) {
            self.waiting_bytes += bytes;
        }
    }

    /// Memory of the nodes that wait to be read, or for the end of the walk.
    pub(super) fn bytes(&self) -> usize {
        self.waiting_bytes + self.walking_bytes
    }

    /// A walk begins and replaces the previous one.
    pub(super) fn begin_walk(&mut self) {
        self.walking_bytes = 0;
        self.walking = Some(self.waiting.iter().chain(self.looking.keys()).cloned().collect());
    }

    /// The walk is complete. Returns the nodes whose result must be ignored. Those still due belong to its proof.
    pub(super) fn end_walk(&mut self) -> BTreeSet<Arc<str>> {
        let waiting = self.waiting.iter().map(|at| (Arc::clone(at), 1));
        let looking = self.looking.iter().map(|(at, again)| (Arc::clone(at), 1 + u8::from(*again)));
        self.proof = waiting.chain(looking).collect();
        self.walking_bytes = 0;
        self.walking.take().unwrap_or_default()
    }

    /// Whether no node is waiting to be read.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.looking.is_empty()
    }

    /// Whether all nodes that the last walk ignored have been read since.
    pub(super) fn is_proved(&self) -> bool {
        self.walking.is_none() && self.proof.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at: &str) -> Arc<str> {
        at.into()
    }

    fn add(due: &mut Due, at: &str) {
        due.add(&place(at));
    }

    fn looked(due: &mut Due, at: &str) {
        due.looked(&place(at));
    }

    #[test]
    fn a_node_is_read_by_one_request_at_a_time() {
        let mut due = Due::default();
        add(&mut due, "a");
        add(&mut due, "a");
        assert_eq!(due.take(9), [place("a")]);
        add(&mut due, "a");
        assert!(due.take(9).is_empty(), "its read is in flight");
        looked(&mut due, "a");
        assert_eq!(due.take(9), [place("a")], "an event meanwhile causes another read");
        looked(&mut due, "a");
        assert!(due.is_empty());
        add(&mut due, "a");
        assert_eq!(due.take(9), [place("a")]);
        due.failed(place("a"));
        assert_eq!(due.take(9), [place("a")]);
    }

    #[test]
    fn at_most_this_many_are_taken() {
        let mut due = Due::default();
        for at in ["c", "a", "b"] {
            add(&mut due, at);
        }
        assert_eq!(due.bytes(), 3 * cost("a"));
        add(&mut due, "a");
        assert_eq!(due.bytes(), 3 * cost("a"), "it waits already");
        assert_eq!(due.take(2), [place("a"), place("b")]);
        assert_eq!(due.bytes(), cost("c"));
        assert_eq!(due.take(2), [place("c")]);
        assert!(!due.is_empty());
    }

    #[test]
    fn a_walk_ignores_nodes_that_were_due_meanwhile() {
        let mut due = Due::default();
        for at in ["looking", "waiting"] {
            add(&mut due, at);
        }
        due.take(1);
        due.begin_walk();
        assert!(!due.is_proved());
        looked(&mut due, "looking");
        add(&mut due, "heard");
        due.take(9);
        looked(&mut due, "heard");
        let places = due.end_walk();
        assert_eq!(places, ["heard", "looking", "waiting"].map(place).into());
        assert_eq!(due.end_walk(), BTreeSet::new());
    }

    #[test]
    fn a_walk_is_proof_once_the_due_nodes_have_been_read() {
        let mut due = Due::default();
        due.begin_walk();
        due.end_walk();
        assert!(due.is_proved(), "nothing was due");

        // One waits, one is being read, and one had an event during its read.
        for at in ["again", "looking", "waiting"] {
            add(&mut due, at);
        }
        due.take(2);
        add(&mut due, "again");
        due.begin_walk();
        due.end_walk();
        for at in ["looking", "again"] {
            looked(&mut due, at);
            assert!(!due.is_proved(), "{at}");
        }
        due.take(9);
        looked(&mut due, "waiting");
        assert!(!due.is_proved(), "one must be read again");
        // What is heard from now on belongs to no proof, however often it is.
        add(&mut due, "again");
        add(&mut due, "later");
        looked(&mut due, "again");
        assert!(due.is_proved());
        assert!(!due.is_empty());
    }

    #[test]
    fn a_read_without_an_answer_counts_once_for_the_proof() {
        let mut due = Due::default();
        add(&mut due, "a");
        due.take(1);
        add(&mut due, "a");
        due.begin_walk();
        due.end_walk();
        due.failed(place("a"));
        assert!(!due.is_proved());
        due.take(1);
        looked(&mut due, "a");
        assert!(due.is_proved());
    }
}
