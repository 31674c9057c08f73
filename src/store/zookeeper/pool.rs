//! The ZooKeeper sessions of one store session, and which of them holds which watches.
//!
//! The client library re-registers all watches of a session after a reconnect. Above 128 KiB of paths it does so in
//! several packets, mistakes the replies, and reconnects until the session expires. So no session gets more than
//! [`MOST_BYTES`] of watched paths.

use std::collections::BTreeMap;

use tokio::time::Instant;
use zookeeper_client::Client;

/// Watched path bytes per session, chroot included: three quarters of what the library can re-register. Not less,
/// because a server accepts 60 connections per host by default (`maxClientCnxns`).
const MOST_BYTES: usize = 96 << 10;

/// One of the pool's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member(u32);

/// How a session watches. Never both ways: before 3.9, a server drops one of two watches of different kinds that one
/// session sets on the same path (ZOOKEEPER-4466).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// One-shot watches on single nodes.
    Nodes,
    /// Recursive watches on trees.
    Trees,
}

/// A session and its state.
#[derive(Debug)]
pub(super) struct Joined {
    /// `None` until it is connected.
    pub(super) client: Option<Client>,
    /// `None` until something is watched in it.
    manner: Option<Manner>,
    bytes: usize,
    /// Command counter at the start of its last completed `sync`.
    pub(super) synced: u64,
    /// Command counter at the start of the `sync` in flight.
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

/// The session that has room for a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// An open session, or one that is being opened.
    Known(Member),
    /// A session that must be opened.
    New(Member),
}

impl Pool {
    /// Adds a connected session; its first watch decides how it watches.
    pub(super) fn found(&mut self) -> Member {
        self.add(None, 0)
    }

    /// Reserves room for a path of this many bytes.
    pub(super) fn place(&mut self, manner: Manner, bytes: usize) -> Room {
        let roomy = self.members.iter_mut().find(|(_, joined)| {
            joined.manner.is_none_or(|other| other == manner) && joined.bytes + bytes <= MOST_BYTES
        });
        if let Some((member, joined)) = roomy {
            joined.manner = Some(manner);
            joined.bytes += bytes;
            return Room::Known(*member);
        }
        Room::New(self.add(Some(manner), bytes))
    }

    fn add(&mut self, manner: Option<Manner>, bytes: usize) -> Member {
        let member = Member(self.next);
        self.next += 1;
        let joined = Joined { client: None, manner, bytes, synced: 0, syncing: None, down: None };
        self.members.insert(member, joined);
        member
    }

    /// Releases a path's room.
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

    /// Why the client closed one of the sessions: which bound the server exceeded.
    pub(super) fn failure(&self) -> Option<&str> {
        self.members.values().find_map(|joined| joined.client.as_ref()?.failure())
    }

    /// When the session that has been disconnected longest lost its connection.
    pub(super) fn down_since(&self) -> Option<Instant> {
        self.members.values().filter_map(|joined| joined.down).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_session_watches_more_than_it_can_re_register() {
        let mut pool = Pool::default();
        let mut bytes: BTreeMap<Member, usize> = BTreeMap::new();
        let mut opened = 0;
        for n in 0..20_000 {
            let length = 13 + n % 40;
            let member = match pool.place(Manner::Nodes, length) {
                Room::Known(member) => member,
                Room::New(member) => {
                    opened += 1;
                    member
                }
            };
            *bytes.entry(member).or_default() += length;
        }
        let all: usize = bytes.values().sum();
        assert!(bytes.values().all(|bytes| *bytes <= MOST_BYTES));
        assert_eq!(opened, bytes.len());
        assert!(opened <= all / (MOST_BYTES - 64) + 1, "a session was opened without need: {opened}");
    }

    #[test]
    fn released_room_is_reused() {
        let mut pool = Pool::default();
        let Room::New(first) = pool.place(Manner::Nodes, MOST_BYTES) else { panic!("the pool was empty") };
        let Room::New(second) = pool.place(Manner::Nodes, 1) else { panic!("the first is full") };
        assert_ne!(first, second);
        pool.leave(first, 100);
        assert_eq!(pool.place(Manner::Nodes, 100), Room::Known(first));
    }

    #[test]
    fn a_session_never_changes_how_it_watches() {
        let mut pool = Pool::default();
        let first = pool.found();
        assert_eq!(pool.place(Manner::Trees, 2), Room::Known(first));
        let Room::New(second) = pool.place(Manner::Nodes, 2) else { panic!("the first is for trees") };
        pool.leave(first, 2);
        assert_eq!(pool.place(Manner::Nodes, 2), Room::Known(second));
        assert_eq!(pool.place(Manner::Trees, 2), Room::Known(first));
    }
}
