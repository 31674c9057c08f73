//! What can happen to a store's servers.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::plan::Kind;
use crate::fixture::daemon::until;
use crate::fixture::etcd::{Cluster, Etcd};
use crate::fixture::zookeeper::{Ensemble, ZooKeeper};

/// One server, or several that agree. What strikes several strikes their leader.
pub trait Server {
    /// What is tried on it.
    const KINDS: &[Kind] = &Kind::ALONE;
    const SCHEME: &str;
    /// Of all servers.
    fn ports(&self) -> Vec<u16>;
    fn kill(&mut self);
    fn start_again(&mut self);
    fn freeze(&mut self);
    fn thaw(&mut self);
    /// Drops its history where it has one; starts again where it has none.
    fn compact(&mut self);
    /// Ends the lease of `alive/HOST`. `false`: only silence ends a session of this store.
    fn end_tenure(&self, host: usize) -> bool;
    fn back_up(&mut self) -> PathBuf {
        unimplemented!("not among its kinds")
    }
    fn restore(&mut self, _backup: &Path) {
        unimplemented!("not among its kinds")
    }
    /// Cuts the leader off from the others; its clients stay connected.
    fn divide(&mut self) {
        unimplemented!("not among its kinds")
    }
    fn reunite(&mut self) {
        unimplemented!("not among its kinds")
    }
}

fn compact(etcd: &Etcd) {
    let read: Value = serde_json::from_str(&etcd.ctl(&["get", "/git/head", "-w", "json"])).unwrap();
    etcd.ctl(&["compact", &read["header"]["revision"].to_string()]);
}

fn revoke(etcd: &Etcd, host: usize) {
    let key = format!("/twitcher/fleet/git/alive/h{host}");
    let read: Value = serde_json::from_str(&etcd.ctl(&["get", &key, "-w", "json"])).unwrap();
    if let Some(lease) = read["kvs"][0]["lease"].as_u64() {
        etcd.ctl(&["lease", "revoke", &format!("{lease:x}")]);
    }
}

impl Server for Etcd {
    const SCHEME: &str = "etcd";
    fn ports(&self) -> Vec<u16> {
        vec![self.port()]
    }
    fn kill(&mut self) {
        self.kill();
    }
    fn start_again(&mut self) {
        self.start_again();
    }
    fn freeze(&mut self) {
        (*self).freeze();
    }
    fn thaw(&mut self) {
        (*self).thaw();
    }
    fn compact(&mut self) {
        compact(self);
    }
    fn end_tenure(&self, host: usize) -> bool {
        revoke(self, host);
        true
    }
    fn back_up(&mut self) -> PathBuf {
        (*self).back_up()
    }
    fn restore(&mut self, backup: &Path) {
        self.restore(backup);
    }
}

impl Server for ZooKeeper {
    const SCHEME: &str = "zookeeper";
    fn ports(&self) -> Vec<u16> {
        vec![self.port()]
    }
    fn kill(&mut self) {
        self.kill();
    }
    fn start_again(&mut self) {
        self.start_again();
    }
    fn freeze(&mut self) {
        (*self).freeze();
    }
    fn thaw(&mut self) {
        (*self).thaw();
    }
    fn compact(&mut self) {
        self.kill();
        self.start_again();
    }
    fn end_tenure(&self, _host: usize) -> bool {
        false
    }
    fn back_up(&mut self) -> PathBuf {
        self.back_up()
    }
    fn restore(&mut self, backup: &Path) {
        self.restore(backup);
    }
}

/// Servers that agree, and the leader that a fault has struck.
pub struct Several<T> {
    servers: T,
    struck: usize,
    runtime: tokio::runtime::Runtime,
}

impl<T> Several<T> {
    pub fn new(servers: T) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { servers, struck: 0, runtime }
    }
}

impl Several<Cluster> {
    fn leader(&self) -> usize {
        self.runtime.block_on(self.servers.leader())
    }
}

impl Server for Several<Cluster> {
    const KINDS: &[Kind] = &Kind::SEVERAL;
    const SCHEME: &str = "etcd";
    fn ports(&self) -> Vec<u16> {
        self.servers.members.iter().map(Etcd::port).collect()
    }
    fn kill(&mut self) {
        self.struck = self.leader();
        self.servers.members[self.struck].kill();
    }
    fn start_again(&mut self) {
        self.servers.members[self.struck].start_again();
    }
    fn freeze(&mut self) {
        self.struck = self.leader();
        self.servers.members[self.struck].freeze();
    }
    fn thaw(&mut self) {
        self.servers.members[self.struck].thaw();
    }
    fn compact(&mut self) {
        compact(&self.servers.members[self.leader()]);
    }
    fn end_tenure(&self, host: usize) -> bool {
        revoke(&self.servers.members[self.leader()], host);
        true
    }
    fn divide(&mut self) {
        self.struck = self.leader();
        self.runtime.block_on(self.servers.cut_off(self.struck));
    }
    fn reunite(&mut self) {
        self.servers.reunite();
    }
}

impl Several<Ensemble> {
    fn leader(&self) -> usize {
        until("a leader", || self.servers.leader())
    }
}

impl Server for Several<Ensemble> {
    const KINDS: &[Kind] = Kind::SEVERAL.split_last().unwrap().1;
    const SCHEME: &str = "zookeeper";
    fn ports(&self) -> Vec<u16> {
        self.servers.members.iter().map(ZooKeeper::port).collect()
    }
    fn kill(&mut self) {
        self.struck = self.leader();
        self.servers.members[self.struck].kill();
    }
    fn start_again(&mut self) {
        self.servers.members[self.struck].start_again();
    }
    fn freeze(&mut self) {
        self.struck = self.leader();
        self.servers.members[self.struck].freeze();
    }
    fn thaw(&mut self) {
        self.servers.members[self.struck].thaw();
    }
    fn compact(&mut self) {
        self.kill();
        self.start_again();
    }
    fn end_tenure(&self, _host: usize) -> bool {
        false
    }
}
