//! Twitcher runs a command the moment something changes in etcd, ZooKeeper or a directory.

pub mod log;
pub mod policy;
pub mod process;
pub mod store;
pub mod watch;
