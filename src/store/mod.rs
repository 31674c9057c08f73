//! Stores: every back end turned into the same level-triggered stream of states.
//!
//! `driver` does once for all what makes the stream trustworthy (reconnect, back-off, re-read,
//! de-duplicate, verify). A back end opens one [`session`](mod@session) at a time, and may not retry.

pub mod access;
pub mod dir;
pub mod driver;
pub mod error;
pub mod etcd;
pub mod files;
pub mod requests;
pub mod session;
pub mod spec;
pub mod url;
pub mod zookeeper;

pub use access::Access;
pub use driver::{Health, LinkState, Standing, Standings, Store, Subscribe, Subscription, Update};
pub use error::StoreError;
pub use files::StoreFiles;
pub use spec::{Credentials, StoreSpec, StoreUrl, Tls};
pub use url::InvalidStoreUrl;

/// How sessions of the store's kind are opened; the attempt's number moves on among its servers.
fn opener(spec: &StoreSpec) -> driver::Open {
    match &spec.url {
        StoreUrl::Etcd { .. } => {
            let files = StoreFiles::default();
            Box::new(move |spec, attempt| etcd::session(spec, attempt, None, &files))
        }
        StoreUrl::ZooKeeper { .. } => {
            let files = StoreFiles::default();
            Box::new(move |spec, _| zookeeper::session(spec, &files))
        }
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
