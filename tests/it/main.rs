//! The one integration test binary; each module tests one room or one promise against real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod fixture;

mod actions;
mod check;
mod completion;
mod crash;
mod documents;
mod logging;
mod monitor;
mod nginx;
mod operate;
mod pages;
mod promises;
mod reload;
mod store_dir;
mod store_etcd;
mod store_tools;
mod store_zookeeper;
mod top;
mod tree;
mod tree_view;
mod watch_command;
mod watches;
