//! The sessions with ZooKeeper that one store session is made of, and which of them watches what.
//!
//! The library re-registers all watches of a session after a reconnect. Above 128 KiB of paths it does that in
//! several packets, which confuses it, and it reconnects again and again until the session expires. So no
//! session gets more than [`MOST_BYTES`] of watched paths.

use std::collections::BTreeMap;

use tokio::time::Instant;
use zookeeper_client::Client;

/// Watched path bytes of one session, chroot included: three quarters of what the library can re-register, and not
/// less, because a server takes 60 sessions of one host by default (`maxClientCnxns`).
const MOST_BYTES: usize = 96 << 10;

/// One of the pool's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member(u32);

/// How a session watches. Never in both ways: before 3.9 a server that has a path watched by one session in two ways
/// forgets one of them (ZOOKEEPER-4466).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Nodes by themselves, until they change.
    Nodes,
    /// Whole trees, for good.
    Trees,
}

/// A session and what is known of it.
#[derive(Debug)]
pub(super) struct Joined {
    /// `None` until it is connected.
    pub(super) client: Option<Client>,
    /// `None` until something is watched in it.
    manner: Option<Manner>,
    bytes: usize,
    /// The asking that its last finished `sync` came after.
    pub(super) synced: u64,
    /// The asking that a `sync` on its way came after.
    pub(super) syncing: Option<u64>,
    /// Since when it has no connection.
    pub(super) down: Option<Instant>,
}

/// All sessions. Dropping it, before the watches, closes them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    members: BTreeMap<Member, Joined>,
    next: u32,
}

/// Where a path is watched.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a session that is there, or on its way.
    Known(Member),
    /// In one that has to be opened.
    New(Member),
}

impl Pool {
    /// Takes in a session that is connected, for whatever comes first.
    pub(super) fn found(&mut self) -> Member {
        self.add(None, 0)
    }

    /// Finds room for a path of so many bytes.
    pub(super) fn place(&mut self, manner: Manner, bytes: usize) -> Place {
        let roomy = self.members.iter_mut().find(|(_, joined)| {
            joined.manner.is_none_or(|other| other == manner) && joined.bytes + bytes <= MOST_BYTES
        });
        if let Some((member, joined)) = roomy {
            joined.manner = Some(manner);
            joined.bytes += bytes;
            return Place::Known(*member);
        }
        Place::New(self.add(Some(manner), bytes))
    }

    fn add(&mut self, manner: Option<Manner>, bytes: usize) -> Member {
        let member = Member(self.next);
        self.next += 1;
        let joined = Joined { client: None, manner, bytes, synced: 0, syncing: None, down: None };
        self.members.insert(member, joined);
        member
    }

    /// Gives a path's room back.
    pub(super) fn leave(&mut self, member: Member, bytes: usize) {
        if let Some(joined) = self.members.get_mut(&member) {
            joined.bytes -= bytes.min(joined.bytes);
        }
    }

    pub(super) fn get(&self, member: Member) -> Option<&Joined> {
        self.members.get(&member)
    }

    pub(super) fn get_mut(&mut self, member: Member) -> Option<&mut Joined> {
        self.members.get_mut(&member)
    }

    pub(super) fn remove(&mut self, member: Member) {
        self.members.remove(&member);
    }

    /// Whether any session has a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.members.values().any(|joined| joined.client.is_some() && joined.down.is_none())
    }

    /// Since when the session that has been without a connection for longest has none.
    pub(super) fn down_since(&self) -> Option<Instant> {
        self.members.values().filter_map(|joined| joined.down).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_session_watches_more_than_it_can_take_up_again() {
        let mut pool = Pool::default();
        let mut bytes: BTreeMap<Member, usize> = BTreeMap::new();
        let mut opened = 0;
        for n in 0..20_000 {
            let length = 13 + n % 40;
            let member = match pool.place(Manner::Nodes, length) {
                Place::Known(member) => member,
                Place::New(member) => {
                    opened += 1;
                    member
                }
            };
            *bytes.entry(member).or_default() += length;
        }
        let all: usize = bytes.values().sum();
        assert!(bytes.values().all(|bytes| *bytes <= MOST_BYTES));
        assert_eq!(opened, bytes.len());
        assert!(opened <= all / (MOST_BYTES - 64) + 1, "no session is opened without need: {opened}");
    }

    #[test]
    fn room_that_is_given_back_is_used_again() {
        let mut pool = Pool::default();
        let Place::New(first) = pool.place(Manner::Nodes, MOST_BYTES) else { panic!("the pool was empty") };
        let Place::New(second) = pool.place(Manner::Nodes, 1) else { panic!("the first is full") };
        assert_ne!(first, second);
        pool.leave(first, 100);
        assert_eq!(pool.place(Manner::Nodes, 100), Place::Known(first));
    }

    #[test]
    fn a_session_watches_in_one_manner_and_for_good() {
        let mut pool = Pool::default();
        let first = pool.found();
        assert_eq!(pool.place(Manner::Trees, 2), Place::Known(first));
        let Place::New(second) = pool.place(Manner::Nodes, 2) else { panic!("the first is for trees") };
        pool.leave(first, 2);
        assert_eq!(pool.place(Manner::Nodes, 2), Place::Known(second));
        assert_eq!(pool.place(Manner::Trees, 2), Place::Known(first));
    }
}
