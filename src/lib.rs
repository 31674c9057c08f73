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
//! A room uses only rooms below it in this list. `store`, `tree` and `watch` are public; see
//! [As a library](#as-a-library).
//!
//! | room | owns |
//! |---|---|
//! | `internals` | the hidden door of the project's own program, tests and benches |
//! | `cli` | the command line: one file a command, no logic that another room could own |
//! | `daemon` | start order, the loop, the supervisor of live watches, their tasks, signals, HTTP |
//! | `control` | the socket between a command and the daemon |
//! | `convert` | old Python configurations to TOML |
//! | `config` | from TOML files to meaning: fields, problems, loader, differences, the directory watch |
//! | `fleet` | many machines, one at a time: records, terms, the pure machines of a member and of the conductor |
//! | `policy` | when an action runs: the pure machine, which can be enumerated |
//! | [`tree`] | live mirror of a subtree, typed reads, guarded writes, subscribers, documents |
//! | [`store`] | the driver (reconnect, re-read, de-duplicate, verify: once), and a back end a folder |
//! | `process` | launch plan, spawn (the only unsafe code), feeding, draining, signals, adoption |
//! | `ledger` | what was applied, runs and is paused, on disk, safe against crashes |
//! | `status`, `metrics` | values that are shown |
//! | `log` | destinations that cannot hold up the daemon, and clean lines |
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
//! A put in etcd arrives on the session's watch stream, becomes a `Reading`, and is
//! compared with the last one by the driver, which gives it the next [`Seq`](watch::Seq) and puts it into
//! the slot of each subscription. The watch's task takes it out, hands it to its
//! `Machine` and performs what comes back: a slot among `max_processes`, then a
//! `Launch` and its `Spawner`. The run's own task feeds and drains it.
//! Its end comes back to the watch's task, is written into the `Ledger`, and is the
//! machine's next input.
//!
//! # As a library
//!
//! [`Store`](store::Store) connects to a store by its URL, reads, writes, compares and sets, and subscribes;
//! [`tree::Tree`] is a live mirror of a subtree; [`tree::Subscribers`] is publish and subscribe by key. A
//! program that uses them depends on the crate with `default-features = false`: [`store`], [`tree`] and
//! [`watch`] are all of it then, without the command line, the daemon and what those two depend on.
//!
//! | feature | adds |
//! |---|---|
//! | `cli` | the program `twitcher`; implies `daemon` |
//! | `daemon` | configuration, actions, ledger, log and the rest of the rooms above |
//! | `convert` | `twitcher convert`, with the Python parser that it needs; implies `daemon` |
//!
//! All three are on by default, and none adds anything to the public interface.
//!
//! # What semantic versioning covers
//!
//! - The public items of [`store`], [`tree`] and [`watch`]. Before 1.0 a breaking change raises the minor
//!   version. Enums and structs that may grow are `#[non_exhaustive]`.
//! - Not what is hidden from this documentation: `internals` is for this project's own tests, benches and
//!   program, and changes without notice.
//! - Not the texts of errors, of `Debug` and of the log.
//! - Foreign types in public signatures come from crates that are at 1.0 or later (`bytes`, `serde`, `tokio`).
//!   The one exception is a trait: streams implement `Stream` of `futures-core` 0.3, which the whole
//!   ecosystem shares; each of them has a `next` of its own that needs no trait.
//! - The contract of the program (files, options, JSON, exit statuses) is in its manual pages.
//!
//! The minimum supported Rust version may rise in a minor version.

// The command line is the only user of some items of the rooms below it.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]

#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "daemon")]
mod config;
#[cfg(feature = "daemon")]
mod control;
#[cfg(feature = "convert")]
mod convert;
#[cfg(feature = "daemon")]
mod daemon;
#[cfg(feature = "daemon")]
mod fleet;
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "daemon")]
mod ledger;
#[cfg(feature = "daemon")]
mod log;
/// What stores need of the log: names from outside on one line.
#[cfg(not(feature = "daemon"))]
mod log {
    pub mod escape;
}
#[cfg(feature = "daemon")]
mod metrics;
#[cfg(feature = "daemon")]
mod policy;
#[cfg(feature = "daemon")]
mod process;
#[cfg(feature = "daemon")]
mod status;
pub mod store;
pub mod tree;
pub mod watch;

#[cfg(test)]
mod circles;

/// Tests the examples of the README together with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
