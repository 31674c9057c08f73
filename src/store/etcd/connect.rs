//! Connects to one member: addresses, time limits, certificates, login.

use std::path::Path;
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Identity, KvClient, LeaseClient, TlsOptions, WatchClient,
};

use super::explain::{LARGEST_MESSAGE, explain};
use super::keys::KeySpace;
use crate::store::error::time;
use crate::store::{Credentials, StoreError, StoreSpec, StoreUrl, Tls};

/// Time limit for the response headers of a request.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(3);
/// Interval and time-out. etcd drops connections that ping more often than its `--grpc-keepalive-min-time`, 5 s by
/// default.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// Where distributions keep the trusted certificate authorities.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// A store's addresses and credentials.
#[derive(Debug, Clone)]
pub(super) struct Entrance {
    endpoints: Vec<String>,
    pub(super) space: KeySpace,
    tls: bool,
    certificates: Tls,
    credentials: Option<Credentials>,
}

/// A connection to one member.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) server: String,
    /// Whether there is a login, whose token expires.
    pub(super) has_login: bool,
    client: Client,
}

impl Entrance {
    pub(super) fn new(spec: &StoreSpec) -> Result<Self, StoreError> {
        match &spec.url {
            StoreUrl::Etcd { endpoints, prefix, tls } => Ok(Self {
                endpoints: endpoints.clone(),
                space: KeySpace::new(prefix),
                tls: *tls || spec.tls.is_some(),
                certificates: spec.tls.clone().unwrap_or_default(),
                credentials: spec.credentials.clone(),
            }),
            StoreUrl::ZooKeeper { .. } | StoreUrl::Dir { .. } => Err(StoreError::Refused {
                what: format!("open {}", spec.url),
                why: "it is no etcd".to_owned(),
            }),
        }
    }

    pub(super) fn members(&self) -> u64 {
        self.endpoints.len() as u64
    }

    /// Connects to the member whose turn it is.
    pub(super) async fn connect(&self, attempt: u64) -> Result<Connection, StoreError> {
        let turn = usize::try_from(attempt % self.members().max(1)).unwrap_or(0);
        let Some(server) = self.endpoints.get(turn) else {
            let what = "connect to etcd".to_owned();
            return Err(StoreError::Refused { what, why: "the store's URL names no server".to_owned() });
        };
        let (interval, timeout) = KEEP_ALIVE;
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_timeout(ANSWER)
            .with_keep_alive(interval, timeout)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        let scheme = if self.tls {
            crate::store::install_crypto();
            options = options.with_tls(tls_options(&self.certificates).await?);
            "https"
        } else {
            "http"
        };
        if let Some((username, password)) = login(self.credentials.as_ref()).await? {
            options = options.with_user(username, password);
        }
        let what = || format!("connect to etcd at {server}");
        let connecting = Client::connect([format!("{scheme}://{server}")], Some(options));
        let client = match tokio::time::timeout(CONNECT + ANSWER, connecting).await {
            Ok(connected) => connected.map_err(|error| explain(what(), &error))?,
            Err(_) => return Err(late(what(), CONNECT + ANSWER)),
        };
        Ok(Connection { server: server.clone(), has_login: self.credentials.is_some(), client })
    }
}

impl Connection {
    pub(super) fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub(super) fn watch(&self) -> WatchClient {
        self.client.watch_client().max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub(super) fn leases(&self) -> LeaseClient {
        self.client.lease_client()
    }

    /// Logs in again; a stream keeps the token that it was opened with.
    pub(super) async fn renew_login(&self) -> Result<(), StoreError> {
        let refreshed = self.client.refresh_token().await;
        refreshed.map_err(|error| explain(format!("log in to etcd at {}", self.server), &error))
    }
}

pub(super) fn late(what: String, limit: Duration) -> StoreError {
    StoreError::Unavailable { what, why: format!("no answer within {}", time(limit)) }
}

async fn login(credentials: Option<&Credentials>) -> Result<Option<(String, String)>, StoreError> {
    match credentials {
        None => Ok(None),
        Some(Credentials::Password { username, password_file }) => {
            let text = String::from_utf8(read(password_file).await?).map_err(|_| StoreError::File {
                path: show(password_file),
                why: "it is not UTF-8".to_owned(),
            })?;
            let password = text.strip_suffix('\n').unwrap_or(&text);
            Ok(Some((username.clone(), password.strip_suffix('\r').unwrap_or(password).to_owned())))
        }
        Some(Credentials::Digest { .. }) => Err(StoreError::Refused {
            what: "log in to etcd".to_owned(),
            why: "`digest_file` is for ZooKeeper; etcd takes `username` and `password_file`".to_owned(),
        }),
    }
}

async fn tls_options(tls: &Tls) -> Result<TlsOptions, StoreError> {
    let authorities = match &tls.ca {
        Some(ca) => read(ca).await?,
        None => system_authorities().await?,
    };
    let mut options = TlsOptions::new().ca_certificate(Certificate::from_pem(authorities));
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            options = options.identity(Identity::from_pem(read(cert).await?, read(key).await?));
        }
        (None, None) => {}
        (Some(_), None) | (None, Some(_)) => {
            return Err(StoreError::Refused {
                what: "use the client certificate".to_owned(),
                why: "`cert` and `key` are needed both".to_owned(),
            });
        }
    }
    if let Some(name) = &tls.server_name {
        options = options.domain_name(name);
    }
    Ok(options)
}

async fn system_authorities() -> Result<Vec<u8>, StoreError> {
    for path in SYSTEM_AUTHORITIES {
        if let Ok(authorities) = tokio::fs::read(path).await {
            return Ok(authorities);
        }
    }
    Err(StoreError::File {
        path: SYSTEM_AUTHORITIES[0].to_owned(),
        why: "the system keeps no list of trusted authorities there (package ca-certificates); \
              install it, or set `ca` in the store's `tls` table"
            .to_owned(),
    })
}

async fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    let read = tokio::fs::read(path).await;
    read.map_err(|error| StoreError::File { path: show(path), why: error.to_string() })
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
