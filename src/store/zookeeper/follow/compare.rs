//! Polls the nodes of a tree, and compares them with what was read, for changes without an event.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::join_all;
use tokio::time::Instant;

use super::Following;
use super::polls::Polled;
use crate::store::zookeeper::path::below;
use crate::store::zookeeper::poll::{Answer, PACE, batch, interval, poll};
use crate::store::zookeeper::tree::{Compared, parent};

/// Parents that are remembered between two polls.
const MOST_TOUCHED: usize = 10_000;

impl Following {
    /// When the next batch is due; `None` while one is in flight, or a walk, which reads everything.
    pub(super) fn poll_due(&self) -> Option<Instant> {
        (self.polls.in_flight.is_none() && self.walk.is_none()).then_some(self.polls.next)
    }

    /// Polls the next batch, once the process's pace allows it.
    pub(super) fn poll(&mut self) {
        let nodes = self.tree.len();
        self.polls.next = Instant::now() + interval(nodes);
        let mut places = self.tree.places_after(self.polls.last.as_deref(), batch(nodes));
        if places.is_empty() {
            places = self.tree.places_after(None, batch(nodes));
        }
        self.polls.last = places.last().cloned();
        if self.due.is_empty() {
            self.touched = Some(BTreeSet::new());
        }
        let (client, top) = (self.client.clone(), Arc::clone(&self.asked.top));
        let polls = async move {
            PACE.turn(places.len()).await;
            let polls = places.into_iter().map(|at| async {
                let answer = poll(&client, &below(&top, &at)).await;
                answer.map(|answer| (at, answer))
            });
            join_all(polls).await.into_iter().flatten().collect()
        };
        self.polls.in_flight = Some(polls.boxed());
    }

    /// Reads again what differs from what was read, unless an event has told so.
    pub(super) fn polled(&mut self, polled: Polled) {
        let mut unknown = false;
        for (at, answer) in polled {
            let stat = match answer {
                Answer::Absent => None,
                Answer::Node(stat) => Some(stat),
                // Reading it says why.
                Answer::Denied => {
                    self.due.add(&at);
                    continue;
                }
            };
            match self.tree.compare(&at, stat.as_ref()) {
                Compared::Same => {}
                Compared::Node => {
                    if stat.is_none()
                        && let Some(parent) = parent(&at)
                    {
                        self.due.add(&parent.into());
                    }
                    self.due.add(&at);
                    // Made again, with other children.
                    let stat = stat.filter(|stat| !self.tree.knows_children(&at, stat));
                    unknown |= stat.is_some() && !self.is_touched(&at);
                }
                Compared::Children => unknown |= !self.is_touched(&at),
            }
        }
        if unknown {
            tracing::debug!(path = &*self.asked.top, "nodes came or went without an event; reading the tree");
            self.verify();
        }
    }

    /// An event told that a child of this node came or went.
    pub(super) fn touch(&mut self, parent: Arc<str>) {
        if let Some(touched) = &mut self.touched {
            touched.insert(parent);
            if touched.len() > MOST_TOUCHED {
                self.touched = None;
            }
        }
    }

    fn is_touched(&self, at: &str) -> bool {
        self.touched.as_ref().is_none_or(|touched| touched.contains(at))
    }

    /// Reads everything again if nodes that were read for the first time have children without an event.
    pub(super) fn check_new(&mut self) {
        let new = std::mem::take(&mut self.with_unknown_children);
        if new.iter().any(|at| !self.is_touched(at)) {
            self.verify();
        }
    }
}
