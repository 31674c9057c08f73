//! Twitcher runs a command the moment something changes in etcd, ZooKeeper or a directory.

pub mod cli;
pub mod config;
pub mod control;
pub mod convert;
pub mod daemon;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod policy;
pub mod process;
pub mod status;
pub mod store;
pub mod tree;
pub mod watch;
