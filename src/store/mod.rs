//! Stores: every back end turned into the same level-triggered stream of states.
//!
//! `driver` does once for all what makes the stream trustworthy (reconnect, back-off, re-read,
//! de-duplicate, verify). A back end opens one [`session`](mod@session) at a time, and may not retry.

pub mod access;
pub mod dir;
pub mod driver;
pub mod error;
pub mod etcd;
pub mod requests;
pub mod session;
pub mod spec;
pub mod url;
pub mod zookeeper;

pub use access::Access;
pub use driver::{Health, LinkState, Standing, Store, Subscribe, Subscription, Update};
pub use error::StoreError;
pub use spec::{Credentials, StoreSpec, StoreUrl, Tls};
pub use url::InvalidStoreUrl;

/// Opens a session of the store's kind; the attempt's number moves on among its servers.
fn session(spec: &StoreSpec, attempt: u64) -> session::Session {
    match &spec.url {
        StoreUrl::Etcd { .. } => etcd::session(spec, attempt, None),
        StoreUrl::ZooKeeper { .. } => zookeeper::session(spec, attempt),
        StoreUrl::Dir { .. } => dir::session(spec, attempt),
    }
}

/// Makes one cryptography provider the process's own. Two are compiled in by way of the stores' clients,
/// and rustls would refuse to choose.
fn install_crypto() {
    // An error says that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
