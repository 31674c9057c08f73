//! Opens one ZooKeeper session: servers, credentials, certificates, and error messages.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use zookeeper_client::{Client, Connector, Error, TlsOptions};

use crate::store::error::time;
use crate::store::files::{Certificates, FileKind, Identity};
use crate::store::listener::{self, ConnectError, Expected, explained};
use crate::store::{Credentials, StoreError, StoreFiles, StoreSpec, StoreUrl, Tls, install_crypto};

/// Time limit for probing why a server refused the connection.
const PROBE: Duration = Duration::from_secs(1);

/// Everything that a connection needs, read once per session.
#[derive(Debug, Clone)]
pub(super) struct Entrance {
    connector: Connector,
    tls: bool,
    servers: Vec<String>,
    chroot: String,
    limit: Duration,
}

impl Entrance {
    /// Reads the files that a store's specification names.
    pub(super) async fn of(spec: &StoreSpec, files: &StoreFiles) -> Result<Self, StoreError> {
        let StoreUrl::ZooKeeper { servers, chroot, tls } = &spec.url else {
            return Err(StoreError::Refused {
                what: format!("open store {} as ZooKeeper", spec.name),
                why: format!("its URL is {}", spec.url),
            });
        };
        // The driver retries a server that is down, not this room.
        let mut connector =
            Client::connector().with_session_timeout(spec.session_timeout).with_fail_eagerly();
        match &spec.credentials {
            None => {}
            Some(Credentials::Digest { digest_file }) => {
                let digest = files.read(digest_file, FileKind::Digest).await?;
                connector = connector.with_auth("digest", digest.as_bytes());
            }
            Some(Credentials::Password { .. }) => {
                return Err(StoreError::Refused {
                    what: format!("log in to store {}", spec.name),
                    why: "ZooKeeper takes `digest_file`, not `username` and `password_file`".to_owned(),
                });
            }
        }
        let tls = *tls || spec.tls.is_some();
        if tls {
            for server in servers {
                check_host(server)?;
            }
            connector = connector.with_tls(certificates(spec.tls.as_ref(), files).await?);
        }
        Ok(Self {
            connector,
            tls,
            servers: servers.clone(),
            chroot: chroot.clone(),
            limit: spec.session_timeout,
        })
    }

    /// The servers, for the log.
    pub(super) fn servers(&self) -> String {
        self.servers.join(",")
    }

    /// The requested session time-out.
    pub(super) fn session_timeout(&self) -> Duration {
        self.limit
    }

    /// The error for a lost connection.
    pub(super) async fn lost(&self, why: String) -> StoreError {
        self.explain(why).await.into()
    }

    /// Bytes that the chroot adds to each path.
    pub(super) fn chroot_bytes(&self) -> usize {
        self.chroot.len()
    }

    /// The same without a chroot, and the chroot.
    pub(super) fn without_chroot(mut self) -> (Self, String) {
        let chroot = std::mem::take(&mut self.chroot);
        (self, chroot)
    }

    /// The same for a session that is left to its time-out when its client is dropped.
    pub(super) fn kept_when_dropped(mut self) -> Self {
        self.connector = self.connector.with_detached();
        self
    }

    /// Opens a session within the session time-out, or `limit` if that is shorter.
    pub(super) async fn open(self, limit: Option<Duration>) -> Result<Client, StoreError> {
        let limit = limit.map_or(self.limit, |limit| limit.min(self.limit));
        let cluster = format!("{}{}", self.servers(), self.chroot);
        let opening = async {
            if self.tls {
                self.connector.clone().secure_connect(&cluster).await
            } else {
                self.connector.clone().connect(&cluster).await
            }
        };
        let began = Instant::now();
        let why = match timeout(limit, opening).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(Error::AuthFailed)) => {
                return Err(StoreError::Denied {
                    what: format!("connect to {}", self.servers()),
                    why: "authentication failed".to_owned(),
                });
            }
            // There was no server left to try.
            Ok(Err(Error::NoHosts | Error::Timeout)) => {
                format!("no server gave a session, after {}", time(began.elapsed()))
            }
            Err(_) => format!("no session within {}", time(limit)),
            Ok(Err(error)) => error.to_string(),
        };
        let error = self.explain(why).await;
        let expected = Expected { kind: listener::Kind::ZooKeeper, tls: self.tls, path: &self.chroot };
        match self.servers.first() {
            Some(server) => Err(explained(error, server, expected).await),
            None => Err(error.into()),
        }
    }

    /// The library only says that connecting failed; a TCP connection to each server tells why.
    async fn explain(&self, why: String) -> ConnectError {
        for server in &self.servers {
            let address = if server.contains(':') { server.clone() } else { format!("{server}:2181") };
            let failed = |why| StoreError::Unavailable { what: format!("connect to {server}"), why };
            return match timeout(PROBE, TcpStream::connect(&address)).await {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) if error.kind() == ErrorKind::TimedOut => {
                    ConnectError::Silent(failed(error.to_string()))
                }
                Ok(Err(error)) => ConnectError::Answered(failed(error.to_string())),
                Err(_) => ConnectError::Silent(failed("no answer".to_owned())),
            };
        }
        let hint = if self.tls {
            "it accepts connections: is this its TLS port, and is its certificate from the `ca`?"
        } else {
            "it accepts connections: has the ensemble a leader, and is this not its TLS port? A server also \
             hangs up on more than `maxClientCnxns` connections of one host (60 by default)"
        };
        ConnectError::Answered(StoreError::Unavailable {
            what: format!("connect to {}", self.servers()),
            why: format!("{why}; {hint}"),
        })
    }
}

