//! Polls the nodes of a tree and compares them with what was read, to find changes without an event.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::join_all;
use tokio::time::Instant;

use super::Following;
use super::polls::Polled;
use crate::store::zookeeper::path::below;
use crate::store::zookeeper::poll::{PACE, PollAnswer, batch, interval, poll};
use crate::store::zookeeper::tree::{Compared, parent};

/// The most parents of created or deleted nodes that are remembered between two polls.
const MOST_TOUCHED: usize = 10_000;

impl Following {
    /// When the next batch is due; `None` while a batch is in flight, or a walk is running, which reads everything.
    pub(super) fn poll_due(&self) -> Option<Instant> {
        (self.polls.in_flight.is_none() && self.walk.is_none()).then_some(self.polls.next)
    }

    /// Polls the next batch, as soon as the pace of the process allows it.
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

    /// Reads nodes again that differ from what was read. Where the number of children differs and no event explains it,
    /// everything is read again.
    pub(super) fn polled(&mut self, polled: Polled) {
        let mut missed = false;
        for (at, answer) in polled {
            let stat = match answer {
                PollAnswer::Absent => None,
                PollAnswer::Node(stat) => Some(stat),
                // Reading it finds out why.
                PollAnswer::Denied => {
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
                    // It may have been deleted and created again, with other children.
                    let has_others = stat.is_some_and(|stat| !self.tree.knows_children(&at, &stat));
                    missed |= has_others && !self.is_touched(&at);
                }
                Compared::Children => missed |= !self.is_touched(&at),
            }
        }
        if missed {
            tracing::debug!(
                path = &*self.asked.top,
                "nodes were created or deleted without an event; reading the tree again"
            );
            self.verify();
        }
    }

    /// An event reported that a child of this node was created or deleted.
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

    /// Reads everything again if a node that was read for the first time has children that no event reported.
    pub(super) fn check_new(&mut self) {
        let new = std::mem::take(&mut self.with_unknown_children);
        if new.iter().any(|at| !self.is_touched(at)) {
            self.verify();
        }
    }
}
