//! The one integration test binary; each module tests one room or one promise against real servers.
//!
//! A test may fail only because the product is wrong. So, here and in the fixtures:
//!
//! - A requested effect is awaited: a freeze until every thread is stopped, a cut until the connections are closed, a
//!   kill until the process is gone, a file until it has its content.
//! - A condition is polled for two minutes (`LONG`). There is no other bound on time; speed is compared with something
//!   measured in the same test. Only silence is tested by waiting (`stays_silent_for`, `nothing_within`).
//! - A port is claimed (`Port`), never chosen and released. Servers store their data in memory (`memory`), because a busy
//!   disk stops servers for seconds.
//! - Session and election time-outs are long, except in tests about their end.
//! - Processes and descriptors are counted `until` the number is right: some may be about to end.
//! - A test that would starve others, or be starved, has the machine to itself (`gate::alone`).
//! - A fixture that gives up prints the end of its server's log. No test is retried.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fixture;

mod actions;
mod broken_settings;
mod check;
mod completion;
mod crash;
mod documents;
mod fixture_promises;
mod fleet;
mod fleet_commands;
mod guard;
mod logging;
mod machines;
mod monitor;
mod monitoring;
mod nginx;
mod operate;
mod pages;
mod promises;
mod reload;
mod rotation;
mod signals;
mod store_dir;
mod store_etcd;
mod store_tools;
mod store_zookeeper;
mod top;
mod transactions;
mod tree;
mod tree_view;
mod upgrade;
mod watch_command;
mod watches;
