//! Polls the single nodes of a session, and the denied node of each refused tree, to find changes without an event.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::join_all;
use tokio::time::Instant;
use zookeeper_client::Client;

use super::Serving;
use super::denied::{DeniedTree, Polled};
use crate::store::session::TargetId;
use crate::store::zookeeper::look::Want;
use crate::store::zookeeper::poll::{NodeFingerprint, PACE, batch, interval, poll};

impl Serving {
    /// When the next batch is due; `None` while one is in flight or there is nothing to poll.
    pub(super) fn poll_due(&self) -> Option<Instant> {
        let idle = self.singles.is_empty() && self.denied_trees.is_empty();
        (self.polls.is_empty() && !idle).then_some(self.next_poll)
    }

    /// Polls the next batch, as soon as the pace of the process allows it.
    pub(super) fn poll(&mut self) {
        let nodes = self.singles.len() + self.denied_trees.len();
        self.next_poll = Instant::now() + interval(nodes);
        let most = batch(nodes);
        let mut ids = self.after(self.last_polled, most);
        if ids.len() < most {
            ids.extend(self.after(TargetId(0), most - ids.len()));
        }
        let Some(last) = ids.last() else { return };
        self.last_polled = *last;
        let asked: Vec<(TargetId, Arc<str>, Client)> =
            ids.into_iter().filter_map(|id| self.ask(id)).collect();
        let polls = async move {
            PACE.turn(asked.len()).await;
            let polls = asked.into_iter().map(|(id, path, client)| async move {
                poll(&client, &path).await.map(|answer| (id, answer))
            });
            join_all(polls).await.into_iter().flatten().collect()
        };
        self.polls.push(polls.boxed());
    }

    /// The targets after this one, at most this many.
    fn after(&self, last: TargetId, most: usize) -> Vec<TargetId> {
        let after = (Excluded(last), Unbounded);
        let singles = self.singles.range(after).map(|(&id, _)| id).take(most);
        let denied = self.denied_trees.range(after).map(|(&id, _)| id).take(most);
        let mut ids: Vec<TargetId> = singles.chain(denied).collect();
        ids.sort_unstable();
        ids.truncate(most);
        ids
    }

    /// What the poll of a target needs: its path and its session. `None` while that session is not connected.
    fn ask(&self, id: TargetId) -> Option<(TargetId, Arc<str>, Client)> {
        let single = self.singles.get(&id).map(|single| (&single.path, single.member));
        let (path, member) =
            single.or_else(|| self.denied_trees.get(&id).map(|denied| (&denied.path, denied.member)))?;
        let joined = self.pool.get(member)?;
        if joined.down.is_some() {
            return None;
        }
        Some((id, Arc::clone(path), joined.client.clone()?))
    }

    pub(super) fn polled(&mut self, polled: Polled) {
        for (id, answer) in polled {
            if let Some(single) = self.singles.get_mut(&id) {
                let now = NodeFingerprint::of(single.want, answer);
                if single.polled(now) {
                    tracing::debug!(
                        path = &*single.path,
                        "a change without an event; reading the node again"
                    );
                    self.look_again(id);
                }
            } else if let Some(denied) = self.denied_trees.get_mut(&id) {
                let now = NodeFingerprint::of(Want::Value, answer);
                if denied.fingerprint.replace(now) != Some(now)
                    && let Some(DeniedTree { top, path, .. }) = self.denied_trees.remove(&id)
                {
                    self.follow(id, top, Some((path, now)));
                }
            }
        }
    }
}
