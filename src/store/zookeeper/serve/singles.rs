//! The single nodes of a session: read, watched, and read again when their watch fires.

use futures::FutureExt;
use futures::future::Aborted;

use super::{Fired, IN_FLIGHT, Looked, Serving, Waiting};
use crate::store::session::{Report, TargetId};
use crate::store::zookeeper::connect::{MOST_LOSSES, Meaning, failed, lost_at, meaning};
use crate::store::zookeeper::look::look;
use crate::store::zookeeper::session_end::SessionEnd;
use crate::store::zookeeper::single::LookPhase;

impl Serving {
    /// Reads a node again. Its current watch stays until the read has set the next one.
    pub(super) fn look_again(&mut self, id: TargetId) {
        let Some(single) = self.singles.get_mut(&id) else { return };
        match single.phase {
            // A read in flight that began before the request is repeated afterwards.
            LookPhase::Waiting | LookPhase::Looking { .. } => {}
            LookPhase::Armed | LookPhase::Denied => {
                single.phase = LookPhase::Waiting;
                self.queue(id);
            }
        }
    }

    /// Queues a waiting node: to be read at once, or after a `sync`.
    pub(super) fn queue(&mut self, id: TargetId) {
        let Some(single) = self.singles.get(&id) else { return };
        let (since, member) = (single.since, single.member);
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
            let Some(single) = self.singles.get_mut(&id) else { continue };
            let Some(joined) = self.pool.get(single.member) else { continue };
            if single.phase != LookPhase::Waiting {
                continue;
            }
            if joined.synced < single.since {
                // It was requested again since it was queued.
                self.queue(id);
                continue;
            }
            let Some(client) = joined.client.clone() else { continue };
            self.next_turn += 1;
            let turn = self.next_turn;
            single.phase = LookPhase::Looking { turn, synced: joined.synced };
            let (path, want) = (single.path.clone(), single.want);
            self.looks
                .push(async move { Looked { id, turn, result: look(client, path, want).await } }.boxed());
        }
    }

    pub(super) async fn looked(&mut self, looked: Looked) -> Result<(), SessionEnd> {
        let Looked { id, turn, result } = looked;
        let Some(single) = self.singles.get_mut(&id) else { return Ok(()) };
        let synced = match single.phase {
            LookPhase::Looking { turn: under_way, synced } if under_way == turn => synced,
            // It was armed again meanwhile.
            LookPhase::Looking { .. } | LookPhase::Waiting | LookPhase::Armed | LookPhase::Denied => {
                return Ok(());
            }
        };
        let (seen, watcher) = match result {
            Ok(done) => done,
            Err(error) => match meaning(&error) {
                Meaning::Broken if single.losses < MOST_LOSSES => {
                    // The client queues the request for the next connection.
                    single.losses += 1;
                    single.phase = LookPhase::Waiting;
                    self.queue(id);
                    return Ok(());
                }
                Meaning::Broken => {
                    let error = lost_at(&single.path, &error.to_string());
                    return self.refuse(id, error).await;
                }
                Meaning::Over => return Err(self.ended(&error.to_string()).into()),
                Meaning::Refused => {
                    let error = failed(format!("read {}", single.path), &error);
                    return self.refuse(id, error).await;
                }
                Meaning::Denied => {
                    let error = failed(format!("read {}", single.path), &error);
                    self.asking += 1;
                    if let Some(watch) = single.watch.take() {
                        watch.abort();
                    }
                    single.deny(self.asking);
                    return self.send(Report::Refused { id, error }).await;
                }
            },
        };
        // Set the new watch first: it takes over from the old one without a gap.
        let waiting = Waiting { id, turn, event: watcher.changed().boxed() };
        let (watch, handle) = futures::future::abortable(waiting);
        self.watches.push(watch);
        if let Some(before) = single.watch.replace(handle) {
            before.abort();
        }
        single.turn = turn;
        single.losses = 0;
        let report = single.see(seen, synced);
        if synced < single.since {
            single.phase = LookPhase::Waiting;
            self.queue(id);
        } else {
            single.phase = LookPhase::Armed;
        }
        match report {
            Some((reading, proof)) => self.send(Report::State { id, reading, proof }).await,
            None => Ok(()),
        }
    }

    pub(super) fn fired(&mut self, fired: Result<Fired, Aborted>) -> Result<(), SessionEnd> {
        let Ok(Fired { id, turn, event }) = fired else { return Ok(()) };
        if event.session_state.is_terminated() {
            return Err(self.ended(&format!("{:?}", event.session_state)).into());
        }
        if let Some(single) = self.singles.get_mut(&id)
            && single.turn == turn
        {
            single.watch = None;
            self.look_again(id);
        }
        Ok(())
    }
}
