//! Twitcher runs a command the moment something changes in etcd, ZooKeeper or a directory.

pub mod config;
pub mod policy;
pub mod process;
pub mod store;
pub mod watch;
