//! Twitcher runs a command the moment something changes in etcd, ZooKeeper or a directory.
//!
//! Every store is turned into the same level-triggered stream of states; a pure machine decides; one place
//! acts. Everything else (the daemon, `twitcher watch`, dump and load, the tree view, the subscribers of a
//! library user) is a consumer of that stream.
//!
//! ```text
//!  /etc/twitcher ─► config ──specs──► daemon/supervisor ─► one task per watch ─► process ─► log, ledger, status
//!                                         ▲    ▲   │                ▲
//!  etcd · zookeeper · dir ─► store ──states──┘    │   └─► policy (pure): input + now ─► effects
//!                               │              control socket, signals
//!                               └─► tree (live mirror, subscribers) ─► cli tools, library users
//! ```
//!
//! # Rooms
//!
//! Arrows point downwards in this list only.
//!
//! | room | owns |
//! |---|---|
//! | [`cli`] | the command line: one file a command, no logic that another room could own |
//! | [`daemon`] | start order, the loop, the supervisor of live watches, their tasks, signals, HTTP |
//! | [`control`] | the socket between a command and the daemon |
//! | [`convert`] | old Python configurations to TOML |
//! | [`config`] | from TOML files to meaning: fields, problems, loader, differences, the directory watch |
//! | [`fleet`] | many machines, one at a time: records, terms, the pure machines of a member and of the conductor |
//! | [`policy`] | when an action runs: the pure machine, which can be enumerated |
//! | [`tree`] | live mirror of a subtree, typed reads, guarded writes, subscribers, documents |
//! | [`store`] | the driver (reconnect, re-read, de-duplicate, verify: once), and a back end a folder |
//! | [`process`] | launch plan, spawn (the only unsafe code), feeding, draining, signals, adoption |
//! | [`ledger`] | what was applied, runs and is paused, on disk, safe against crashes |
//! | [`status`], [`metrics`] | values that are shown |
//! | [`log`] | destinations that cannot hold up the daemon, and clean lines |
//! | [`watch`] | the vocabulary; depends on nothing of ours |
//!
//! # What holds everywhere
//!
//! - Decisions take time and chance as arguments. Nothing in `policy`, `watch` or `config`'s lowering reads a
//!   clock, a file or a socket.
//! - An event proves what it carries; silence proves nothing. After any doubt everything is read again and
//!   compared by difference, not by order.
//! - Back ends may not retry. Waiting between attempts is the driver's.
//! - Nothing waits for an action, for a reader of the log or for the ledger's disk.
//! - No wildcard in a match on an enum of ours: the compiler names every place that a new variant touches.
//!
//! # One event's way
//!
//! A put in etcd arrives on the session's watch stream, becomes a [`Reading`](store::session::Reading), and is
//! compared with the last one by the driver, which gives it the next [`Seq`](watch::Seq) and puts it into
//! the slot of each subscription. The watch's task takes it out, hands it to its
//! [`Machine`](policy::Machine) and performs what comes back: a slot among `max_processes`, then a
//! [`Launch`](process::Launch) and its [`Spawner`](process::Spawner). The run's own task feeds and drains it.
//! Its end comes back to the watch's task, is written into the [`Ledger`](ledger::Ledger), and is the
//! machine's next input.
//!
//! # As a library
//!
//! [`Store`](store::Store) connects to a store by its URL, reads, writes, compares and sets, and subscribes;
//! [`tree::Tree`] is a live mirror of a subtree; [`tree::Subscribers`] is publish and subscribe by key.

pub mod cli;
pub mod config;
pub mod control;
pub mod convert;
pub mod daemon;
pub mod fleet;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod policy;
pub mod process;
pub mod status;
pub mod store;
pub mod tree;
pub mod watch;

#[cfg(test)]
mod circles;

/// Its example is tested with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
