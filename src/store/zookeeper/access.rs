//! Single requests to ZooKeeper.
