//! The trees of a session: a future follows each of them.

use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};

use super::Serving;
use super::denied::DeniedTree;
use super::followed::{Followed, Left};
use crate::store::StoreError;
use crate::store::session::TargetId;
use crate::store::zookeeper::follow::{Asked, Stopped, follow};
use crate::store::zookeeper::poll::NodeFingerprint;
use crate::store::zookeeper::pool::{Manner, Member};
use crate::store::zookeeper::session_end::SessionEnd;

impl Serving {
    /// Follows a tree; `denied_before`: the denied node because of which it was refused, as it is now.
    pub(super) fn follow(
        &mut self,
        id: TargetId,
        top: Arc<str>,
        denied_before: Option<(Arc<str>, NodeFingerprint)>,
    ) {
        let bytes = self.entrance.chroot_bytes() + top.len();
        let member = self.place(Manner::Trees, bytes);
        let (to, client) = oneshot::channel();
        match self.pool.get(member).and_then(|joined| joined.client.clone()) {
            // It was just started, and is handled below.
            Some(client) => drop(to.send(Ok(client))),
            None => self.awaited.entry(member).or_default().push(to),
        }
        let (demands, demanded) = mpsc::unbounded_channel();
        self.next_turn += 1;
        let turn = self.next_turn;
        let (requests, reports) = (Arc::clone(&self.tree_requests), self.reports.clone());
        let asked = Asked { id, top: Arc::clone(&top), client, requests, reports, demands: demanded };
        self.trees.push(follow(asked).map(move |how| Left { id, top, turn, member, bytes, how }).boxed());
        self.followed.insert(id, Followed { turn, demands, denied_before });
    }

    pub(super) fn verify_tree(&mut self, id: TargetId) {
        if let Some(followed) = self.followed.get(&id) {
            // A tree that has just ended is refused, and armed again.
            let _ = followed.demands.send(());
        }
    }

    pub(super) async fn left(&mut self, left: Left) -> Result<(), SessionEnd> {
        let Left { id, top, turn, member, bytes, how } = left;
        self.pool.leave(member, bytes);
        match how {
            Stopped::Unasked => Ok(()),
            Stopped::Session(ended) => Err(ended),
            // It was armed again meanwhile.
            Stopped::Refused(_) | Stopped::Denied { .. }
                if self.followed.get(&id).is_none_or(|followed| followed.turn != turn) =>
            {
                Ok(())
            }
            Stopped::Refused(error) => self.refuse(id, error).await,
            Stopped::Denied { path, error } => {
                let before = self.followed.remove(&id).and_then(|followed| followed.denied_before);
                let fingerprint = before.filter(|(denied, _)| *denied == path).map(|(_, before)| before);
                self.refuse(id, error).await?;
                self.denied_trees.insert(id, DeniedTree { top, member, path, fingerprint });
                Ok(())
            }
        }
    }

    /// Reports to the trees waiting for a session that it could not be opened.
    pub(super) fn cannot_follow(&mut self, member: Member, error: &StoreError) {
        for waiting in self.awaited.remove(&member).unwrap_or_default() {
            let _ = waiting.send(Err(error.clone()));
        }
    }
}