/// The library expects host names that are valid in certificates.
fn check_host(server: &str) -> Result<(), StoreError> {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match ServerName::try_from(host) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::Refused {
            what: format!("connect to {server}"),
            why: format!("{host:?} is no name that a certificate can have: {error}"),
        }),
    }
}

async fn certificates(tls: Option<&Tls>, files: &StoreFiles) -> Result<TlsOptions, StoreError> {
    install_crypto();
    let none = Tls::default();
    let tls = tls.unwrap_or(&none);
    if let Some(name) = &tls.server_name {
        return Err(StoreError::Refused {
            what: format!("expect the name {name} in the server's certificate"),
            why: "`server_name` works for etcd only; write the host in the URL as the certificate has it"
                .to_owned(),
        });
    }
    let Certificates { authorities: (ca, authorities), identity } = files.certificates(tls).await?;
    let unusable = |path: &std::path::Path, error: &Error| StoreError::File {
        path: path.display().to_string(),
        why: error.to_string(),
    };
    let mut options = TlsOptions::new().with_pem_ca(&authorities).map_err(|error| unusable(&ca, &error))?;
    if let Some(Identity { path, cert, key }) = identity {
        options = options.with_pem_identity(&cert, &key).map_err(|error| unusable(&path, &error))?;
    }
    Ok(options)
}

/// What an error of one request implies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The connection is lost; the session may continue on another one.
    Broken,
    /// The session is over.
    Over,
    /// The server answered; repeating the request does not help.
    Refused,
    /// The server answered: not authorized.
    Denied,
}

/// Classifies an error. An unknown one counts as a lost connection, which is retried.
pub(super) fn meaning(error: &Error) -> Meaning {
    if matches!(error, Error::NoAuth) {
        Meaning::Denied
    } else if matches!(
        error,
        Error::SessionExpired
            | Error::AuthFailed
            | Error::ClientClosed
            | Error::NoHosts
            | Error::BoundExceeded(_)
    ) {
        Meaning::Over
    } else if matches!(
        error,
        Error::BadArguments(_)
            | Error::NoNode
            | Error::NodeExists
            | Error::NotEmpty
            | Error::BadVersion
            | Error::NoChildrenForEphemerals
            | Error::InvalidAcl
            | Error::NotReadOnly
            | Error::QuotaExceeded
            | Error::Unimplemented
            | Error::MarshallingError
            | Error::UnmarshalError { .. }
            | Error::UnexpectedErrorCode(_)
    ) {
        Meaning::Refused
    } else {
        Meaning::Broken
    }
}

/// After this many consecutive connection losses while reading one node, the node counts as their cause.
pub(super) const MOST_LOSSES: u32 = 5;

/// The connection was lost at a node too often.
pub(super) fn lost_at(path: &str, why: &str) -> StoreError {
    StoreError::Refused {
        what: format!("read {path}"),
        why: format!(
            "{MOST_LOSSES} times the connection was lost at it ({why}); is it larger than the server's \
             jute.maxbuffer?"
        ),
    }
}

/// An error of one request, as a store's.
pub(super) fn failed(what: impl Into<String>, error: &Error) -> StoreError {
    let what = what.into();
    match meaning(error) {
        Meaning::Denied => StoreError::Denied {
            what,
            why: "ZooKeeper says: not authorized (the node's ACL does not let this session do it; `digest_file` of the store \
                  logs it in)"
                .to_owned(),
        },
        Meaning::Refused => StoreError::Refused { what, why: in_words(error) },
        Meaning::Broken | Meaning::Over => StoreError::Unavailable { what, why: error.to_string() },
    }
}

/// Why a request is refused. The library reports most refusals only as a "server error".
fn in_words(error: &Error) -> String {
    if *error == Error::BadArguments(&"server error") {
        "ZooKeeper does not allow it; the nodes below /zookeeper are its own".to_owned()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Starts a server that does this with each connection. Returns its address.
    async fn server<T: Future + Send + 'static>(serve: impl Fn(TcpStream) -> T + Send + 'static) -> String
    where
        T::Output: Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        address
    }

    async fn web(mut stream: TcpStream) {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }

    /// Accepts a session, and answers every request with success and an empty body.
    async fn zookeeper(mut stream: TcpStream) -> std::io::Result<()> {
        let mut answer =
            [&[0; 4][..], &4000_i32.to_be_bytes(), &7_i64.to_be_bytes(), &16_i32.to_be_bytes()].concat();
        answer.extend([0; 17]);
        loop {
            let length = usize::try_from(stream.read_i32().await?).unwrap();
            let mut request = vec![0; length];
            stream.read_exact(&mut request).await?;
            if answer.is_empty() {
                answer.extend(&request[..4]);
                answer.extend([0; 12]);
            }
            stream.write_i32(i32::try_from(answer.len()).unwrap()).await?;
            stream.write_all(&answer).await?;
            answer.clear();
        }
    }

    #[tokio::test]
    async fn a_server_in_the_list_that_is_not_zookeeper_does_not_hide_the_others() {
        let (web, zookeeper) = (server(web).await, server(zookeeper).await);
        let connector = Client::connector().with_session_timeout(Duration::from_secs(4)).with_fail_eagerly();
        let cluster = format!("{web},{zookeeper}");
        // Each attempt tries the servers in a random order.
        for _ in 0..20 {
            connector.clone().connect(&cluster).await.unwrap();
        }
        let error = connector.connect(&web).await.unwrap_err();
        assert!(matches!(error, Error::BoundExceeded(_)), "{error}");
    }
}
