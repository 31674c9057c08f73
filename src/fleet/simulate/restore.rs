//! The store is restored from a backup while hosts act, and daemons start again at that moment.

use std::time::Duration;

use super::network::Request;
use super::process::TTL;
use super::queue::Event;
use super::world::World;
use crate::fleet::member::{self, Own};
use crate::fleet::record::HostState;
use crate::fleet::{GroupKey, HostName, Revision, TransactionOutcome, conduct};

/// The connections broke: nothing that was under way arrives, and what was read is read again.
fn broken(event: Event) -> Option<Event> {
    Some(match event {
        Event::Store(n, start, Request::MemberCommit(ticket, _))
        | Event::Member(n, start, member::Input::Committed(ticket, _)) => {
            Event::Member(n, start, member::Input::Committed(ticket, TransactionOutcome::Unanswered))
        }
        Event::Store(n, start, Request::ConductorCommit(ticket, _))
        | Event::Conductor(n, start, conduct::Input::Committed(ticket, _)) => {
            Event::Conductor(n, start, conduct::Input::Committed(ticket, TransactionOutcome::Unanswered))
        }
        Event::Member(n, start, member::Input::Own(_)) => {
            Event::Store(n, start, Request::ReadOwn(Revision::ABSENT, Revision::ABSENT))
        }
        Event::Member(n, start, member::Input::Tenure(_)) => Event::Store(n, start, Request::Open),
        Event::Conductor(n, start, conduct::Input::All { .. }) => Event::Store(n, start, Request::ReadAll),
        Event::Conductor(n, start, conduct::Input::Summary(_)) => {
            Event::Store(n, start, Request::ReadSummary)
        }
        Event::Member(_, _, member::Input::Permit(_))
        | Event::Conductor(_, _, conduct::Input::Changed(..)) => return None,
        Event::Store(..)
        | Event::Member(..)
        | Event::Conductor(..)
        | Event::Target(..)
        | Event::RunEnds(..)
        | Event::Timer(_)
        | Event::Verify(..)
        | Event::Thaw(_)
        | Event::Adversary
        | Event::Restart(_)
        | Event::End(_)
        | Event::Version
        | Event::Operator
        | Event::BackUp
        | Event::Restore
        | Event::Reconnected(..)
        | Event::FoundRestored(..) => event,
    })
}

impl World {
    /// The store goes back to the backup. Some daemons are killed then, and are back soon.
    pub(super) fn restore(&mut self) {
        let Some(backup) = self.backup.take() else { return };
        self.queue.replace(broken);
        for tenure in self.store.restore(backup) {
            // Nobody renews one whose daemon is gone.
            if !self.processes.iter().any(|process| process.up && process.tenure == Some(tenure)) {
                self.after(TTL, Event::End(tenure));
            }
        }
        for n in 0..self.processes.len() {
            if self.rng.u32(..3) == 0 {
                let down = Duration::from_millis(self.rng.u64(..500));
                self.kill_for(n, down);
                continue;
            }
            let start = self.processes[n].start;
            let back = Duration::from_millis(self.rng.u64(..5_000));
            self.processes[n].cut_until = self.now.plus(back);
            self.after(back, Event::Reconnected(n, start));
            if self.processes[n].tenure.is_some_and(|tenure| !self.store.is_open(tenure)) {
                self.after(back + TTL / 3, Event::Member(n, start, member::Input::TenureLost));
            }
        }
    }

    /// Another server may answer, or the same one after a restore.
    pub(super) fn reconnected(&mut self, n: usize) {
        self.conductor(n, conduct::Input::Reconnected);
        if self.goes_back(n) {
            return self.found_restored(n);
        }
        self.processes[n].disturbed = true;
        let (record, permit) = self.processes[n].member.known();
        self.send(n, Request::ReadOwn(record, permit));
    }

    /// Whether a subscription of its conductor shows a key at a lower revision than before.
    fn goes_back(&self, n: usize) -> bool {
        let process = &self.processes[n];
        let Some(conductor) = &process.conductor else { return false };
        let lower = |key: GroupKey, known: Revision| {
            let entry = self.store.read(&key);
            entry.value.is_some() && entry.at < known
        };
        let is_lower = |(host, member): (&HostName, &conduct::group::Member)| {
            lower(GroupKey::Host(host.clone()), member.record_at)
                || lower(GroupKey::Permit(host.clone()), member.permit_at)
        };
        lower(GroupKey::Conductor, conductor.seat_at())
            || process.mirrors && conductor.group().members.iter().any(is_lower)
    }

    /// Whether this reading shows that the store is behind what was known.
    pub(super) fn shows_restore(&mut self, n: usize, own: &Own, known: (Revision, Revision)) -> bool {
        let process = &mut self.processes[n];
        let vanished = process.disturbed && own.record.value.is_none() && known.0 > Revision::ABSENT;
        process.disturbed &= own.record.value.is_none();
        vanished || own.record.at < known.0 || own.permit.at < known.1
    }

    pub(super) fn found_restored(&mut self, n: usize) {
        self.processes[n].disturbed = false;
        self.processes[n].verified = true;
        self.conductor(n, conduct::Input::Restored);
        let permit = self.own(n).permit;
        let start = self.processes[n].start;
        self.after(Duration::from_millis(5), Event::Member(n, start, member::Input::Permit(permit)));
        self.member(n, vec![member::Input::Restored]);
    }

    /// As the daemon does: not while an action is about to start.
    pub(super) fn remember(&mut self, n: usize) {
        let process = &mut self.processes[n];
        let held = process.member.held().filter(|_| process.member.record().state != HostState::Running);
        process.memory = held.or(process.memory);
    }
}
