//! Stores: every back end turned into the same level-triggered stream of states.
//!
//! `driver` does once for all what makes the stream trustworthy (reconnect, back-off, re-read,
//! de-duplicate, verify). A back end opens one [`session`](mod@session) at a time, and may not retry.

pub(crate) mod access;
pub(crate) mod dir;
pub(crate) mod driver;
pub(crate) mod error;
pub(crate) mod etcd;
pub(crate) mod requests;
pub(crate) mod session;
pub(crate) mod spec;
pub(crate) mod url;
pub(crate) mod zookeeper;

#[cfg(feature = "cli")]
pub(crate) use access::Access;
pub use access::{Change, Condition, Entry, Listing, Reached};
pub use driver::{Health, LinkState, Standing, Standings, Store, Subscribe, Subscription, Update};
pub use error::StoreError;
pub use spec::{Credentials, StoreSpec, StoreUrl, Tls};
pub use url::InvalidStoreUrl;

/// How sessions of the store's kind are opened; the attempt's number moves on among its servers.
fn opener(spec: &StoreSpec) -> driver::Open {
    match &spec.url {
        StoreUrl::Etcd { .. } => Box::new(|spec, attempt| etcd::session(spec, attempt, None)),
        StoreUrl::ZooKeeper { .. } => Box::new(zookeeper::session),
        StoreUrl::Dir { .. } => {
            let threads = dir::Threads::new(1);
            Box::new(move |spec, _| dir::session(spec, &threads))
        }
    }
}

/// Makes one cryptography provider the process's own. Two are compiled in by way of the stores' clients,
/// and rustls would refuse to choose.
fn install_crypto() {
    // An error says that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
