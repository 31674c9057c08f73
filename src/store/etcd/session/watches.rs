//! The watches of a session: created on streams, followed, and created again if the server cancels one.

use std::collections::VecDeque;

use etcd_client::proto::{PbEvent, PbWatchResponse};

use super::{Denied, Serving};
use crate::store::StoreError;
use crate::store::etcd::explain::says_denied;
use crate::store::etcd::jobs::Purpose;
use crate::store::etcd::keys::Scope;
use crate::store::etcd::mirror::{Mirror, Seen};
use crate::store::etcd::streams::{Opened, Watch, open};
use crate::store::session::{Proof, Report, TargetId};

impl Serving {
    /// Creates the target's watches, starting after the mirror's revision.
    pub(super) fn watch(&mut self, id: TargetId) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let from = target.mirror.as_ref().map_or(0, Mirror::as_of) + 1;
        let ranges = target.scope.watches(target.denied == Denied::Split);
        let mut watches = Vec::new();
        for (range, place) in ranges.into_iter().zip(&mut target.watches) {
            self.last_number += 1;
            *place = Some(self.last_number);
            watches.push(Watch { number: self.last_number, target: id, range, from });
        }
        for watch in watches {
            let left = if self.opening.is_none() { self.streams.watch(watch) } else { Some(watch) };
            if let Some(watch) = left {
                self.place_on_new_stream(watch);
            }
        }
    }

    fn place_on_new_stream(&mut self, watch: Watch) {
        if self.opening.is_some() {
            self.unplaced.push_back(watch);
        } else {
            self.opening = Some(Box::pin(open(self.watcher.clone(), watch)));
        }
    }

    pub(super) fn opened(&mut self, opened: Opened) {
        let first = opened.first().clone();
        self.streams.add(opened);
        if !self.is_current(&first) {
            self.streams.cancel(first.number);
        }
        while let Some(watch) = self.unplaced.pop_front() {
            if self.is_current(&watch)
                && let Some(watch) = self.streams.watch(watch)
            {
                self.place_on_new_stream(watch);
                return;
            }
        }
        self.unplaced = VecDeque::new();
    }

    fn is_current(&self, watch: &Watch) -> bool {
        self.targets.get(&watch.target).is_some_and(|target| target.watches.contains(&Some(watch.number)))
    }

    pub(super) fn told(&mut self, response: PbWatchResponse) -> Result<(), StoreError> {
        let number = response.watch_id;
        let Some(id) = self.streams.target(number) else { return Ok(()) };
        if response.canceled {
            self.streams.forget(number);
            return self.cancelled(id, &response);
        }
        if response.created
            && let Some(target) = self.targets.get_mut(&id)
            && target.denied == Denied::Renewed
        {
            target.denied = Denied::Never;
        }
        self.follow(id, response.events, response.fragment);
        Ok(())
    }

    fn follow(&mut self, id: TargetId, events: Vec<PbEvent>, more_to_come: bool) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let Some(mirror) = &mut target.mirror else { return };
        if events.is_empty() {
            return;
        }
        let mut seen = std::mem::take(&mut target.held);
        seen.extend(events.into_iter().filter_map(seen_of));
        while let Some(revision) = seen.first().map(|first| first.revision) {
            let end = seen.iter().position(|other| other.revision != revision).unwrap_or(seen.len());
            if end == seen.len() && more_to_come {
                break;
            }
            let later = seen.split_off(end);
            if let Some(reading) = mirror.follow(&target.scope, std::mem::replace(&mut seen, later)) {
                self.out.push_back(Report::State { id, reading, proof: Proof::Event });
            }
        }
        target.held = seen;
        self.mention_left_out(id);
    }

    /// The server cancelled a watch, which etcd reports in an ordinary response.
    fn cancelled(&mut self, id: TargetId, response: &PbWatchResponse) -> Result<(), StoreError> {
        let Some(target) = self.targets.get_mut(&id) else { return Ok(()) };
        if response.compact_revision > 0 {
            // The events in between are compacted; the current state is still readable.
            self.stop_watching(id);
            self.renew_epoch(id);
            self.read([id], &Purpose::Arm);
        } else if says_denied(&response.cancel_reason) {
            let next = match (target.denied, &target.scope) {
                (Denied::Never, _) if self.watcher.has_login => Denied::Renewed,
                (Denied::Never | Denied::Renewed, Scope::Tree(_)) => Denied::Split,
                (Denied::Never | Denied::Renewed | Denied::Split, _) => {
                    let what = format!("watch {}", target.scope);
                    let why = response.cancel_reason.clone();
                    self.refuse(id, StoreError::Denied { what, why });
                    return Ok(());
                }
            };
            target.denied = next;
            self.stop_watching(id);
            if next == Denied::Renewed && self.opening.is_none() {
                self.streams.retire_newest();
            }
            self.watch(id);
        } else {
            let what = format!("watch {} at {}", target.scope, self.watcher.server);
            return Err(StoreError::Unavailable { what, why: response.cancel_reason.clone() });
        }
        Ok(())
    }

    pub(super) fn renew_epoch(&mut self, id: TargetId) {
        self.last_epoch += 1;
        if let Some(target) = self.targets.get_mut(&id) {
            target.epoch = self.last_epoch;
            target.mirror = None;
        }
    }

    pub(super) fn stop_watching(&mut self, id: TargetId) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.held = Vec::new();
            for number in std::mem::take(&mut target.watches).into_iter().flatten() {
                self.streams.cancel(number);
            }
        }
    }
}

fn seen_of(event: PbEvent) -> Option<Seen> {
    /// `mvccpb.Event.EventType.DELETE`.
    const DELETE: i32 = 1;
    let kv = event.kv?;
    let value = (event.r#type != DELETE).then(|| kv.value.into());
    let created = kv.create_revision == kv.mod_revision;
    Some(Seen { key: kv.key, value, revision: kv.mod_revision, created })
}
