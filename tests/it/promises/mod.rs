//! The promises of the contract, tested on the whole daemon against real servers and real faults.
//!
//! Every scene has a set of witnesses: watches whose actions record what they saw. In the end each of them must have seen
//! the store's last value (P1), never an older one after a newer one (P2), and never two at once (P3). Faults of a single
//! room are tested in that room.

mod ancestor;
mod disk;
mod entrance;
mod etcd;
mod leftovers;
mod random;
mod reading;
mod silence;
mod witness;
mod writer;
mod zookeeper;
