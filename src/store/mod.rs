//! Stores: every back end turned into the same level-triggered stream of states.
//!
//! `driver` implements once for all back ends what makes the stream trustworthy (reconnect, back-off, re-read,
//! de-duplicate, verify). A back end opens one session at a time, and must not retry.

pub(crate) mod access;
pub(crate) mod dir;
pub(crate) mod driver;
pub(crate) mod error;
pub(crate) mod etcd;
pub(crate) mod files;
mod key_fault;
mod kind;
mod listener;
pub(crate) mod requests;
pub(crate) mod session;
pub(crate) mod spec;
pub(crate) mod tenure;
pub(crate) mod url;
pub(crate) mod zookeeper;

pub(crate) use access::Access;
pub use access::{Change, Condition, Entry, Listing, NodeAcl, PutOptions, Reached};
pub use driver::{Freshness, FreshnessReader, Health, LinkState, Store, Subscribe, Subscription, Update};
pub use error::StoreError;
pub(crate) use files::StoreFiles;
pub(crate) use kind::StoreKind;
pub use spec::{Credentials, StoreSpec, StoreUrl, Tls, TreeLimits};
pub use tenure::{Tenure, TenureId};
pub use url::InvalidStoreUrl;

/// Opens sessions of the store's kind; the attempt's number rotates among its servers.
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

/// Installs the process's cryptography provider. The stores' clients link two, and rustls refuses to choose.
fn install_crypto() {
    // An error means that one is already installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
