//! The spots of a session: watched, looked at, looked at again when they fire.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::Aborted;

use super::{Ended, Fired, IN_FLIGHT, Looked, MOST_LOSSES, Serving, Waiting};
use crate::store::StoreError;
use crate::store::session::TargetId;
use crate::store::zookeeper::connect::{Meaning, failed, meaning};
use crate::store::zookeeper::look::{Want, look};
use crate::store::zookeeper::path::below;
use crate::store::zookeeper::pool::Place;
use crate::store::zookeeper::target::{Phase, Spot, SpotId};

impl Serving {
    /// Adds a spot to a target.
    pub(super) fn watch(&mut self, id: TargetId, at: Arc<str>, want: Want) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let bytes = self.entrance.chroot_bytes() + below(&target.top, &at).len();
        let member = match self.pool.place(bytes) {
            Place::Known(member) => member,
            Place::New(member) => {
                let opening = self.entrance.clone().open(None);
                self.openings.push(async move { (member, opening.await) }.boxed());
                member
            }
        };
        let spot = SpotId(self.next_spot);
        self.next_spot += 1;
        target.add_spot(at.clone(), want, spot);
        target.waiting += 1;
        let phase = Phase::Waiting;
        let new = Spot { target: id, at, want, member, bytes, phase, watch: None, turn: 0, losses: 0 };
        self.spots.insert(spot, Box::new(new));
        self.queue(spot);
    }

    fn path(&self, id: SpotId) -> Arc<str> {
        let spot = self.spots.get(&id);
        let target = spot.and_then(|spot| Some((spot, self.targets.get(&spot.target)?)));
        target.map_or_else(|| "".into(), |(spot, target)| below(&target.top, &spot.at))
    }

    pub(super) fn unwatch(&mut self, spot: SpotId) {
        let Some(spot) = self.spots.remove(&spot) else { return };
        self.pool.leave(spot.member, spot.bytes);
        if let Some(watch) = spot.watch {
            watch.abort();
        }
    }

    pub(super) fn look_again(&mut self, id: SpotId) {
        let Some(spot) = self.spots.get_mut(&id) else { return };
        match spot.phase {
            // A look on its way is repeated when it is back, where it began before the asking.
            Phase::Waiting | Phase::Looking { .. } => {}
            Phase::Armed => {
                spot.phase = Phase::Waiting;
                if let Some(target) = self.targets.get_mut(&spot.target) {
                    target.waiting += 1;
                }
                self.queue(id);
            }
        }
    }

    /// Puts a waiting spot where it belongs: among those that can be looked at, or behind a `sync`.
    pub(super) fn queue(&mut self, id: SpotId) {
        let Some(spot) = self.spots.get(&id) else { return };
        let since = self.targets.get(&spot.target).map_or(0, |target| target.since);
        let member = spot.member;
        if self.pool.get(member).is_some_and(|joined| joined.client.is_some() && joined.synced >= since) {
            self.due.push_back(id);
        } else {
            self.unsynced.entry(member).or_default().push(id);
            self.sync(member);
        }
    }

    pub(super) fn start_looks(&mut self) {
        while self.looks.len() < IN_FLIGHT
            && let Some(id) = self.due.pop_front()
        {
            let Some(spot) = self.spots.get_mut(&id) else { continue };
            let Some(target) = self.targets.get(&spot.target) else { continue };
            let Some(joined) = self.pool.get(spot.member) else { continue };
            if joined.synced < target.since {
                // Asked for once more since it was put here.
                self.queue(id);
                continue;
            }
            let Some(client) = joined.client.clone() else { continue };
            spot.phase = Phase::Looking { synced: joined.synced };
            let (path, want) = (below(&target.top, &spot.at), spot.want);
            self.looks
                .push(async move { Looked { spot: id, result: look(client, path, want).await } }.boxed());
        }
    }

    pub(super) async fn looked(&mut self, looked: Looked) -> Result<(), Ended> {
        let Some(spot) = self.spots.get_mut(&looked.spot) else { return Ok(()) };
        let Phase::Looking { synced } = spot.phase else { return Ok(()) };
        let id = spot.target;
        let (seen, watcher) = match looked.result {
            Ok(done) => done,
            Err(error) => match meaning(&error) {
                Meaning::Broken if spot.losses < MOST_LOSSES => {
                    // It waits in the client for the next connection.
                    spot.losses += 1;
                    spot.phase = Phase::Waiting;
                    self.queue(looked.spot);
                    return Ok(());
                }
                Meaning::Broken => {
                    let what = format!("read {}", self.path(looked.spot));
                    let why = format!(
                        "{MOST_LOSSES} times the connection was lost at it ({error}); is it larger than the \
                         server's jute.maxbuffer?"
                    );
                    return self.refuse(id, StoreError::Refused { what, why }).await;
                }
                Meaning::Over => return Err(self.ended(&error.to_string()).into()),
                Meaning::Refused | Meaning::Denied => {
                    let error = failed(format!("read {}", self.path(looked.spot)), &error);
                    return self.refuse(id, error).await;
                }
            },
        };
        // The new watch first: it takes over from the old one without a gap.
        let (turn, before) = (self.next_turn, spot.watch.take());
        self.next_turn += 1;
        let waiting = Waiting { spot: looked.spot, turn, event: watcher.changed().boxed() };
        let (watch, handle) = futures::future::abortable(waiting);
        self.watches.push(watch);
        spot.watch = Some(handle);
        spot.turn = turn;
        spot.losses = 0;
        if let Some(before) = before {
            before.abort();
        }
        let (at, want) = (spot.at.clone(), spot.want);
        let Some(target) = self.targets.get_mut(&id) else { return Ok(()) };
        self.has_seen |= target.owed;
        let moves = target.see(&at, want, seen);
        if synced < target.since {
            spot.phase = Phase::Waiting;
            self.queue(looked.spot);
        } else {
            spot.phase = Phase::Armed;
            target.waiting -= 1;
        }
        for place in moves.went {
            self.abandon(id, &place);
        }
        for place in moves.came {
            self.watch(id, place.clone(), Want::Value);
            self.watch(id, place, Want::Children);
        }
        self.touched.insert(id);
        Ok(())
    }

    /// Stops watching a node of a tree.
    pub(super) fn abandon(&mut self, id: TargetId, place: &Arc<str>) {
        for want in [Want::Value, Want::Children] {
            let Some(target) = self.targets.get_mut(&id) else { return };
            let Some(spot) = target.remove_spot(place, want) else { continue };
            match self.spots.get(&spot).map(|spot| spot.phase) {
                Some(Phase::Waiting | Phase::Looking { .. }) => target.waiting -= 1,
                Some(Phase::Armed) | None => {}
            }
            self.unwatch(spot);
        }
    }

    pub(super) fn fired(&mut self, fired: Result<Fired, Aborted>) -> Result<(), Ended> {
        let Ok(Fired { spot: id, turn, event }) = fired else { return Ok(()) };
        if event.session_state.is_terminated() {
            return Err(self.ended(&format!("{:?}", event.session_state)).into());
        }
        if let Some(spot) = self.spots.get_mut(&id)
            && spot.turn == turn
        {
            spot.watch = None;
            self.look_again(id);
        }
        Ok(())
    }
}
