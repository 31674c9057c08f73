//! Connects to one member: addresses, time limits, certificates, login.

use std::time::Duration;

use etcd_client::{
    Certificate, Channel, Client, ConnectOptions, GetOptions, Identity, KvClient, LeaseClient, TlsOptions,
    WatchClient,
};
use tonic::transport::Endpoint;

use super::LARGEST_MESSAGE;
use super::explain::{explain, is_permission, is_silence};
use super::keys::KeySpace;
use super::paced::PacedConnector;
use crate::store::error::time;
use crate::store::files::{Certificates, FileKind};
use crate::store::listener::{self, ConnectError, Expected, explained};
use crate::store::{Credentials, StoreError, StoreFiles, StoreSpec, StoreUrl, Tls};
use crate::watch::Key;

/// Time limit for the response headers of a request.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(3);
/// Interval and time-out. etcd drops connections that ping more often than its `--grpc-keepalive-min-time`, 5 s by
/// default.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// A store's addresses, certificates and credentials.
#[derive(Debug, Clone)]
pub(super) struct Entrance {
    endpoints: Vec<String>,
    connector: PacedConnector,
    pub(super) space: KeySpace,
    /// The path of the store's URL.
    path: String,
    tls: bool,
    certificates: Tls,
    credentials: Option<Credentials>,
    files: StoreFiles,
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
    pub(super) fn new(spec: &StoreSpec, files: &StoreFiles) -> Result<Self, StoreError> {
        match &spec.url {
            StoreUrl::Etcd { endpoints, prefix, tls } => Ok(Self {
                endpoints: endpoints.clone(),
                connector: PacedConnector::new(spec.name.as_str()),
                space: KeySpace::new(prefix),
                path: prefix.clone(),
                tls: *tls || spec.tls.is_some(),
                certificates: spec.tls.clone().unwrap_or_default(),
                credentials: spec.credentials.clone(),
                files: files.clone(),
            }),
            StoreUrl::ZooKeeper { .. } | StoreUrl::Dir { .. } => Err(StoreError::Refused {
                what: format!("open {}", spec.url),
                why: "it is not an etcd store".to_owned(),
            }),
        }
    }

    pub(super) fn members(&self) -> u64 {
        self.endpoints.len() as u64
    }

    /// Connects to the member whose turn it is, and proves that it serves. A failure says what listens there, if that
    /// is no etcd.
    pub(super) async fn enter(&self, attempt: u64) -> Result<Connection, StoreError> {
        // Boxed: it is part of every request's future.
        let entering = Box::pin(async {
            let connection = self.open(attempt).await?;
            probe(&connection, &self.space).await?;
            Ok::<_, ConnectError>(connection)
        });
        match entering.await {
            Ok(connection) => Ok(connection),
            Err(error) => {
                let Some(server) = self.turn(attempt) else { return Err(error.into()) };
                let expected = Expected { kind: listener::Kind::Etcd, tls: self.tls, path: &self.path };
                Err(explained(error, server, expected).await)
            }
        }
    }

    /// The member whose turn it is.
    fn turn(&self, attempt: u64) -> Option<&String> {
        let turn = usize::try_from(attempt % self.members().max(1)).unwrap_or(0);
        self.endpoints.get(turn)
    }

    /// Connects to the member whose turn it is.
    pub(super) async fn connect(&self, attempt: u64) -> Result<Connection, StoreError> {
        Ok(self.open(attempt).await?)
    }

    async fn open(&self, attempt: u64) -> Result<Connection, ConnectError> {
        let Some(server) = self.turn(attempt) else {
            let what = "connect to etcd".to_owned();
            let why = "the store's URL names no server".to_owned();
            return Err(StoreError::Refused { what, why }.into());
        };
        let what = || format!("connect to etcd at {server}");
        let mut options = ConnectOptions::new().with_require_leader(true).with_auto_token_refresh(true);
        if let Some((username, password)) = self.login().await? {
            options = options.with_user(username, password);
        }
        let channel =
            Channel::Tonic(self.endpoint(server).await?.connect_with_connector_lazy(self.connector.clone()));
        let connecting = Client::from_channel(channel, Some(options));
        let client = match tokio::time::timeout(CONNECT + ANSWER, connecting).await {
            Ok(connected) => connected.map_err(|error| failed(what(), &error))?,
            Err(_) => return Err(ConnectError::Silent(late(what(), CONNECT + ANSWER))),
        };
        Ok(Connection { server: server.clone(), has_login: self.credentials.is_some(), client })
    }

    async fn endpoint(&self, server: &str) -> Result<Endpoint, StoreError> {
        let scheme = if self.tls { "https" } else { "http" };
        let unusable = |error: tonic::transport::Error| StoreError::Refused {
            what: format!("connect to etcd at {server}"),
            why: std::error::Error::source(&error).unwrap_or(&error).to_string(),
        };
        let (interval, patience) = KEEP_ALIVE;
        let endpoint = Endpoint::from_shared(format!("{scheme}://{server}")).map_err(unusable)?;
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .http2_keep_alive_interval(interval)
            .keep_alive_timeout(patience)
            .keep_alive_while_idle(true);
        if !self.tls {
            return Ok(endpoint);
        }
        crate::store::install_crypto();
        endpoint.tls_config(self.tls_options().await?).map_err(unusable)
    }

    /// User and password, if the store has them. The file is read at each login.
    async fn login(&self) -> Result<Option<(String, String)>, StoreError> {
        match &self.credentials {
            None => Ok(None),
            Some(Credentials::Password { username, password_file }) => {
                let password = self.files.read(password_file, FileKind::Password).await?;
                Ok(Some((username.clone(), password)))
            }
            Some(Credentials::Digest { .. }) => Err(StoreError::Refused {
                what: "log in to etcd".to_owned(),
                why: "`digest_file` is for ZooKeeper; etcd takes `username` and `password_file`".to_owned(),
            }),
        }
    }

    async fn tls_options(&self) -> Result<TlsOptions, StoreError> {
        let Certificates { authorities: (_, authorities), identity } =
            self.files.certificates(&self.certificates).await?;
        let mut options = TlsOptions::new().ca_certificate(Certificate::from_pem(authorities));
        if let Some(identity) = identity {
            options = options.identity(Identity::from_pem(identity.cert, identity.key));
        }
        if let Some(name) = &self.certificates.server_name {
            options = options.domain_name(name);
        }
        Ok(options)
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

/// Sends a linearizable read, which only a member with a quorum can answer: one that is cut off accepts connections and
/// serves nothing. A denied read counts as an answer.
async fn probe(reader: &Connection, space: &KeySpace) -> Result<(), ConnectError> {
    let what = || format!("connect to etcd at {}", reader.server);
    let Ok(top) = Key::new("/") else { return Ok(()) };
    match reader.kv().get(space.exact(&top), Some(GetOptions::new().with_keys_only())).await {
        Ok(_) => Ok(()),
        Err(error) if is_permission(&error) => Ok(()),
        Err(error) => Err(failed(what(), &error)),
    }
}

fn failed(what: String, error: &etcd_client::Error) -> ConnectError {
    let explained = explain(what, error);
    if is_silence(error) { ConnectError::Silent(explained) } else { ConnectError::Answered(explained) }
}

pub(super) fn late(what: String, limit: Duration) -> StoreError {
    StoreError::Unavailable { what, why: format!("no answer within {}", time(limit)) }
}
