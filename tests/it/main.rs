//! The one integration test binary; each module tests one room or one promise against real servers.
//!
//! A test is believed when it is red only because the product is wrong. So, here and in the fixtures:
//!
//! - What is requested is awaited: a freeze until every thread is stopped, a cut until the connections are closed, a
//!   kill until the process is gone, a file until it has its content.
//! - A condition is awaited for two minutes (`LONG`), polled. There is no other bound on time; speed is compared with
//!   something that is measured in the same test. Only silence is waited for (`stays_silent_for`, `nothing_within`).
//! - A port is claimed (`Port`), never chosen and given back. What a server stores is in memory (`memory`), for a busy
//!   disk stops servers for seconds.
//! - Sessions and elections are patient, except where a test is about their end.
//! - Processes and descriptors are counted `until` the number is right: some are about to end at any moment.
//! - What would starve others, or be starved, has the machine to itself (`gate::alone`).
//! - A fixture that gives up prints the end of its server's log. Nothing is tried a second time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod fixture;

mod actions;
mod check;
mod completion;
mod crash;
mod documents;
mod fixture_promises;
mod fleet_commands;
mod logging;
mod machines;
mod monitor;
mod monitoring;
mod nginx;
mod operate;
mod pages;
mod promises;
mod reload;
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
